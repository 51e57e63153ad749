"""When a process may take silent workers for dead."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flowscale.queues.redis.contact import DRIFT_MS, Contact

LEASE_MS = 20_000


def seen(contact: Contact, second: float, *, ahead_ms: int = 0, run_id: str = "a") -> bool:
    return contact.seen(second, int(second * 1000) + ahead_ms, run_id)


def in_contact(until: int = 20) -> Contact:
    """Since second 0, a look a second."""
    contact = Contact(LEASE_MS)
    for second in range(until + 1):
        seen(contact, second)
    return contact


def test_a_new_process_reaps_nothing_for_a_lease() -> None:
    contact = Contact(LEASE_MS)
    assert [seen(contact, second) for second in range(22)] == [False] * 20 + [True] * 2


def test_an_answer_that_did_not_come_begins_the_wait_anew() -> None:
    contact = in_contact()
    contact.lost()
    assert [seen(contact, second) for second in range(21, 43)] == [False] * 20 + [True] * 2


def test_a_server_that_was_restarted_unseen_begins_it_anew() -> None:
    contact = in_contact()
    assert [seen(contact, second, run_id="b") for second in range(21, 43)] == [False] * 20 + [True] * 2


def test_a_process_that_was_frozen_begins_it_anew() -> None:
    contact = in_contact()
    assert not seen(contact, 81)


def test_a_servers_clock_that_was_set_begins_it_anew() -> None:
    for ahead_ms in (3_600_000, -3_600_000):
        contact = in_contact()
        assert not seen(contact, 21, ahead_ms=ahead_ms)
        assert [seen(contact, second, ahead_ms=ahead_ms) for second in range(22, 42)] == [False] * 19 + [True]


def test_a_clock_that_is_slewed_is_no_break() -> None:
    contact = in_contact()
    assert seen(contact, 21, ahead_ms=DRIFT_MS)


@given(
    st.lists(st.tuples(st.floats(0.1, 30), st.sampled_from(["seen", "lost", "restarted", "clock set"])), max_size=60)
)
def test_it_never_reaps_within_a_lease_of_a_break(events: list[tuple[float, str]]) -> None:
    contact = Contact(LEASE_MS)
    now, ahead_ms, run, since = 0.0, 0, 0, None
    for pause, event in events:
        now += pause
        if event == "lost":
            contact.lost()
            since = None
            continue
        run += event == "restarted"
        ahead_ms += 60_000 * (event == "clock set")
        if since is None or pause * 1000 > LEASE_MS or event != "seen":
            since = now
        allowed = contact.seen(now, int(now * 1000) + ahead_ms, str(run))
        assert not allowed or now - since >= LEASE_MS / 1000 - 0.001

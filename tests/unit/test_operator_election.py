"""Who leads: what a replica does about each reading of the Lease."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flowscale_operator.election import (
    ANNOUNCE_SECONDS,
    FORGET_SECONDS,
    LEASE_SECONDS,
    MARGIN_SECONDS,
    RENEW_SECONDS,
    YIELD_SECONDS,
    Election,
    Lease,
    Step,
)

ME, OTHER = "pod-a/1", "pod-b/1"

MINE = Lease(ME, "12:00", 0, "", "1")
THEIRS = Lease(OTHER, "12:00", 0, "", "1")


def see(election: Election, lease: Lease | None, now: float) -> Step:
    return election.read(lease, now, now)


def watch(election: Election, lease: Lease, since: float, until: float) -> Step:
    """Read every second; what the last reading led to."""
    step, now = Step.NOTHING, since
    while now <= until:
        step = see(election, lease, now)
        now += 1.0
    return step


def test_without_a_lease_it_makes_one_and_leads() -> None:
    election = Election(ME)
    assert see(election, None, 0.0) is Step.CREATE
    assert not election.leads(0.0)
    election.wrote(Step.CREATE, 0.0)
    assert election.leads(0.0, LEASE_SECONDS - MARGIN_SECONDS - 0.1)
    assert not election.leads(LEASE_SECONDS - MARGIN_SECONDS)


def test_alone_it_writes_nothing_and_leads_on() -> None:
    election = Election(ME)
    for now in range(1000):
        assert see(election, MINE, float(now)) is Step.NOTHING
        assert election.leads(float(now), 6.0)


def test_it_counts_from_when_it_asked_not_from_when_it_was_answered() -> None:
    election = Election(ME)
    election.read(MINE, 0.0, 6.9)
    assert election.leads(6.9)
    assert not election.leads(7.0)


def test_beside_a_candidate_it_renews_and_a_reading_alone_is_not_enough() -> None:
    election = Election(ME)
    see(election, MINE, 0.0)
    wanted = replace(MINE, candidate=f"{OTHER}@12:00")
    assert see(election, wanted, 1.0) is Step.RENEW
    assert not election.leads(7.5)  # by the reading without a candidate alone
    election.wrote(Step.RENEW, 1.0)
    assert election.leads(7.5)
    assert see(election, wanted, 1.5) is Step.NOTHING
    assert see(election, wanted, 1.0 + RENEW_SECONDS) is Step.RENEW


def test_it_stops_renewing_for_a_candidate_that_is_gone() -> None:
    election = Election(ME)
    wanted = replace(MINE, candidate=f"{OTHER}@12:00")
    see(election, wanted, 0.0)
    assert see(election, wanted, FORGET_SECONDS) is Step.FORGET


def test_it_stands_by_and_takes_what_is_not_renewed() -> None:
    election = Election(ME)
    assert see(election, THEIRS, 0.0) is Step.ANNOUNCE
    election.wrote(Step.ANNOUNCE, 0.0)
    wanted = replace(THEIRS, candidate=f"{ME}@12:00")
    assert watch(election, wanted, 1.0, LEASE_SECONDS) is Step.NOTHING
    assert see(election, wanted, 1.0 + LEASE_SECONDS) is Step.TAKE


def test_it_does_not_count_time_before_its_wish_was_known() -> None:
    election = Election(ME)
    assert watch(election, THEIRS, 0.0, 30.0) is Step.ANNOUNCE  # its announcements were refused
    election.wrote(Step.ANNOUNCE, 30.0)
    wanted = replace(THEIRS, candidate=f"{ME}@12:00")
    assert see(election, wanted, 31.0) is Step.NOTHING


def test_a_renewal_begins_the_wait_anew() -> None:
    election = Election(ME)
    wanted = replace(THEIRS, candidate=f"{ME}@12:00")
    election.wrote(Step.ANNOUNCE, 0.0)
    assert watch(election, wanted, 1.0, 9.0) is Step.NOTHING
    renewed = replace(wanted, renewed="12:01")
    assert watch(election, renewed, 10.0, 19.0) is Step.NOTHING
    assert see(election, renewed, 20.0) is Step.TAKE


def test_it_takes_nothing_on_the_strength_of_an_outage() -> None:
    election = Election(ME)
    election.wrote(Step.ANNOUNCE, 5.0)
    wanted = replace(THEIRS, candidate=f"{ME}@12:00")
    watch(election, wanted, 5.0, 10.0)
    assert see(election, wanted, 50.0) is Step.NOTHING  # both were cut off
    assert watch(election, wanted, 51.0, 59.0) is Step.NOTHING
    assert see(election, wanted, 60.0) is Step.TAKE


def test_it_stops_at_once_when_another_holds_it() -> None:
    election = Election(ME)
    see(election, MINE, 0.0)
    see(election, THEIRS, 1.0)
    assert not election.leads(1.0)


def test_one_that_was_frozen_leads_no_longer_when_it_wakes() -> None:
    election = Election(ME)
    see(election, MINE, 0.0)
    assert not election.leads(60.0)


def test_a_newcomer_lets_whoever_stood_by_go_first_once() -> None:
    election = Election(ME)
    given_back = Lease("", "12:00", 3, f"{OTHER}@12:00", "9")
    assert see(election, given_back, 0.0) is Step.NOTHING
    assert see(election, given_back, YIELD_SECONDS - 0.1) is Step.NOTHING
    assert see(election, given_back, YIELD_SECONDS) is Step.TAKE


def test_one_that_stood_by_takes_what_was_given_back_at_once() -> None:
    election = Election(ME)
    assert see(election, Lease("", "12:00", 3, f"{ME}@12:00", "9"), 0.0) is Step.TAKE


def test_started_again_in_the_same_pod_it_goes_on() -> None:
    assert see(Election("pod-a/2"), MINE, 0.0) is Step.TAKE


def test_a_candidate_says_so_again_and_replaces_one_that_is_gone() -> None:
    election = Election(ME)
    election.wrote(Step.ANNOUNCE, 0.0)
    wanted = replace(THEIRS, candidate=f"{ME}@12:00")
    assert see(election, wanted, ANNOUNCE_SECONDS) is Step.ANNOUNCE
    third = Election("pod-c/1")
    see(third, wanted, 0.0)
    renewed = replace(wanted, renewed="12:30")
    assert see(third, renewed, FORGET_SECONDS) is Step.ANNOUNCE


def test_a_write_that_was_refused_ends_it() -> None:
    election = Election(ME)
    see(election, MINE, 0.0)
    election.lost()
    assert not election.leads(0.0)


@pytest.mark.parametrize("frozen", [0.0, 3.0, 8.0, 30.0])
def test_two_never_lead_at_once(frozen: float) -> None:
    """Two replicas over one Lease, one of which stops for a while: at no time are both sure of it."""
    lease, version = Lease(ME, "0", 0, "", "0"), 0
    both = {ME: Election(ME), OTHER: Election(OTHER)}
    for tick in range(600):
        now = tick / 10
        for name, election in both.items():
            if tick % 10 != (0 if name == ME else 5) or (name == ME and 10 <= now < 10 + frozen):
                continue
            step = election.read(lease, now, now)
            if step is Step.NOTHING:
                continue
            version += 1
            if step is Step.ANNOUNCE:
                lease = replace(lease, candidate=f"{name}@{now}", version=str(version))
            else:
                candidate = lease.candidate if step is Step.RENEW else ""
                lease = Lease(name, str(now), lease.transitions + (lease.holder != name), candidate, str(version))
            election.wrote(step, now)
        assert sum(election.leads(now) for election in both.values()) <= 1
    assert lease.holder == (OTHER if frozen > LEASE_SECONDS else ME)

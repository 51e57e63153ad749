"""How many workers: what the decision promises, and its words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flowscale.scaling import SPACING_MS, Decision, History, Limit, Policy, Reason, Snapshot, decide

NOW = 1_800_000_000_000
ROUND_MS = 1_000
COUNTS = ("waiting", "delayed", "due", "busy", "workers")


def seen(**facts: int | None) -> Snapshot:
    """A fresh reading: nothing anywhere, but for `facts`."""
    nothing: dict[str, int | None] = dict.fromkeys(COUNTS, 0)
    given_: dict[str, int | None] = {**nothing, "next_due_ms": None, "oldest_wait_ms": None, **facts}
    at_ms = given_.pop("at_ms", NOW)
    assert at_ms is not None
    return Snapshot(
        at_ms=at_ms,
        waiting=given_["waiting"],
        delayed=given_["delayed"],
        due=given_["due"],
        next_due_ms=given_["next_due_ms"],
        busy=given_["busy"],
        oldest_wait_ms=given_["oldest_wait_ms"],
        workers=given_["workers"],
    )


def first(snapshot: Snapshot | None, policy: Policy, history: History | None = None) -> Decision:
    return decide(snapshot, policy, history or History(), NOW)


class World:
    """A queue and a fleet that do what is decided, one round a second."""

    def __init__(self, policy: Policy, workers: int = 0) -> None:
        self.policy = policy
        self.workers = workers
        self.now = NOW
        self.history = History()
        self.sizes = [workers]

    def round(self, **facts: int | None) -> Decision:
        return self.decide(seen(at_ms=self.now, **{"workers": self.workers, **facts}))

    def blind_round(self) -> Decision:
        return self.decide(None)

    def decide(self, snapshot: Snapshot | None) -> Decision:
        decision = decide(snapshot, self.policy, self.history, self.now)
        self.history = decision.history
        self.workers = decision.size(self.workers, self.policy)
        self.sizes.append(self.workers)
        self.now += ROUND_MS
        return decision

    def rounds(self, seconds: int, **facts: int | None) -> Decision:
        for _ in range(seconds):
            decision = self.round(**facts)
        return decision


# Examples


def test_jobs_that_wait_bring_workers_at_once_in_one_step() -> None:
    decision = first(seen(waiting=42, oldest_wait_ms=18_500, workers=6, busy=6), Policy(0, 100))
    assert (decision.wanted, decision.reason, decision.limited_by) == (48, Reason.QUEUE_DEPTH, Limit.NONE)
    assert decision.message == (
        "From 6 to 48 workers, because 48 are needed: 6 busy, 42 waiting, 0 delayed, the oldest waiting for 18 s."
    )


def test_due_retries_are_jobs_that_wait() -> None:
    assert first(seen(due=3, waiting=2), Policy(0, 10)).wanted == 5


def test_several_jobs_to_a_worker() -> None:
    policy = Policy(0, 100, jobs_per_worker=3)
    assert first(seen(waiting=7), policy).wanted == 3
    # A job that goes from the line to a worker changes nothing.
    assert first(seen(waiting=4, busy=3, workers=3), policy).wanted == 3
    # All that render are needed, however few jobs there are for each.
    assert first(seen(busy=5, workers=5), policy).wanted == 5


def test_the_maximum_the_step_and_the_minimum_limit_it() -> None:
    decision = first(seen(waiting=50), Policy(0, 4))
    assert (decision.wanted, decision.reason, decision.limited_by) == (4, Reason.QUEUE_DEPTH, Limit.MAXIMUM)
    decision = first(seen(waiting=50, workers=2), Policy(0, 40, max_step_up=5))
    assert (decision.wanted, decision.limited_by) == (7, Limit.STEP_UP)
    decision = first(seen(), Policy(3, 4, max_step_up=1))
    assert (decision.wanted, decision.reason, decision.limited_by) == (3, Reason.MINIMUM, Limit.MINIMUM)
    decision = first(seen(waiting=9, busy=4, workers=4), Policy(0, 4))
    assert (decision.wanted, decision.reason, decision.limited_by) == (4, Reason.STEADY, Limit.MAXIMUM)


def test_a_lowered_maximum_is_obeyed_at_once_but_nothing_that_renders_is_taken() -> None:
    decision = first(seen(waiting=9, busy=5, workers=8), Policy(0, 4))
    assert (decision.wanted, decision.reason, decision.limited_by) == (5, Reason.MAXIMUM, Limit.MAXIMUM)
    assert decision.message.startswith("From 8 to 5 workers, because at most 4 are allowed: ")


def test_idle_workers_leave_when_they_were_not_needed_for_long_enough() -> None:
    world = World(Policy(0, 10, idle_ms=60_000), workers=6)
    decision = world.rounds(60, busy=2)
    assert (decision.wanted, decision.reason, decision.limited_by) == (6, Reason.STEADY, Limit.IDLE_TIME)
    decision = world.round(busy=2)
    assert (decision.wanted, decision.reason, decision.limited_by) == (2, Reason.IDLE, Limit.NONE)
    assert decision.message == (
        "From 6 to 2 workers, because no more than 2 were needed for 60 s: 2 busy, 0 waiting, 0 delayed."
    )


def test_a_single_busy_moment_starts_the_wait_anew() -> None:
    world = World(Policy(0, 10, idle_ms=60_000), workers=4)
    world.rounds(59)
    world.round(busy=4)
    assert world.rounds(60).wanted == 4
    assert world.round().wanted == 0


def test_demand_that_swings_leaves_the_size_at_its_peak() -> None:
    world = World(Policy(0, 10, idle_ms=10_000), workers=8)
    for _ in range(60):
        world.round(busy=2)
        world.round(busy=5)
    assert sorted(set(world.sizes)) == [5, 8]


def test_a_step_down_is_for_each_idle_time() -> None:
    world = World(Policy(0, 16, idle_ms=10_000, max_step_down_percent=50), workers=16)
    decision = world.rounds(11)
    assert (decision.wanted, decision.limited_by) == (8, Limit.STEP_DOWN)
    world.rounds(150)
    assert list(dict.fromkeys(world.sizes)) == [16, 8, 4, 2, 1, 0]
    assert world.sizes.count(8) == SPACING_MS // ROUND_MS  # the idle time is shorter than two steps may be apart
    world = World(Policy(0, 16, idle_ms=40_000, max_step_down_percent=50), workers=16)
    world.rounds(250)
    assert list(dict.fromkeys(world.sizes)) == [16, 8, 4, 2, 1, 0]
    assert world.sizes.count(8) == 40


def test_a_blink_of_the_queue_breaks_the_wait() -> None:
    world = World(Policy(0, 10, idle_ms=60_000), workers=4)
    world.rounds(50)
    world.blind_round()
    assert world.rounds(60).wanted == 4
    assert world.round().wanted == 0


def test_rounds_that_never_were_break_the_wait() -> None:
    world = World(Policy(0, 10, idle_ms=60_000), workers=4)
    world.rounds(5)
    world.now += 300_000
    assert world.round().wanted == 4
    world.now -= 600_000  # a clock set back
    assert world.rounds(60).wanted == 4


def test_a_delayed_retry_finds_a_worker_when_it_is_due() -> None:
    policy = Policy(0, 10, warm_up_ms=10_000)
    assert first(seen(delayed=1, next_due_ms=NOW + 10_001), policy).wanted == 0
    decision = first(seen(delayed=2, next_due_ms=NOW + 10_000), policy)
    assert (decision.wanted, decision.reason) == (1, Reason.RETRY_DUE)
    assert decision.message == (
        "From 0 to 1 workers, because a delayed retry is about to be due: 0 busy, 0 waiting, 2 delayed."
    )
    # Long due, and nobody has said so.
    assert first(seen(delayed=1, next_due_ms=NOW - 60_000), policy).wanted == 1
    assert first(seen(delayed=1), policy).wanted == 1


def test_nothing_known_leaves_all_as_it_is() -> None:
    policy = Policy(2, 10)
    for snapshot in (None, seen(at_ms=NOW - 10_001, workers=7), seen(workers=None)):
        decision = first(snapshot, policy)
        assert (decision.wanted, decision.reason) == (None, Reason.UNKNOWN)
        assert (decision.size(7, policy), decision.size(1, policy)) == (7, 2)
    assert "Nothing is known" in first(None, policy).message
    assert "more than 10 s ago" in first(seen(at_ms=NOW - 10_001), policy).message


@pytest.mark.parametrize("missing", ["waiting", "delayed", "due", "busy"])
def test_an_unknown_count_holds_the_size_or_brings_the_minimum(missing: str) -> None:
    facts: dict[str, int | None] = {"waiting": 50, "workers": 5, missing: None}
    decision = first(seen(**facts), Policy(2, 100))
    assert (decision.wanted, decision.reason, decision.limited_by) == (5, Reason.UNKNOWN, Limit.NONE)
    assert f"could not be read: {missing}; the number of workers stays 5" in decision.message
    decision = first(seen(**{**facts, "workers": 0}), Policy(2, 100))
    assert (decision.wanted, decision.reason, decision.limited_by) == (2, Reason.UNKNOWN, Limit.MINIMUM)


def test_the_reading_may_be_as_old_as_that() -> None:
    assert first(seen(at_ms=NOW - 10_000, waiting=3), Policy(0, 10)).wanted == 3
    # By a clock that runs ahead, nobody can tell how old it is.
    assert first(seen(at_ms=NOW + 10_001, waiting=3), Policy(0, 10)).reason is Reason.UNKNOWN


@pytest.mark.parametrize(
    "wrong",
    [
        {"minimum": 5},
        {"minimum": -1},
        {"maximum": 0, "minimum": 0},
        {"jobs_per_worker": 0},
        {"max_step_up": 0},
        {"max_step_down_percent": 0},
        {"max_step_down_percent": 101},
        {"idle_ms": -1},
        {"max_wait_ms": -1},
        {"max_wait_ms": 1_000, "jobs_per_worker": 1},
        {"renders_per_worker": 0},
    ],
)
def test_bounds_that_make_no_sense_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Policy(**{"minimum": 0, "maximum": 4, **wrong})


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="busy cannot be -1"):
        seen(busy=-1)


# Properties

counts = st.integers(min_value=0, max_value=60)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    minimum = draw(st.integers(0, 20))
    return Policy(
        minimum=minimum,
        maximum=draw(st.integers(max(1, minimum), 60)),
        jobs_per_worker=draw(st.integers(1, 5)),
        max_step_up=draw(st.integers(1, 60)),
        idle_ms=draw(st.integers(0, 30)) * ROUND_MS,
        max_step_down_percent=draw(st.integers(1, 100)),
    )


@st.composite
def loads(draw: st.DrawFn, workers: int | None = None) -> dict[str, int | None]:
    """What may be in the queue; of the workers, no more are busy than there are."""
    there = draw(counts) if workers is None else workers
    delayed = draw(counts)
    return {
        "waiting": draw(counts),
        "delayed": delayed,
        "due": draw(counts),
        "next_due_ms": NOW + draw(st.integers(-60_000, 60_000)) if delayed else None,
        "busy": draw(st.integers(0, there)),
        "workers": there,
    }


@st.composite
def histories(draw: st.DrawFn, policy: Policy) -> History:
    """As real rounds leave them, the last one a second ago."""
    history = History()
    demands = draw(st.lists(counts, max_size=40))
    for index, waiting in enumerate(demands):
        now = NOW - (len(demands) - index) * ROUND_MS
        history = decide(seen(at_ms=now, waiting=waiting, workers=draw(counts)), policy, history, now).history
    return history


@given(st.data())
def test_bounds_hold_and_nothing_that_renders_is_taken(data: st.DataObject) -> None:
    policy = data.draw(policies())
    load = data.draw(loads())
    decision = first(seen(**load), policy, data.draw(histories(policy)))
    busy, workers = load["busy"], load["workers"]
    assert busy is not None
    assert workers is not None
    assert decision.wanted is not None
    assert decision.wanted >= busy or decision.wanted >= workers
    assert policy.minimum <= decision.wanted <= max(policy.maximum, busy)
    assert decision.wanted <= max(workers + policy.max_step_up, policy.minimum)
    if decision.reason is not Reason.MAXIMUM:
        least = min(workers, max(policy.maximum, busy))
        assert least - decision.wanted <= max(1, least * policy.max_step_down_percent // 100)


@given(st.data(), st.sampled_from(["waiting", "due", "busy"]), st.integers(1, 20))
def test_more_demand_never_means_fewer_workers(data: st.DataObject, what: str, more: int) -> None:
    policy = data.draw(policies())
    history = data.draw(histories(policy))
    load = data.draw(loads())
    before = load[what]
    workers = load["workers"]
    assert before is not None
    assert workers is not None
    after = before + more if what != "busy" else min(before + more, workers)
    less, greater = first(seen(**load), policy, history), first(seen(**{**load, what: after}), policy, history)
    assert less.wanted is not None
    assert greater.wanted is not None
    assert less.wanted <= greater.wanted


@given(st.data())
def test_the_unknown_never_lowers_and_raises_to_the_minimum_at_most(data: st.DataObject) -> None:
    policy = data.draw(policies())
    load = data.draw(loads())
    workers = load["workers"]
    assert workers is not None
    missing = data.draw(st.sets(st.sampled_from(COUNTS), min_size=1))
    snapshots = [None, seen(**{**load, **dict.fromkeys(missing)})]
    age = data.draw(st.integers(policy.stale_ms + 1, 10**9))
    snapshots.append(seen(**load, at_ms=NOW - age))
    for snapshot in snapshots:
        decision = first(snapshot, policy, data.draw(histories(policy)))
        assert decision.reason is Reason.UNKNOWN
        assert decision.size(workers, policy) == max(workers, policy.minimum)
        # What was remembered is not trusted afterwards: the next round cannot go down either, unless it is told to.
        after = first(seen(**load), replace(policy, idle_ms=1, maximum=200), decision.history)
        assert after.wanted is not None
        assert after.wanted >= workers


@given(st.data())
def test_under_steady_demand_the_size_changes_once_at_most(data: st.DataObject) -> None:
    policy = replace(data.draw(policies()), max_step_up=1_000, max_step_down_percent=100)
    world = World(policy, workers=data.draw(st.integers(policy.minimum, policy.maximum)))
    load = data.draw(loads(workers=world.workers))
    load.pop("workers")
    load |= {"delayed": 0, "next_due_ms": None}  # a retry that comes near is not steady
    world.rounds(2 * policy.idle_ms // ROUND_MS + 5, **load)
    changes = [size for size, before in zip(world.sizes[1:], world.sizes, strict=False) if size != before]
    assert len(changes) <= 1


@given(st.data())
def test_with_small_steps_steady_demand_moves_the_size_one_way(data: st.DataObject) -> None:
    policy = replace(data.draw(policies()), idle_ms=2 * ROUND_MS)
    world = World(policy, workers=data.draw(st.integers(0, 12)))
    load = data.draw(loads(workers=world.workers))
    load.pop("workers")
    load["next_due_ms"] = NOW if load["delayed"] else None
    world.rounds(500, **load)
    assert world.sizes in (sorted(world.sizes), sorted(world.sizes, reverse=True))
    assert world.sizes[-1] == world.sizes[-10]  # and arrives


@given(st.data())
def test_a_retry_is_never_left_alone(data: st.DataObject) -> None:
    policy = replace(data.draw(policies()), minimum=0)
    world = World(policy, workers=data.draw(st.integers(0, 3)))
    due_ms = NOW + data.draw(st.integers(0, 90)) * ROUND_MS
    while world.now < due_ms + 5_000:
        near = world.now >= due_ms - policy.warm_up_ms
        if near or data.draw(st.booleans()):
            world.round(delayed=1, next_due_ms=due_ms)
        else:
            world.blind_round()
        assert world.workers >= 1 or not near


@given(st.data())
def test_down_waits_until_demand_has_been_lower_all_the_while(data: st.DataObject) -> None:
    policy = replace(data.draw(policies()), minimum=0, maximum=60, jobs_per_worker=1)
    world = World(policy, workers=data.draw(counts))
    demands: list[tuple[int, int]] = []
    for waiting in data.draw(st.lists(counts, min_size=1, max_size=80)):
        present, now = world.workers, world.now
        demands.append((now, waiting))
        world.round(waiting=waiting)
        if world.workers < present:
            assert now - demands[0][0] >= policy.idle_ms
            assert world.workers >= max(demand for at, demand in demands if at >= now - policy.idle_ms)


@given(st.data())
def test_once_applied_it_asks_for_nothing_more(data: st.DataObject) -> None:
    policy = replace(data.draw(policies()), max_step_up=1_000, max_step_down_percent=100, idle_ms=30_000)
    load = data.draw(loads())
    decision = first(seen(**load), policy, data.draw(histories(policy)))
    assume(decision.limited_by is not Limit.GATHERING)  # what is held up now may not be in the next round
    assert decision.wanted is not None
    again = first(seen(**{**load, "workers": decision.wanted}), policy, decision.history)
    assert again.wanted == decision.wanted
    assert again.reason is Reason.STEADY


@given(st.data())
def test_what_is_remembered_stays_small(data: st.DataObject) -> None:
    policy = replace(data.draw(policies()), idle_ms=20_000)
    world = World(policy)
    for waiting in data.draw(st.lists(counts, min_size=1, max_size=100)):
        world.round(waiting=waiting)
        assert len(world.history.peaks) <= 21

"""Fewer workers: gathered into few steps, exactly when they may go, and never to and fro."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowscale.scaling import SPACING_MS, Decision, History, Limit, Policy, Reason, decide
from unit.test_scaling import NOW, ROUND_MS, World, counts, histories, loads, policies, seen

SPACING = SPACING_MS // ROUND_MS


def steps(world: World) -> list[tuple[int, int]]:
    """When each change of size was decided (rounds since the beginning), and what it was then."""
    sizes = list(enumerate(world.sizes))
    return [(at - 1, size) for (at, size), (_, before) in zip(sizes[1:], sizes, strict=False) if size != before]


def test_jobs_that_end_close_together_cost_one_step() -> None:
    world = World(Policy(0, 20, idle_ms=60_000), workers=10)
    for busy in range(10, 0, -1):
        world.round(busy=busy)
    world.rounds(60)
    assert world.workers == 10
    decision = world.round()
    assert (decision.wanted, decision.reason, decision.limited_by) == (0, Reason.IDLE, Limit.NONE)
    # The last job was seen in the tenth round (9), the first round without it was the eleventh (10).
    assert steps(world) == [(70, 0)]


def test_a_step_that_waits_for_others_says_so() -> None:
    world = World(Policy(0, 20, idle_ms=60_000), workers=10)
    world.rounds(30, busy=10)
    world.rounds(10, busy=4)
    decision = world.rounds(51)
    assert (decision.wanted, decision.reason, decision.limited_by) == (10, Reason.STEADY, Limit.GATHERING)
    assert decision.message == (
        "The number of workers stays 10: 4 would do, and more are about to leave together; "
        "0 busy, 0 waiting, 0 delayed."
    )


def test_it_does_not_wait_for_those_that_are_far_off() -> None:
    world = World(Policy(0, 20, idle_ms=60_000), workers=10)
    world.rounds(10, busy=10)
    world.rounds(50, busy=3)
    world.rounds(100)
    # Seven have been idle since round 10, three since round 60.
    assert steps(world) == [(70, 3), (120, 0)]


def test_work_that_ebbs_away_for_long_takes_workers_with_it() -> None:
    world = World(Policy(0, 60, idle_ms=60_000), workers=60)
    for busy in range(60, 0, -1):
        world.rounds(10, busy=busy)
    world.rounds(100)
    assert world.workers == 0
    made = steps(world)
    assert made[-1] == (600 + 60, 0)
    assert all(later - sooner >= SPACING for (sooner, _), (later, _) in pairwise(made))
    assert 10 <= len(made) <= 20


def test_a_step_that_was_refused_stays_due() -> None:
    world = World(Policy(0, 20, idle_ms=60_000), workers=10)
    world.rounds(10, busy=4)
    decision = world.rounds(51, busy=4)
    assert (decision.wanted, decision.reason) == (4, Reason.IDLE)
    for refused in (10, 10, 7, 7, 6):
        world.workers = refused
        decision = world.round(busy=4)
        assert (decision.wanted, decision.reason) == (4, Reason.IDLE)
    # Done: what comes next is a step of its own.
    decision = world.rounds(SPACING - 1, busy=4)
    assert (decision.wanted, decision.reason, decision.limited_by) == (4, Reason.STEADY, Limit.NONE)


def test_a_step_that_is_carried_out_late_does_not_grow_on_the_way() -> None:
    world = World(Policy(0, 20, idle_ms=10_000), workers=10)
    world.rounds(1, busy=10)
    world.rounds(8, busy=5)
    asked: list[int] = []
    for _ in range(40):
        present = world.workers
        decision = world.round()
        asked.append(decision.size(present, world.policy))
        if decision.reason is Reason.IDLE and len(asked) < 9:
            world.workers = present  # refused
    assert asked[-1] == 0
    assert asked == sorted(asked, reverse=True)


def test_more_work_ends_a_step_that_was_not_carried_out() -> None:
    world = World(Policy(0, 20, idle_ms=60_000), workers=10)
    world.rounds(61, busy=4)
    world.workers = 10
    assert world.round(busy=9).wanted == 9
    assert world.round(busy=12, workers=10).wanted == 12
    assert world.round(busy=2).wanted == 12


def test_an_idle_time_made_longer_claims_nothing_of_what_was_forgotten() -> None:
    world = World(Policy(0, 10, idle_ms=10_000), workers=4)
    world.rounds(100, busy=4)
    world.rounds(5)
    world.policy = replace(world.policy, idle_ms=60_000)
    decision = world.rounds(45)
    assert decision.wanted == 4
    world.rounds(30)
    # Idle since round 100; of the ten seconds before the change of policy all is remembered.
    assert steps(world) == [(160, 0)]


def test_an_idle_time_made_shorter_holds_at_once() -> None:
    world = World(Policy(0, 10, idle_ms=600_000), workers=4)
    world.rounds(100, busy=2)
    world.policy = replace(world.policy, idle_ms=60_000)
    assert world.round(busy=2).wanted == 2


def test_an_outage_keeps_two_steps_apart_too() -> None:
    world = World(Policy(0, 10, idle_ms=2_000), workers=8)
    world.rounds(3, busy=4)
    assert world.workers == 4
    world.blind_round()
    world.workers = 6  # somebody else thought so
    world.rounds(5, busy=4)
    assert world.workers == 4


# Properties

Rounds = list[tuple[int, int]]
"""Demand, and for how many rounds it lasts."""

stretches: st.SearchStrategy[Rounds] = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 80)), max_size=12)


def played(policy: Policy, demands: Rounds, workers: int) -> tuple[World, list[int]]:
    """The world after all of it, and the demand of each round."""
    world = World(policy, workers)
    each: list[int] = []
    for demand, rounds in demands:
        for _ in range(rounds):
            busy = min(demand, world.workers)
            world.round(busy=busy, waiting=demand - busy)
            each.append(demand)
    return world, each


@given(st.data(), stretches)
def test_two_changes_close_together_have_a_change_of_demand_between_them(data: st.DataObject, demands: Rounds) -> None:
    policy = replace(data.draw(policies()), jobs_per_worker=1, max_step_up=1_000)
    world, demand = played(policy, demands, data.draw(st.integers(policy.minimum, policy.maximum)))
    made = steps(world)
    for (sooner, _), (later, size) in pairwise(made):
        moved = any(demand[at] != demand[at - 1] for at in range(sooner + 1, later + 1))
        assert moved or later - sooner >= SPACING, f"to {size} in round {later}, after {sooner}"


@given(st.data(), stretches)
def test_no_worker_stays_much_longer_than_it_is_needed(data: st.DataObject, demands: Rounds) -> None:
    idle = data.draw(st.integers(0, 70))
    policy = Policy(0, 20, idle_ms=idle * ROUND_MS)
    world, demand = played(policy, demands, 0)
    window = idle + 2 * (policy.gather_ms // ROUND_MS + 1) + SPACING + 2
    for at, size in enumerate(world.sizes[1:]):
        assert size <= max(demand[max(0, at - window) : at + 1])
        assert size >= max(demand[max(0, at - idle) : at + 1])


@given(st.data())
def test_all_go_exactly_one_idle_time_after_the_last_job(data: st.DataObject) -> None:
    idle = data.draw(st.integers(2, 90))
    policy = Policy(0, 40, idle_ms=idle * ROUND_MS)
    ends = sorted(data.draw(st.lists(st.integers(0, policy.gather_ms // ROUND_MS), min_size=1, max_size=40)))
    world = World(policy, workers=len(ends))
    world.rounds(data.draw(st.integers(1, 200)), busy=len(ends))
    began = len(world.sizes) - 1
    for at in range(ends[-1] + 1):
        world.round(busy=sum(end >= at for end in ends))
    world.rounds(idle + 5)
    assert steps(world) == [(began + ends[-1] + 1 + idle, 0)]


@given(st.data(), st.sampled_from(["waiting", "due", "busy"]), st.integers(1, 20), st.integers(0, 90))
def test_more_demand_means_no_fewer_workers_whatever_was_before(
    data: st.DataObject, what: str, more: int, later: int
) -> None:
    policy = data.draw(policies())
    world, _ = played(replace(policy, minimum=0), data.draw(stretches), 12)
    now = world.now + later * ROUND_MS // 10
    load = data.draw(loads())
    before, workers = load[what], load["workers"]
    assert before is not None
    assert workers is not None
    after = before + more if what != "busy" else min(before + more, workers)
    less = decide(seen(**load, at_ms=now), policy, world.history, now)
    greater = decide(seen(**{**load, what: after}, at_ms=now), policy, world.history, now)
    assert less.wanted is not None
    assert greater.wanted is not None
    assert less.wanted <= greater.wanted


@given(st.data(), stretches, st.integers(1, 40))
def test_refusals_delay_a_step_and_change_nothing_else(data: st.DataObject, demands: Rounds, refusals: int) -> None:
    policy = Policy(0, 20, idle_ms=data.draw(st.integers(0, 70)) * ROUND_MS)
    world, _ = played(policy, demands, 12)
    world.rounds(2 * policy.idle_ms // ROUND_MS + SPACING + 5, busy=0)
    assert world.workers == 0
    world = World(policy, 5)
    while (decision := world.round()).reason is not Reason.IDLE:
        continue
    for _ in range(refusals):
        world.workers = 5
        assert (decision := world.round()).reason is Reason.IDLE
        assert decision.wanted == 0
    assert world.round().wanted == 0


Wrong = Callable[[World], Decision]


@pytest.mark.parametrize("wrong", [World.blind_round, lambda world: world.round(busy=None)], ids=["blind", "no count"])
@given(st.data(), st.lists(st.booleans(), max_size=150))
def test_no_step_down_follows_an_unknown_round_within_the_idle_time(
    wrong: Wrong, data: st.DataObject, known: list[bool]
) -> None:
    idle = data.draw(st.integers(1, 40))
    world = World(Policy(0, 20, idle_ms=idle * ROUND_MS), workers=8)
    unknown_at = -1
    for at, is_known in enumerate(known):
        before = world.workers
        decision = world.round(busy=data.draw(st.integers(0, before))) if is_known else wrong(world)
        if not is_known:
            unknown_at = at
            assert decision.history.since_ms is None
        if world.workers < before:
            assert is_known
            assert at - unknown_at > idle


@given(st.data())
def test_what_a_policy_allows_when_it_changes_is_never_less_than_what_renders(data: st.DataObject) -> None:
    history = data.draw(histories(data.draw(policies())))
    policy = data.draw(policies())
    load = data.draw(loads(workers=data.draw(counts)))
    decision = decide(seen(**load), policy, history, NOW)
    assert decision.wanted is not None
    assert load["busy"] is not None
    assert load["workers"] is not None
    assert decision.wanted >= min(load["busy"], load["workers"])
    assert History(step=decision.history.step).peaks == ()

"""What a policy would have done: jobs are done once, bounds hold, and nobody that renders is taken."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flowscale.scaling import Policy, Reason
from flowscale.scaling.simulation import Arrival, Simulation, simulate

SECOND = 1_000


def jobs(*at_and_render: tuple[int, int]) -> list[Arrival]:
    """In seconds."""
    return [Arrival(at * SECOND, render * SECOND) for at, render in at_and_render]


def sizes(simulation: Simulation) -> list[tuple[int, int]]:
    return [(change.at_ms // SECOND, change.after) for change in simulation.changes]


def test_a_rush_is_met_in_one_step_and_gone_after_the_idle_time() -> None:
    simulation = simulate(jobs(*[(5, 30)] * 20), Policy(0, 100), start_ms=10 * SECOND)
    assert sizes(simulation) == [(5, 20), (5 + 10 + 30 + 60, 0)]
    assert simulation.waits_ms == [10 * SECOND] * 20
    assert simulation.render_ms == 20 * 30 * SECOND
    assert simulation.worker_ms == 20 * 100 * SECOND
    assert [change.reason for change in simulation.changes] == [Reason.QUEUE_DEPTH, Reason.IDLE]


def test_workers_that_are_kept_ready_start_jobs_at_once() -> None:
    simulation = simulate(jobs((0, 10), (0, 10), (0, 10)), Policy(2, 2), start_ms=10 * SECOND)
    assert simulation.waits_ms == [0, 0, 10 * SECOND]
    assert simulation.changes == []


def test_a_worker_may_render_several_at_once() -> None:
    policy = Policy(0, 9, jobs_per_worker=2, renders_per_worker=2)
    simulation = simulate(jobs(*[(0, 30)] * 6), policy, start_ms=SECOND)
    assert sizes(simulation)[0] == (0, 3)
    assert simulation.waits_ms == [SECOND] * 6


def test_what_was_learned_is_used() -> None:
    learning = jobs(*[(number * 100, 20) for number in range(5)])
    rush = jobs(*[(1_000, 20)] * 10)
    simulation = simulate([*learning, *rush], Policy(0, 100, max_wait_ms=50 * SECOND), start_ms=10 * SECOND)
    # Three starts of each: after 10, 30 and 50 s.
    assert max(moment.workers for moment in simulation.moments) == 4
    assert max(simulation.waits_ms) == 50 * SECOND


arrivals = st.lists(
    st.builds(Arrival, st.integers(0, 120_000), st.integers(0, 40_000), st.sampled_from("ab")), max_size=15
)
policies = st.builds(
    Policy,
    minimum=st.integers(0, 2),
    maximum=st.integers(2, 6),
    max_wait_ms=st.none() | st.integers(0, 100_000),
    idle_ms=st.integers(0, 30_000),
    max_step_up=st.integers(1, 6),
    max_step_down_percent=st.integers(1, 100),
    renders_per_worker=st.integers(1, 2),
)


@given(arrivals, policies, st.integers(0, 20_000))
def test_every_job_is_done_within_the_bounds(coming: list[Arrival], policy: Policy, start_ms: int) -> None:
    simulation = simulate(coming, policy, start_ms=start_ms)
    assert len(simulation.waits_ms) == len(coming)
    assert simulation.render_ms == sum(arrival.render_ms for arrival in coming)
    for moment in simulation.moments:
        assert policy.minimum <= moment.workers <= policy.maximum
        assert moment.busy <= moment.workers * policy.renders_per_worker
    last = simulation.moments[-1]
    assert (last.waiting, last.busy, last.workers) == (0, 0, policy.minimum)
    assert simulation.worker_ms >= simulation.render_ms // policy.renders_per_worker

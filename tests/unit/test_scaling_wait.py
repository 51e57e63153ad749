"""A limit on waiting: the fewest workers that let no job start too late, by what renders are predicted to take."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flowscale.predictions import Expected
from flowscale.scaling import Decision, History, Limit, Policy, Reason, Snapshot, decide
from flowscale.scaling.schedule import Load, fewest_workers
from unit.test_scaling import NOW

START_MS = 10_000
MINUTE = 60_000


def waiting(*seconds: int | None, waited_ms: int = 0) -> list[Expected]:
    """Jobs whose renders take so long."""
    return [Expected(waited_ms, None if each is None else each * 1_000) for each in seconds]


def fewest(
    line: list[Expected], *, running: list[Expected] | None = None, workers: int = 0, max_wait_ms: int, rest: int = 0
) -> int:
    running = running or []
    return fewest_workers(
        Load(len(line) + rest, line, len(running), running),
        busy=len(running),
        workers=workers,
        renders_per_worker=1,
        max_wait_ms=max_wait_ms,
        start_ms=START_MS,
    )


def first(policy: Policy, **facts: int | list[Expected]) -> Decision:
    read = {"waiting": 0, "delayed": 0, "due": 0, "busy": 0, "workers": 0} | facts
    snapshot = Snapshot(at_ms=NOW, next_due_ms=None, oldest_wait_ms=None, **read)  # type: ignore[arg-type]  # as named
    return decide(snapshot, policy, History(), NOW)


# Examples


def test_nothing_to_do_wants_nobody() -> None:
    assert fewest([], max_wait_ms=MINUTE) == 0


def test_one_worker_does_it_when_there_is_time() -> None:
    # They start at 10, 20, 30, 40 and 50 s.
    assert fewest(waiting(10, 10, 10, 10, 10), max_wait_ms=50_000) == 1
    assert fewest(waiting(10, 10, 10, 10, 10), max_wait_ms=49_999) == 2


def test_who_has_waited_has_less_time_left() -> None:
    assert fewest(waiting(10, 10, 10), max_wait_ms=MINUTE) == 1
    assert fewest(waiting(10, 10, 10, waited_ms=35_000), max_wait_ms=MINUTE) == 2


def test_who_waits_too_long_already_gets_a_worker_as_soon_as_one_can_start() -> None:
    assert fewest(waiting(10, 10, waited_ms=10 * MINUTE), max_wait_ms=MINUTE) == 2
    assert fewest(waiting(10, 10), max_wait_ms=0) == 2


def test_workers_that_are_there_start_at_once() -> None:
    assert fewest(waiting(10, 10), max_wait_ms=START_MS, workers=0) == 2
    assert fewest(waiting(10, 10), max_wait_ms=START_MS, workers=1) == 1


def test_a_render_that_is_nearly_done_is_waited_for() -> None:
    nearly, begun = Expected(50_000, 55_000), Expected(5_000, 120_000)
    assert fewest(waiting(10), running=[nearly], workers=1, max_wait_ms=9_000) == 1
    assert fewest(waiting(10), running=[begun], workers=1, max_wait_ms=MINUTE) == 2
    assert fewest(waiting(10), running=[Expected(0)], workers=1, max_wait_ms=10 * MINUTE) == 2  # nobody knows how long
    overdue = Expected(500_000, 200_000)
    assert fewest(waiting(10), running=[overdue], workers=1, max_wait_ms=20_000) == 1
    assert fewest(waiting(10), running=[overdue], workers=1, max_wait_ms=19_999) == 2


def test_what_cannot_be_predicted_gets_a_worker_each() -> None:
    assert fewest(waiting(None, None, None), max_wait_ms=MINUTE) == 3
    assert fewest(waiting(10, None, 10, None), max_wait_ms=MINUTE) == 3


def test_jobs_that_are_not_told_one_by_one_are_as_long_as_the_others() -> None:
    # None is to wait longer than 110 s: eleven starts of each worker, its first after 10 s.
    assert fewest(waiting(*[10] * 500), max_wait_ms=110_000, rest=105) == 55
    assert fewest(waiting(*[10] * 500), max_wait_ms=110_000, rest=106) == 56
    assert fewest(waiting(*[None] * 500), max_wait_ms=100_000, rest=100) == 600


def test_a_worker_may_render_several_at_once() -> None:
    load = Load(6, waiting(*[10] * 6), 2, [Expected(0), Expected(0)])
    options = {"workers": 1, "renders_per_worker": 2, "max_wait_ms": START_MS, "start_ms": START_MS}
    assert fewest_workers(load, busy=1, **options) == 4
    unknown = Load(5, waiting(*[None] * 5), 2, [Expected(0), Expected(0)])
    assert fewest_workers(unknown, busy=1, **options) == 4


def test_the_decision_says_what_it_is_for() -> None:
    policy = Policy(0, 4, max_wait_ms=20_000, warm_up_ms=START_MS)
    line = waiting(10, 10, 10, 10)
    decision = first(policy, waiting=4, line=line)
    assert (decision.wanted, decision.reason, decision.limited_by) == (2, Reason.QUEUE_DEPTH, Limit.NONE)
    assert decision.message == (
        "From 0 to 2 workers, because 2 are needed for no job to wait longer than 20 s: 0 busy, 4 waiting, 0 delayed."
    )
    assert first(policy, waiting=4).wanted == 4  # it was not told of them, so each counts
    assert first(policy, waiting=9, due=3, line=line).limited_by is Limit.MAXIMUM
    assert first(policy, busy=3, workers=3).wanted == 3


# Properties

jobs = st.builds(Expected, st.integers(0, 200_000), st.none() | st.integers(0, 200_000))
predicted = st.builds(Expected, st.integers(0, 200_000), st.integers(0, 200_000))
limits = st.integers(0, 300_000)


def starts_ms(line: list[Expected], free: list[float]) -> list[float]:
    """When each job starts, by the plainest way to say it."""
    free, starts = list(free), []
    for job in line:
        at = free.index(min(free))
        starts.append(free[at])
        free[at] += job.predicted_ms or 0
    return starts


@given(st.lists(predicted, min_size=1, max_size=12), st.integers(0, 6), limits)
def test_it_is_enough_and_one_fewer_is_not(line: list[Expected], idle: int, max_wait_ms: int) -> None:
    number = fewest(line, workers=idle, max_wait_ms=max_wait_ms)

    def is_enough(workers: int) -> bool:
        free = [0.0] * min(idle, workers) + [float(START_MS)] * (workers - min(idle, workers))
        allowed = [max(max_wait_ms - job.for_ms, START_MS) for job in line]
        return bool(free) and all(at <= most for at, most in zip(starts_ms(line, free), allowed, strict=True))

    assert is_enough(number)
    assert not is_enough(number - 1)


@given(st.lists(jobs, max_size=12), st.lists(jobs, max_size=5), st.integers(0, 5), limits)
def test_it_lies_between_the_busy_and_one_for_each_job(
    line: list[Expected], running: list[Expected], idle: int, max_wait_ms: int
) -> None:
    number = fewest(line, running=running, workers=len(running) + idle, max_wait_ms=max_wait_ms)
    assert len(running) <= number <= len(running) + len(line)


@given(st.lists(jobs, max_size=12), st.lists(jobs, max_size=5), st.integers(0, 5), limits, jobs, st.integers(0, 12))
def test_one_more_job_never_means_fewer_workers(
    line: list[Expected], running: list[Expected], idle: int, max_wait_ms: int, more: Expected, at: int
) -> None:
    workers = len(running) + idle
    before = fewest(line, running=running, workers=workers, max_wait_ms=max_wait_ms)
    after = fewest([*line[:at], more, *line[at:]], running=running, workers=workers, max_wait_ms=max_wait_ms)
    assert before <= after


@given(st.lists(predicted, max_size=12), st.lists(predicted, max_size=5), limits, st.integers(0, 100_000))
def test_more_patience_never_means_more_workers(
    line: list[Expected], running: list[Expected], max_wait_ms: int, more: int
) -> None:
    workers = len(running)
    before = fewest(line, running=running, workers=workers, max_wait_ms=max_wait_ms)
    assert fewest(line, running=running, workers=workers, max_wait_ms=max_wait_ms + more) <= before


@given(st.lists(jobs, max_size=10), st.lists(jobs, max_size=5), st.integers(0, 8), limits)
def test_bounds_hold_with_a_limit_on_waiting_too(
    line: list[Expected], running: list[Expected], idle: int, max_wait_ms: int
) -> None:
    policy = Policy(1, 6, max_wait_ms=max_wait_ms)
    busy = len(running)
    decision = first(policy, waiting=len(line), line=line, busy=busy, running=running, workers=busy + idle)
    assert decision.wanted is not None
    assert min(busy, 1) <= decision.wanted <= max(6, busy)
    assert decision.wanted >= busy

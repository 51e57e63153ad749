"""How long a job will wait, as far as that can be known."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flowscale.queues.base import RECENT_DURATIONS, WORKER_SEEN_MS, QueuePolicy, estimate_wait_ms
from flowscale.queues.memory import MemoryQueue
from flowscale.testing import FakeClock, a_job, a_report, an_output

positions = st.integers(min_value=1, max_value=10_000)
runnings = st.integers(min_value=0, max_value=200)
slot_counts = st.integers(min_value=1, max_value=200)
durations = st.lists(st.integers(min_value=0, max_value=3_600_000), min_size=1, max_size=RECENT_DURATIONS)


def test_one_worker_works_through_the_line() -> None:
    assert estimate_wait_ms(position=1, running=0, slots=1, recent_ms=[8_000]) == 0
    assert estimate_wait_ms(position=1, running=1, slots=1, recent_ms=[8_000]) == 8_000
    assert estimate_wait_ms(position=3, running=1, slots=1, recent_ms=[6_000, 10_000]) == 24_000


def test_many_workers_share_the_line() -> None:
    assert estimate_wait_ms(position=4, running=4, slots=4, recent_ms=[8_000]) == 8_000
    assert estimate_wait_ms(position=2, running=2, slots=4, recent_ms=[8_000]) == 0


@given(positions, runnings, slot_counts)
def test_no_estimate_is_invented(position: int, running: int, slots: int) -> None:
    assert estimate_wait_ms(position, running, slots, []) is None


@given(positions, runnings, slot_counts, durations)
def test_who_is_further_back_waits_no_less_and_more_slots_make_nobody_wait_longer(
    position: int, running: int, slots: int, recent_ms: list[int]
) -> None:
    wait = estimate_wait_ms(position, running, slots, recent_ms)
    behind = estimate_wait_ms(position + 1, running, slots, recent_ms)
    helped = estimate_wait_ms(position, running, slots + 1, recent_ms)
    assert wait is not None
    assert behind is not None
    assert helped is not None
    assert 0 <= helped <= wait <= behind


@given(positions, runnings, slot_counts, durations)
def test_a_free_slot_means_no_wait(position: int, running: int, spare: int, recent_ms: list[int]) -> None:
    assert estimate_wait_ms(position, running, position + running + spare, recent_ms) == 0


async def _render(queue: MemoryQueue, clock: FakeClock, ms: int) -> None:
    await queue.enqueue(a_job())
    execution = queue.fetch("worker-1", wait_s=0)
    assert execution is not None
    clock.advance(ms=ms)
    queue.commit(execution, an_output(execution))


async def _estimate(queue: MemoryQueue) -> int | None:
    return (await queue.enqueue(a_job())).estimated_wait_ms


async def test_only_the_last_renders_are_gone_by() -> None:
    clock = FakeClock()
    queue = MemoryQueue(QueuePolicy(), clock)
    for _ in range(10):
        await _render(queue, clock, 1_000_000)
    for _ in range(RECENT_DURATIONS):
        await _render(queue, clock, 2_000)
    assert [await _estimate(queue) for _ in range(3)] == [0, 2_000, 4_000]


async def test_a_worker_that_was_not_heard_of_lately_is_no_slot() -> None:
    clock = FakeClock()
    queue = MemoryQueue(QueuePolicy(), clock)
    await _render(queue, clock, 4_000)
    for worker in ("worker-1", "worker-2"):
        queue.report(a_report(worker))
    assert [await _estimate(queue) for _ in range(4)] == [0, 0, 2_000, 4_000]
    clock.advance(ms=WORKER_SEEN_MS)
    assert await _estimate(queue) == 16_000


async def test_the_time_a_render_took_is_not_read_from_a_clock_that_may_be_set() -> None:
    clock = FakeClock()
    queue = MemoryQueue(QueuePolicy(), clock)
    await queue.enqueue(a_job())
    execution = queue.fetch("worker-1", wait_s=0)
    assert execution is not None
    clock.advance(ms=3_000)
    clock.step_wall_clock(-3_600_000)
    queue.commit(execution, an_output(execution))
    assert [await _estimate(queue) for _ in range(2)] == [0, 3_000]

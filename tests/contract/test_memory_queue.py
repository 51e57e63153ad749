"""The memory queue: the suite of every backend, and what only one process can get wrong."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial

import pytest

from contract.queue_groups_machine import groups_machine
from contract.queue_harness import (
    LONG_S,
    POLICY,
    OpenQueue,
    QueueHarness,
    enqueue,
    in_thread,
    in_threads,
    retries,
    soon,
    start_one,
)
from contract.queue_machine import queue_machine
from contract.queue_suite import QueueSuite
from flowscale.clocks import SystemClock
from flowscale.errors import IllegalTransition, JobNotFound, LeaseLost
from flowscale.jobs import RetryPolicy
from flowscale.predictions import Lessons
from flowscale.queues.admin_view import GatewayQueue
from flowscale.queues.base import Depth, Enqueued, Execution, Idempotency, QueuePolicy, Tended, WorkQueue
from flowscale.queues.memory import MemoryQueue
from flowscale.queues.memory.idempotency import Keys
from flowscale.queues.scaling_view import ScalingQueue
from flowscale.testing import START_MS, FakeClock, a_failure, a_job, a_report, an_output, no_jitter


class MemoryHarness(QueueHarness):
    clock: FakeClock

    async def open(self, policy: QueuePolicy = POLICY, *, real_time: bool = False) -> OpenQueue:
        self.clock = FakeClock()
        queue = MemoryQueue(policy, SystemClock() if real_time else self.clock, no_jitter)
        jobs: GatewayQueue = queue
        work: WorkQueue = queue
        scaling: ScalingQueue = queue
        return OpenQueue(jobs, work, scaling)

    def advance(self, ms: int) -> None:
        self.clock.advance(ms=ms)

    async def close(self) -> None:
        """Memory needs none."""


@pytest.fixture
async def harness() -> AsyncIterator[QueueHarness]:
    opened = MemoryHarness()
    yield opened
    await opened.close()


class TestMemoryQueue(QueueSuite):
    pass


TestMemoryQueueByModel = queue_machine(MemoryHarness)
TestMemoryGroups = groups_machine(MemoryHarness)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def queue(clock: FakeClock) -> MemoryQueue:
    return MemoryQueue(POLICY, clock, no_jitter)


async def test_a_unix_clock_that_is_set_anew_disturbs_no_lease_and_no_retry(
    queue: MemoryQueue, clock: FakeClock
) -> None:
    both = OpenQueue(queue, queue, queue)
    rendering, failing = await start_one(both), await start_one(both)
    queue.fail(failing, a_failure())
    clock.step_wall_clock(3_600_000)
    assert queue.tend() == Tended()
    clock.step_wall_clock(-7_200_000)
    clock.advance(ms=5_000)
    assert queue.tend() == Tended(promoted=(failing.job.id,))
    clock.advance(ms=POLICY.lease_ms - 5_000)
    assert queue.tend() == Tended(stalled=(rendering.job.id,))


async def test_jitter_delays_a_retry_by_the_drawn_share(clock: FakeClock) -> None:
    queue = MemoryQueue(QueuePolicy(), clock, lambda: 0.5)
    delayed = queue.fail(await start_one(OpenQueue(queue, queue, queue)), a_failure())
    assert delayed.due_ms == START_MS + 5_250


async def test_only_new_jobs_can_be_enqueued(queue: MemoryQueue) -> None:
    job = a_job()
    await queue.enqueue(job)
    with pytest.raises(IllegalTransition):
        await queue.enqueue(job)
    with pytest.raises(IllegalTransition):
        await queue.enqueue(a_job().start("a" * 32, "worker-1", START_MS))


async def test_gateways_on_loops_of_their_own_share_one_queue(queue: MemoryQueue) -> None:
    def post() -> Enqueued:
        return asyncio.run(queue.enqueue(a_job(), Idempotency("key", "body")))

    answers = await in_threads([post] * 50)
    assert sum(answer.created for answer in answers) == 1
    assert len({answer.job.id for answer in answers}) == 1


async def test_readers_leave_nothing_behind_however_they_go(queue: MemoryQueue) -> None:
    execution = await start_one(OpenQueue(queue, queue, queue))
    reading = partial(queue.events, execution.job.id, 2)
    assert await reading(0.001) == ()
    cancelled, woken = asyncio.create_task(reading(LONG_S)), asyncio.create_task(reading(LONG_S))
    await asyncio.sleep(0)
    assert queue.reader_count() == 2
    cancelled.cancel()
    queue.progress(execution, 5)
    await soon(asyncio.wait((cancelled, woken)))
    assert queue.reader_count() == 0


async def test_a_reader_that_is_ahead_of_the_events_waits_on(queue: MemoryQueue) -> None:
    execution = await start_one(OpenQueue(queue, queue, queue))
    reader = asyncio.create_task(queue.events(execution.job.id, 4, LONG_S))
    for percent in (1, 2, 3):
        await asyncio.sleep(0)
        queue.progress(execution, percent)
    assert [event.data for event in await soon(reader)] == [{"progressPct": 3}]


def test_readers_whose_loop_is_closed_hold_nothing_up(queue: MemoryQueue) -> None:
    async def begin() -> asyncio.Task[object]:
        execution = await start_one(OpenQueue(queue, queue, queue))
        reader: asyncio.Task[object] = asyncio.create_task(queue.events(execution.job.id, 2, LONG_S))
        await asyncio.sleep(0)
        executions.append(execution)
        return reader

    executions: list[Execution] = []
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _loop, _context: None)  # it would log that a task was left behind: it was
    reader = loop.run_until_complete(begin())
    loop.close()
    assert queue.reader_count() == 1
    queue.progress(executions[0], 5)
    assert queue.reader_count() == 0
    del reader
    gc.collect()
    queue.commit(executions[0], an_output(executions[0]))


async def test_a_reader_that_waits_for_a_retired_job_is_told(clock: FakeClock) -> None:
    queue = MemoryQueue(QueuePolicy(keep_done=0, retention_ms=1), clock)
    execution = await start_one(OpenQueue(queue, queue, queue))
    queue.commit(execution, an_output(execution))
    reader = asyncio.create_task(queue.events(execution.job.id, 3, LONG_S))
    await asyncio.sleep(0)
    clock.advance(ms=1)
    queue.tend()
    with pytest.raises(JobNotFound):
        await soon(reader)
    assert queue.reader_count() == 0


async def test_a_delayed_job_does_not_keep_a_worker_beyond_its_wait() -> None:
    queue = MemoryQueue(retries(base_delay_ms=3_600_000), SystemClock())
    queue.fail(await start_one(OpenQueue(queue, queue, queue)), a_failure())
    assert await in_thread(partial(queue.fetch, "worker-1", 0.02)) is None


def facts(thing: object) -> int:
    """How much the queue remembers: entries of every dictionary, list and set of its own, all the way down."""
    if isinstance(thing, Counter | Lessons):
        return 0  # figures are kept for good, and what was learned of a bounded number of profiles
    if isinstance(thing, dict):
        return len(thing) + sum(map(facts, thing.values()))
    if isinstance(thing, list | set):
        return len(thing)
    ours = type(thing).__module__.startswith("flowscale.queues.memory")
    return sum(map(facts, getattr(thing, "__dict__", {}).values())) if ours else 0


async def test_nothing_is_left_of_jobs_that_are_kept_no_longer(clock: FakeClock) -> None:
    queue = MemoryQueue(QueuePolicy(keep_done=0, keep_failed=0), clock, no_jitter)
    before = facts(queue)
    for number in range(60):
        queue.report(a_report(f"worker-{number}"))
        await queue.enqueue(a_job(), Idempotency(f"key {number}", "body"))
        execution = queue.fetch("worker-1", wait_s=0)
        assert execution is not None
        queue.progress(execution, number, ["line"])
        if number % 3 == 0:
            await queue.retry(queue.fail(execution, a_failure(retryable=False)).id)
            await queue.cancel(execution.job.id)
        elif number % 3 == 1:
            queue.fail(execution, a_failure())
            await queue.cancel(execution.job.id)
        else:
            queue.commit(execution, an_output(execution))
    assert facts(queue) > before + 240
    clock.advance(QueuePolicy().retention_ms / 1000)
    queue.tend()
    assert facts(queue) == before


def test_keys_are_forgotten_in_the_order_in_which_they_expire() -> None:
    keys = Keys(kept_ms=10)
    renewed, once = Idempotency("renewed", "body"), Idempotency("once", "body")
    keys.remember(renewed, "job 1", now=0)
    keys.remember(once, "job 2", now=1)
    keys.remember(renewed, "job 3", now=5)
    keys.forget_old(now=11)
    assert facts(keys) == 1
    assert keys.job_id(renewed, now=11) == "job 3"


async def test_a_storm_of_everything_ends_with_every_job_done_once() -> None:
    """Workers that die, give up, fail and finish while gateways post and read, in real time."""
    retry = RetryPolicy(max_attempts=1_000, base_delay_ms=1, jitter=0.0, max_stalls=1_000)
    queue = MemoryQueue(QueuePolicy(retry=retry, lease_ms=40), SystemClock())
    total = 120
    committed: list[str] = []

    def end(execution: Execution, turn: int) -> None:
        if turn % 11 == 0:
            return  # this worker dies: its lease runs out
        if turn % 7 == 0:
            queue.fail(execution, a_failure())
        elif turn % 5 == 0:
            queue.release(execution)
        else:
            committed.append(queue.commit(execution, an_output(execution)).id)

    def work(number: int) -> None:
        turn = number
        while len(committed) < total:
            queue.tend()
            execution = queue.fetch(f"worker-{number}", 0.005)
            if execution is not None:
                turn += 1
                try:
                    queue.renew(execution)
                    end(execution, turn)
                except LeaseLost:  # this thread was held up for longer than its lease: another has the job
                    continue

    async def watch(job_id: str) -> None:
        seen, status = 0, ""
        while status != "done":
            for event in await queue.events(job_id, seen, LONG_S):
                assert event.id == seen + 1
                seen, status = event.id, event.data.get("status", status)

    working = asyncio.create_task(in_threads([partial(work, number) for number in range(6)]))
    jobs = await enqueue(OpenQueue(queue, queue, queue), total)
    await soon(asyncio.gather(working, *(watch(job.id) for job in jobs)))
    assert sorted(committed) == sorted(job.id for job in jobs)
    assert await queue.depth() == Depth(waiting=0, delayed=0, running=0)

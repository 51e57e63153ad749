"""A job that is moved to the front between another step's look at it and that step: it stands in one line, or none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import pytest

from contract.queue_harness import POLICY, OpenQueue, enqueue, fetch, fetch_all
from contract.test_redis_queue import RedisHarness
from flowscale.jobs import Job, JobState, Priority
from flowscale.queues.redis.operations import Operations
from flowscale.queues.redis.scripts import Batch, Operation, with_scripts
from flowscale.testing import a_failure, no_jitter

_Answer = TypeVar("_Answer")


@pytest.fixture
async def harness() -> AsyncIterator[RedisHarness]:
    opened = RedisHarness()
    yield opened
    await opened.close()


class Halted:
    """Runs an operation, and something else before the first script that works on the job."""

    def __init__(self, harness: RedisHarness) -> None:
        self._client = harness.server.admin()
        self.operations = Operations(harness.keys, POLICY, no_jitter, harness.clock.now_ms)

    async def run(self, operation: Operation[_Answer], meanwhile: Callable[[], Awaitable[object]]) -> _Answer:
        halted = False
        driven = with_scripts(operation)
        batch = next(driven)
        try:
            while True:
                if not halted and self._is_step(batch):
                    halted = True
                    await meanwhile()
                batch = driven.send(self._answers(batch))
        except StopIteration as ended:
            assert halted
            answer: _Answer = ended.value
            return answer

    def _is_step(self, batch: Batch) -> bool:
        return any("local function enter(" in each.text for each in batch)

    def _answers(self, batch: Batch) -> list[object]:
        """Errors among them as values."""
        with self._client.pipeline(transaction=False) as pipeline:
            for each in batch:
                pipeline.execute_command(*each.words)  # type: ignore[no-untyped-call]  # redis-py gives it no types
            return list(pipeline.execute(raise_on_error=False))


def in_lines(harness: RedisHarness) -> list[bytes | str]:
    client = harness.server.admin()
    return [job_id for line in harness.keys.lines for job_id in client.lrange(line, 0, -1)]


async def waiting(queue: OpenQueue) -> Job:
    (job,) = await enqueue(queue, 1, Priority.LOW)
    return job


async def test_cancel(harness: RedisHarness) -> None:
    queue = await harness.open()
    job, halted = await waiting(queue), Halted(harness)
    cancelled = await halted.run(halted.operations.cancel(job.id), lambda: queue.jobs.move_to_front(job.id))
    assert (cancelled.state, cancelled.priority) == (JobState.ERROR, Priority.HIGH)
    assert in_lines(harness) == []


async def test_remove(harness: RedisHarness) -> None:
    queue = await harness.open()
    job, halted = await waiting(queue), Halted(harness)
    await halted.run(halted.operations.remove(job.id), lambda: queue.jobs.move_to_front(job.id))
    assert in_lines(harness) == []


async def test_another_move(harness: RedisHarness) -> None:
    queue = await harness.open()
    job, halted = await waiting(queue), Halted(harness)
    await halted.run(halted.operations.move_to_front(job.id), lambda: queue.jobs.move_to_front(job.id))
    assert in_lines(harness) == [job.id.encode()]


async def test_retry(harness: RedisHarness) -> None:
    queue = await harness.open()
    job, halted = await waiting(queue), Halted(harness)
    await queue.jobs.cancel(job.id)

    async def retried_moved_and_cancelled() -> None:
        await queue.jobs.retry(job.id)
        await queue.jobs.move_to_front(job.id)
        await queue.jobs.cancel(job.id)

    retried = await halted.run(halted.operations.retry(job.id), retried_moved_and_cancelled)
    assert (retried.state, retried.priority) == (JobState.QUEUED, Priority.HIGH)
    assert await queue.jobs.position(job.id) == 1
    assert fetch_all(queue) == [job.id]


async def test_a_retry_that_is_due(harness: RedisHarness) -> None:
    queue = await harness.open()
    job, halted = await waiting(queue), Halted(harness)
    queue.work.fail(fetch(queue), a_failure())
    harness.advance(600_000)

    async def moved_and_failed_again() -> None:
        await queue.jobs.move_to_front(job.id)
        queue.work.fail(fetch(queue), a_failure())
        harness.advance(600_000)

    contact = harness.contact
    await halted.run(halted.operations.tend(contact, harness.clock.monotonic), moved_and_failed_again)
    queue.work.tend()
    assert (await queue.jobs.get(job.id)).priority is Priority.HIGH
    assert in_lines(harness) == [job.id.encode()]
    assert await queue.jobs.position(job.id) == 1


async def test_looking_whether_it_stands_in_its_line(harness: RedisHarness) -> None:
    queue = await harness.open()
    job, halted = await waiting(queue), Halted(harness)
    contact = harness.contact
    await halted.run(halted.operations.tend(contact, harness.clock.monotonic), lambda: queue.jobs.move_to_front(job.id))
    assert in_lines(harness) == [job.id.encode()]

"""What every backend counts, and how it stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from contract.queue_harness import POLICY, QueueHarness, enqueue, fetch, start_one
from flowscale.errors import LeaseLost
from flowscale.jobs import Job, Priority
from flowscale.queues.base import Depth
from flowscale.queues.figures import WAIT_SECONDS_BUCKETS, count_of_start
from flowscale.testing import a_failure, a_report, an_output


class FiguresSuite:
    async def test_a_new_queue_has_counted_nothing(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        figures = await queue.jobs.figures()
        assert figures.depth == Depth(0, 0, 0)
        assert (figures.oldest_wait_ms, figures.paused, dict(figures.workers)) == (None, False, {})
        assert {name: count for name, count in figures.counts.items() if count} == {}

    async def test_every_end_is_counted_once_whoever_ended_it(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        done = await start_one(queue)
        harness.advance(12_000)
        for _ in range(2):
            queue.work.commit(done, an_output(done))
        failed = await start_one(queue)
        queue.work.fail(failed, a_failure(retryable=False))
        (waiting,) = await enqueue(queue)
        for _ in range(2):
            await queue.jobs.cancel(waiting.id)
        counts = (await queue.jobs.figures()).counts
        assert (counts["enqueued"], counts["started"]) == (3, 2)
        assert (counts["ended:done"], counts["ended:error"]) == (1, 2)
        assert (counts["failed:FFMPEG_EXIT_ERROR"], counts["failed:CANCELLED"]) == (1, 1)
        assert (counts["took:10"], counts["took:30"], counts["took:count"], counts["took:ms"]) == (1, 1, 2, 12_000)

    async def test_what_went_wrong_on_the_way_is_counted(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        await enqueue(queue)
        first = fetch(queue)
        queue.work.release(first)
        queue.work.lose(fetch(queue))
        reaped = fetch(queue)
        harness.advance(POLICY.lease_ms)
        queue.work.tend()
        with pytest.raises(LeaseLost):
            queue.work.commit(reaped, an_output(reaped))
        queue.work.fail(fetch(queue), a_failure())
        counts = (await queue.jobs.figures()).counts
        assert (counts["started"], counts["released"], counts["stalled"], counts["fenced"]) == (4, 1, 2, 1)
        assert counts["retried:FFMPEG_EXIT_ERROR"] == 1
        assert counts.get("ended:error", 0) == 0

    async def test_waiting_is_measured_from_joining_a_line(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        await enqueue(queue, 1, Priority.LOW)
        harness.advance(3_000)
        await enqueue(queue)
        harness.advance(2_000)
        assert (await queue.jobs.figures()).oldest_wait_ms == 5_000
        fetch(queue)
        fetch(queue)
        figures = await queue.jobs.figures()
        assert figures.oldest_wait_ms is None
        assert figures.counts["wait:ms"] == 7_000
        assert (figures.counts["wait:count"], figures.counts["wait:2"], figures.counts["wait:5"]) == (2, 1, 1)

    async def test_a_wait_is_counted_in_the_first_bucket_that_holds_it(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        expected: Counter[str] = Counter()
        for bucket in WAIT_SECONDS_BUCKETS:
            for waited_ms in (round(bucket * 1000), round(bucket * 1000) + 1):
                await enqueue(queue)
                harness.advance(waited_ms)
                queue.work.fail(fetch(queue), a_failure(retryable=False))
                expected.update(count_of_start(waited_ms))
        counts = (await queue.jobs.figures()).counts
        assert {name: counts[name] for name in counts if name.startswith("wait:")} | {"started": 24} == expected
        assert expected["wait:count"] - sum(expected[f"wait:{bucket:g}"] for bucket in WAIT_SECONDS_BUCKETS) == 1

    async def test_what_an_execution_hands_in_is_counted_once_with_its_end(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        done = await start_one(queue)
        output = an_output(done)
        for _ in range(2):
            queue.work.commit(done, output, {"render:ms:mp4": 4_000, "media:ms:mp4": 10_000, "storage:calls:fetch": 2})
        failed = await start_one(queue)
        queue.work.fail(failed, a_failure(retryable=False), {"storage:failed:fetch:STORAGE_UNAVAILABLE": 3})
        released = await start_one(queue)
        queue.work.release(released, {"storage:calls:fetch": 5})
        lost = fetch(queue)
        queue.work.lose(lost)
        too_late: tuple[Callable[[], Job], ...] = (
            lambda: queue.work.commit(failed, an_output(failed), {"storage:calls:fetch": 100}),
            lambda: queue.work.fail(failed, a_failure(), {"storage:calls:fetch": 100}),
            lambda: queue.work.release(lost, {"storage:calls:fetch": 100}),
        )
        for late in too_late:
            with pytest.raises(LeaseLost):
                late()
        counts = (await queue.jobs.figures()).counts
        assert {
            name: count for name, count in counts.items() if name.startswith(("render:", "media:", "storage:"))
        } == {
            "render:ms:mp4": 4_000,
            "media:ms:mp4": 10_000,
            "storage:calls:fetch": 7,
            "storage:failed:fetch:STORAGE_UNAVAILABLE": 3,
        }

    async def test_a_job_that_is_given_back_waits_from_then_on(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        harness.advance(2_000)
        queue.work.release(execution)
        harness.advance(500)
        assert (await queue.jobs.figures()).oldest_wait_ms == 500
        lost = fetch(queue)
        harness.advance(3_000)
        queue.work.lose(lost)
        fetch(queue)
        assert (await queue.jobs.figures()).counts["wait:ms"] == 500

    async def test_retries_that_are_due_are_told_apart(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        queue.work.fail(await start_one(queue), a_failure())
        assert (await queue.jobs.figures()).depth == Depth(0, 1, 0, 0)
        harness.advance(5_000)
        assert await queue.jobs.depth() == Depth(waiting=0, delayed=0, running=0, due=1)

    async def test_workers_are_told_with_the_age_of_their_report(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        queue.work.report(a_report("worker-1"))
        harness.advance(4_000)
        await queue.jobs.pause()
        figures = await queue.jobs.figures()
        assert figures.workers == {"worker-1": (a_report("worker-1"), 4_000)}
        assert figures.paused

    async def test_a_worker_that_left_is_told_no_more(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        for worker in ("worker-1", "worker-2"):
            queue.work.report(a_report(worker))
        queue.work.leave("worker-1")
        queue.work.leave("never heard of")
        assert [report.worker for report in await queue.jobs.workers()] == ["worker-2"]

    async def test_positions_are_asked_for_in_one_go(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        running = await start_one(queue)
        first, second = await enqueue(queue, 2)
        asked = [second.id, running.job.id, first.id, "job_1700000000000_" + "f" * 32]
        assert await queue.jobs.positions(asked) == {second.id: 2, running.job.id: None, first.id: 1}
        assert await queue.jobs.positions([]) == {}

    async def test_a_lost_execution_goes_back_at_once(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        await enqueue(queue)
        job = queue.work.lose(execution)
        assert (job.state, job.stalls, job.failures) == ("queued", 1, 0)
        with pytest.raises(LeaseLost):
            queue.work.lose(execution)
        assert fetch(queue).job.id == job.id

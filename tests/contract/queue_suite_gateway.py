"""What every backend owes the gateway: one test for each sentence of JobQueue."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

import pytest

from contract.queue_harness import (
    LONG_S,
    POLICY,
    QueueHarness,
    enqueue,
    fetch,
    fetch_all,
    in_thread,
    retries,
    soon,
    start_one,
)
from flowscale.errors import Conflict, IdempotencyMismatch, InvalidOptions, JobNotFound, QueueFull
from flowscale.jobs import Job, JobState, Priority
from flowscale.queues.base import REPORT_KEPT_MS, Depth, Idempotency
from flowscale.testing import START_MS, a_failure, a_job, a_report, an_output

UNKNOWN = "job_1700000000000_" + "f" * 32


class EnqueueSuite:
    async def test_a_job_is_kept_as_it_was_given(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        job = a_job(priority=Priority.LOW, project_id="p1", spec={"sourcePath": "ü", "trim": {"start": 0.5, "end": 2}})
        answer = await queue.jobs.enqueue(job)
        assert answer.job == job
        assert answer.created
        assert await queue.jobs.get(job.id) == job

    async def test_the_answer_counts_the_position_from_1(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        positions = [(await queue.jobs.enqueue(a_job())).position for _ in range(3)]
        urgent = await queue.jobs.enqueue(a_job(priority=Priority.HIGH))
        assert positions == [1, 2, 3]
        assert urgent.position == 1

    async def test_beyond_max_waiting_the_queue_is_full(self, harness: QueueHarness) -> None:
        queue = await harness.open(replace(POLICY, max_waiting=2))
        await enqueue(queue, 2)
        with pytest.raises(QueueFull):
            await queue.jobs.enqueue(a_job())
        fetch(queue)
        await enqueue(queue)

    async def test_delayed_jobs_count_as_waiting(self, harness: QueueHarness) -> None:
        queue = await harness.open(replace(POLICY, max_waiting=1))
        queue.work.fail(await start_one(queue), a_failure())
        with pytest.raises(QueueFull):
            await queue.jobs.enqueue(a_job())

    async def test_no_wait_is_estimated_before_a_render_has_finished(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        assert (await queue.jobs.enqueue(a_job())).estimated_wait_ms is None

    async def test_the_wait_is_estimated_from_finished_renders_and_seen_workers(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        harness.advance(8_000)
        queue.work.commit(execution, an_output(execution))
        answers = [await queue.jobs.enqueue(a_job()) for _ in range(3)]
        assert [answer.estimated_wait_ms for answer in answers] == [0, 8_000, 16_000]
        for worker in ("worker-1", "worker-2"):
            queue.work.report(a_report(worker))
        assert (await queue.jobs.enqueue(a_job())).estimated_wait_ms == 8_000


class IdempotencySuite:
    async def test_one_key_and_one_request_make_one_job(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        first = await queue.jobs.enqueue(a_job(), Idempotency("key", "body"))
        again = await queue.jobs.enqueue(a_job(), Idempotency("key", "body"))
        assert (again.job, again.position, again.created) == (first.job, 1, False)
        assert await queue.jobs.depth() == Depth(waiting=1, delayed=0, running=0)

    async def test_an_earlier_job_that_waits_no_more_has_position_0(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        await queue.jobs.enqueue(a_job(), Idempotency("key", "body"))
        running = fetch(queue).job
        again = await queue.jobs.enqueue(a_job(), Idempotency("key", "body"))
        assert (again.job, again.position, again.estimated_wait_ms) == (running, 0, None)

    async def test_one_key_and_another_request_are_refused(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        await queue.jobs.enqueue(a_job(), Idempotency("key", "body"))
        with pytest.raises(IdempotencyMismatch):
            await queue.jobs.enqueue(a_job(), Idempotency("key", "another body"))
        assert (await queue.jobs.enqueue(a_job(), Idempotency("another key", "another body"))).created

    async def test_a_key_is_forgotten_after_its_time(self, harness: QueueHarness) -> None:
        queue = await harness.open(replace(POLICY, idempotency_ms=60_000))
        await queue.jobs.enqueue(a_job(), Idempotency("key", "body"))
        harness.advance(59_000)
        assert not (await queue.jobs.enqueue(a_job(), Idempotency("key", "body"))).created
        harness.advance(1_001)
        assert (await queue.jobs.enqueue(a_job(), Idempotency("key", "another body"))).created
        assert not (await queue.jobs.enqueue(a_job(), Idempotency("key", "another body"))).created

    async def test_a_key_whose_job_was_retired_makes_a_new_one(self, harness: QueueHarness) -> None:
        queue = await harness.open(replace(POLICY, keep_done=0, retention_ms=1))
        first = await queue.jobs.enqueue(a_job(), Idempotency("key", "body"))
        execution = fetch(queue)
        queue.work.commit(execution, an_output(execution))
        harness.advance(1_000)
        queue.work.tend()
        second = await queue.jobs.enqueue(a_job(), Idempotency("key", "body"))
        assert second.created
        assert second.job.id != first.job.id
        assert (await queue.jobs.enqueue(a_job(), Idempotency("key", "body"))).job == second.job

    async def test_a_known_key_is_answered_by_a_full_queue(self, harness: QueueHarness) -> None:
        queue = await harness.open(replace(POLICY, max_waiting=1))
        first = await queue.jobs.enqueue(a_job(), Idempotency("key", "body"))
        assert (await queue.jobs.enqueue(a_job(), Idempotency("key", "body"))).job == first.job

    async def test_a_refused_job_does_not_use_up_its_key(self, harness: QueueHarness) -> None:
        queue = await harness.open(replace(POLICY, max_waiting=1))
        await enqueue(queue)
        with pytest.raises(QueueFull):
            await queue.jobs.enqueue(a_job(), Idempotency("key", "body"))
        fetch(queue)
        assert (await queue.jobs.enqueue(a_job(), Idempotency("key", "body"))).created

    async def test_what_a_key_made_can_be_asked_for(self, harness: QueueHarness) -> None:
        queue = await harness.open(replace(POLICY, idempotency_ms=60_000))
        key = Idempotency("key", "body")
        assert await queue.jobs.earlier(key) is None
        assert (await queue.jobs.depth()).waiting == 0
        await queue.jobs.enqueue(a_job())
        made = await queue.jobs.enqueue(a_job(), key)
        assert await queue.jobs.earlier(key) == replace(made, created=False)
        with pytest.raises(IdempotencyMismatch):
            await queue.jobs.earlier(Idempotency("key", "another body"))
        harness.advance(60_000)
        assert await queue.jobs.earlier(key) is None

    async def test_what_a_key_made_is_nothing_once_it_was_retired(self, harness: QueueHarness) -> None:
        queue = await harness.open(replace(POLICY, keep_done=0, retention_ms=1))
        key = Idempotency("key", "body")
        await queue.jobs.enqueue(a_job(), key)
        execution = fetch(queue)
        queue.work.commit(execution, an_output(execution))
        ended = await queue.jobs.earlier(key)
        assert ended is not None
        assert (ended.job.state, ended.position) == (JobState.DONE, 0)
        harness.advance(1_000)
        queue.work.tend()
        assert await queue.jobs.earlier(key) is None

    async def test_50_parallel_posts_with_one_key_make_one_job(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        posts = (queue.jobs.enqueue(a_job(), Idempotency("key", "body")) for _ in range(50))
        answers = await asyncio.gather(*posts)
        assert len({answer.job.id for answer in answers}) == 1
        assert sum(answer.created for answer in answers) == 1
        assert (await queue.jobs.depth()).waiting == 1


class LookSuite:
    async def test_an_unknown_job_is_not_found_by_any_question(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        for question in (queue.jobs.get, queue.jobs.cancel, queue.jobs.retry, queue.jobs.position):
            with pytest.raises(JobNotFound):
                await question(UNKNOWN)
        with pytest.raises(JobNotFound):
            await queue.jobs.events(UNKNOWN, after=0, wait_s=0)

    async def test_a_listing_is_newest_first_and_its_pages_join(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        accepted = [(await queue.jobs.enqueue(a_job(created_ms=START_MS + at))).job for at in range(7)]
        listed: list[Job] = []
        sizes: list[int] = []
        cursor: str | None = None
        while not sizes or cursor is not None:
            page = await queue.jobs.list(None, 3, cursor)
            listed += page.jobs
            sizes.append(len(page.jobs))
            cursor = page.next_cursor
        assert listed == accepted[::-1]
        assert sizes == [3, 3, 1]

    async def test_a_full_last_page_has_no_cursor(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        empty = await queue.jobs.list(None, 3, None)
        assert (empty.jobs, empty.next_cursor) == ((), None)
        await enqueue(queue, 3)
        assert (await queue.jobs.list(None, 3, None)).next_cursor is None

    async def test_a_cursor_stays_good_when_jobs_come_and_go(self, harness: QueueHarness) -> None:
        queue = await harness.open(replace(POLICY, keep_failed=0, retention_ms=1))
        accepted = [(await queue.jobs.enqueue(a_job(created_ms=START_MS + at))).job for at in range(4)]
        cursor = (await queue.jobs.list(None, 2, None)).next_cursor
        await queue.jobs.enqueue(a_job(created_ms=START_MS + 9))
        await queue.jobs.cancel(accepted[2].id)  # the last of the first page
        harness.advance(1_000)
        queue.work.tend()
        page = await queue.jobs.list(None, 2, cursor)
        assert page.jobs == (accepted[1], accepted[0])

    @pytest.mark.parametrize("cursor", ["", "1", "ü", UNKNOWN + "x", "x" * 5_000, "-1", "job_1_2\x00"])
    async def test_a_cursor_of_somebody_elses_is_refused(self, harness: QueueHarness, cursor: str) -> None:
        queue = await harness.open()
        with pytest.raises(InvalidOptions):
            await queue.jobs.list(None, 10, cursor)

    async def test_a_listing_by_state_shows_delayed_jobs_as_queued(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        done = await start_one(queue)
        queue.work.commit(done, an_output(done))
        delayed = await start_one(queue)
        queue.work.fail(delayed, a_failure())
        failed = await start_one(queue)
        queue.work.fail(failed, a_failure(retryable=False))
        running = await start_one(queue)
        (queued,) = await enqueue(queue)
        expected = {
            JobState.QUEUED: [queued.id, delayed.job.id],
            JobState.RUNNING: [running.job.id],
            JobState.DONE: [done.job.id],
            JobState.ERROR: [failed.job.id],
        }
        for state, ids in expected.items():
            assert [job.id for job in (await queue.jobs.list(state, 10, None)).jobs] == ids

    async def test_positions_follow_the_priorities(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        low = await enqueue(queue, 2, Priority.LOW)
        normal = await enqueue(queue, 2, Priority.NORMAL)
        high = await enqueue(queue, 2, Priority.HIGH)
        expected = [job.id for job in (*high, *normal, *low)]
        assert [await queue.jobs.position(job_id) for job_id in expected] == [1, 2, 3, 4, 5, 6]
        assert fetch_all(queue) == expected

    async def test_delayed_jobs_come_after_all_that_wait_by_due_time(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        (later,) = await enqueue(queue)
        queue.work.fail(fetch(queue), a_failure())
        harness.advance(5_000)
        queue.work.fail(fetch(queue), a_failure())  # the second time: due in 10 s
        earlier = []
        for _ in range(2):
            earlier.append(queue.work.fail(await start_one(queue), a_failure()))
            harness.advance(1_000)
        await enqueue(queue, 1, Priority.LOW)
        assert [await queue.jobs.position(job.id) for job in (*earlier, later)] == [2, 3, 4]
        harness.advance(60_000)
        assert list(queue.work.tend().promoted) == [*(job.id for job in earlier), later.id]

    async def test_a_job_that_does_not_wait_has_no_position(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        assert await queue.jobs.position(execution.job.id) is None
        queue.work.commit(execution, an_output(execution))
        assert await queue.jobs.position(execution.job.id) is None

    async def test_depth_counts_each_live_state_apart(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        assert await queue.jobs.depth() == Depth(waiting=0, delayed=0, running=0)
        await enqueue(queue, 7)
        for _ in range(2):
            queue.work.fail(fetch(queue), a_failure())
        ended = fetch(queue)
        queue.work.commit(ended, an_output(ended))
        fetch(queue)
        assert await queue.jobs.depth() == Depth(waiting=3, delayed=2, running=1)

    async def test_running_jobs_are_named_oldest_execution_first(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        await enqueue(queue, 3)
        executions = []
        for _ in range(3):
            executions.append(fetch(queue))
            harness.advance(10)
        queue.work.release(executions[0])
        again = fetch(queue)
        assert again.job.id == executions[0].job.id
        expected = [executions[1].job.id, executions[2].job.id, again.job.id]
        assert list(await queue.jobs.running()) == expected

    async def test_a_usable_queue_passes_its_check(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        await queue.jobs.check()


class CancelSuite:
    async def test_a_waiting_job_ends_at_once(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        (job,) = await enqueue(queue)
        ended = await queue.jobs.cancel(job.id)
        assert (ended.state, ended.completed_ms) == (JobState.ERROR, START_MS)
        assert ended.failure is not None
        assert ended.failure.code == "CANCELLED"
        assert await queue.jobs.get(job.id) == ended
        assert fetch_all(queue) == []

    async def test_a_delayed_job_ends_at_once(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        delayed = queue.work.fail(await start_one(queue), a_failure())
        ended = await queue.jobs.cancel(delayed.id)
        assert (ended.state, ended.due_ms) == (JobState.ERROR, None)
        harness.advance(60_000)
        assert fetch_all(queue) == []

    async def test_the_worker_of_a_running_job_is_asked_by_its_next_renewal(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        assert queue.work.renew(execution) is False
        asked = await queue.jobs.cancel(execution.job.id)
        assert (asked.state, asked.cancel_requested) == (JobState.RUNNING, True)
        assert queue.work.renew(execution) is True
        ended = queue.work.fail(execution, a_failure("CANCELLED", retryable=False))
        assert ended.state is JobState.ERROR
        assert ended.failure == a_failure("CANCELLED", retryable=False)

    async def test_asking_twice_is_no_error(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        (waiting,) = await enqueue(queue)
        for job_id in (execution.job.id, waiting.id):
            first = await queue.jobs.cancel(job_id)
            assert await queue.jobs.cancel(job_id) == first

    async def test_a_job_that_ended_otherwise_is_a_conflict(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        done, failed = await start_one(queue), await start_one(queue)
        queue.work.commit(done, an_output(done))
        queue.work.fail(failed, a_failure(retryable=False))
        for execution in (done, failed):
            with pytest.raises(Conflict):
                await queue.jobs.cancel(execution.job.id)


class RetrySuite:
    async def test_a_failed_job_is_queued_at_the_tail_with_fresh_attempts(self, harness: QueueHarness) -> None:
        queue = await harness.open(retries(max_attempts=1))
        failed = queue.work.fail(await start_one(queue), a_failure())
        (other,) = await enqueue(queue)
        queued = await queue.jobs.retry(failed.id)
        assert (queued.state, queued.failures, queued.failure) == (JobState.QUEUED, 0, None)
        assert queued.attempts == failed.attempts
        assert await queue.jobs.get(failed.id) == queued
        assert fetch_all(queue) == [other.id, failed.id]

    async def test_a_job_that_did_not_end_in_error_is_a_conflict(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        done, delayed = await start_one(queue), await start_one(queue)
        queue.work.commit(done, an_output(done))
        queue.work.fail(delayed, a_failure())
        running = await start_one(queue)
        (queued,) = await enqueue(queue)
        for job in (done.job, delayed.job, running.job, queued):
            with pytest.raises(Conflict):
                await queue.jobs.retry(job.id)

    async def test_a_full_queue_takes_no_retry(self, harness: QueueHarness) -> None:
        queue = await harness.open(replace(POLICY, max_waiting=1))
        failed = queue.work.fail(await start_one(queue), a_failure(retryable=False))
        await enqueue(queue)
        with pytest.raises(QueueFull):
            await queue.jobs.retry(failed.id)
        assert await queue.jobs.get(failed.id) == failed


class PauseSuite:
    async def test_a_paused_queue_accepts_but_hands_nothing_out(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        await queue.jobs.pause()
        assert await queue.jobs.is_paused()
        (job,) = await enqueue(queue)
        assert queue.work.fetch("worker-1", wait_s=0) is None
        queue.work.renew(execution)
        queue.work.commit(execution, an_output(execution))
        await queue.jobs.resume()
        assert not await queue.jobs.is_paused()
        assert fetch_all(queue) == [job.id]

    async def test_resuming_wakes_a_worker_that_waits(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        for _ in range(20):  # the worker's thread need not be waiting yet at the first
            await queue.jobs.pause()
            await enqueue(queue)
            fetching = in_thread(partial(queue.work.fetch, "worker-1", LONG_S))
            await asyncio.sleep(0)
            await queue.jobs.resume()
            assert await soon(fetching) is not None


class WorkersSuite:
    async def test_a_report_replaces_the_workers_last(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        assert list(await queue.jobs.workers()) == []
        queue.work.report(a_report("worker-2"))
        queue.work.report(a_report("worker-1", problem="FFmpeg was not found; install it"))
        queue.work.report(a_report("worker-1"))
        assert list(await queue.jobs.workers()) == [a_report("worker-1"), a_report("worker-2")]

    async def test_a_silent_worker_is_dropped(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        queue.work.report(a_report("worker-1"))
        harness.advance(REPORT_KEPT_MS - 1_000)
        queue.work.report(a_report("worker-2"))
        assert len(await queue.jobs.workers()) == 2
        harness.advance(1_001)
        assert list(await queue.jobs.workers()) == [a_report("worker-2")]
        queue.work.tend()
        assert list(await queue.jobs.workers()) == [a_report("worker-2")]


class GatewaySuite(EnqueueSuite, IdempotencySuite, LookSuite, CancelSuite, RetrySuite, PauseSuite, WorkersSuite):
    """All that every backend owes the gateway, but for events."""

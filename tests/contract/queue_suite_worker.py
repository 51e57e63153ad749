"""What every backend owes the worker: one test for each sentence of WorkQueue, and the fence."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from contract.queue_harness import (
    LONG_S,
    POLICY,
    OpenQueue,
    QueueHarness,
    enqueue,
    fetch,
    fetch_all,
    in_thread,
    retries,
    soon,
    start_one,
)
from flowscale.errors import JobNotFound, LeaseLost
from flowscale.jobs import ATTEMPTS_KEPT, CANCELLED, LOG_LINES_KEPT, Attempt, JobState, Priority
from flowscale.origins import Origin
from flowscale.queues.base import FAIRNESS_EVERY, Depth, Execution, Tended
from flowscale.testing import START_MS, a_failure, a_job, an_output


class FetchSuite:
    async def test_a_fetched_job_is_running(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        (job,) = await enqueue(queue)
        harness.advance(1_000)
        execution = fetch(queue, "worker-7")
        assert re.fullmatch("[0-9a-f]{32}", execution.id)
        assert execution.worker == "worker-7"
        assert execution.job == job.start(execution.id, "worker-7", START_MS + 1_000)
        assert await queue.jobs.get(job.id) == execution.job

    async def test_where_a_job_came_from_goes_with_it(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        origin = Origin("request-1", f"00-{'a' * 32}-{'b' * 16}-01", "vendor=1")
        job = (await queue.jobs.enqueue(a_job(origin=origin))).job
        assert fetch(queue).job.origin == origin
        assert (await queue.jobs.get(job.id)).origin == origin

    async def test_an_execution_knows_since_when_its_job_waited(self, harness: QueueHarness) -> None:
        queue = await harness.open(retries(base_delay_ms=5_000))
        await enqueue(queue)
        harness.advance(1_000)
        first = fetch(queue)
        assert first.joined_ms == START_MS
        harness.advance(1_000)
        queue.work.release(first)
        harness.advance(1_000)
        second = fetch(queue)
        assert second.joined_ms == START_MS + 2_000
        queue.work.fail(second, a_failure())
        harness.advance(6_000)
        queue.work.tend()
        harness.advance(1_000)
        assert fetch(queue).joined_ms == START_MS + 9_000, "a back-off is no wait in the line"

    async def test_an_empty_queue_gives_none(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        assert queue.work.fetch("worker-1", wait_s=0) is None
        assert queue.work.fetch("worker-1", wait_s=0.01) is None

    async def test_a_waiting_worker_is_woken_by_a_new_job(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        for _ in range(20):  # the worker's thread need not be waiting yet at the first
            fetching = in_thread(partial(queue.work.fetch, "worker-1", LONG_S))
            await asyncio.sleep(0)
            (job,) = await enqueue(queue)
            execution = await soon(fetching)
            assert execution is not None
            assert execution.job.id == job.id

    async def test_a_waiting_worker_is_woken_by_a_due_retry_without_anybodys_tend(self, harness: QueueHarness) -> None:
        queue = await harness.open(retries(base_delay_ms=10), real_time=True)
        for _ in range(10):
            execution = await start_one(queue)
            fetching = in_thread(partial(queue.work.fetch, "worker-2", LONG_S))
            await asyncio.sleep(0)
            queue.work.fail(execution, a_failure())
            again = await soon(fetching)
            assert again is not None
            assert again.job.id == execution.job.id

    async def test_a_waiting_worker_is_woken_by_a_job_that_is_given_back(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        for _ in range(20):
            execution = await start_one(queue)
            fetching = in_thread(partial(queue.work.fetch, "worker-2", LONG_S))
            await asyncio.sleep(0)
            queue.work.release(execution)
            again = await soon(fetching)
            assert again is not None
            queue.work.commit(again, an_output(again))

    async def test_a_job_that_is_due_is_fetched_without_anybodys_tend(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        delayed = queue.work.fail(await start_one(queue), a_failure())
        assert queue.work.fetch("worker-1", wait_s=0) is None
        harness.advance(5_000)
        assert fetch(queue).job.id == delayed.id

    async def test_a_line_is_first_in_first_out(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        jobs = await enqueue(queue, 20)
        assert fetch_all(queue) == [job.id for job in jobs]

    async def test_every_so_many_turns_are_the_longest_waits(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        low = await enqueue(queue, 2, Priority.LOW)
        normal = await enqueue(queue, 1, Priority.NORMAL)
        high = await enqueue(queue, 3 * FAIRNESS_EVERY, Priority.HIGH)
        expected = [job.id for job in high]
        for turn, job in enumerate((*low, *normal), start=1):
            expected.insert(turn * FAIRNESS_EVERY - 1, job.id)
        assert fetch_all(queue) == expected


class LeaseSuite:
    async def test_a_lease_that_runs_out_puts_the_job_at_the_head_of_its_line(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        await enqueue(queue)
        harness.advance(POLICY.lease_ms - 1)
        assert queue.work.tend() == Tended()
        harness.advance(1)
        assert queue.work.tend() == Tended(stalled=(execution.job.id,))
        job = await queue.jobs.get(execution.job.id)
        assert (job.state, job.execution_id, job.stalls, job.failures) == (JobState.QUEUED, None, 1, 0)
        assert [attempt.code for attempt in job.attempts] == ["WORKER_LOST"]
        assert await queue.jobs.position(job.id) == 1
        assert fetch(queue).job.id == job.id

    async def test_a_renewed_lease_lasts_its_whole_time_again(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        for _ in range(10):
            harness.advance(POLICY.lease_ms - 1)
            queue.work.renew(execution)
        assert queue.work.tend() == Tended()
        harness.advance(POLICY.lease_ms)
        assert queue.work.tend().stalled == (execution.job.id,)

    async def test_progress_does_not_stand_in_for_a_renewal(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        harness.advance(POLICY.lease_ms - 1)
        queue.work.progress(execution, 50)
        harness.advance(1)
        assert queue.work.tend().stalled == (execution.job.id,)

    async def test_a_lease_that_ran_out_is_taken_back_before_tend_gives_the_job_away(
        self, harness: QueueHarness
    ) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        harness.advance(300_000)
        queue.work.renew(execution)
        assert queue.work.tend() == Tended()
        assert queue.work.commit(execution, an_output(execution)).stalls == 0

    async def test_a_job_survives_only_so_many_lost_workers(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        (job,) = await enqueue(queue)
        for _ in range(POLICY.retry.max_stalls + 1):
            assert (await queue.jobs.get(job.id)).state is JobState.QUEUED
            fetch(queue)
            harness.advance(POLICY.lease_ms)
            assert queue.work.tend().stalled == (job.id,)
        ended = await queue.jobs.get(job.id)
        assert ended.state is JobState.ERROR
        assert ended.failure is not None
        assert ended.failure.code == "WORKER_LOST"
        assert fetch_all(queue) == []

    async def test_a_cancelled_job_whose_worker_is_lost_ends(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        await queue.jobs.cancel(execution.job.id)
        harness.advance(POLICY.lease_ms)
        queue.work.tend()
        ended = await queue.jobs.get(execution.job.id)
        assert (ended.state, ended.failure) == (JobState.ERROR, CANCELLED)
        assert fetch_all(queue) == []


class ProgressSuite:
    async def test_progress_never_falls_and_stays_below_100_until_the_commit(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        seen = []
        for percent in (10, 5, None, 60, 100):
            queue.work.progress(execution, percent)
            seen.append((await queue.jobs.get(execution.job.id)).progress)
        assert seen == [10, 10, 10, 60, 99]
        queue.work.release(execution)
        assert fetch(queue).job.progress == 99

    async def test_the_last_lines_of_the_log_are_kept(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        lines = [f"line {number} ü" for number in range(LOG_LINES_KEPT + 5)]
        queue.work.progress(execution, None, lines[:3])
        queue.work.progress(execution, 1, lines[3:])
        assert (await queue.jobs.get(execution.job.id)).logs == tuple(lines[-LOG_LINES_KEPT:])


class EndSuite:
    async def test_a_commit_makes_the_output_the_jobs(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        harness.advance(2_000)
        done = queue.work.commit(execution, an_output(execution))
        assert (done.state, done.progress, done.completed_ms) == (JobState.DONE, 100, START_MS + 2_000)
        assert done.output == an_output(execution)
        assert done.attempts == (Attempt(1, START_MS, START_MS + 2_000, "worker-1"),)
        assert await queue.jobs.get(done.id) == done
        assert await queue.jobs.depth() == Depth(waiting=0, delayed=0, running=0)

    async def test_committing_the_same_output_again_is_no_error(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        done = queue.work.commit(execution, an_output(execution))
        harness.advance(1_000)
        assert queue.work.commit(execution, an_output(execution)) == done
        with pytest.raises(LeaseLost):
            queue.work.commit(execution, an_output(execution, size=2_000))

    async def test_a_cancel_that_came_too_late_does_not_undo_a_commit(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        await queue.jobs.cancel(execution.job.id)
        assert queue.work.commit(execution, an_output(execution)).state is JobState.DONE

    async def test_a_failure_that_may_pass_is_retried_after_5_and_10_seconds(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        await enqueue(queue)
        for delay in (5_000, 10_000):
            delayed = queue.work.fail(fetch(queue), a_failure())
            assert delayed.state is JobState.DELAYED
            harness.advance(delay - 1)
            assert queue.work.tend() == Tended()
            harness.advance(1)
            assert queue.work.tend() == Tended(promoted=(delayed.id,))
            assert (await queue.jobs.get(delayed.id)).state is JobState.QUEUED
        ended = queue.work.fail(fetch(queue), a_failure())
        assert (ended.state, ended.failure) == (JobState.ERROR, a_failure())
        assert [attempt.code for attempt in ended.attempts] == ["FFMPEG_EXIT_ERROR"] * 3

    async def test_a_due_retry_goes_to_the_tail_of_its_line(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        delayed = queue.work.fail(await start_one(queue), a_failure())
        (other,) = await enqueue(queue)
        harness.advance(5_000)
        assert fetch_all(queue) == [other.id, delayed.id]

    async def test_a_failure_that_will_not_pass_ends_the_job(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        ended = queue.work.fail(await start_one(queue), a_failure("INVALID_MEDIA", retryable=False))
        assert (ended.state, ended.failure) == (JobState.ERROR, a_failure("INVALID_MEDIA", retryable=False))
        assert await queue.jobs.get(ended.id) == ended

    async def test_a_cancel_wins_over_a_retry(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        await queue.jobs.cancel(execution.job.id)
        ended = queue.work.fail(execution, a_failure())
        assert (ended.state, ended.failure) == (JobState.ERROR, CANCELLED)
        assert [attempt.code for attempt in ended.attempts] == ["FFMPEG_EXIT_ERROR"]

    async def test_a_released_job_is_the_next_of_its_line_and_has_used_no_attempt(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        others = await enqueue(queue, 2)
        queued = queue.work.release(execution)
        assert (queued.state, queued.failures, queued.stalls, queued.attempts) == (JobState.QUEUED, 0, 0, ())
        assert fetch_all(queue) == [queued.id, *(job.id for job in others)]

    async def test_a_cancelled_job_that_is_released_ends(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        await queue.jobs.cancel(execution.job.id)
        assert queue.work.release(execution).failure == CANCELLED
        assert fetch_all(queue) == []


class AttemptsSuite:
    async def test_the_last_attempts_are_kept_and_their_numbers_go_on(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        await enqueue(queue)
        failure = a_failure("INVALID_MEDIA", retryable=False)
        for number in range(1, ATTEMPTS_KEPT + 4):
            failed = queue.work.fail(fetch(queue), replace(failure, message='},{"' + str(number)))
            await queue.jobs.retry(failed.id)
        kept = (await queue.jobs.get(failed.id)).attempts
        assert [attempt.number for attempt in kept] == list(range(4, ATTEMPTS_KEPT + 4))
        assert [attempt.message for attempt in kept] == ['},{"' + str(attempt.number) for attempt in kept]
        assert {(attempt.started_ms, attempt.ended_ms) for attempt in kept} == {(START_MS, START_MS)}


class RetireSuite:
    async def _end(self, queue: OpenQueue, harness: QueueHarness, count: int, *, done: bool) -> list[str]:
        ended = []
        for _ in range(count):
            execution = await start_one(queue)
            if done:
                queue.work.commit(execution, an_output(execution))
            else:
                queue.work.fail(execution, a_failure(retryable=False))
            ended.append(execution.job.id)
            harness.advance(1)
        return ended

    async def _kept(self, queue: OpenQueue) -> set[str]:
        return {job.id for job in (await queue.jobs.list(None, 100, None)).jobs}

    async def test_the_last_of_each_kind_are_kept_however_old(self, harness: QueueHarness) -> None:
        queue = await harness.open(replace(POLICY, keep_done=3, keep_failed=2, retention_ms=60_000, keep_at_most=100))
        done = await self._end(queue, harness, 5, done=True)
        failed = await self._end(queue, harness, 5, done=False)
        queue.work.tend()
        assert await self._kept(queue) == {*done, *failed}
        harness.advance(60_000)
        (waiting,) = await enqueue(queue)
        queue.work.tend()
        assert await self._kept(queue) == {*done[-3:], *failed[-2:], waiting.id}
        with pytest.raises(JobNotFound):
            await queue.jobs.get(done[0])

    async def test_young_jobs_are_kept_up_to_a_cap(self, harness: QueueHarness) -> None:
        queue = await harness.open(replace(POLICY, keep_done=1, keep_failed=1, keep_at_most=4))
        done = await self._end(queue, harness, 6, done=True)
        failed = await self._end(queue, harness, 6, done=False)
        queue.work.tend()
        assert await self._kept(queue) == {*done[-4:], *failed[-4:]}

    async def test_a_retried_job_is_not_retired(self, harness: QueueHarness) -> None:
        queue = await harness.open(replace(POLICY, keep_failed=0, retention_ms=1_000))
        (failed,) = await self._end(queue, harness, 1, done=False)
        await queue.jobs.retry(failed)
        harness.advance(60_000)
        queue.work.tend()
        assert fetch_all(queue) == [failed]


def _give_to_another(queue: OpenQueue, harness: QueueHarness, execution: Execution) -> None:
    harness.advance(POLICY.lease_ms)
    queue.work.tend()
    assert fetch(queue, "worker-2").job.id == execution.job.id


def _reap(queue: OpenQueue, harness: QueueHarness, execution: Execution) -> None:
    harness.advance(POLICY.lease_ms)
    queue.work.tend()


def _release(queue: OpenQueue, harness: QueueHarness, execution: Execution) -> None:
    queue.work.release(execution)


def _fail(queue: OpenQueue, harness: QueueHarness, execution: Execution) -> None:
    queue.work.fail(execution, a_failure())


def _commit(queue: OpenQueue, harness: QueueHarness, execution: Execution) -> None:
    queue.work.commit(execution, an_output(execution, size=77))


LOSSES = (_give_to_another, _reap, _release, _fail, _commit)

STEPS: dict[str, Callable[[OpenQueue, Execution], object]] = {
    "renew": lambda queue, execution: queue.work.renew(execution),
    "progress": lambda queue, execution: queue.work.progress(execution, 50, ["late"]),
    "commit": lambda queue, execution: queue.work.commit(execution, an_output(execution)),
    "fail": lambda queue, execution: queue.work.fail(execution, a_failure()),
    "release": lambda queue, execution: queue.work.release(execution),
}


class FenceSuite:
    @pytest.mark.parametrize("step", STEPS)
    @pytest.mark.parametrize("lose", LOSSES)
    async def test_a_lost_execution_changes_nothing(
        self, harness: QueueHarness, lose: Callable[[OpenQueue, QueueHarness, Execution], None], step: str
    ) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        lose(queue, harness, execution)
        job, depth = await queue.jobs.get(execution.job.id), await queue.jobs.depth()
        events = list(await queue.jobs.events(job.id, after=0, wait_s=0))
        with pytest.raises(LeaseLost):
            STEPS[step](queue, execution)
        assert await queue.jobs.get(job.id) == job
        assert await queue.jobs.depth() == depth
        assert list(await queue.jobs.events(job.id, after=0, wait_s=0)) == events

    @pytest.mark.parametrize("step", STEPS)
    async def test_an_execution_of_an_unknown_job_is_lost(self, harness: QueueHarness, step: str) -> None:
        queue = await harness.open()
        job = a_job().start("a" * 32, "worker-1", START_MS)
        with pytest.raises(LeaseLost):
            STEPS[step](queue, Execution("a" * 32, job, "worker-1"))


class WorkerSuite(FetchSuite, LeaseSuite, ProgressSuite, EndSuite, AttemptsSuite, RetireSuite, FenceSuite):
    """All that every backend owes the worker, but for what takes many workers at once."""

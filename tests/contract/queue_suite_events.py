"""What every backend owes a reader of a job's events."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

import pytest

from contract.queue_harness import LONG_S, POLICY, QueueHarness, enqueue, fetch, in_thread, retries, soon, start_one
from flowscale.errors import JobNotFound
from flowscale.jobs import LOG_LINE_LENGTH
from flowscale.queues.base import EVENTS_KEPT, EventKind
from flowscale.testing import START_MS, a_failure, an_output


class EventsSuite:
    async def test_each_change_of_state_is_told_with_ids_from_1(self, harness: QueueHarness) -> None:
        queue = await harness.open(retries(max_attempts=2))
        execution = await start_one(queue)
        queue.work.fail(execution, a_failure())
        harness.advance(5_000)
        execution = fetch(queue)
        queue.work.fail(execution, a_failure("NO_OUTPUT"))
        await queue.jobs.retry(execution.job.id)
        execution = fetch(queue)
        queue.work.commit(execution, an_output(execution))
        events = await queue.jobs.events(execution.job.id, after=0, wait_s=0)
        assert [event.id for event in events] == list(range(1, len(events) + 1))
        assert {event.kind for event in events} == {EventKind.STATE}
        ended_in_error = {"status": "error", "progressPct": 0, "code": "NO_OUTPUT", "message": "ended with NO_OUTPUT"}
        queued, running = ({"status": status, "progressPct": 0} for status in ("queued", "running"))
        assert [event.data for event in events] == [
            queued,
            running,
            queued,  # delayed
            queued,  # due
            running,
            ended_in_error,
            queued,
            running,
            {"status": "done", "progressPct": 100},
        ]
        assert [event.at_ms - START_MS for event in events] == [0, 0, 0] + [5_000] * 6

    async def test_a_stall_a_release_and_a_cancel_are_told(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        harness.advance(POLICY.lease_ms + 1)
        queue.work.tend()
        queue.work.release(fetch(queue))
        await queue.jobs.cancel(execution.job.id)
        events = await queue.jobs.events(execution.job.id, after=2, wait_s=0)
        assert [event.data["status"] for event in events] == ["queued", "running", "queued", "error"]
        assert events[-1].data["code"] == "CANCELLED"

    async def test_progress_is_told_only_when_the_percent_changed(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        for percent in (0, 1, 1, None, 0, 7, 100, 100):
            queue.work.progress(execution, percent)
        events = await queue.jobs.events(execution.job.id, after=2, wait_s=0)
        assert {event.kind for event in events} == {EventKind.PROGRESS}
        assert [event.data for event in events] == [{"progressPct": percent} for percent in (1, 7, 99)]

    async def test_each_line_of_the_log_is_told_as_it_is_kept(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        lines = [f"line {number}" for number in range(60)]
        queue.work.progress(execution, None, [*lines, "x" * 1_000])
        events = await queue.jobs.events(execution.job.id, after=2, wait_s=0)
        assert {event.kind for event in events} == {EventKind.LOG}
        assert [event.data["line"] for event in events] == [*lines, "x" * LOG_LINE_LENGTH]

    async def test_a_reader_gets_only_what_is_after_its_last(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        queue.work.progress(execution, 5, ["a", "b"])
        everything = await queue.jobs.events(execution.job.id, after=0, wait_s=0)
        for after in range(6):
            assert list(await queue.jobs.events(execution.job.id, after, wait_s=0)) == list(everything[after:])

    async def test_the_last_events_are_kept_and_ids_go_on(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        queue.work.progress(execution, None, [str(number) for number in range(EVENTS_KEPT + 10)])
        events = await queue.jobs.events(execution.job.id, after=1, wait_s=0)
        assert len(events) == EVENTS_KEPT
        last = EVENTS_KEPT + 12
        assert [event.id for event in events] == list(range(last - EVENTS_KEPT + 1, last + 1))
        assert [event.id for event in await queue.jobs.events(execution.job.id, last - 1, wait_s=0)] == [last]

    async def test_without_news_a_reader_gets_nothing(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        (job,) = await enqueue(queue)
        assert list(await queue.jobs.events(job.id, after=1, wait_s=0.01)) == []

    async def test_a_waiting_reader_is_woken_by_a_workers_thread(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        readers = [asyncio.create_task(queue.jobs.events(execution.job.id, 2, LONG_S)) for _ in range(10)]
        await asyncio.sleep(0)
        await in_thread(partial(queue.work.progress, execution, 42))
        for events in await soon(asyncio.gather(*readers)):
            assert [event.data for event in events] == [{"progressPct": 42}]

    async def test_a_reader_does_not_wake_for_another_job(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        (quiet,) = await enqueue(queue)
        reader = asyncio.create_task(queue.jobs.events(quiet.id, 1, LONG_S))
        await asyncio.sleep(0)
        queue.work.progress(execution, 42)
        await queue.jobs.cancel(quiet.id)
        assert [event.data["status"] for event in await soon(reader)] == ["error"]

    async def test_a_reader_that_gives_up_leaves_the_others_alone(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        gone, stays = (asyncio.create_task(queue.jobs.events(execution.job.id, 2, LONG_S)) for _ in range(2))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        queue.work.progress(execution, 1)
        assert len(await soon(stays)) == 1

    async def test_the_events_of_a_retired_job_are_gone(self, harness: QueueHarness) -> None:
        queue = await harness.open(replace(POLICY, keep_done=0, retention_ms=1))
        execution = await start_one(queue)
        queue.work.commit(execution, an_output(execution))
        harness.advance(1_000)
        queue.work.tend()
        with pytest.raises(JobNotFound):
            await queue.jobs.events(execution.job.id, after=0, wait_s=0)

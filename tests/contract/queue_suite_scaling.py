"""What every backend owes an operator: what there is to do, who does it, and groups that take no more jobs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest

from contract.queue_harness import (
    LONG_S,
    POLICY,
    OpenQueue,
    QueueHarness,
    enqueue,
    fetch,
    in_thread,
    in_threads,
    soon,
    start_one,
)
from flowscale.jobs import JobState, Priority
from flowscale.predictions import SAMPLES_NEEDED, Expected
from flowscale.queues.base import REPORT_KEPT_MS, Execution
from flowscale.queues.scaling_view import LINE_READ, Demand, GroupState
from flowscale.testing import START_MS, a_failure, a_job, a_report, an_output

TTL_MS = 30_000

ENDS: dict[str, Callable[[OpenQueue, Execution], object]] = {
    "commit": lambda queue, execution: queue.work.commit(execution, an_output(execution)),
    "fail": lambda queue, execution: queue.work.fail(execution, a_failure(retryable=False)),
    "fail for now": lambda queue, execution: queue.work.fail(execution, a_failure()),
    "release": lambda queue, execution: queue.work.release(execution),
    "lose": lambda queue, execution: queue.work.lose(execution),
}


async def busy_groups(queue: OpenQueue) -> dict[str, int]:
    groups = (await queue.scaling.demand()).groups
    return {name: group.busy for name, group in groups.items() if group.busy}


async def drained(queue: OpenQueue, *groups: str) -> set[str]:
    return set(await queue.scaling.drain(groups, TTL_MS))


class DemandSuite:
    """One reading."""

    async def test_a_new_queue_wants_nobody(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        assert await queue.scaling.demand() == Demand(START_MS, 0, 0, 0, None, None, False)

    async def test_it_says_what_waits_runs_and_is_delayed(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        failed, later = await start_one(queue), await start_one(queue)
        queue.work.fail(failed, a_failure())
        harness.advance(2_000)
        queue.work.fail(later, a_failure())
        harness.advance(3_000)
        await enqueue(queue, 1, Priority.LOW)
        await enqueue(queue, 3)
        fetch(queue, "worker-1", "pod")
        # That fetch queued the retry that was due; the next is due in two seconds.
        demand = await queue.scaling.demand()
        assert (demand.waiting, demand.delayed, demand.due) == (4, 1, 0)
        assert demand.next_due_ms == START_MS + 7_000
        harness.advance(2_000)
        demand = await queue.scaling.demand()
        assert (demand.at_ms, demand.waiting, demand.delayed, demand.due) == (START_MS + 7_000, 4, 0, 1)
        assert demand.oldest_wait_ms == 2_000
        assert demand.running == (Expected(2_000),)
        await queue.jobs.pause()
        assert (await queue.scaling.demand()).paused

    async def test_jobs_are_told_in_the_order_in_which_they_are_taken(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        for priority in (Priority.LOW, Priority.NORMAL, Priority.HIGH):
            await enqueue(queue, 1, priority)
            harness.advance(1_000)
        demand = await queue.scaling.demand()
        assert [job.for_ms for job in demand.line] == [1_000, 2_000, 3_000]
        assert demand.oldest_wait_ms == 3_000
        queue.work.release(fetch(queue))
        assert [job.for_ms for job in (await queue.scaling.demand()).line] == [0, 2_000, 3_000]

    async def test_a_long_line_is_told_in_part_and_counted_whole(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        await enqueue(queue, LINE_READ - 1, Priority.HIGH)
        harness.advance(1_000)
        await enqueue(queue, 2)
        await enqueue(queue, 2, Priority.LOW)
        demand = await queue.scaling.demand()
        assert demand.waiting == LINE_READ + 3
        assert [job.for_ms for job in demand.line] == [1_000] * (LINE_READ - 1) + [0]

    async def test_a_profile_predicts_once_enough_of_its_renders_have_finished(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        slow = {"sourcePath": "a", "quality": "high"}
        for seconds in range(1, SAMPLES_NEEDED + 1):
            assert (await queue.scaling.demand()).line == ()
            await queue.jobs.enqueue(a_job(spec=slow))
            assert [job.predicted_ms for job in (await queue.scaling.demand()).line] == [None]
            execution = fetch(queue)
            harness.advance(seconds * 1_000)
            queue.work.commit(execution, an_output(execution))
        await enqueue(queue)
        await queue.jobs.enqueue(a_job(spec=slow))
        assert (await queue.scaling.demand()).line == (Expected(0), Expected(0, 3_000))
        fetch(queue)
        fetch(queue)
        harness.advance(500)
        assert sorted((await queue.scaling.demand()).running, key=str) == [Expected(500, 3_000), Expected(500)]

    async def test_renders_that_did_not_finish_teach_nothing(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        for _ in range(SAMPLES_NEEDED):
            queue.work.fail(await start_one(queue), a_failure(retryable=False))
        await enqueue(queue)
        assert (await queue.scaling.demand()).line == (Expected(0),)

    async def test_a_group_is_what_its_workers_say_and_hold(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        await enqueue(queue, 3)
        queue.work.report(a_report("fleet-1", group="pod-1"))
        harness.advance(1_000)
        queue.work.report(a_report("fleet-2", group="pod-1"))
        queue.work.report(a_report("fleet-3", problem="no FFmpeg"))
        fetch(queue, "fleet-1-0", "pod-1")
        fetch(queue, "fleet-2-0", "pod-1")
        fetch(queue, "alone")
        await queue.scaling.drain(["pod 4"], TTL_MS)
        harness.advance(500)
        assert (await queue.scaling.demand()).groups == {
            "pod-1": GroupState(busy=2, slots=2, draining=False, seen_ms=500),
            "fleet-3": GroupState(busy=0, slots=0, draining=False, seen_ms=500),
            "alone": GroupState(busy=1, slots=0, draining=False, seen_ms=None),
            "pod 4": GroupState(busy=0, slots=0, draining=True, seen_ms=None),
        }

    async def test_who_was_silent_for_too_long_is_no_group(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        queue.work.report(a_report("fleet-1"))
        harness.advance(REPORT_KEPT_MS)
        assert (await queue.scaling.demand()).groups == {}


class DrainSuite:
    """Groups that take no more jobs."""

    async def test_exactly_the_groups_that_hold_nothing_are_granted(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        queue.work.report(a_report("fleet", group="idle"))
        await enqueue(queue, 3)
        fetch(queue, "worker-1", "busy")
        fetch(queue, "worker-2", "busy")
        assert await drained(queue, "busy", "idle", "never heard of") == {"idle", "never heard of"}
        groups = (await queue.scaling.demand()).groups
        assert {name: group.draining for name, group in groups.items()} == {
            "busy": False,
            "idle": True,
            "never heard of": True,
        }
        assert await drained(queue) == set()

    async def test_a_draining_group_fetches_nothing_and_others_do(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        (job,) = await enqueue(queue)
        assert await drained(queue, "pod") == {"pod"}
        assert queue.work.fetch("worker-1", 0, "pod") is None
        assert queue.work.fetch("pod", 0) is None  # a worker alone is a group by its own name
        assert fetch(queue, "worker-1", "other").job.id == job.id

    async def test_undrain_gives_the_group_back(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        await enqueue(queue)
        await drained(queue, "pod", "other")
        await queue.scaling.undrain(["pod", "unknown"])
        await queue.scaling.undrain([])
        assert queue.work.fetch("worker-1", 0, "other") is None
        assert fetch(queue, "worker-1", "pod").worker == "worker-1"

    async def test_a_grant_ends_by_itself_unless_it_is_renewed(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        await enqueue(queue, 2)
        await drained(queue, "left", "renewed")
        harness.advance(TTL_MS - 1)
        assert queue.work.fetch("worker-1", 0, "left") is None
        assert await drained(queue, "renewed") == {"renewed"}
        harness.advance(1)
        assert fetch(queue, "worker-1", "left").worker == "worker-1"
        assert queue.work.fetch("worker-2", 0, "renewed") is None
        groups = (await queue.scaling.demand()).groups
        assert {name: group.draining for name, group in groups.items()} == {"left": False, "renewed": True}
        harness.advance(TTL_MS)
        assert set((await queue.scaling.demand()).groups) == {"left"}

    @pytest.mark.parametrize("end", ENDS)
    async def test_whatever_ends_an_execution_frees_its_group(self, harness: QueueHarness, end: str) -> None:
        queue = await harness.open()
        await enqueue(queue, 2)
        first, second = fetch(queue, "worker-1", "pod"), fetch(queue, "worker-2", "pod")
        ENDS[end](queue, first)
        assert await busy_groups(queue) == {"pod": 1}
        assert await drained(queue, "pod") == set()
        ENDS[end](queue, second)
        assert await busy_groups(queue) == {}
        assert await drained(queue, "pod") == {"pod"}

    @pytest.mark.parametrize("end", ENDS)
    async def test_the_end_of_a_cancelled_job_frees_its_group(self, harness: QueueHarness, end: str) -> None:
        queue = await harness.open()
        await enqueue(queue)
        execution = fetch(queue, "worker-1", "pod")
        await queue.jobs.cancel(execution.job.id)
        assert await drained(queue, "pod") == set()
        ENDS[end](queue, execution)
        assert await drained(queue, "pod") == {"pod"}

    async def test_a_lease_that_ran_out_is_busy_until_it_is_reaped(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        await enqueue(queue)
        fetch(queue, "worker-1", "pod")
        harness.advance(POLICY.lease_ms)
        assert await drained(queue, "pod") == set()
        queue.work.tend()
        assert await drained(queue, "pod") == {"pod"}

    async def test_a_job_given_to_another_group_is_held_by_that_one(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        await enqueue(queue)
        queue.work.release(fetch(queue, "worker-1", "first"))
        fetch(queue, "worker-2", "second")
        assert await busy_groups(queue) == {"second": 1}
        assert await drained(queue, "first", "second") == {"first"}

    async def test_a_retry_by_a_person_holds_no_group(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        await enqueue(queue)
        failed = queue.work.fail(fetch(queue, "worker-1", "pod"), a_failure(retryable=False))
        await queue.jobs.retry(failed.id)
        assert await drained(queue, "pod") == {"pod"}
        (waiting,) = (await queue.scaling.demand()).line
        assert waiting.for_ms == 0
        await queue.jobs.cancel(failed.id)
        assert (await queue.scaling.demand()).line == ()

    async def test_starts_and_grants_never_both_get_a_group(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        total, names = 400, [f"pod-{number}" for number in range(8)]
        await enqueue(queue, total)
        ended: list[str] = []
        lock = threading.Lock()

        def work(name: str) -> None:
            while len(ended) < total:
                execution = queue.work.fetch(f"{name}-0", 0.005, name)
                if execution is not None:
                    queue.work.commit(execution, an_output(execution))
                    with lock:
                        ended.append(execution.job.id)

        working = asyncio.create_task(in_threads([partial(work, name) for name in names]))
        grants = 0
        for _ in range(100):  # then the workers are left alone, so that they end at any speed
            granted = await queue.scaling.drain(names, 60_000)
            for _ in range(3):
                groups = (await queue.scaling.demand()).groups
                assert all(groups[name].draining and groups[name].busy == 0 for name in granted)
                await asyncio.sleep(0)
            await queue.scaling.undrain(names)
            grants += len(granted)
        await working
        assert len(set(ended)) == len(ended) == total
        assert grants > 0


class WakeSuite:
    """What wakes an operator, and workers that were spared."""

    async def test_the_first_wake_comes_with_listening(self, harness: QueueHarness) -> None:
        queue = await harness.open(real_time=True)
        wakes = queue.scaling.wakes()
        await soon(anext(wakes))
        await _leave(wakes)

    @pytest.mark.parametrize("what", ["enqueue", "retry", "resume", "undrain", *ENDS])
    async def test_it_wakes_when_there_is_something_to_do_or_somebody_free(
        self, harness: QueueHarness, what: str
    ) -> None:
        queue = await harness.open(real_time=True)
        execution = await start_one(queue)
        failed = queue.work.fail(await start_one(queue), a_failure(retryable=False))
        await drained(queue, "pod")
        await queue.jobs.pause()
        wakes = queue.scaling.wakes()
        await soon(anext(wakes))
        woken = asyncio.create_task(_next(wakes))
        match what:
            case "enqueue":
                await enqueue(queue)
            case "retry":
                await queue.jobs.retry(failed.id)
            case "resume":
                await queue.jobs.resume()
            case "undrain":
                await queue.scaling.undrain(["pod"])
            case _:
                ENDS[what](queue, execution)
        await soon(woken)
        await _leave(wakes)

    async def test_a_spared_group_takes_up_work_at_once(self, harness: QueueHarness) -> None:
        queue = await harness.open(real_time=True)
        (job,) = await enqueue(queue)
        await queue.scaling.drain(["pod"], 3_600_000)
        fetching = in_thread(partial(queue.work.fetch, "worker-1", LONG_S, "pod"))
        await asyncio.sleep(0)
        assert (await queue.jobs.get(job.id)).state is JobState.QUEUED
        await queue.scaling.undrain(["pod"])
        execution = await soon(fetching)
        assert execution is not None
        assert execution.job.id == job.id

    async def test_a_grant_that_ran_out_lets_a_waiting_fetch_go_on(self, harness: QueueHarness) -> None:
        queue = await harness.open(real_time=True)
        await enqueue(queue)
        assert await queue.scaling.drain(["pod"], 50) == {"pod"}
        execution = await soon(in_thread(partial(queue.work.fetch, "worker-1", LONG_S, "pod")))
        assert execution is not None


async def _next(wakes: AsyncIterator[None]) -> None:
    await anext(wakes)


async def _leave(wakes: AsyncIterator[None]) -> None:
    await wakes.aclose()  # type: ignore[attr-defined]  # both are generators


class ScalingSuite(DemandSuite, DrainSuite, WakeSuite):
    """All of it."""

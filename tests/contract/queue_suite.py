"""The conformance suite of the queue. A backend plugs in by two names in a test module of its own:

@pytest.fixture
async def harness() -> AsyncIterator[QueueHarness]: ...      # contract.queue_harness

class TestMyQueue(QueueSuite): ...
TestMyQueueByModel = queue_machine(MyHarness)                 # contract.queue_machine
TestMyGroups = groups_machine(MyHarness)                      # contract.queue_groups_machine
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from functools import partial

from contract.queue_harness import LONG_S, POLICY, QueueHarness, enqueue, fetch, in_threads, start_one
from contract.queue_suite_admin import AdminSuite
from contract.queue_suite_events import EventsSuite
from contract.queue_suite_figures import FiguresSuite
from contract.queue_suite_gateway import GatewaySuite
from contract.queue_suite_scaling import ScalingSuite
from contract.queue_suite_worker import WorkerSuite
from flowscale.errors import LeaseLost
from flowscale.jobs import JobState
from flowscale.queues.base import Depth, Execution
from flowscale.testing import an_output


class ConcurrencySuite:
    """What holds when many do it at once."""

    async def test_50_threads_take_500_jobs_each_exactly_once(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        jobs = await enqueue(queue, 500)
        barrier = threading.Barrier(50)

        def work(worker: str) -> list[str]:
            taken = []
            barrier.wait()
            while (execution := queue.work.fetch(worker, wait_s=0)) is not None:
                queue.work.commit(execution, an_output(execution))
                taken.append(execution.job.id)
            return taken

        taken = await in_threads([partial(work, f"worker-{number}") for number in range(50)])
        assert Counter(job_id for ids in taken for job_id in ids) == Counter(job.id for job in jobs)
        assert await queue.jobs.depth() == Depth(waiting=0, delayed=0, running=0)

    async def test_no_wake_up_is_lost_between_waiting_workers(self, harness: QueueHarness) -> None:
        queue = await harness.open()

        def work(worker: str) -> int:
            return sum(queue.work.fetch(worker, LONG_S) is not None for _ in range(25))

        working = asyncio.create_task(in_threads([partial(work, f"worker-{number}") for number in range(8)]))
        await asyncio.sleep(0)
        for _ in range(200):
            await enqueue(queue)
            await asyncio.sleep(0)
        assert await working == [25] * 8

    async def test_of_many_commits_of_one_execution_one_counts(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        execution = await start_one(queue)

        def commit(size: int) -> bool:
            try:
                return queue.work.commit(execution, an_output(execution, size=size)).output is not None
            except LeaseLost:
                return False

        committed = await in_threads([partial(commit, size) for size in range(20)])
        assert sum(committed) == 1
        done = await queue.jobs.get(execution.job.id)
        assert done.output == an_output(execution, size=committed.index(True))

    async def test_an_expired_lease_is_reaped_once_by_many_tenders(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        jobs = await enqueue(queue, 5)
        for _ in jobs:
            fetch(queue)
        harness.advance(POLICY.lease_ms)
        rounds = await in_threads([queue.work.tend] * 8)
        assert Counter(job_id for tended in rounds for job_id in tended.stalled) == Counter(job.id for job in jobs)
        assert [(await queue.jobs.get(job.id)).stalls for job in jobs] == [1] * 5

    async def test_a_cancel_and_a_fetch_never_both_get_the_job(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        jobs = await enqueue(queue, 100)

        def work(worker: str) -> list[Execution]:
            executions = []
            while (execution := queue.work.fetch(worker, wait_s=0)) is not None:
                executions.append(execution)
            return executions

        working = asyncio.create_task(in_threads([partial(work, f"worker-{number}") for number in range(4)]))
        for job in reversed(jobs):
            await queue.jobs.cancel(job.id)
            await asyncio.sleep(0)
        taken = {execution.job.id for executions in await working for execution in executions}
        for job in jobs:
            record = await queue.jobs.get(job.id)
            assert record.state is (JobState.RUNNING if job.id in taken else JobState.ERROR)
            assert record.cancel_requested


class QueueSuite(GatewaySuite, WorkerSuite, EventsSuite, FiguresSuite, ScalingSuite, AdminSuite, ConcurrencySuite):
    """All that every backend owes."""

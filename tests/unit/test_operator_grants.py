"""Grants to workers that leave: they last as long as the workers do, on a real queue in memory."""

from __future__ import annotations

from flowscale.queues.base import QueuePolicy
from flowscale.queues.memory import MemoryQueue
from flowscale.testing import FakeClock, a_job
from flowscale_operator.grants import RENEW_SECONDS, TTL_SECONDS, Grants


async def test_those_that_leave_are_given_no_job_however_many_follow_them() -> None:
    clock = FakeClock()
    queue = MemoryQueue(QueuePolicy(), clock)
    grants = Grants(queue, clock)
    assert await grants.ask(["first"]) == {"first"}
    grants.removed()
    await queue.enqueue(a_job())
    for number in range(int(3 * TTL_SECONDS / (RENEW_SECONDS / 2))):
        clock.advance(RENEW_SECONDS / 2)
        assert await grants.ask([f"other-{number}"])
        grants.removed()
        if grants.renewal_due(in_doubt=False):
            await grants.renew(in_doubt=False)
        assert queue.fetch("worker", 0, group="first") is None
    assert queue.fetch("worker", 0, group="nobody asked it") is not None


async def test_those_that_go_unasked_are_asked_at_once() -> None:
    clock = FakeClock()
    queue = MemoryQueue(QueuePolicy(), clock)
    grants = Grants(queue, clock)
    await grants.ask(["asked"])
    grants.removed()
    assert not grants.renewal_due(in_doubt=False)
    grants.adopt(["asked", "another"])
    assert grants.renewal_due(in_doubt=False)
    await grants.renew(in_doubt=False)
    grants.adopt(["another"])
    assert not grants.renewal_due(in_doubt=False)
    await queue.enqueue(a_job())
    assert queue.fetch("worker", 0, group="another") is None

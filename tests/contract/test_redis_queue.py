"""The Redis queue: the suite of every backend against a real server, and what only a shared server can get wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count

import pytest

from contract.queue_groups_machine import groups_machine
from contract.queue_harness import POLICY, OpenQueue, QueueHarness
from contract.queue_machine import queue_machine
from contract.queue_suite import QueueSuite
from flowscale.clocks import SystemClock
from flowscale.queues.admin_view import GatewayQueue
from flowscale.queues.base import QueuePolicy, WorkQueue
from flowscale.queues.redis import Keys, RedisJobQueue, RedisScalingQueue, RedisWorkQueue
from flowscale.queues.redis.connections import describe, gateway_client, worker_client
from flowscale.queues.redis.contact import Contact
from flowscale.queues.scaling_view import ScalingQueue
from flowscale.testing import FakeClock, no_jitter
from redis_server import REDIS_7, REDIS_8, VALKEY, shared_server

_prefixes = count(1)

SERVERS = {"system": REDIS_7, "valkey 8.1": VALKEY, "redis 8": REDIS_8}
"""What must keep the same promise: the system's own (Redis 7.0 on Debian 12), and the two that others run."""


class RedisHarness(QueueHarness):
    """Every queue has a prefix of its own on one server, which is emptied of it at the end."""

    jobs: RedisJobQueue | None = None

    def __init__(self, program: str = REDIS_7) -> None:
        self.server = shared_server(program)

    async def open(self, policy: QueuePolicy = POLICY, *, real_time: bool = False) -> OpenQueue:
        await self.close()
        self.clock = FakeClock()
        clock = SystemClock() if real_time else self.clock
        now = None if real_time else self.clock.now_ms
        self.contact = Contact(policy.lease_ms)
        settings = self.server.settings(prefix=f"{{test-{next(_prefixes)}}}")
        self.keys = Keys(settings.prefix)
        where = describe(settings)
        self.jobs = RedisJobQueue(gateway_client(settings), self.keys, policy, clock, where, now=now)
        self.work = RedisWorkQueue(
            worker_client(settings), self.keys, policy, clock, where, chance=no_jitter, now=now, contact=self.contact
        )
        self.work.tend()
        self.scaling = RedisScalingQueue(gateway_client(settings), self.keys, policy, clock, where, now=now)
        jobs: GatewayQueue = self.jobs
        work: WorkQueue = self.work
        scaling: ScalingQueue = self.scaling
        return OpenQueue(jobs, work, scaling)

    def advance(self, ms: int) -> None:
        """The process is in contact with the server all the while, as one that tends every second is."""
        run_id = self.run_id  # it is asked for
        while ms > 0:
            step = min(ms, 1_000)
            self.clock.advance(ms=step)
            self.contact.seen(self.clock.monotonic(), self.clock.now_ms(), run_id)
            ms -= step

    def leap(self, ms: int) -> None:
        self.clock.advance(ms=ms)

    @property
    def run_id(self) -> str:
        return self.server.run_id

    async def close(self) -> None:
        if self.jobs is not None:
            await self.jobs.close()
            self.work.close()
            await self.scaling.close()
            self.server.forget(self.keys.prefix)
            self.jobs = None


@pytest.fixture(params=SERVERS)
async def harness(request: pytest.FixtureRequest) -> AsyncIterator[QueueHarness]:
    opened = RedisHarness(SERVERS[request.param])
    yield opened
    await opened.close()


class TestRedisQueue(QueueSuite):
    pass


TestRedisQueueByModel = queue_machine(RedisHarness)
TestRedisGroups = groups_machine(RedisHarness)
TestValkeyGroups = groups_machine(lambda: RedisHarness(VALKEY), examples=15)
TestRedis8Groups = groups_machine(lambda: RedisHarness(REDIS_8), examples=15)
TestValkeyQueueByModel = queue_machine(lambda: RedisHarness(VALKEY), examples=15)
TestRedis8QueueByModel = queue_machine(lambda: RedisHarness(REDIS_8), examples=15)

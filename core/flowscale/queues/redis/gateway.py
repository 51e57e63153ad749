"""The gateway's half over Redis: coroutines, for one event loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import random
from typing import TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from flowscale import logs
from flowscale.clocks import Clock
from flowscale.jobs import Job, JobState
from flowscale.queues.admin_view import AuditEntry, AuditPage, Found, ServerReading, Standing
from flowscale.queues.base import (
    Depth,
    Enqueued,
    Event,
    Figures,
    Idempotency,
    JobPage,
    QueuePolicy,
    Tended,
    WorkerReport,
)
from flowscale.queues.finding import Wanted
from flowscale.queues.history import Point
from flowscale.queues.outbox import DueTarget
from flowscale.queues.redis.connections import as_fault
from flowscale.queues.redis.contact import Contact
from flowscale.queues.redis.driving import Driver
from flowscale.queues.redis.keys import Keys
from flowscale.queues.redis.news import News
from flowscale.queues.redis.operations import Operations
from flowscale.queues.redis.server import read_facts, reading_of, warnings
from flowscale.queues.told import Told
from flowscale.webhooks.deliveries import Claim, Delivery, Outcome

POLL_SECONDS = 2.0
"""A reader of events looks this often by itself: a message may be lost."""

_Answer = TypeVar("_Answer")

_log = logs.get("queue")


class RedisJobQueue:
    """JobQueue over one client, which `close` closes. `where` names the server in errors.

    `now` and `contact` are for tests that own time; see Operations and Contact.
    """

    def __init__(
        self,
        client: Redis,
        keys: Keys,
        policy: QueuePolicy,
        clock: Clock,
        where: str,
        *,
        now: Callable[[], int] | None = None,
        contact: Contact | None = None,
    ) -> None:
        self._client = client
        self._where = where
        self._driver = Driver(client, where)
        self._clock = clock
        self._operations = Operations(keys, policy, random, now)
        self._contact = contact or Contact(policy.lease_ms)
        self._news = News(client, keys.news)

    async def enqueue(self, job: Job, idempotency: Idempotency | None = None) -> Enqueued:
        return await self._driver.do(self._operations.enqueue(job, idempotency))

    async def earlier(self, idempotency: Idempotency) -> Enqueued | None:
        return await self._driver.do(self._operations.earlier(idempotency))

    async def get(self, job_id: str) -> Job:
        return await self._driver.do(self._operations.get(job_id))

    async def list(self, state: JobState | None, limit: int, cursor: str | None) -> JobPage:
        return await self._driver.do(self._operations.list(state, limit, cursor))

    async def cancel(self, job_id: str) -> Job:
        return await self._driver.do(self._operations.cancel(job_id))

    async def retry(self, job_id: str) -> Job:
        return await self._driver.do(self._operations.retry(job_id))

    async def position(self, job_id: str) -> int | None:
        return await self._driver.do(self._operations.position(job_id))

    async def positions(self, job_ids: Sequence[str]) -> Mapping[str, int | None]:
        return await self._driver.do(self._operations.positions(job_ids))

    async def depth(self) -> Depth:
        return await self._driver.do(self._operations.depth())

    async def running(self) -> Sequence[str]:
        return await self._driver.do(self._operations.running())

    async def events(self, job_id: str, after: int, wait_s: float) -> Sequence[Event]:
        found = await self._driver.do(self._operations.events(job_id, after))
        if found or wait_s <= 0:
            return found
        with self._news.expect(job_id) as news:
            left = wait_s
            while True:
                # Listening first: what happened before it began is found now, what comes after is told.
                await news.listening()
                found = await self._driver.do(self._operations.events(job_id, after))
                if found or left <= 0:
                    return found
                left -= await news.wait(min(left, POLL_SECONDS))

    async def deliveries(self, job_id: str) -> Sequence[Delivery]:
        return await self._driver.do(self._operations.deliveries(job_id))

    async def replay(self, delivery_id: str) -> Delivery:
        return await self._driver.do(self._operations.replay(delivery_id))

    async def due_targets(self, most: int) -> Sequence[DueTarget]:
        return await self._driver.do(self._operations.due_targets(most))

    async def claim(self, target: str, most: int) -> Sequence[Claim]:
        return await self._driver.do(self._operations.claim(target, most))

    async def settle(self, claim: Claim, outcome: Outcome) -> bool:
        return await self._driver.do(self._operations.settle(claim, outcome))

    async def pause(self) -> None:
        await self._driver.do(self._operations.pause(True))

    async def resume(self) -> None:
        await self._driver.do(self._operations.pause(False))

    async def is_paused(self) -> bool:
        return await self._driver.do(self._operations.is_paused())

    async def workers(self) -> Sequence[WorkerReport]:
        return await self._driver.do(self._operations.workers())

    async def figures(self) -> Figures:
        return await self._driver.do(self._operations.figures())

    async def warnings(self) -> Sequence[str]:
        try:
            return warnings(await read_facts(self._client))
        except ResponseError:
            return ()  # it may not be asked
        except (RedisError, OSError) as error:
            raise as_fault(error, self._where) from error

    async def search(self, wanted: Wanted, limit: int, cursor: str | None) -> Found:
        return await self._driver.do(self._operations.search(wanted, limit, cursor))

    async def standing(self) -> Standing:
        return await self._driver.do(self._operations.standing())

    async def told(self, job_id: str) -> Told:
        return await self._driver.do(self._operations.told(job_id))

    async def move_to_front(self, job_id: str) -> Job:
        return await self._driver.do(self._operations.move_to_front(job_id))

    async def remove(self, job_id: str) -> Job:
        return await self._driver.do(self._operations.remove(job_id))

    async def removed(self) -> Sequence[str]:
        return await self._driver.do(self._operations.removed())

    async def cleared(self, job_id: str) -> None:
        await self._driver.do(self._operations.cleared(job_id))

    async def history(self) -> Sequence[Point]:
        return await self._driver.do(self._operations.history())

    async def server(self) -> ServerReading:
        try:
            return reading_of(await read_facts(self._client))
        except ResponseError:
            return ServerReading("redis")  # it may not be asked
        except (RedisError, OSError) as error:
            raise as_fault(error, self._where) from error

    async def add_audit(self, entry: AuditEntry) -> None:
        await self._driver.do(self._operations.add_audit(entry))

    async def audit(self, limit: int, cursor: str | None) -> AuditPage:
        return await self._driver.do(self._operations.audit(limit, cursor))

    async def check(self) -> None:
        await self._driver.do(self._operations.check())

    async def tend(self) -> Tended:
        """One round of housekeeping, as a worker does it (WorkQueue.tend)."""
        try:
            return await self._driver.do(self._operations.tend(self._contact, self._clock.monotonic))
        except BaseException:
            self._contact.lost()
            raise

    async def close(self) -> None:
        """Stop listening and close the client. Waiting readers must have gone."""
        await self._news.close()
        await self._driver.close()

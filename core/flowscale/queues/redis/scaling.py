"""The operator's half over Redis: coroutines, for one event loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from random import random

from redis.asyncio import Redis
from redis.exceptions import RedisError

from flowscale.clocks import Clock
from flowscale.queues.base import QueuePolicy
from flowscale.queues.redis.connections import as_fault
from flowscale.queues.redis.driving import Driver
from flowscale.queues.redis.keys import Keys
from flowscale.queues.redis.operations import Operations
from flowscale.queues.scaling_view import Demand

QUIET_SECONDS = 5.0
"""The channel of wake-ups may say nothing for so long before its server is asked whether it is there."""

ANSWER_SECONDS = 2.0
"""How long that answer may take."""


class RedisScalingQueue:
    """ScalingQueue over one client, which `close` closes. `where` names the server in errors; `now` is for tests."""

    def __init__(
        self,
        client: Redis,
        keys: Keys,
        policy: QueuePolicy,
        _clock: Clock,
        where: str,
        *,
        now: Callable[[], int] | None = None,
    ) -> None:
        self._client = client
        self._keys = keys
        self._where = where
        self._driver = Driver(client, where)
        self._operations = Operations(keys, policy, random, now)

    async def demand(self) -> Demand:
        return await self._driver.do(self._operations.demand())

    async def drain(self, groups: Sequence[str], ttl_ms: int) -> frozenset[str]:
        return await self._driver.do(self._operations.drain(groups, ttl_ms))

    async def undrain(self, groups: Sequence[str]) -> None:
        await self._driver.do(self._operations.undrain(groups))

    async def wakes(self) -> AsyncGenerator[None, None]:
        try:
            async with self._client.pubsub() as pubsub:
                await pubsub.subscribe(self._keys.wake, self._keys.freed)
                asked = False
                while True:
                    message = await pubsub.get_message(timeout=ANSWER_SECONDS if asked else QUIET_SECONDS)
                    if message is None and asked:
                        raise TimeoutError("the channel of wake-ups does not answer")
                    asked = message is None
                    if asked:
                        await pubsub.ping()
                    elif message["type"] != "pong":
                        while await pubsub.get_message(timeout=0) is not None:
                            continue
                        yield None
        except (RedisError, OSError) as error:
            raise as_fault(error, self._where) from error

    async def check(self) -> None:
        await self._driver.do(self._operations.check())

    async def close(self) -> None:
        await self._driver.close()

"""Driving an operation from one event loop: the gateway's half of the queue, and what keeps its facts beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from flowscale.queues.redis.connections import as_fault, in_time
from flowscale.queues.redis.scripts import Batch, Operation, with_scripts

_Answer = TypeVar("_Answer")


class Driver:
    """Over one client, which `close` closes. `where` names the server in errors."""

    def __init__(self, client: Redis, where: str) -> None:
        self._client = client
        self._where = where

    async def do(self, operation: Operation[_Answer]) -> _Answer:
        """Run an operation. Raises what it raises; QueueUnavailable or QueueFull for the server's faults."""
        driven = with_scripts(operation)
        try:
            async with in_time():
                batch = next(driven)
                while True:
                    batch = driven.send(await self._execute(batch))
        except StopIteration as ended:
            answer: _Answer = ended.value
            return answer
        except (RedisError, OSError) as error:
            raise as_fault(error, self._where) from error
        finally:
            driven.close()

    async def close(self) -> None:
        await self._client.aclose()

    async def _execute(self, batch: Batch) -> Sequence[Any]:
        task = asyncio.current_task()
        asked_before = task.cancelling() if task else 0
        async with self._client.pipeline(transaction=False) as pipeline:
            for each in batch:
                pipeline.execute_command(*each.words)
            answers = await pipeline.execute(raise_on_error=False)
        if task and task.cancelling() > asked_before:
            # Python 3.11's wait_for, which the client sends with, loses a cancel that comes as it ends.
            raise asyncio.CancelledError
        return answers

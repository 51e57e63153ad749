"""The gateway's share of looking after the queue, which any process may do: one without workers is tended too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from flowscale import logs
from flowscale.errors import QueueUnavailable

TEND_SECONDS = 1.0
"""Due retries are queued, and expired leases reaped, at most this late."""

_log = logs.get("gateway")


class Housekeeping:
    """Calls `look` once at `start` (it warns of what it finds), `tend` every TEND_SECONDS from then on, and `close` at
    `stop`, all in the server's own loop."""

    def __init__(
        self,
        look: Callable[[], Awaitable[object]],
        tend: Callable[[], Awaitable[object]],
        close: Callable[[], Awaitable[None]],
    ) -> None:
        self._look = look
        self._tend = tend
        self._close = close
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._repeat(), name="housekeeping")

    async def stop(self) -> None:
        self._stopping.set()
        if self._task is not None:
            await self._task
        await self._close()

    async def _repeat(self) -> None:
        try:
            await self._look()
        except Exception as error:  # noqa: BLE001 - only its warnings are missing; the queue must be tended all the same
            _log.exception("housekeeping.fault", "A fault in looking what the queue's server risks", error)
        away = False
        while not self._stopping.is_set():
            try:
                await self._tend()
                if away:
                    _log.info("queue.reachable", "The queue is back")
                away = False
            except QueueUnavailable as error:
                if not away:
                    _log.warning("queue.unreachable", error.message)
                away = True
            except Exception as error:  # noqa: BLE001 - it would be missed only when jobs wait for ever
                _log.exception("housekeeping.fault", "A fault in looking after the queue; it goes on", error)
            try:
                async with asyncio.timeout(TEND_SECONDS):
                    await self._stopping.wait()
            except TimeoutError:
                continue

"""The gateway's share of looking after the queue and the storage, which any gateway may do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from flowscale import logs
from flowscale.errors import QueueUnavailable, ServiceError

TEND_SECONDS = 1.0
"""Due retries are queued, and expired leases reaped, at most this late."""

_log = logs.get("gateway")


@dataclass(frozen=True, slots=True)
class Routine:
    """`call`, again and again, with `seconds` in between. What it looks after is `what`: the queue, the storage."""

    what: str
    seconds: float
    call: Callable[[], Awaitable[object]]


class Housekeeping:
    """Calls `look` once at `start` (it warns of what it finds), its routines from then on, each by itself, and `close`
    at `stop`, all in the server's own loop. An outage is told once, whichever routines meet it."""

    def __init__(
        self,
        routines: Sequence[Routine],
        look: Callable[[], Awaitable[object]] | None = None,
        close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._routines = routines
        self._look = look
        self._close = close
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._away: set[str] = set()  # what was said to be unreachable, by whichever routine met it first

    def start(self) -> None:
        if self._look is not None:
            self._tasks.append(asyncio.create_task(self._look_once(self._look), name="housekeeping-look"))
        for routine in self._routines:
            self._tasks.append(asyncio.create_task(self._repeat(routine), name=f"housekeeping-{routine.what}"))

    async def stop(self) -> None:
        self._stopping.set()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._close is not None:
            await self._close()

    async def _look_once(self, look: Callable[[], Awaitable[object]]) -> None:
        try:
            await look()
        except Exception as error:  # noqa: BLE001 - only its warnings are missing; the queue must be tended all the same
            _log.exception("housekeeping.fault", "A fault in looking what the queue's server risks", error)

    async def _repeat(self, routine: Routine) -> None:
        away: str | None = None
        while not self._stopping.is_set():
            try:
                await routine.call()
                if away in self._away:
                    self._away.remove(away)
                    _log.info(f"{away}.reachable", f"The {away} is back")
                away = None
            except ServiceError as error:
                if away is None:
                    away = "queue" if isinstance(error, QueueUnavailable) else routine.what
                    if away not in self._away:
                        self._away.add(away)
                        _log.warning(f"{away}.unreachable", error.message)
            except Exception as error:  # noqa: BLE001 - it would be missed only when jobs wait for ever
                _log.exception("housekeeping.fault", f"A fault in looking after the {routine.what}; it goes on", error)
            try:
                async with asyncio.timeout(routine.seconds):
                    await self._stopping.wait()
            except TimeoutError:
                continue

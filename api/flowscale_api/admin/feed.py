"""One reading for all who watch: whatever is looked at every second is read once, however many pages are open.

The reading begins with the first reader and ends with the last. A reader is given what there is, then each change.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from flowscale import logs
from flowscale.errors import QueueUnavailable

LOOK_SECONDS = 1.0
"""How often is looked, while anybody watches."""

PING_SECONDS = 15.0
"""A comment is sent after this much silence, so that no proxy takes the connection for dead."""

PING = b": ping\n\n"

_log = logs.get("gateway")

Read = Callable[[], Awaitable[tuple[str, bytes]]]
"""Gives what tells whether anything changed, and the event in bytes of the wire."""


class Feed:
    """What all readers of one gateway watch."""

    def __init__(self, look_s: float = LOOK_SECONDS, ping_s: float = PING_SECONDS) -> None:
        self._look_s = look_s
        self._ping_s = ping_s
        self._changed = asyncio.Event()
        self._number = 0  # of the reading that is shown; each change has the next
        self._mark = ""
        self._event = b""
        self._task: asyncio.Task[None] | None = None
        self.readers = 0
        self.readings = 0

    async def stream(
        self, read: Read, stopping: asyncio.Event, may_go_on: Callable[[], Awaitable[bool]]
    ) -> AsyncGenerator[bytes, None]:
        """Events, until the gateway stops, the reader may not go on, or the queue cannot be read."""
        self.readers += 1
        seen = 0
        try:
            if self._task is None or self._task.done():
                self._event = b""  # what an earlier reading left is old
                self._task = asyncio.create_task(self._look(read), name="overview-feed")
            while not stopping.is_set() and await _allowed(may_go_on):
                changed, task = self._changed, self._task
                if self._event and self._number != seen:
                    seen = self._number
                    yield self._event
                    continue
                if task.done():
                    return
                if not await self._next(changed, task, stopping):
                    yield PING
        finally:
            self.readers -= 1
            if self.readers == 0 and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _next(self, changed: asyncio.Event, task: asyncio.Task[None], stopping: asyncio.Event) -> bool:
        """Wait until something changed, the reading ended, or the server stops; False when nothing did for a while."""
        waits = [asyncio.ensure_future(event.wait()) for event in (changed, stopping)]
        try:
            done, _ = await asyncio.wait((*waits, task), timeout=self._ping_s, return_when=asyncio.FIRST_COMPLETED)
            return bool(done)
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _look(self, read: Read) -> None:
        try:
            while True:
                mark, event = await read()
                self.readings += 1
                if mark != self._mark:
                    self._mark, self._event = mark, event
                    self._number += 1
                    self._tell()
                await asyncio.sleep(self._look_s)
        except QueueUnavailable as error:
            _log.warning(
                "overview.broken", "Streams of the overview end: the queue cannot be read", reason=error.message
            )
        finally:
            self._mark = ""
            self._tell()

    def _tell(self) -> None:
        """Whoever waits now waits for this event; the next change has another."""
        self._changed.set()
        self._changed = asyncio.Event()


async def _allowed(may_go_on: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await may_go_on()
    except QueueUnavailable:
        return False  # whoever reads comes back, and is told so

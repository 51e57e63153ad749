"""Who waits for wake-ups in the memory backend: coroutines of any event loop, told from any thread.

The queue's lock guards every call of `Wakes`.
"""

from __future__ import annotations

import asyncio


class Wakes:
    """Those that listen now."""

    def __init__(self) -> None:
        self._listening: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}

    def listen(self) -> asyncio.Event:
        """An event of the running loop that `tell` sets; set already. To be given to `leave`, however it ends."""
        event = asyncio.Event()
        event.set()
        self._listening[event] = asyncio.get_running_loop()
        return event

    def leave(self, event: asyncio.Event) -> None:
        self._listening.pop(event, None)

    def tell(self) -> None:
        for event, loop in list(self._listening.items()):
            try:
                loop.call_soon_threadsafe(event.set)
            except RuntimeError:  # its loop is closed: nobody is left to tell
                del self._listening[event]

"""The events of the memory backend, and the asyncio readers that wait for them without polling.

A worker's thread adds an event; a gateway's coroutine, on whichever event loop, is told through
`call_soon_threadsafe`. The queue's lock guards every call here. A reader looks for events and asks to be told
under one hold of that lock, so no event can fall between the two.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Any

from flowscale.queues.base import EVENTS_KEPT, Event, EventKind


class EventLog:
    """The last EVENTS_KEPT events of every job."""

    def __init__(self) -> None:
        self._kept: dict[str, deque[Event]] = {}
        self._readers: dict[str, set[asyncio.Future[None]]] = {}

    def add(self, job_id: str, kind: EventKind, at_ms: int, data: dict[str, Any]) -> None:
        """Append an event, opening the job's log with its first, and tell every reader of the job."""
        kept = self._kept.setdefault(job_id, deque(maxlen=EVENTS_KEPT))
        number = kept[-1].id + 1 if kept else 1
        kept.append(Event(number, kind, at_ms, data))
        self._tell(job_id)

    def after(self, job_id: str, after: int) -> Sequence[Event]:
        """Events with an id above `after`, oldest first, as far back as they are kept."""
        kept = self._kept[job_id]
        known = max(0, after - kept[0].id + 1)
        return tuple(islice(kept, known, None))

    def drop(self, job_id: str) -> None:
        """Forget a job; its readers are told, and find it gone."""
        del self._kept[job_id]
        self._tell(job_id)

    def expect(self, job_id: str) -> asyncio.Future[None]:
        """A future of the running loop that is done at the job's next event.

        The reader must not cancel it (asyncio.wait does not), and must `forget` it whatever happens.
        """
        news = asyncio.get_running_loop().create_future()
        self._readers.setdefault(job_id, set()).add(news)
        return news

    def forget(self, job_id: str, news: asyncio.Future[None]) -> None:
        waiting = self._readers.get(job_id)
        if waiting is not None:
            waiting.discard(news)
            if not waiting:
                del self._readers[job_id]

    def reader_count(self) -> int:
        """Readers that wait now."""
        return sum(len(waiting) for waiting in self._readers.values())

    def _tell(self, job_id: str) -> None:
        # The set is taken out first: a reader collected as garbage meanwhile may call `forget` in this thread.
        for news in self._readers.pop(job_id, ()):
            try:
                news.get_loop().call_soon_threadsafe(news.set_result, None)
            except RuntimeError:  # the reader's loop is closed: nobody is left to tell
                continue

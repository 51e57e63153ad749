"""A job's events as Server-Sent Events (HTML Standard, 9.2), one stream for each reader.

A stream ends by itself after the event that ended the job, when the reader goes away (the server cancels it),
when the server stops, and when the queue cannot be read: the reader comes back with Last-Event-ID and misses
nothing that is kept.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Sequence

from flowscale import logs
from flowscale.errors import JobNotFound, QueueUnavailable
from flowscale.jobs import JobState
from flowscale.queues.base import Event, EventKind, JobQueue

PING_SECONDS = 15.0
"""A comment is sent after this much silence, so that no proxy takes the connection for dead (contract)."""

PING = b": ping\n\n"

_EVENT_ID = re.compile(r"[0-9]{1,15}\Z")
_FINAL = {state.public for state in JobState if state.is_final}
_log = logs.get("gateway")


def last_event_id(header: str | None) -> int:
    """The id to go on after; 0, from the beginning, for none and for what is no id of ours."""
    return int(header) if header is not None and _EVENT_ID.match(header) else 0


async def stream(
    queue: JobQueue,
    job_id: str,
    first: Sequence[Event],
    after: int,
    stopping: asyncio.Event,
    ping_s: float = PING_SECONDS,
) -> AsyncGenerator[bytes, None]:
    """The events `first`, which were read already, and all that follow, in bytes of the wire."""
    events = first
    try:
        while not stopping.is_set():
            for event in events:
                yield encode(event)
                after = event.id
            if (not events or _ends(events[-1])) and (await queue.get(job_id)).state.is_final:
                # Two readings: an end that came between them has its events still to be sent.
                events = await queue.events(job_id, after, 0)
                if not events:
                    return
                continue
            events = await _next_events(queue, job_id, after, stopping, ping_s)
            if not events and not stopping.is_set():
                yield PING
    except JobNotFound:
        return  # it ended, and was retired while it was watched
    except QueueUnavailable as error:
        _log.warning(
            "events.broken", "A stream of events ends: the queue cannot be read", job_id=job_id, reason=error.message
        )


def encode(event: Event) -> bytes:
    """One event in the form of the wire. JSON without line breaks fits one `data` line."""
    data = json.dumps(event.data, ensure_ascii=False, separators=(",", ":"))
    return f"id: {event.id}\nevent: {event.kind}\ndata: {data}\n\n".encode()


def _ends(event: Event) -> bool:
    return event.kind is EventKind.STATE and event.data.get("status") in _FINAL


async def _next_events(
    queue: JobQueue, job_id: str, after: int, stopping: asyncio.Event, wait_s: float
) -> Sequence[Event]:
    """What comes within `wait_s`; nothing as soon as the server stops."""
    news = asyncio.ensure_future(queue.events(job_id, after, wait_s))
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait((news, stop), return_when=asyncio.FIRST_COMPLETED)
        return news.result() if news.done() else ()
    finally:
        news.cancel()
        stop.cancel()
        await asyncio.gather(news, stop, return_exceptions=True)

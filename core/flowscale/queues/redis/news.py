"""Who waits for a job's events in this gateway, and the one connection that tells them.

Every event of every job is published under its id. A gateway listens on one connection, however many readers wait.
Whoever waits is told too when that connection breaks, and looks for itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from redis.asyncio import Redis
from redis.exceptions import RedisError

from flowscale import logs

AGAIN_SECONDS = 0.5
"""How long a broken connection rests before it is made again."""

IDLE_SECONDS = 60.0
"""How long the connection may hear nothing before it is looked at."""

_log = logs.get("queue")


class Waiting:
    """One reader's wait for news of one job."""

    def __init__(self, news: News) -> None:
        self._news = news
        self._told = asyncio.Event()

    def tell(self) -> None:
        self._told.set()

    async def listening(self) -> None:
        """Wait until news would be heard; at most for AGAIN_SECONDS, as the reader polls besides."""
        self._told.clear()
        await self._news.ready()

    async def wait(self, seconds: float) -> float:
        """Until told, at most this long. Returns how long it took."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(seconds):
                await self._told.wait()
        except TimeoutError:
            return seconds
        return loop.time() - began


class News:
    """The connection that listens on `channel`, made with the first reader and kept until `close`."""

    def __init__(self, client: Redis, channel: str) -> None:
        self._client = client
        self._channel = channel
        self._waiting: dict[str, set[Waiting]] = {}
        self._subscribed = asyncio.Event()
        self._listener: asyncio.Task[None] | None = None

    @contextmanager
    def expect(self, job_id: str) -> Iterator[Waiting]:
        waiting = Waiting(self)
        self._waiting.setdefault(job_id, set()).add(waiting)
        if self._listener is None or self._listener.done():
            self._listener = asyncio.create_task(self._listen(), name="queue-news")
        try:
            yield waiting
        finally:
            left = self._waiting[job_id]
            left.discard(waiting)
            if not left:
                del self._waiting[job_id]

    async def ready(self) -> None:
        try:
            async with asyncio.timeout(AGAIN_SECONDS):
                await self._subscribed.wait()
        except TimeoutError:
            return  # the connection is being made; the reader polls meanwhile

    async def close(self) -> None:
        while self._listener is not None and not self._listener.done():
            self._listener.cancel()  # again and again: Python 3.11's wait_for may lose one
            await asyncio.wait((self._listener,), timeout=AGAIN_SECONDS)

    async def _listen(self) -> None:
        while True:
            try:
                await self._hear()
            except (RedisError, OSError) as error:
                _log.warning(
                    "news.lost", "The channel of events is lost; readers poll until it is back", reason=str(error)
                )
            self._subscribed.clear()
            for readers in self._waiting.values():
                for waiting in readers:
                    waiting.tell()
            await asyncio.sleep(AGAIN_SECONDS)

    async def _hear(self) -> None:
        async with self._client.pubsub() as pubsub:
            try:
                await pubsub.subscribe(self._channel)
                while True:
                    message = await pubsub.get_message(timeout=IDLE_SECONDS)
                    if message is None:
                        await pubsub.ping()
                    elif message["type"] == "subscribe":
                        self._subscribed.set()
                    elif message["type"] == "message":
                        for waiting in self._waiting.get(message["data"].decode(errors="surrogateescape"), ()):
                            waiting.tell()
            finally:
                self._subscribed.clear()

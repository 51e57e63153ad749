"""A TCP proxy that does what networks do: it refuses, swallows, delays, cuts, and loses answers.

    with FaultProxy(server.port) as proxy:
        proxy.black_hole()
        proxy.pass_through()

It runs in a thread of its own; every control may be called from any thread and has taken effect when it returns.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")

HOST = "127.0.0.1"
CHUNK = 65_536
PATIENCE_SECONDS = 30.0
"""For the proxy's own thread to do what it is told; reaching it is a failure."""


@dataclass(eq=False)
class _Link:
    """One client's connection, and ours to the server."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    deaf: bool = False  # an answer was lost; what comes after it would be taken for it
    stranded: bool = False  # nothing passes any more, either way
    pumps: list[asyncio.Task[None]] = field(default_factory=list)

    def cut(self) -> None:
        """Reset both sides."""
        for writer in (self.client, self.server):
            if writer is not None:
                writer.transport.abort()


class FaultProxy:
    """Listens on `port` and forwards to a port of the loopback address."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._listener: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._open = asyncio.Event()
        self._delay_s = 0.0
        self._dropping = False
        self._lost = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._pass_through())
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_SECONDS)
        self._loop.close()

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    @property
    def answers_lost(self) -> int:
        """Pieces of answers that were dropped so far."""
        return self._lost

    @property
    def connections(self) -> int:
        """Connections of clients just now."""
        return len(self._links)

    def pass_through(self) -> None:
        """Forward everything, at once. What a black hole held back arrives; a connection that lost an answer is cut."""
        self._call(self._pass_through())

    def refuse(self) -> None:
        """Cut every connection, and refuse new ones."""
        self._call(self._refuse())

    def black_hole(self) -> None:
        """Accept connections, keep those there are, and forward nothing either way."""
        self._call(self._black_hole())

    def delay(self, seconds: float) -> None:
        """Forward every piece so much later, both ways."""
        self._call(self._delay(seconds))

    def drop_answers(self) -> None:
        """Forward what clients send; swallow what the server says. Such a connection never speaks again."""
        self._call(self._drop_answers())

    def cut(self) -> None:
        """Reset every connection there is; new ones are served as before."""
        self._call(self._cut())

    def strand(self) -> None:
        """Go silent for good on every connection there is, as a middlebox that forgot them; new ones are served."""
        self._call(self._strand())

    def _call(self, control: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(control, self._loop).result(PATIENCE_SECONDS)

    async def _pass_through(self) -> None:
        self._delay_s = 0.0
        self._dropping = False
        for link in self._links:
            if link.deaf:
                link.cut()
        self._open.set()
        if self._listener is None:
            self._listener = await asyncio.start_server(self._serve, HOST, self.port)
            self.port = self._listener.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        await self._cut()

    async def _black_hole(self) -> None:
        await self._pass_through()
        self._open.clear()

    async def _delay(self, seconds: float) -> None:
        await self._pass_through()
        self._delay_s = seconds

    async def _drop_answers(self) -> None:
        await self._pass_through()
        self._dropping = True

    async def _strand(self) -> None:
        for link in self._links:
            link.stranded = True

    async def _cut(self) -> None:
        links = list(self._links)
        for link in links:
            link.cut()
        pumps = [pump for link in links for pump in link.pumps]
        for pump in pumps:
            pump.cancel()
        if pumps:
            await asyncio.wait(pumps)

    async def _close(self) -> None:
        await self._refuse()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(writer)
        self._links.add(link)
        try:
            server_reader, link.server = await asyncio.open_connection(HOST, self._target)
            link.pumps = [
                asyncio.create_task(self._pump(link, reader, link.server, answers=False)),
                asyncio.create_task(self._pump(link, server_reader, writer, answers=True)),
            ]
            await asyncio.wait(link.pumps, return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            return  # the server is gone, and so is the connection
        finally:
            link.cut()
            for pump in link.pumps:
                pump.cancel()
            self._links.discard(link)

    async def _pump(
        self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        try:
            while piece := await reader.read(CHUNK):
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                await self._open.wait()
                if link.stranded:
                    continue
                if answers and (self._dropping or link.deaf):
                    link.deaf = True
                    self._lost += 1
                    continue
                writer.write(piece)
                await writer.drain()
            await self._open.wait()  # that one side hung up is no news either in a black hole
        except OSError:
            return  # cut, by us or by one of the sides

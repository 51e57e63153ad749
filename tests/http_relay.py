"""An HTTP/1.1 proxy before a server of the loopback address, to build services on that differ from it.

    class Strict(HttpRelay):
        async def answer(self, request: Request) -> Answer | None: ...   # None: ask the server

It runs in a thread of its own. Bodies stream; whoever must see one whole calls `Request.read`. What a client sends is
passed on byte by byte, with its own Host, so that signatures stay valid.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import parse_qsl, urlsplit
from xml.sax.saxutils import escape

T = TypeVar("T")

HOST = "127.0.0.1"
PIECE = 65_536
HEAD_MOST = 65_536
PATIENCE_SECONDS = 30.0
"""For the relay's own thread to do what it is told; reaching it is a failure."""

_NO_BODY = {204, 304}


class CutError(Exception):
    """Raised by `answer`, or while a body passes: the connection is reset."""


@dataclass(eq=False)
class Request:
    method: str
    target: str  # path and query as they were sent
    headers: list[tuple[str, str]]
    _reader: asyncio.StreamReader
    answer_length: int | None = field(default=None, init=False)  # bytes, once the server has said so
    _read: bytes | None = field(default=None, init=False)

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def length(self) -> int:
        """Bytes of its body, where it says so at the beginning."""
        return int(self.header("content-length") or 0)

    @property
    def operation(self) -> str:
        """What S3 calls this, as far as FlowScale uses it."""
        query, has_key = self.query, len(self.path.strip("/").split("/")) > 1
        kinds = {
            "PUT": "UploadPart" if "partNumber" in query else "PutObject",
            "POST": "CreateMultipartUpload" if "uploads" in query else "CompleteMultipartUpload",
            "DELETE": "AbortMultipartUpload" if "uploadId" in query else "DeleteObject",
            "HEAD": "HeadObject",
            "GET": "ListParts" if "uploadId" in query else "GetObject",
        }
        if not has_key:
            return "ListMultipartUploads" if "uploads" in query else f"{self.method.title()}Bucket"
        return kinds.get(self.method, self.method)

    async def read(self) -> bytes:
        """The whole body, as it was sent; it can still be passed on."""
        if self._read is None:
            self._read = b"".join([piece async for piece in self._pieces()])
        return self._read

    async def body(self) -> AsyncIterator[bytes]:
        """The body as it was sent, in pieces. To be taken once."""
        if self._read is not None:
            yield self._read
            return
        async for piece in self._pieces():
            yield piece

    async def _pieces(self) -> AsyncIterator[bytes]:
        if (self.header("transfer-encoding") or "").lower() == "chunked":
            while True:
                line = await self._reader.readline()
                yield line
                size = int(line.split(b";")[0], 16)
                if size == 0:
                    break
                yield await self._reader.readexactly(size + 2)
            while True:
                line = await self._reader.readline()
                yield line
                if line in (b"\r\n", b""):
                    return
        left = self.length
        while left:
            piece = await self._reader.read(min(PIECE, left))
            if not piece:
                raise CutError("the client went away")
            left -= len(piece)
            yield piece


@dataclass(frozen=True, slots=True)
class Answer:
    """An error in the words of S3."""

    status: int
    code: str
    message: str

    def encoded(self, method: str) -> bytes:
        body = f"<Error><Code>{escape(self.code)}</Code><Message>{escape(self.message)}</Message></Error>".encode()
        phrase = HTTPStatus(self.status).phrase
        head = (
            f"HTTP/1.1 {self.status} {phrase}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + (b"" if method == "HEAD" else body)


class HttpRelay:
    """Listens on `port`, by HTTPS if `tls` is given, and forwards to a port of the loopback address by HTTP."""

    def __init__(self, target: int, tls: ssl.SSLContext | None = None) -> None:
        self.port = 0
        self._tls = tls
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="http-relay", daemon=True)
        self._listener: asyncio.Server | None = None
        self._links: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self.call(self._listen())
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_SECONDS)
        self._loop.close()

    async def answer(self, request: Request) -> Answer | None:
        """An answer in the server's stead; None asks the server. May change the request, and raise CutError."""
        return None

    async def sent(self, request: Request, piece: bytes) -> None:
        """Before a piece of the request's body goes to the server."""

    async def got(self, request: Request, status: int, piece: bytes) -> None:
        """Before a piece of the server's answer goes to the client."""

    def call(self, control: Coroutine[Any, Any, T]) -> T:
        """Run it in the relay's thread, and wait for its end."""
        return asyncio.run_coroutine_threadsafe(control, self._loop).result(PATIENCE_SECONDS)

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(self._serve, HOST, self.port, limit=HEAD_MOST, ssl=self._tls)
            self.port = self._listener.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for writer in list(self._links):
            writer.transport.abort()

    async def _close(self) -> None:
        await self._refuse()
        serving = list(self._serving)
        if serving:
            await asyncio.wait(serving)  # each ends by the reset of its connection

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._links.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        try:
            while await self._exchange(reader, writer):
                pass
        except (CutError, OSError, asyncio.IncompleteReadError):
            return  # the reset is what this connection is to see
        finally:
            self._links.discard(writer)
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether there may be another."""
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, target, _version = first.split(" ")
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        request = Request(method, target, headers, reader)
        if request.header("expect"):
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        refusal = await self.answer(request)
        if refusal is None:
            return await self._forward(request, writer)
        async for _ in request.body():
            pass  # a client that is still sending would not read the answer
        writer.write(refusal.encoded(method))
        await writer.drain()
        return True

    async def _forward(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        server_reader, server = await asyncio.open_connection(HOST, self._target, limit=HEAD_MOST)
        self._links.add(server)
        try:
            kept = [(name, value) for name, value in request.headers if name.lower() not in ("expect", "connection")]
            lines = [f"{name}: {value}" for name, value in [*kept, ("Connection", "close")]]
            server.write("\r\n".join([f"{request.method} {request.target} HTTP/1.1", *lines, "", ""]).encode("latin-1"))
            sending = asyncio.create_task(self._send(request, server))
            try:
                reusable = await self._receive(request, server_reader, writer)
            except BaseException:
                sending.cancel()
                with suppress(asyncio.CancelledError):
                    await sending
                raise
            server.transport.abort()
            await sending
            return reusable
        finally:
            self._links.discard(server)
            server.transport.abort()

    async def _send(self, request: Request, server: asyncio.StreamWriter) -> None:
        try:
            async for piece in request.body():
                await self.sent(request, piece)
                with suppress(ConnectionError):  # answered early: the client reads that once it has sent the rest
                    server.write(piece)
                    await server.drain()
        except BaseException:
            server.transport.abort()
            raise

    async def _receive(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        status = int(first.split(" ")[1])
        kept = [line for line in lines if not line.lower().startswith(("connection:", "keep-alive:"))]
        said = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in kept)}
        if "content-length" in said:
            request.answer_length = int(said["content-length"])
        bodiless = request.method == "HEAD" or status in _NO_BODY
        framed = bodiless or "content-length" in said or "transfer-encoding" in said
        if not framed:
            kept.append("Connection: close")
        await self.got(request, status, b"")
        writer.write("\r\n".join([first, *kept, "", ""]).encode("latin-1"))
        while piece := await reader.read(PIECE):
            await self.got(request, status, piece)
            writer.write(piece)
            await writer.drain()
        await writer.drain()
        return framed

"""Reading request bodies: bounded in size, and in how long a silent or dripping client is waited for.

A declared length over the limit is refused before a byte is read; a body without one is counted as it comes.
The request's connection is closed after a refusal (lingering.py), so that the rest is never taken in.

Only time in which the client was to send counts: while a piece is stored, the next is not asked for. No body is
judged by its rate before it has been waited for as long as a rate is measured over (guards.Limits).
"""

from __future__ import annotations

import asyncio

from fastapi import Request
from starlette.types import Message

from flowscale.errors import FileTooLarge, UploadError
from flowscale.validation import RequestModel, parse
from flowscale_api.wire.guards import Guards, Reason, guards_of
from flowscale_api.wire.pace import Pace


class Body:
    """A request's body as a stream. `limit` in bytes; `refusal` is what a client over it is told."""

    def __init__(self, request: Request, limit: int, refusal: str) -> None:
        """Raises FileTooLarge when the declared length is over the limit."""
        self._receive = request.receive
        self._limit = limit
        self._refusal = refusal
        self._guards = guards_of(request.scope) or Guards()
        self._limits = self._guards.limits
        self._pace = Pace(self._limits.window_s)
        self._received = 0
        self._ended = False
        if int(request.headers.get("content-length", 0)) > limit:
            raise FileTooLarge(refusal)

    async def read(self) -> bytes:
        """The next bytes, b"" at the end. Raises FileTooLarge; UploadError when the client went away or is late."""
        silent = 0.0
        while not self._ended:
            message, waited = await self._wait(min(self._limits.body_silence_s - silent, self._pace.next_look()))
            if message is not None and message["type"] == "http.disconnect":
                raise UploadError("The connection was closed before the body was complete; send it again.")
            data = b"" if message is None else bytes(message.get("body", b""))
            self._ended = message is not None and not message.get("more_body", False)
            self._received += len(data)
            if self._received > self._limit:
                raise FileTooLarge(self._refusal)
            self._pace.add(len(data), waited)
            silent += waited
            if not self._ended:
                self._judge(0.0 if data else silent)
            if data:
                return data
        return b""

    async def _wait(self, seconds: float) -> tuple[Message | None, float]:
        """The next message, None when none came in time; and how long it took."""
        clock = asyncio.get_running_loop().time
        asked = clock()
        message: Message | None = None
        try:
            async with asyncio.timeout(seconds):
                message = await self._receive()
        except TimeoutError:
            return None, clock() - asked  # whether that is too late, the caller judges
        return message, clock() - asked

    def _judge(self, silent: float) -> None:
        limits = self._limits
        if silent >= limits.body_silence_s:
            self._guards.count(Reason.BODY_SILENT)
            raise UploadError(f"Nothing of the body came for {limits.body_silence_s:g} s; send it again.")
        if self._pace.below(limits.slowest_body):
            self._guards.count(Reason.BODY_SLOW)
            raise UploadError(
                f"The body came more slowly than {limits.slowest_body} bytes a second over {limits.window_s:g} s; "
                "send it again over a faster connection."
            )


async def read_json(request: Request, model: type[RequestModel], limit: int) -> RequestModel:
    """The JSON body as `model`. Raises FileTooLarge over `limit` bytes, InvalidOptions, UploadError."""
    body = Body(request, limit, f"The request body has more than {limit} bytes, the most a request may have.")
    pieces = []
    while piece := await body.read():
        pieces.append(piece)
    return parse(model, b"".join(pieces))

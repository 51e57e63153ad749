"""Reading request bodies: bounded in size, and in how long a silent or dripping client is waited for.

A declared length over the limit is refused before a byte is read; a body without one is counted as it comes.
The request's connection is closed after a refusal (lingering.py), so that the rest is never taken in.
"""

from __future__ import annotations

import asyncio

from fastapi import Request
from starlette.types import Message

from flowscale.errors import FileTooLarge, UploadError
from flowscale.validation import RequestModel, parse

SILENCE_SECONDS = 60.0
"""How long the next bytes of a body may take; the server itself would wait for ever."""

SLOWEST = 1024
"""Bytes a second that a body must come at, in the mean, once it has been waited for as long as for silence."""


class Body:
    """A request's body as a stream. `limit` in bytes; `refusal` is what a client over it is told."""

    def __init__(self, request: Request, limit: int, refusal: str, *, silence_s: float = SILENCE_SECONDS) -> None:
        """Raises FileTooLarge when the declared length is over the limit."""
        self._receive = request.receive
        self._limit = limit
        self._refusal = refusal
        self._silence_s = silence_s
        self._received = 0
        self._waited = 0.0  # seconds in which the client was to send; our own work does not count
        self._ended = False
        if int(request.headers.get("content-length", 0)) > limit:
            raise FileTooLarge(refusal)

    async def read(self) -> bytes:
        """The next bytes, b"" at the end. Raises FileTooLarge; UploadError when the client went away or silent."""
        while not self._ended:
            message = await self._next_message()
            if message["type"] == "http.disconnect":
                raise UploadError("The connection was closed before the body was complete; send it again.")
            self._ended = not message.get("more_body", False)
            if data := message.get("body", b""):
                self._received += len(data)
                if self._received > self._limit:
                    raise FileTooLarge(self._refusal)
                return bytes(data)
        return b""

    async def _next_message(self) -> Message:
        clock = asyncio.get_running_loop().time
        asked = clock()
        try:
            async with asyncio.timeout(self._silence_s):
                message = await self._receive()
        except TimeoutError as error:
            raise UploadError(f"Nothing of the body came for {self._silence_s:g} s; send it again.") from error
        self._waited += clock() - asked
        if self._waited > self._silence_s and self._received < self._waited * SLOWEST:
            raise UploadError(f"The body came more slowly than {SLOWEST} bytes a second; send it again.")
        return message


async def read_json(request: Request, model: type[RequestModel], limit: int) -> RequestModel:
    """The JSON body as `model`. Raises FileTooLarge over `limit` bytes, InvalidOptions, UploadError."""
    body = Body(request, limit, f"The request body has more than {limit} bytes, the most a request may have.")
    pieces = []
    while piece := await body.read():
        pieces.append(piece)
    return parse(model, b"".join(pieces))

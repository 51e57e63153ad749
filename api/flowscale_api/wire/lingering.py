"""Answering a client that is still sending.

An answer given before the body was read (413, 404, 503) ends the connection: the rest of the body is of no
use. But closing at once resets it, and the client, busy writing, may never see the answer. So the answer goes
out whole, then what still comes is thrown away for a moment, and only then is the connection closed.
"""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LINGER_SECONDS = 5.0
"""How long an answered client may go on sending; enough to notice the answer, little enough to be no burden."""


class LingeringClose:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _announces_body(scope):
            await self._app(scope, receive, send)
            return
        unread = True
        closing = False

        async def watched_receive() -> Message:
            nonlocal unread
            message = await receive()
            unread = message["type"] == "http.request" and message.get("more_body", False)
            return message

        async def watched_send(message: Message) -> None:
            nonlocal closing
            if message["type"] == "http.response.start" and unread:
                closing = True
                MutableHeaders(scope=message)["Connection"] = "close"
            if message["type"] != "http.response.body" or message.get("more_body", False) or not closing:
                await send(message)
                return
            await send({**message, "more_body": True})
            await throw_away()
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        async def throw_away() -> None:
            try:
                async with asyncio.timeout(LINGER_SECONDS):
                    while unread:
                        await watched_receive()
            except TimeoutError:
                return  # it had its time

        await self._app(scope, watched_receive, watched_send)


def _announces_body(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"

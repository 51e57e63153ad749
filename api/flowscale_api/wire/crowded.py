"""What a guest gets: a connection for which a full gateway has no place, only ear for one request.

Its head is read before it is answered, since few clients take an answer to what they have not asked; and so probes are
told apart, which must be answered all the same: a gateway that is full is neither dead (/livez) nor unable (/readyz),
to restart it or to send its share to the next would spread the fault, and /metrics says what is going on.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flowscale_api.problems import problem
from flowscale_api.wire.envelope import QUIET, REQUEST_ID
from flowscale_api.wire.guards import full
from flowscale_api.wire.lingering import LingeringClose


class Crowded:
    """In place of the application for one request. `refused` is called for one that is answered 503."""

    def __init__(self, app: ASGIApp, refused: Callable[[], None]) -> None:
        self._app = app
        self._refused = refused
        self._refusal = LingeringClose(_refuse)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def closing_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        if scope["path"] in QUIET and scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, closing_send)
            return
        self._refused()
        await self._refusal(scope, receive, closing_send)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    headers = {REQUEST_ID: uuid4().hex, "X-Content-Type-Options": "nosniff"}
    await problem(full(), headers)(scope, receive, send)

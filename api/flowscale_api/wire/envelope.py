"""What every request gets, whatever happens inside: an id, one log line, safe headers, and an answer.

Plain ASGI, so that a streamed body passes through untouched.
"""

from __future__ import annotations

import re
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flowscale import logs, tracing
from flowscale.clocks import Clock
from flowscale.names import is_job_id
from flowscale_api.problems import internal

REQUEST_ID = "X-Request-Id"

QUIET = {"/livez", "/readyz", "/metrics"}
"""Asked every few seconds by machines: logged at debug level while all is well."""

_FINE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_log = logs.get("gateway")


class Envelope:
    def __init__(self, app: ASGIApp, clock: Clock) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = given if _FINE_ID.match(given) else uuid4().hex
        started = self._clock.monotonic()
        status = 0  # stays so when the client went away before it was answered

        async def marked_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = request_id
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        scope.setdefault("state", {})["request_id"] = request_id
        tracing.note({"flowscale.request.id": request_id})
        with logs.bind(request_id=request_id):
            try:
                await self._app(scope, receive, marked_send)
            finally:
                self._log_request(scope, status, self._clock.monotonic() - started)

    def _log_request(self, scope: Scope, status: int, seconds: float) -> None:
        say = _log.debug if scope["path"] in QUIET and status < 400 else _log.info
        # The raw path is still percent-encoded: no client can write a line of its own into the log.
        path = scope.get("raw_path", b"").decode("ascii", "replace")[:300]
        say(
            "http.request",
            f"{scope['method']} {path} {status}",
            method=scope["method"],
            path=path,
            status=status,
            ms=round(seconds * 1000, 1),
            **_job_of(scope),
            **_fault_of(scope),
        )


def _job_of(scope: Scope) -> dict[str, str]:
    """The job that the request made, or asked for."""
    job_id = scope["state"].get("job_id") or scope.get("path_params", {}).get("job_id", "")
    return {"job_id": job_id} if is_job_id(job_id) else {}


def _fault_of(scope: Scope) -> dict[str, str]:
    """What a stranger who met it was not told."""
    fault = scope["state"].get("fault")
    return {"fault": fault} if fault else {}


class LastResort:
    """Answers what no handler foresaw with 500 INTERNAL, and logs the traceback under the request's id."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answered = False

        async def watched_send(message: Message) -> None:
            nonlocal answered
            answered = answered or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        except Exception as error:  # the one place that catches all: behind it there is only the socket
            _log.exception("http.failed", "The request met a bug, or an answer broke off", error)
            if answered:
                raise  # the server closes the connection: the client must not take half an answer for a whole one
            await internal(Request(scope))(scope, receive, send)

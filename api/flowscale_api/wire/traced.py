"""A span for each request, by OpenTelemetry's conventions for HTTP servers (docs/tracing.md). Outermost of all, so that
every line of the log belongs to it.

A stream of events is answered by its head, and so is its span: the rest lasts as long as somebody watches. What has
nothing to do with renders has none: probes, figures, pages and their files, and all that the page of the queue asks to
show how it stands. A query and the headers are never told: both may hold what gives access.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flowscale import tracing
from flowscale_api.access.gate import SAFE_METHODS
from flowscale_api.wire.envelope import QUIET

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"}
"""The methods that the conventions know; any other is `_OTHER`, lest a client name spans."""

_APART = QUIET | {"/", "/api/health", "/api/admin/session", "/openapi.json", "/docs", "/admin", "/favicon.ico"}
_FOLDERS_APART = ("/admin/", "/assets/")
_LOOKED_AT = "/api/admin/"
"""Below it, what only looks has no span; what steers a job has."""

_STREAM = "text/event-stream"


class Traced:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_apart(scope):
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        shown = method if method in METHODS else "HTTP"
        span = tracing.request(scope["headers"], shown, _attributes(scope, method))
        with span as ended:
            await self._app(scope, receive, _telling(scope, send, shown, ended))


def _is_apart(scope: Scope) -> bool:
    """Whether the request has nothing to do with renders."""
    path: str = scope["path"]
    if path.startswith(_LOOKED_AT) and scope["method"] in SAFE_METHODS:
        return True
    return path in _APART or path.startswith(_FOLDERS_APART)


def _telling(scope: Scope, send: Send, shown: str, end: tracing.End) -> Send:
    async def told_send(message: Message) -> None:
        if message["type"] == "http.response.start":
            status = message["status"]
            facts: dict[str, tracing.Value] = {"http.response.status_code": status}
            # The router says in the scope which route it chose: its template, never what stood in the path.
            if route := getattr(scope.get("route"), "path", None):
                facts["http.route"] = route
                tracing.rename(f"{shown} {route}")
            tracing.note(facts)
            if status >= 500:
                tracing.fail(str(status))
            if Headers(raw=message["headers"]).get("content-type", "").startswith(_STREAM):
                end()
        await send(message)

    return told_send


def _attributes(scope: Scope, method: str) -> dict[str, tracing.Value]:
    found: dict[str, tracing.Value] = {
        "http.request.method": method,
        "url.scheme": scope["scheme"],
        "url.path": scope.get("raw_path", b"").decode("ascii", "replace")[:300],
        "network.protocol.version": scope["http_version"],
    }
    host, _, port = Headers(scope=scope).get("host", "").rpartition(":")
    if host and port.isascii() and port.isdigit():
        found |= {"server.address": host[:255], "server.port": int(port[:5])}
    if agent := Headers(scope=scope).get("user-agent"):
        found["user_agent.original"] = agent[:200]
    return found

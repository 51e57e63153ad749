"""The Kubernetes API, as much of it as the operator uses: JSON in, JSON out, a deadline for each call.

kopf's credentials over one aiohttp session; no client library (ADR 0011). A call is never repeated here: what to do
about an answer that was lost is the caller's to know. When the server asks for a pause (429 or 503 with Retry-After),
nothing more is sent until it is over.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypeAlias

import aiohttp
import kopf

from flowscale.clocks import Clock
from flowscale_operator.api_errors import ApiUnavailable, answer_error
from flowscale_operator.credentials import headers

Object: TypeAlias = dict[str, Any]
"""A Kubernetes object, as JSON."""

CALL_SECONDS = 5.0
"""For one call from its first byte to its last; a patch that must not arrive late has less."""

CONNECT_SECONDS = 3.0

UNACKNOWLEDGED_MS = 3_000
"""What the server's machine has not acknowledged by then is given up by the kernel, also after the socket was closed:
without it, a request could still arrive when a network that was cut for a while is whole again."""

MAX_PAUSE_SECONDS = 30.0
"""The longest pause that a server is granted: an answer made by a proxy may ask for hours."""

LOGIN_SECONDS = 60.0
"""How long a token is used before it is read anew."""

WATCH_SECONDS = 120
"""After which the server ends a watch."""

WATCH_SILENCE_SECONDS = 150.0
"""A watch that says nothing for longer than the server lets it last is dead."""

MERGE = "application/merge-patch+json"

STRATEGIC = "application/strategic-merge-patch+json"
"""Lists of objects are merged by the key of their kind: conditions by their type."""


class ApiClient:
    """For one event loop. `log_in` gives the connection; `told` hears of each answer: method, what kind, status.
    `agent` is by what name the server's audit knows the caller."""

    def __init__(
        self,
        log_in: Callable[[], kopf.ConnectionInfo],
        clock: Clock,
        told: Callable[[str, str, int], None] = lambda method, kind, status: None,
        agent: str = "flowscale-operator",
    ) -> None:
        self._log_in = log_in
        self._clock = clock
        self._told = told
        self._agent = agent
        self._session: aiohttp.ClientSession | None = None
        self._connection: kopf.ConnectionInfo | None = None
        self._logged_in_at = 0.0
        self._not_before = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def get(self, path: str, params: Mapping[str, str] | None = None, *, seconds: float = CALL_SECONDS) -> Object:
        """Raises ApiError."""
        return await self._call("GET", path, params=params, seconds=seconds)

    async def create(self, path: str, body: Object, *, seconds: float = CALL_SECONDS) -> Object:
        """Raises ApiError; Conflict when it exists."""
        return await self._call("POST", path, body=body, seconds=seconds)

    async def patch(self, path: str, body: Object, *, how: str = MERGE, seconds: float = CALL_SECONDS) -> Object:
        """A patch of the kind `how`. With `metadata.resourceVersion` in it, Conflict unless that is the present one.

        Raises ApiError. ApiUnavailable with `carried_out` None leaves open whether it was carried out, or still will
        be, within `seconds`.
        """
        return await self._call("PATCH", path, body=body, content_type=how, seconds=seconds)

    async def watch(self, path: str, params: Mapping[str, str]) -> AsyncIterator[Object]:
        """Events, until the server ends the watch, which is no error. Raises ApiError; Expired."""
        query = {**params, "watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(WATCH_SECONDS)}
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS, sock_read=WATCH_SILENCE_SECONDS)
        session, address = await self._open()
        try:
            async with session.get(address + path, params=query, timeout=timeout) as answer:
                self._told("WATCH", _kind(path), answer.status)
                if answer.status >= 400:
                    raise answer_error(answer.status, "WATCH", path, await self._message(answer))
                async for line in _lines(answer):
                    event: Object = json.loads(line)
                    if event.get("type") == "ERROR":
                        fault = event.get("object", {})
                        raise answer_error(int(fault.get("code", 500)), "WATCH", path, str(fault.get("message")))
                    yield event
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ApiUnavailable(f"The watch of {path} broke: {_describe(error)}") from error

    async def _call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
        seconds: float = CALL_SECONDS,
    ) -> Object:
        session, address = await self._open()
        data = None if body is None else json.dumps(body).encode()
        timeout = aiohttp.ClientTimeout(total=seconds, connect=CONNECT_SECONDS)
        options = {"Content-Type": content_type} if data is not None else {}
        sent = False
        try:
            async with session.request(
                method, address + path, params=params, data=data, headers=options, timeout=timeout
            ) as answer:
                sent = True
                self._told(method, _kind(path), answer.status)
                if answer.status == 401:
                    self._logged_in_at = float("-inf")
                if answer.status >= 400:
                    self._pause(answer)
                    raise answer_error(answer.status, method, path, await self._message(answer))
                found: Object = await answer.json()
                return found
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            self._told(method, _kind(path), 0)
            raise ApiUnavailable(f"{method} {path}: {_describe(error)}", carried_out=False) from error
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            if not sent:
                self._told(method, _kind(path), 0)
            raise ApiUnavailable(f"{method} {path}: {_describe(error)}") from error

    async def _open(self) -> tuple[aiohttp.ClientSession, str]:
        now = self._clock.monotonic()
        if now < self._not_before:
            raise ApiUnavailable("The API server asked for a pause, which is not over", 429, carried_out=False)
        if self._connection is None or self._session is None or now - self._logged_in_at > LOGIN_SECONDS:
            connection = await asyncio.to_thread(self._log_in)
            self._logged_in_at = now
            if connection != self._connection or self._session is None:
                old = self._session
                self._connection = connection
                self._session = aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(
                        limit=0, ssl=connection.as_ssl_context(), keepalive_timeout=60, socket_factory=_socket
                    ),
                    headers={**headers(connection), "Accept": "application/json", "User-Agent": self._agent},
                    proxy=connection.proxy_url,
                    trust_env=connection.trust_env,
                )
                if old is not None:
                    await old.close()
        return self._session, self._connection.server.rstrip("/")

    def _pause(self, answer: aiohttp.ClientResponse) -> None:
        if answer.status not in (429, 503):
            return
        asked = answer.headers.get("Retry-After", "")
        seconds = min(float(asked), MAX_PAUSE_SECONDS) if asked.isdecimal() else 0.0
        self._not_before = max(self._not_before, self._clock.monotonic() + seconds)

    @staticmethod
    async def _message(answer: aiohttp.ClientResponse) -> str:
        text = (await answer.text(errors="replace"))[:2000]
        try:
            return str(json.loads(text).get("message", text))
        except (ValueError, AttributeError):
            return text


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
    return made


async def _lines(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Lines of any length: an event may be larger than the library's own limit for one."""
    rest = b""
    async for chunk in answer.content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line.strip():
                yield line


def _kind(path: str) -> str:
    """`pods`, `deployments/scale`: what a path speaks of, for metrics."""
    parts = path.strip("/").split("/")
    after = parts[parts.index("namespaces") + 2 :] if "namespaces" in parts else parts[-1:]
    return "/".join([after[0], *after[2:3]]) if after else "namespaces"


def _describe(error: BaseException) -> str:
    return str(error) or type(error).__name__

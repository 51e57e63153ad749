"""How the queue's server is reached: by gateways, who must answer their clients, and by workers, who have patience.

    gateway   asyncio; every call ends within GATEWAY_SECONDS, whatever the server or the network does
    worker    threads; each call is short, and waiting for minutes is the caller's own loop

Both come back by themselves: a connection that broke, or that was idle and does not answer a PING, is replaced by a
fresh one and the call made once more. **So whatever is sent may be carried out twice.** A call that merely took too
long is not repeated. With sentinels, each fresh connection asks them for the master; a server that answers READONLY is
left for the one they (or the host's name) now lead to.

RESP2, not RESP3: it needs no HELLO, which proxies and ACLs may forbid; a script's answer arrives in the shape the
script gave it; and the library's maintenance notices, which RESP3 turns on and which stretch time-outs, stay off.
CLIENT serves the connection's name alone, and a server that forbids it is used without.
"""

# The library is typed in part.
# mypy: allow-untyped-calls

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import redis
from redis import asyncio as aio
from redis import sentinel
from redis.asyncio import sentinel as aio_sentinel
from redis.asyncio.client import Pipeline as AioPipeline
from redis.asyncio.retry import Retry as AioRetry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Broken
from redis.exceptions import ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as TooSlow
from redis.retry import Retry

from flowscale.queues.redis.faults import Demoted, as_fault
from flowscale.redis_address import RedisAddress
from flowscale.settings import RedisSettings

__all__ = ["as_fault", "describe", "gateway_client", "in_time", "worker_client"]

GATEWAY_SECONDS = 1.8
"""A call of the gateway ends before this, so that its client is told 503 within 2 s."""

GATEWAY_CALLS = 64
"""Calls of one gateway that are under way at once; more wait for their turn, within their own time."""

GATEWAY_TIMEOUT_SECONDS = 0.8
"""To connect, and for each answer: leaves time to replace a dead connection and be answered on the fresh one."""

WORKER_TIMEOUT_SECONDS = 3.0
"""Likewise of a worker: far above what a busy server takes, and a fraction of a lease (20 s)."""

SENTINEL_TIMEOUT_SECONDS = 0.3
"""To connect to a sentinel, and for its answer: two of three may be dead, and a gateway's call still succeeds."""

HEALTH_CHECK_SECONDS = 5
"""A connection idle for longer answers a PING before it is used: middleboxes cut silently."""

KEEPALIVE = {4: 10, 5: 5, 6: 3, 18: 25_000}
"""Linux's numbers: TCP_KEEPIDLE and -INTVL in s, -CNT, and TCP_USER_TIMEOUT in ms, which covers what was sent and not
acknowledged. A listener learns within 25 s that its connection was cut (by the kernel's defaults, in two hours)."""

UNLIMITED = 2**31
"""Connections in a pool. The library raises at its limit; gateways wait for turns, workers have few threads."""


def describe(settings: RedisSettings) -> str:
    """The address for logs and errors, without user and password."""
    address = settings.address
    scheme = ("rediss" if address.tls else "redis") + ("+sentinel" if address.service else "")
    hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in address.hosts)
    return f"{scheme}://{hosts}/{f'{address.service}/' if address.service else ''}{address.database}"


def gateway_client(settings: RedisSettings) -> aio.Redis:
    """For one event loop, in which it is closed (`aclose`). Connects when first used. Each command and pipeline ends
    within GATEWAY_SECONDS; several together do inside `in_time`. Raises redis.RedisError."""
    address = settings.address
    options = _options(settings, GATEWAY_TIMEOUT_SECONDS, AioRetry(NoBackoff(), 1, (Broken,)))
    sentinels = None
    if address.service:
        asked = _sentinel_options(settings, AioRetry(NoBackoff(), 1, (Broken,)))
        asked["redis_connect_func"] = _gateway_login(address)
        sentinels = aio_sentinel.Sentinel(address.hosts, sentinel_kwargs=asked)
    kind = _GatewayTlsConnection if address.tls else _GatewayConnection
    pool = aio.ConnectionPool(
        connection_class=kind, max_connections=UNLIMITED, sentinels=sentinels, service=address.service or "", **options
    )
    client = _GatewayClient(connection_pool=pool)
    client.auto_close_connection_pool = True
    client.sentinels = sentinels
    return client


def worker_client(settings: RedisSettings) -> redis.Redis:
    """For one process and all its threads; a forked child makes its own. Connects when first used. A blocking command
    must block for less than WORKER_TIMEOUT_SECONDS. Raises redis.RedisError."""
    address = settings.address
    options = _options(settings, WORKER_TIMEOUT_SECONDS, Retry(NoBackoff(), 1, (Broken,)))
    sentinels = None
    if address.service:
        asked = _sentinel_options(settings, Retry(NoBackoff(), 1, (Broken,)))
        asked["redis_connect_func"] = _worker_login(address)
        sentinels = sentinel.Sentinel(address.hosts, sentinel_kwargs=asked)
    kind = _WorkerTlsConnection if address.tls else _WorkerConnection
    pool = redis.ConnectionPool(
        connection_class=kind, max_connections=UNLIMITED, sentinels=sentinels, service=address.service or "", **options
    )
    client = _WorkerClient(connection_pool=pool)
    client.auto_close_connection_pool = True
    client.sentinels = sentinels
    return client


def _options(settings: RedisSettings, seconds: float, retry: AioRetry | Retry) -> dict[str, Any]:
    address = settings.address
    (host, port), *_ = address.hosts
    options = {
        "host": host,
        "port": port,
        "db": address.database,
        "username": address.username,
        "password": address.password.get_secret_value() if address.password else None,
        "socket_timeout": seconds,
        "socket_connect_timeout": seconds,
        "socket_keepalive_options": KEEPALIVE,
        "health_check_interval": HEALTH_CHECK_SECONDS,
        "retry": retry,
        "protocol": 2,
        "decode_responses": False,
        "driver_info": None,  # which would be told with CLIENT
    }
    if address.tls and settings.ca_file is not None:
        options["ssl_ca_certs"] = str(settings.ca_file)
    return options


def _sentinel_options(settings: RedisSettings, retry: AioRetry | Retry) -> dict[str, Any]:
    options = _options(settings, SENTINEL_TIMEOUT_SECONDS, retry)
    for name in ("host", "port", "db", "username", "password"):
        del options[name]
    return {**options, "ssl": settings.address.tls}


def _login(address: RedisAddress) -> list[str]:
    """What a sentinel is told first. The name `default` is not left out: with it, one that wants no password agrees to
    any. One that refuses is asked again without: it may know no such user and still answer everybody."""
    if address.password is None:
        return []
    return ["AUTH", address.username or "default", address.password.get_secret_value()]


# --- gateway ---


@asynccontextmanager
async def in_time(seconds: float = GATEWAY_SECONDS) -> AsyncIterator[None]:
    """Bounds several calls of a gateway together. Raises redis.TimeoutError when they have not ended by then."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise TooSlow(f"no answer within {seconds} s") from error


class _GatewayConnection(aio.Connection):
    """Asks where its server is before it connects, and is replaced when it proves dead."""

    def __init__(self, sentinels: aio_sentinel.Sentinel | None, service: str, **options: Any) -> None:
        super().__init__(redis_connect_func=_introduce_gateway, **options)
        self._sentinels = sentinels
        self._service = service

    async def _connect(self) -> None:
        if self._sentinels is not None:
            self.host, self.port = await self._sentinels.discover_master(self._service)
        await super()._connect()

    async def _send_ping(self) -> None:
        try:
            await super()._send_ping()
        except TooSlow as error:
            raise Broken("it did not answer PING") from error  # so that the retry makes a fresh one

    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)
        except ReadOnlyError as error:
            await self.disconnect(nowait=True)
            raise Demoted from error


class _GatewayTlsConnection(_GatewayConnection, aio.SSLConnection):
    pass


class _GatewayClient(aio.Redis):
    sentinels: aio_sentinel.Sentinel | None = None

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._turns = asyncio.Semaphore(GATEWAY_CALLS)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        async with in_time(), self._turns:
            return await super().execute_command(*args, **options)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> AioPipeline:
        pipeline = _GatewayPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        pipeline.turns = self._turns
        return pipeline

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await super().aclose(close_connection_pool)
        if self.sentinels is not None:
            await self.sentinels.aclose()


class _GatewayPipeline(AioPipeline):
    turns: asyncio.Semaphore

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        async with in_time(), self.turns:
            return await super().execute(raise_on_error)

    async def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        # It may be a part of `execute`, so it takes no turn of its own.
        async with in_time():
            return await super().immediate_execute_command(*args, **options)


async def _introduce_gateway(connection: aio.Connection) -> None:
    await connection.on_connect_check_health(check_health=False)
    try:
        await connection.send_command("CLIENT", "SETNAME", "flowscale-gateway", check_health=False)
        await connection.read_response()
    except ResponseError:
        return  # forbidden; the name is for people who look at the server


def _gateway_login(address: RedisAddress) -> Callable[[aio.Connection], Awaitable[None]]:
    words = _login(address)
    without: set[tuple[str, int]] = set()  # sentinels that want none, or another, which they say when they are asked

    async def log_in(connection: aio.Connection) -> None:
        await connection.on_connect_check_health(check_health=False)
        if words and (connection.host, connection.port) not in without:
            try:
                await connection.send_command(*words, check_health=False)
                await connection.read_response()
            except redis.AuthenticationError:
                without.add((connection.host, connection.port))
                raise  # and the retry goes on without

    return log_in


# --- worker ---


class _WorkerConnection(redis.Connection):
    """As _GatewayConnection."""

    def __init__(self, sentinels: sentinel.Sentinel | None, service: str, **options: Any) -> None:
        super().__init__(redis_connect_func=_introduce_worker, **options)
        self._sentinels = sentinels
        self._service = service

    def _connect(self) -> Any:
        if self._sentinels is not None:
            self.host, self.port = self._sentinels.discover_master(self._service)
        return super()._connect()

    def _send_ping(self) -> None:
        try:
            super()._send_ping()
        except TooSlow as error:
            raise Broken("it did not answer PING") from error  # as in the gateway

    def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return super().read_response(*args, **options)
        except ReadOnlyError as error:
            self.disconnect()
            raise Demoted from error


class _WorkerTlsConnection(_WorkerConnection, redis.SSLConnection):
    pass


class _WorkerClient(redis.Redis):
    sentinels: sentinel.Sentinel | None = None

    def close(self) -> None:
        super().close()
        if self.sentinels is not None:
            self.sentinels.close()


def _introduce_worker(connection: redis.Connection) -> None:
    connection.on_connect_check_health(check_health=False)
    try:
        connection.send_command("CLIENT", "SETNAME", "flowscale-worker", check_health=False)
        connection.read_response()
    except ResponseError:
        return  # as in the gateway


def _worker_login(address: RedisAddress) -> Callable[[redis.Connection], None]:
    words = _login(address)
    without: set[tuple[str, int]] = set()  # as in the gateway

    def log_in(connection: redis.Connection) -> None:
        connection.on_connect_check_health(check_health=False)
        if words and (connection.host, connection.port) not in without:
            try:
                connection.send_command(*words, check_health=False)
                connection.read_response()
            except redis.AuthenticationError:
                without.add((connection.host, connection.port))
                raise  # as in the gateway

    return log_in

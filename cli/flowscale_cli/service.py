"""`flowscale api`, `dev` and `demo`, composed: a gateway alone over Redis, or one with workers over memory."""

from __future__ import annotations

import errno
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Self

from flowscale import logs, tracing
from flowscale.clocks import SystemClock
from flowscale.errors import SettingsError, StorageRefused, StorageUnavailable
from flowscale.keys.base import AccessStore
from flowscale.queues.base import QueuePolicy
from flowscale.queues.memory import MemoryQueue
from flowscale.settings import GatewaySettings, Settings
from flowscale.storage.base import Storage
from flowscale.storage.opening import open_storage
from flowscale_cli.screen import errors

if TYPE_CHECKING:
    from fastapi import FastAPI

    from flowscale_api.deps import Gateway
    from flowscale_api.housekeeping import Housekeeping, Routine
    from flowscale_api.server import Server
    from flowscale_api.webhooks.courier import Courier

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_log = logs.get("service")


def run_service(*, page: bool, port: int | None) -> None:
    """Serve until SIGINT or SIGTERM. `page` adds the web page and logs for people. Raises SettingsError."""
    settings = Settings.load()
    if port is not None:
        settings = settings.model_copy(update={"gateway": settings.gateway.model_copy(update={"port": port})})
    logs.configure(settings.logs.level, "text" if page else settings.logs.format, secrets=settings.secrets())
    if settings.queue.mode == "redis":
        if page:
            raise SettingsError(
                "QUEUE_MODE: `dev` keeps its queue in memory; run `flowscale api` and `flowscale worker`"
            )
        traces = tracing.running(settings.tracing, "flowscale-gateway", SystemClock())
        with _SignalsHeard() as signals, traces, gateway_alone(settings) as server:
            signals.run(server)
        return
    if settings.gateway.auth == "keys" and settings.gateway.admin_key is None:
        raise SettingsError(
            "FLOWSCALE_AUTH: a queue in memory has no keys but FLOWSCALE_ADMIN_KEY, which is not set; "
            "set it, or QUEUE_MODE=redis"
        )
    _log.warning("queue.memory", "The queue is in memory: jobs are forgotten when this process ends")
    traces = tracing.running(settings.tracing, "flowscale", SystemClock())
    with _SignalsHeard() as signals, traces, one_process(settings, page=page) as server:
        if page:
            errors.print(f"\n  FlowScale is at {server.url}\n  Its queue is at {server.url}/admin/queues")
            errors.print(f"  Files are in {settings.storage.dir.absolute()}")
            errors.print("  Ctrl-C ends it, and forgets the jobs that wait or run.\n")
        signals.run(server)


class _SignalsHeard:
    """From the first moment to the last, SIGINT and SIGTERM only ask for the end: none cuts the start or it short."""

    def __init__(self) -> None:
        self._asked = False
        self._server: Server | None = None

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        # For good: the interpreter's own end would give them back their power to kill.
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def run(self, server: Server) -> None:
        """Serve until one comes. Once it serves, the server hears them itself; until then it is told."""
        self._server = server
        if not self._asked:
            server.run()

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True
        if self._server is not None:
            self._server.stop()


def _cannot_listen(error: OSError, gateway: GatewaySettings) -> SettingsError:
    address = f"{gateway.host}:{gateway.port}"
    if error.errno == errno.EADDRINUSE:
        return SettingsError(f"PORT: {address} is taken; choose another PORT or end what uses it")
    if error.errno == errno.EACCES:
        return SettingsError(f"PORT: {address} may not be listened on by this user; choose a PORT above 1023")
    return SettingsError(f"HOST: cannot listen on {address} ({error.strerror}); it must be an address of this machine")


def queue_policy(settings: Settings) -> QueuePolicy:
    """The queue's limits, the same for every process of one service."""
    return QueuePolicy(
        max_waiting=settings.queue.max_waiting, retention_ms=int(settings.queue.job_retention_seconds * 1000)
    )


@contextmanager
def gateway_alone(settings: Settings) -> Iterator[Server]:
    """A server that listens, over the Redis queue; others like it may run beside it. Raises SettingsError."""
    from flowscale.keys.redis import open_access_store
    from flowscale.queues.redis import open_job_queue
    from flowscale.uploads.redis import open_upload_ledger
    from flowscale_api.app import create_app
    from flowscale_api.housekeeping import TEND_SECONDS, Housekeeping, Routine

    clock = SystemClock()
    queue = open_job_queue(settings.redis, queue_policy(settings), clock)
    ledger = open_upload_ledger(settings.redis, _upload_expiry_ms(settings))
    access = open_access_store(settings.redis, clock)

    with _storage(settings) as storage:
        app = create_app(settings=settings, queue=queue, storage=storage, clock=clock, uploads=ledger, access=access)
        gateway: Gateway = app.state.gateway
        courier = _courier(gateway)

        async def close() -> None:
            await courier.close()
            await queue.close()
            await ledger.close()
            await access.close()

        routines = (
            Routine("queue", TEND_SECONDS, queue.tend),
            _file_keeping(gateway, access),
            _removals(gateway),
            courier.routine(),
        )
        yield _server(app, settings, Housekeeping(routines, gateway.readiness.readings, close))


@contextmanager
def one_process(settings: Settings, *, page: bool) -> Iterator[Server]:
    """A server that listens, with workers behind it. `run` or `start` it. Raises SettingsError for a taken port."""
    from flowscale.keys.memory import MemoryAccessStore
    from flowscale.uploads.memory import MemoryLedger
    from flowscale_api.app import create_app
    from flowscale_api.housekeeping import Housekeeping
    from flowscale_worker.supervisor import Supervisor

    clock = SystemClock()
    queue = MemoryQueue(queue_policy(settings), clock)
    with _storage(settings) as storage:
        ledger = MemoryLedger(clock, _upload_expiry_ms(settings))
        access = MemoryAccessStore(clock)
        app = create_app(
            settings=settings,
            queue=queue,
            storage=storage,
            clock=clock,
            uploads=ledger,
            access=access,
            page=page,
            trust_loopback=page,
        )
        gateway: Gateway = app.state.gateway
        courier = _courier(gateway)
        routines = (_file_keeping(gateway, access), _removals(gateway), courier.routine())
        server = _server(app, settings, Housekeeping(routines, close=courier.close))
        with Supervisor(settings, queue, storage, clock):
            yield server


def _upload_expiry_ms(settings: Settings) -> int:
    return int(settings.storage.upload_expiry_seconds * 1000)


def _file_keeping(gateway: Gateway, access: AccessStore) -> Routine:
    from flowscale_api.files.keeping import ROUND_SECONDS, FileKeeper
    from flowscale_api.housekeeping import Routine

    keeper = FileKeeper(gateway.queue, gateway.storage, gateway.files, gateway.clock, access)
    return Routine("storage", ROUND_SECONDS, keeper.round)


def _courier(gateway: Gateway) -> Courier:
    from flowscale_api.links import lasting_url
    from flowscale_api.webhooks.courier import Courier

    return Courier(gateway.queue, gateway.webhooks, partial(lasting_url, gateway), gateway.clock)


def _removals(gateway: Gateway) -> Routine:
    from flowscale_api.admin.removal import ROUND_SECONDS, Removals
    from flowscale_api.housekeeping import Routine

    return Routine("storage", ROUND_SECONDS, Removals(gateway.queue, gateway.storage).round)


@contextmanager
def _storage(settings: Settings) -> Iterator[Storage]:
    try:
        storage = open_storage(settings.storage)
        storage.check()  # of a folder, also sweeps what a killed process left half-written
    except StorageRefused as error:
        raise SettingsError(f"STORAGE_TYPE {settings.storage.type}: {error.message}") from error
    except StorageUnavailable as error:
        if settings.storage.type == "local":
            raise SettingsError(f"STORAGE_DIR: {error.message}") from error
        # It may come back; until then readiness says no.
        _log.warning("storage.unreachable", error.message)
    try:
        yield storage
    finally:
        storage.close()


def _server(app: FastAPI, settings: Settings, housekeeping: Housekeeping) -> Server:
    from flowscale_api.server import Server

    try:
        return Server(
            app,
            host=settings.gateway.host,
            port=settings.gateway.port,
            housekeeping=housekeeping,
            max_connections=settings.gateway.max_connections,
        )
    except OSError as error:
        raise _cannot_listen(error, settings.gateway) from error

"""The gateway's process: its socket, its signals, its end.

The socket is opened before anything else, so that a port that is taken is an error of the caller, and the
address is known (port 0 takes a free one). The server then runs where it is called (`run`, with SIGINT and
SIGTERM ending it) or in a thread beside the caller (`start`, `stop`).

Stopping: no new connections, streams of events end at once, requests under way have STOP_SECONDS to finish.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import uvicorn
from fastapi import FastAPI

from flowscale import logs
from flowscale_api.deps import Gateway
from flowscale_api.housekeeping import Housekeeping
from flowscale_api.wire.connections import Connection, GuardedConfig
from flowscale_api.wire.guards import MAX_CONNECTIONS, Guards, Limits

STOP_SECONDS = 20
"""How long requests under way may take to finish, well within Kubernetes' default grace of 30 s."""

IDLE_SECONDS = 75
"""How long a connection may stay open between requests: longer than proxies in front (60 s is usual) keep theirs,
so that it is never we who close one just as they send."""

BACKLOG = 2048
"""Connections that may wait to be accepted."""

DESCRIPTORS_APART = 256
"""What the process may open beside its connections and one file for each: queue, storage, log, libraries."""

_log = logs.get("gateway")


class Server:
    """A gateway that listens from here on: what comes before it runs waits, it does not fail.

    `max_connections` at once, for one more an idle one is closed, or it is answered 503 (guards.py).

    `url` is where this machine reaches it, `port` where it listens. Raises OSError when the address cannot be had.
    """

    def __init__(
        self,
        app: FastAPI,
        *,
        host: str,
        port: int,
        housekeeping: Housekeeping | None = None,
        max_connections: int = MAX_CONNECTIONS,
        limits: Limits | None = None,
    ) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=BACKLOG)
        gateway: Gateway = app.state.gateway
        self.guards = Guards(limits, max_connections)
        config = GuardedConfig(
            self.guards,
            app,
            http=Connection,
            loop="uvloop",
            ws="none",
            lifespan="off",
            log_config=None,  # lines go where flowscale.logs sends them
            log_level="warning",
            access_log=False,  # envelope.py logs requests
            server_header=False,
            proxy_headers=True,
            forwarded_allow_ips=list(gateway.settings.trusted_proxies),
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        self._uvicorn = _Uvicorn(config, gateway, housekeeping)
        _allow_descriptors(2 * max_connections + DESCRIPTORS_APART)
        address, self.port = self._socket.getsockname()[:2]
        everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not listened on
        reachable = everywhere.get(address, address)
        self.url = f"http://[{reachable}]:{self.port}" if ":" in reachable else f"http://{reachable}:{self.port}"
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def run(self) -> None:
        """Serve until SIGINT, SIGTERM or `stop`. Signals reach it in the main thread only."""
        _log.info("gateway.listening", f"The gateway listens on {self.url}", url=self.url)
        self._uvicorn.run(sockets=[self._socket])
        _log.info("gateway.stopped", "The gateway has stopped")

    def start(self) -> None:
        """Serve in a thread of its own."""
        self._thread = threading.Thread(target=self._run_in_thread, name="gateway", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End serving, as SIGTERM does, and wait for the end. Raises what ended a started server otherwise."""
        self._uvicorn.should_exit = True
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run_in_thread(self) -> None:
        try:
            self.run()
        except BaseException as error:  # noqa: BLE001 - kept for `stop`, which raises it in the caller's thread
            self._failure = error
            _log.exception("gateway.failed", "The gateway ended by a fault", error)


class _Uvicorn(uvicorn.Server):
    """Uvicorn, telling the gateway when it begins to stop, and returning from a signal instead of raising it again:
    the caller has a queue and a storage to close."""

    def __init__(self, config: GuardedConfig, gateway: Gateway, housekeeping: Housekeeping | None) -> None:
        super().__init__(config)
        self._guards = config.guards
        self._watch: asyncio.Task[None] | None = None
        self._gateway = gateway
        self._housekeeping = housekeeping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self._housekeeping is not None:
            self._housekeeping.start()
        self._watch = asyncio.get_running_loop().create_task(self._guards.watch())
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._gateway.stopping.set()
        await super().shutdown(sockets)
        if self._watch is not None:
            self._watch.cancel()
        if self._housekeeping is not None:
            await self._housekeeping.stop()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _allow_descriptors(wanted: int) -> None:
    """Many systems grant a process 1024 until it asks, which is less than this gateway's connections need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    granted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))
    if granted < wanted:
        _log.warning(
            "gateway.few_descriptors",
            f"The gateway may open {granted} files and connections at once, and may need {wanted}. "
            "Raise the limit (ulimit -n), or lower FLOWSCALE_MAX_CONNECTIONS",
            granted=granted,
            wanted=wanted,
        )

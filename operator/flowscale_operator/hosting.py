"""kopf, in a thread and a loop of its own, begun anew whenever it ends.

kopf watches WorkerScalers, and knows how to go on after every kind of broken watch but a few: an HTTP 410 in the wrong
place once ended it, and the process with it. Here its end costs a moment's deafness.

It writes nothing: no finalizers, no annotations, no events, no peering.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import kopf

from flowscale import logs
from flowscale_operator.credentials import log_in
from flowscale_operator.spec import GROUP, PLURAL, VERSION

AGAIN_SECONDS = 2.0

BEAT_SECONDS = 5.0

_log = logs.get("operator")

Touched = Callable[[str, int, bool], None]
"""Called with name, generation and whether it is gone; in the loop of whoever made the Host."""


class NothingKept(kopf.ProgressStorage, kopf.DiffBaseStorage):
    """kopf's memory of handlers that are to be retried and of objects as they were: there are none here."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None

    def purge(self, **_: Any) -> None:
        return None

    def touch(self, **_: Any) -> None:
        return None

    def clear(self, *, essence: Any) -> Any:
        return essence

    def build(self, **_: Any) -> Any:
        return {}


def settings_of_kopf(settings: kopf.OperatorSettings) -> kopf.OperatorSettings:
    """Each with its reason."""
    settings.posting.enabled = False  # our Events are deduplicated; kopf's are not
    settings.peering.standalone = True  # a Lease says who leads
    settings.scanning.disabled = True  # needs rights on CRDs and namespaces; whether the CRD is there, we ask ourselves
    settings.watching.server_timeout = 120
    settings.watching.client_timeout = 150  # a watch that dies silently is noticed
    settings.watching.connect_timeout = 5
    settings.networking.request_timeout = 30
    settings.persistence.progress_storage = NothingKept()
    settings.persistence.diffbase_storage = NothingKept()
    settings.process.ultimate_exiting_timeout = None
    return settings


class Host:
    """Runs kopf until `stop`. `beat` is called, in the maker's loop, while kopf's loop comes round."""

    def __init__(self, namespace: str, touched: Touched, beat: Callable[[], None]) -> None:
        self._namespace = namespace
        self._touched = touched
        self._beat = beat
        self._home = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._inside: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._thread = threading.Thread(target=self._live, name="kopf", daemon=True)

    def start(self) -> None:
        logging.getLogger("kopf").setLevel(logging.WARNING)
        logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)  # that it hears no signals is meant
        self._thread.start()

    async def stop(self, seconds: float) -> None:
        """Ask it to end, and wait at most this long: it holds nothing that would be lost."""
        self._stop.set()
        if not self._thread.is_alive():
            return
        if self._inside is not None:
            loop, ending = self._inside
            with suppress(RuntimeError):  # that loop has just been closed
                loop.call_soon_threadsafe(ending.set)
        await asyncio.to_thread(self._thread.join, seconds)

    def _live(self) -> None:
        while not self._stop.is_set():
            try:
                asyncio.run(self._run())
            except Exception as error:  # noqa: BLE001 - whatever ended kopf, it is begun anew
                _log.warning("kopf.failed", f"kopf's watch of WorkerScalers failed: {error!r}")
            if not self._stop.is_set():
                _log.warning("kopf.ended", "kopf's watch of WorkerScalers ended, and begins anew")
            self._stop.wait(AGAIN_SECONDS)

    async def _run(self) -> None:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry, id="log_in")(_login)
        kopf.on.event(GROUP, VERSION, PLURAL, registry=registry, id="touched")(self._saw)
        # Not the thread's own flag: kopf would wait for it in a thread of its own, and its loop could not be closed
        # before it is set.
        ending = asyncio.Event()
        self._inside = asyncio.get_running_loop(), ending
        async with asyncio.TaskGroup() as group:
            beating = group.create_task(self._beats())
            await kopf.operator(
                registry=registry,
                settings=settings_of_kopf(kopf.OperatorSettings()),
                standalone=True,
                namespaces=[self._namespace],
                stop_flag=ending,
            )
            beating.cancel()

    async def _beats(self) -> None:
        while True:
            self._home.call_soon_threadsafe(self._beat)
            await asyncio.sleep(BEAT_SECONDS)

    async def _saw(self, type: str | None, meta: kopf.Meta, **_: Any) -> None:
        generation = int(meta.get("generation", 0))
        self._home.call_soon_threadsafe(self._touched, str(meta["name"]), generation, type == "DELETED")


def _login(**_: Any) -> kopf.ConnectionInfo:
    return log_in()

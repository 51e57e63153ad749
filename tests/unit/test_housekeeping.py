"""An outage is told once at its beginning and once at its end, however many routines meet it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest

from flowscale import logs
from flowscale.errors import QueueUnavailable, StorageUnavailable
from flowscale_api.housekeeping import Housekeeping, Routine


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def events(log: io.StringIO) -> list[str]:
    return [json.loads(line)["event"] for line in log.getvalue().splitlines()]


class Part:
    """What a routine looks after. It is away while it has a fault."""

    def __init__(self, fault: QueueUnavailable | StorageUnavailable | None = None) -> None:
        self.fault = fault
        self._called = asyncio.Event()

    async def call(self) -> None:
        self._called.set()
        if self.fault is not None:
            raise self.fault

    async def called(self, times: int = 2) -> None:
        """From now on: what the call before the last one led to has been told then."""
        for _ in range(times):
            self._called.clear()
            await asyncio.wait_for(self._called.wait(), 30)


async def all_called(*parts: Part) -> None:
    await asyncio.gather(*(part.called() for part in parts))


async def test_an_outage_that_several_routines_meet_is_told_once(log: io.StringIO) -> None:
    away = QueueUnavailable("The queue is away.")
    tending, courier, files = Part(away), Part(away), Part(StorageUnavailable("The folder is away."))
    routines = (
        Routine("queue", 0.001, tending.call),
        Routine("webhooks", 0.001, courier.call),
        Routine("storage", 0.001, files.call),
    )
    housekeeping = Housekeeping(routines)
    housekeeping.start()
    await all_called(tending, courier, files)
    assert events(log) == ["queue.unreachable", "storage.unreachable"]
    tending.fault = None
    await all_called(tending, courier, files)
    assert events(log)[2:] == ["queue.reachable"]
    courier.fault = files.fault = None
    await all_called(tending, courier, files)
    assert events(log)[3:] == ["storage.reachable"]
    tending.fault = courier.fault = away
    await all_called(tending, courier, files)
    assert events(log)[4:] == ["queue.unreachable"]
    await housekeeping.stop()

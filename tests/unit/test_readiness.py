"""Readiness says how the storage is, however busy the threads are that serve requests."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flowscale.errors import StorageUnavailable
from flowscale.queues.base import QueuePolicy
from flowscale.queues.memory import MemoryQueue
from flowscale.storage.local import LocalStorage
from flowscale.testing import FakeClock
from flowscale_api.health.readiness import KEPT_SECONDS, Readiness


async def test_calls_that_hang_in_the_pool_do_not_hold_up_the_check(tmp_path: Path) -> None:
    clock = FakeClock()
    storage = LocalStorage(tmp_path)
    readiness = Readiness(MemoryQueue(QueuePolicy(), clock), storage, clock)
    hang = threading.Event()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    hanging = asyncio.ensure_future(asyncio.to_thread(hang.wait))
    try:
        assert (await readiness.readings()).faults == {"queue": None, "storage": None}
    finally:
        hang.set()
        await hanging
        storage.close()


async def test_fault_of_the_storage_is_told_and_forgotten_when_it_has_gone(tmp_path: Path) -> None:
    clock = FakeClock()
    storage = LocalStorage(tmp_path / "root")
    readiness = Readiness(MemoryQueue(QueuePolicy(), clock), storage, clock)
    (tmp_path / "root").rmdir()
    (tmp_path / "root").write_bytes(b"")
    assert isinstance((await readiness.readings()).faults["storage"], StorageUnavailable)
    (tmp_path / "root").unlink()
    (tmp_path / "root").mkdir()
    clock.advance(KEPT_SECONDS)
    assert (await readiness.readings()).faults["storage"] is None
    storage.close()

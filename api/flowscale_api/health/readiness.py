"""Whether the queue and the storage can be used now.

Probes come often and from many places, and a hung file system holds a thread for as long as it hangs. So an
answer is kept for a few seconds, one check runs at a time, and a check that does not come back is a fault.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flowscale import logs
from flowscale.clocks import Clock
from flowscale.errors import FlowScaleError, QueueUnavailable, StorageUnavailable
from flowscale.queues.base import JobQueue
from flowscale.storage.base import Storage
from flowscale_api.threads import in_thread_of_its_own

KEPT_SECONDS = 5.0
"""How long an answer is kept (fixed by the HTTP contract for /readyz)."""

_log = logs.get("gateway")

PATIENCE_SECONDS = 3.0
"""How long a check may take; below the time-outs of usual probes and load balancers."""


@dataclass(frozen=True, slots=True)
class Readings:
    """What the last checks found."""

    faults: Mapping[str, FlowScaleError | None]  # by name (`queue`, `storage`): what is wrong, None when nothing is
    warnings: tuple[str, ...] = ()  # what may lose jobs one day


class Readiness:
    def __init__(self, queue: JobQueue, storage: Storage, clock: Clock) -> None:
        self._queue = queue
        self._storage = storage
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._storage_check: asyncio.Future[None] | None = None  # outlives a round when the storage hangs
        self._readings = Readings({})
        self._checked_at: float | None = None  # seconds of the monotonic clock

    async def readings(self) -> Readings:
        """What was found at most KEPT_SECONDS ago."""
        async with self._one_at_a_time:
            now = self._clock.monotonic()
            if self._checked_at is None or now - self._checked_at >= KEPT_SECONDS:
                queue, storage = await asyncio.gather(self._queue_fault(), self._storage_fault())
                warnings = await self._warnings() if queue is None else self._readings.warnings
                self._readings = Readings({"queue": queue, "storage": storage}, warnings)
                self._checked_at = now
            return self._readings

    async def _warnings(self) -> tuple[str, ...]:
        """Each is logged when it is new."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                found = tuple(await self._queue.warnings())
        except (QueueUnavailable, TimeoutError):
            return self._readings.warnings  # the next check says what is wrong
        for warning in found:
            if warning not in self._readings.warnings:
                _log.warning("queue.at_risk", warning)
        return found

    async def _queue_fault(self) -> FlowScaleError | None:
        check = asyncio.ensure_future(self._queue.check())
        try:
            if await _ended(check):
                return _fault(check)
        finally:
            check.cancel()
        return QueueUnavailable(f"The queue did not answer within {PATIENCE_SECONDS:.0f} s.")

    async def _storage_fault(self) -> FlowScaleError | None:
        if self._storage_check is None or self._storage_check.done():
            # Not in the pool that requests use: storage calls that hang there must not make the check wait.
            self._storage_check = in_thread_of_its_own(self._storage.check, "storage-check")
        if await _ended(self._storage_check):
            return _fault(self._storage_check)
        return StorageUnavailable(f"The storage did not answer within {PATIENCE_SECONDS:.0f} s.")


async def _ended(check: asyncio.Future[Any]) -> bool:
    ended, _ = await asyncio.wait((check,), timeout=PATIENCE_SECONDS)
    return bool(ended)


def _fault(check: asyncio.Future[Any]) -> FlowScaleError | None:
    error = check.exception()
    if error is None or isinstance(error, FlowScaleError):
        return error
    raise error

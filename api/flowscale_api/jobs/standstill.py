"""Whether queued jobs will be started as things are: what clients that wait are told beside a job's turn.

Whoever waits for a render asks again every second. So one reading serves everybody for a while, and a job's answer
costs no call more.
"""

from __future__ import annotations

import asyncio

from flowscale.clocks import Clock
from flowscale.errors import QueueUnavailable
from flowscale.queues.base import WORKER_SEEN_MS, Figures, JobQueue
from flowscale_api.schemas import WaitsFor

KEPT_SECONDS = 2.0
"""How long a reading is kept."""


class Standstill:
    """Reads it while anybody asks, for all who do."""

    def __init__(self, queue: JobQueue, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._read_at: float | None = None  # seconds of the monotonic clock
        self._waits_for: WaitsFor | None = None

    async def waits_for(self) -> WaitsFor | None:
        """As it was at most KEPT_SECONDS ago. None: queued jobs have their turns; or it is not known."""
        async with self._one_at_a_time:
            now = self._clock.monotonic()
            if self._read_at is None or now - self._read_at >= KEPT_SECONDS:
                self._waits_for = await self._read()
                self._read_at = self._clock.monotonic()
            return self._waits_for

    async def _read(self) -> WaitsFor | None:
        try:
            return what_is_waited_for(await self._queue.figures())
        except QueueUnavailable:
            return None  # whoever asks is told so by the reading of the job itself


def what_is_waited_for(figures: Figures) -> WaitsFor | None:
    """One that is paused needs to be resumed first, whoever is there."""
    if figures.paused:
        return WaitsFor.RESUME
    able = any(report.problem is None and age <= WORKER_SEEN_MS for report, age in figures.workers.values())
    return None if able else WaitsFor.WORKER

"""What the queue says, read once for all WorkerScalers, and only once a burst of jobs has arrived.

A gateway that enqueues twenty jobs wakes the operator with the first. Whoever acted on that would scale up twenty
times. So a reading that shows more jobs than the one before is not acted upon until another, GATHER_SECONDS later,
shows no more than that: it has *settled*. Looks that the clock begins go the same way as those that a wake begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from flowscale.clocks import Clock, steady_ms
from flowscale.errors import QueueUnavailable
from flowscale.queues.scaling_view import Demand, ScalingQueue

GATHER_SECONDS = 0.06

GATHER_AT_MOST_SECONDS = 0.4
"""After as long, a burst that still grows is acted upon as far as it came."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at the queue. `asked_ms` is when (steady_ms). `demand` is None when it failed: `fault`."""

    asked_ms: int
    demand: Demand | None
    fault: str = ""

    @property
    def jobs(self) -> int:
        """All that wait, are due, or run."""
        demand = self.demand
        if demand is None:
            return 0
        return demand.waiting + demand.due + sum(group.busy for group in demand.groups.values())


class Source:
    """Over a ScalingQueue, which it does not close."""

    def __init__(self, queue: ScalingQueue, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self._settled_jobs = 0
        self.woken = asyncio.Event()
        self.woken_at: float | None = None  # the first wake since it was taken, on the monotonic clock

    async def listen(self) -> None:
        """Note wakes, until contact is lost. Raises QueueUnavailable."""
        async for _ in self._queue.wakes():
            self.wake()

    def wake(self) -> None:
        if self.woken_at is None:
            self.woken_at = self._clock.monotonic()
        self.woken.set()

    async def read(self) -> Reading:
        """One reading, as it is."""
        asked_ms = steady_ms(self._clock)
        try:
            return Reading(asked_ms, await self._queue.demand())
        except QueueUnavailable as error:
            return Reading(asked_ms, None, error.message)

    async def settled(self, enough: Callable[[int], bool]) -> Reading:
        """One reading after the burst. `enough` says of a number of jobs that more of them would change nothing."""
        began = self._clock.monotonic()
        reading, before = await self.read(), self._settled_jobs
        while (
            reading.demand is not None
            and reading.jobs > before
            and not enough(reading.jobs)
            and self._clock.monotonic() - began < GATHER_AT_MOST_SECONDS
        ):
            before = reading.jobs
            await asyncio.sleep(GATHER_SECONDS)
            reading = await self.read()
        if reading.demand is not None:
            self._settled_jobs = reading.jobs
        return reading

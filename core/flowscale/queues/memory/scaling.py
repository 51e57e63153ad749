"""The operator's half of the memory backend, over the facts and the lock of the other two (backend.py)."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from itertools import islice

from flowscale.clocks import Clock
from flowscale.predictions import Expected, Lessons, profile_of
from flowscale.queues.memory.groups import Drains, group_states
from flowscale.queues.memory.lines import Delays, Lines, Place
from flowscale.queues.memory.records import Records, elapsed_ms
from flowscale.queues.memory.wakes import Wakes
from flowscale.queues.memory.workers import Reports
from flowscale.queues.scaling_view import LINE_READ, Demand


@dataclass(slots=True)
class Hold:
    """A running job's lease. Times in ms of the monotonic clock."""

    execution_id: str
    group: str  # of workers, whose is the execution
    place: Place  # where the job goes back to
    started: int
    expires: int


class ScalingHalf:
    """ScalingQueue. What is declared here MemoryQueue makes."""

    _changed: threading.Condition
    _clock: Clock
    _records: Records
    _lines: Lines
    _delays: Delays
    _holds: dict[str, Hold]
    _reports: Reports
    _lessons: Lessons
    _drains: Drains
    _wakes: Wakes
    _paused: bool

    async def demand(self) -> Demand:
        with self._changed:
            now, since = self._now(), self._lines.oldest_ms()
            due, next_due = self._delays.due_count(now), self._delays.next_due()
            reports = self._reports.by_name(now)
            return Demand(
                at_ms=self._clock.now_ms(),
                waiting=len(self._lines),
                delayed=len(self._delays) - due,
                due=due,
                next_due_ms=None if next_due is None else self._clock.now_ms() + next_due - now,
                oldest_wait_ms=None if since is None else max(0, now - since),
                paused=self._paused,
                groups=group_states(
                    (hold.group for hold in self._holds.values()), self._drains.groups(now), reports, now
                ),
                line=tuple(
                    self._expected(place.job_id, now - place.since_ms) for place in self._lines.first(LINE_READ)
                ),
                running=tuple(
                    self._expected(job_id, now - hold.started)
                    for job_id, hold in islice(self._holds.items(), LINE_READ)
                ),
            )

    async def drain(self, groups: Sequence[str], ttl_ms: int) -> frozenset[str]:
        with self._changed:
            busy = {hold.group for hold in self._holds.values()}
            granted = frozenset(groups) - busy
            for group in granted:
                self._drains.grant(group, self._now() + ttl_ms)
            return granted

    async def undrain(self, groups: Sequence[str]) -> None:
        with self._changed:
            if self._drains.take_back(groups):
                self._wake()

    async def wakes(self) -> AsyncGenerator[None, None]:
        with self._changed:
            event = self._wakes.listen()
        try:
            while True:
                await event.wait()
                event.clear()
                yield None
        finally:
            with self._changed:
                self._wakes.leave(event)

    async def close(self) -> None:
        """Memory needs none."""

    # Beneath; the caller holds the lock.

    def _now(self) -> int:
        return elapsed_ms(self._clock)

    def _wake(self) -> None:
        """Something may be fetched. All are told: the one that is told might be draining."""
        self._changed.notify_all()
        self._wakes.tell()

    def _expected(self, job_id: str, for_ms: int) -> Expected:
        profile = profile_of(self._records.get(job_id).spec)
        return Expected(max(0, for_ms), self._lessons.predicted_ms(profile))

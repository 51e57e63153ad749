"""What the people who run the service see and steer in the memory backend (admin_view.py), over the same facts and the
same lock as the rest of it (backend.py)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from flowscale.jobs import Job, JobState
from flowscale.queues import answers
from flowscale.queues.admin_view import (
    AUDIT_KEPT,
    REMOVED_AT_ONCE,
    AuditEntry,
    AuditPage,
    Found,
    ServerReading,
    Standing,
)
from flowscale.queues.base import Execution
from flowscale.queues.finding import Wanted, needles_of
from flowscale.queues.history import COUNTED, SAMPLES_KEPT, STEP_MS, Point, Sample, points
from flowscale.queues.memory.records import elapsed_ms
from flowscale.queues.memory.scaling import ScalingHalf
from flowscale.queues.told import Facts, Told, from_json, to_json

LOOKED_AT_ONCE = 2_000
"""Jobs looked through under one hold of the lock."""


class AdminHalf(ScalingHalf):
    """AdminQueue, beside the operator's half. What both declare MemoryQueue makes."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=SAMPLES_KEPT)
        self._audited: deque[tuple[int, AuditEntry]] = deque(maxlen=AUDIT_KEPT)
        self._removed: dict[str, None] = {}

    async def search(self, wanted: Wanted, limit: int, cursor: str | None) -> Found:
        older_than = None if cursor is None else answers.read_cursor(cursor)
        needles = needles_of(wanted)
        found: list[Job] = []
        total = 0
        below: str | None = None
        while True:
            with self._changed:
                looked = self._records.newest(LOOKED_AT_ONCE, below)
                for job, card in looked:
                    if wanted.state not in (None, job.state):
                        continue
                    if not all(needle.is_in(job.id, card) for needle in needles):
                        continue
                    total += 1
                    if len(found) <= limit and (older_than is None or job.id < older_than):
                        found.append(job)
            if len(looked) < LOOKED_AT_ONCE:
                page = tuple(found[:limit])
                return Found(page, answers.cursor_after(page[-1]) if len(found) > limit else None, total)
            below = looked[-1][0].id
            await asyncio.sleep(0)  # others of this loop have their turn

    async def standing(self) -> Standing:
        with self._changed:
            done, error = (self._records.ended_count(state) for state in (JobState.DONE, JobState.ERROR))
            return Standing(done, error, {job_id: self._records.get(job_id).worker or "" for job_id in self._holds})

    async def told(self, job_id: str) -> Told:
        with self._changed:
            return self._records.told(job_id)

    async def move_to_front(self, job_id: str) -> Job:
        with self._changed:
            job = self._records.get(job_id)
            if job.state is JobState.QUEUED:
                self._lines.move_to_front(job_id, job.priority)
            elif job.state is JobState.DELAYED:
                self._delays.remove(job_id)
                self._lines.join_front(job_id, elapsed_ms(self._clock))
            else:
                raise answers.cannot_move(job)
            moved = self._records.put(job.to_front())
            self._wake()
            return moved

    async def remove(self, job_id: str) -> Job:
        with self._changed:
            job = self._records.get(job_id)
            if job.state is JobState.RUNNING:
                raise answers.cannot_remove(job)
            if job.state is JobState.QUEUED:
                self._lines.leave(job_id, job.priority)
            elif job.state is JobState.DELAYED:
                self._delays.remove(job_id)
            ended = job if job.state.is_final else self._records.put(job.cancel(self._clock.now_ms()))
            self._records.drop(ended)
            self._removed[job_id] = None
            return job

    async def removed(self) -> Sequence[str]:
        with self._changed:
            return tuple(self._removed)[:REMOVED_AT_ONCE]

    async def cleared(self, job_id: str) -> None:
        with self._changed:
            self._removed.pop(job_id, None)

    async def history(self) -> Sequence[Point]:
        with self._changed:
            return points(tuple(self._samples), self._sample())

    async def server(self) -> ServerReading:
        return ServerReading("memory")

    async def add_audit(self, entry: AuditEntry) -> None:
        with self._changed:
            number = self._audited[-1][0] + 1 if self._audited else 1
            self._audited.append((number, entry))

    async def audit(self, limit: int, cursor: str | None) -> AuditPage:
        if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 20):
            raise answers.not_a_cursor()
        with self._changed:
            kept = [
                (number, entry) for number, entry in reversed(self._audited) if cursor is None or number < int(cursor)
            ]
        page = kept[:limit]
        return AuditPage(tuple(entry for _, entry in page), str(page[-1][0]) if len(kept) > limit else None)

    # The worker's part.

    def describe(self, execution: Execution, facts: Facts) -> None:
        with self._changed:
            self._require_held(execution)
            self._records.describe(execution.job.id, from_json(to_json(facts)))

    # Beneath; the caller holds the lock.

    def _take_sample(self) -> None:
        sample = self._sample()
        last = self._samples[-1].minute if self._samples else None
        if last is not None and last > sample.minute:
            self._samples.clear()  # the clock was set back
        if last != sample.minute:
            self._samples.append(sample)

    def _sample(self) -> Sample:
        enqueued, done, error = (self._records.counts[name] for name in COUNTED)
        waiting = len(self._lines) + len(self._delays)
        return Sample(self._clock.now_ms() // STEP_MS, enqueued, done, error, waiting, len(self._holds))

    def _require_held(self, execution: Execution) -> None:
        hold = self._holds.get(execution.job.id)
        if hold is None or hold.execution_id != execution.id:
            raise answers.lease_lost(execution.job.id, execution.id)

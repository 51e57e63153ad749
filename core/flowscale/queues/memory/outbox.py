"""Deliveries of webhooks in the memory backend. Pure bookkeeping without a lock; `now` is in ms of the monotonic clock,
`at_ms` the same moment in Unix ms, which deliveries carry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

from flowscale.jobs import Failure, Job, JobState
from flowscale.queues.outbox import (
    CLAIM_MS,
    ENDS_SHOWN,
    KEPT_MOST,
    KEPT_MS,
    TOO_MANY_WAIT,
    WAITING_MOST,
    DueTarget,
    delivery_not_found,
)
from flowscale.webhooks.deliveries import Claim, Delivery, DeliveryState, Ended, Outcome, delivery_id


@dataclass(slots=True)
class _Entry:
    delivery: Delivery
    due: int  # when it is due, or its claim ends; of a settled one, since when
    claim: str | None = None


class Deliveries:
    """Every delivery that waits or is kept."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        self._ends: Counter[str] = Counter()  # by job
        self._entries: dict[str, _Entry] = {}
        self._waiting: dict[str, dict[str, _Entry]] = {}  # by endpoint
        self._settled: dict[str, _Entry] = {}  # in the order in which they were settled

    def add(self, job: Job, now: int, at_ms: int) -> None:
        """The job has ended: one for each endpoint that is told."""
        if not job.webhooks:
            return
        self._ends[job.id] += 1
        failed = job.failure if job.state is JobState.ERROR else None
        failure = None if failed is None else Failure(failed.code, failed.message)
        output = job.output if job.state is JobState.DONE else None
        ended = Ended(job.id, at_ms, job.project_id, output, job.duration_ms, failure)
        for target in job.webhooks:
            name = delivery_id(job.id, self._ends[job.id], target.name)
            entry = _Entry(Delivery(name, target, ended, at_ms, next_ms=at_ms), now)
            self._entries[name] = entry
            waiting = self._waiting.setdefault(target.name, {})
            if len(waiting) < WAITING_MOST:
                waiting[name] = entry
            else:
                entry.delivery = replace(entry.delivery, state=DeliveryState.FAILED, next_ms=None, fault=TOO_MANY_WAIT)
                self._settle(entry, now)

    def of_job(self, job: Job) -> Sequence[Delivery]:
        last = self._ends[job.id]
        numbers = range(max(1, last - ENDS_SHOWN + 1), last + 1)
        names = (delivery_id(job.id, number, target.name) for number in numbers for target in job.webhooks)
        return tuple(self._entries[name].delivery for name in names if name in self._entries)

    def forget_job(self, job_id: str) -> None:
        """The job is kept no longer; its deliveries go by their own age."""
        self._ends.pop(job_id, None)

    def replay(self, name: str, now: int, at_ms: int) -> Delivery:
        entry = self._entries.get(name)
        if entry is None:
            raise delivery_not_found(name)
        entry.delivery = replace(entry.delivery, state=DeliveryState.PENDING, tries=0, since_ms=at_ms, next_ms=at_ms)
        entry.due, entry.claim = now, None
        self._settled.pop(name, None)
        self._waiting.setdefault(entry.delivery.target.name, {})[name] = entry
        return entry.delivery

    def due_targets(self, most: int, now: int, at_ms: int) -> Sequence[DueTarget]:
        firsts = (
            (min(entry.due for entry in waiting.values()), name) for name, waiting in self._waiting.items() if waiting
        )
        due = sorted((first, name) for first, name in firsts if first <= now)
        return tuple(DueTarget(name, at_ms - now + first, at_ms) for first, name in due[:most])

    def claim(self, target: str, most: int, now: int, at_ms: int) -> Sequence[Claim]:
        return tuple(self._claimed(target, most, now, at_ms))

    def _claimed(self, target: str, most: int, now: int, at_ms: int) -> Iterator[Claim]:
        due = sorted(
            (entry for entry in self._waiting.get(target, {}).values() if entry.due <= now),
            key=lambda entry: entry.due,
        )
        for entry in due[:most]:
            entry.delivery = replace(entry.delivery, tries=entry.delivery.tries + 1, tried_ms=at_ms)
            entry.due, entry.claim = now + CLAIM_MS, uuid4().hex
            self._counts["webhook:tried"] += 1
            yield Claim(entry.delivery, entry.claim, at_ms)

    def settle(self, claim: Claim, outcome: Outcome, now: int, at_ms: int) -> bool:
        entry = self._entries.get(claim.delivery.id)
        if entry is None or entry.claim != claim.token:
            return False
        entry.claim = None
        pending = outcome.state is DeliveryState.PENDING
        next_ms = at_ms + outcome.delay_ms if pending else None
        entry.delivery = replace(entry.delivery, state=outcome.state, next_ms=next_ms)
        if outcome.counts:
            entry.delivery = replace(entry.delivery, status=outcome.status, fault=outcome.fault, answer=outcome.answer)
        else:
            entry.delivery = replace(entry.delivery, tries=entry.delivery.tries - 1)
        if pending:
            entry.due = now + outcome.delay_ms
        else:
            self._settle(entry, now)
        return True

    def retire(self, now: int) -> None:
        """Forget settled ones that are too old or too many."""
        while self._settled:
            name, entry = next(iter(self._settled.items()))
            if len(self._settled) <= KEPT_MOST and now - entry.due < KEPT_MS:
                return
            del self._settled[name], self._entries[name]

    def _settle(self, entry: _Entry, now: int) -> None:
        name, target = entry.delivery.id, entry.delivery.target.name
        entry.due = now
        self._settled[name] = entry
        self._counts[f"webhook:{entry.delivery.state}"] += 1
        waiting = self._waiting[target]
        waiting.pop(name, None)
        if not waiting:
            del self._waiting[target]

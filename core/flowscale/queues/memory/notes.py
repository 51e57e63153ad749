"""What the memory backend remembers for a while: Idempotency-Keys and what workers said of themselves.

Pure bookkeeping without a lock; `now` is in ms of the monotonic clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flowscale.queues import answers
from flowscale.queues.base import REPORT_KEPT_MS, WORKER_SEEN_MS, Idempotency, WorkerReport


@dataclass(frozen=True, slots=True)
class _Key:
    fingerprint: str
    job_id: str
    expires: int


class Keys:
    """Idempotency-Keys and the jobs they made."""

    def __init__(self, kept_ms: int) -> None:
        self._kept_ms = kept_ms
        self._keys: dict[str, _Key] = {}  # earliest to expire first

    def job_id(self, asked: Idempotency, now: int) -> str | None:
        """The job that the key made; None for an unknown or forgotten key. Raises IdempotencyMismatch."""
        known = self._keys.get(asked.key)
        if known is None or known.expires <= now:
            return None
        if known.fingerprint != asked.fingerprint:
            raise answers.idempotency_mismatch()
        return known.job_id

    def remember(self, asked: Idempotency, job_id: str, now: int) -> None:
        self._keys.pop(asked.key, None)  # so that the new entry is the last to expire
        self._keys[asked.key] = _Key(asked.fingerprint, job_id, now + self._kept_ms)

    def forget_old(self, now: int) -> None:
        while self._keys and self._keys[key := next(iter(self._keys))].expires <= now:
            del self._keys[key]


class Reports:
    """The last report of every worker, and when it came."""

    def __init__(self) -> None:
        self._reports: dict[str, tuple[int, WorkerReport]] = {}

    def add(self, report: WorkerReport, now: int) -> None:
        self._reports[report.worker] = (now, report)

    def kept(self, now: int) -> Sequence[WorkerReport]:
        """By worker name."""
        fresh = (report for came, report in self._reports.values() if now - came < REPORT_KEPT_MS)
        return tuple(sorted(fresh, key=lambda report: report.worker))

    def slots(self, now: int) -> int:
        """How many renders can run at once, at least 1: by the workers that were heard of lately and can."""
        heard = (report for came, report in self._reports.values() if now - came < WORKER_SEEN_MS)
        return max(1, sum(report.slots for report in heard if report.problem is None))

    def forget_old(self, now: int) -> None:
        silent = [worker for worker, (came, _) in self._reports.items() if now - came >= REPORT_KEPT_MS]
        for worker in silent:
            del self._reports[worker]

"""What workers last said of themselves, kept by the memory backend until they have been silent for too long.

Pure bookkeeping without a lock; `now` is in ms of the monotonic clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flowscale.queues.base import REPORT_KEPT_MS, WORKER_SEEN_MS, WorkerReport


class Reports:
    """The last report of every worker, and when it came."""

    def __init__(self) -> None:
        self._reports: dict[str, tuple[int, WorkerReport]] = {}

    def add(self, report: WorkerReport, now: int) -> None:
        self._reports[report.worker] = (now, report)

    def drop(self, worker: str) -> None:
        self._reports.pop(worker, None)

    def kept(self, now: int) -> Sequence[WorkerReport]:
        """By worker name."""
        fresh = (report for came, report in self._reports.values() if now - came < REPORT_KEPT_MS)
        return tuple(sorted(fresh, key=lambda report: report.worker))

    def by_name(self, now: int) -> Mapping[str, tuple[int, WorkerReport]]:
        """When each fresh report came, and the report."""
        return {name: entry for name, entry in self._reports.items() if now - entry[0] < REPORT_KEPT_MS}

    def slots(self, now: int) -> int:
        """How many renders can run at once, at least 1: by the workers that were heard of lately and can."""
        heard = (report for came, report in self._reports.values() if now - came < WORKER_SEEN_MS)
        return max(1, sum(report.slots for report in heard if report.problem is None))

    def forget_old(self, now: int) -> None:
        silent = [worker for worker, (came, _) in self._reports.items() if now - came >= REPORT_KEPT_MS]
        for worker in silent:
            del self._reports[worker]

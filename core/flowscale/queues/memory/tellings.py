"""What the executions of jobs told, in the memory backend. Pure bookkeeping without a lock."""

from __future__ import annotations

from collections import deque

from flowscale.jobs import TAIL_LINES, TAILS_KEPT
from flowscale.queues.told import Facts, Told


class Tellings:
    """Facts and last lines by job id; a job that told nothing takes no room."""

    def __init__(self) -> None:
        self._facts: dict[str, Facts] = {}
        self._current: dict[str, deque[str]] = {}  # of the execution that runs
        self._tails: dict[str, dict[int, tuple[str, ...]]] = {}

    def describe(self, job_id: str, facts: Facts) -> None:
        self._facts[job_id] = facts

    def line(self, job_id: str, line: str) -> None:
        self._current.setdefault(job_id, deque(maxlen=TAIL_LINES)).append(line)

    def end(self, job_id: str, attempt: int | None) -> None:
        """The execution ended, as the attempt of this number (None: as none)."""
        lines = self._current.pop(job_id, None)
        if attempt is None:
            return
        tails = self._tails.get(job_id, {})
        if lines:
            self._tails[job_id] = tails
            tails[attempt] = tuple(lines)
        tails.pop(attempt - TAILS_KEPT, None)

    def of(self, job_id: str) -> Told:
        return Told(self._facts.get(job_id), dict(self._tails.get(job_id, {})))

    def drop(self, job_id: str) -> None:
        for kept in (self._facts, self._current, self._tails):
            kept.pop(job_id, None)

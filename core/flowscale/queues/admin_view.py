"""The queue protocol's fourth part: what the people who run the service see and steer (async, for a gateway).

The words:
- a *card* is what a job is found by (finding.py), kept in the same step in which the job changes;
- what a job's executions *told* is kept beside its record, and goes with it: listings do not read it;
- a job that is *removed* is gone at once, with everything that the queue keeps of it; that its outputs are still to be
  deleted from the storage is noted in the same step, so that whoever dies in between leaves nothing behind.

Every backend passes tests/contract/queue_suite_admin.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from flowscale.jobs import Job
from flowscale.queues.base import JobQueue
from flowscale.queues.finding import Wanted
from flowscale.queues.history import Point
from flowscale.queues.told import Told

AUDIT_KEPT = 10_000
"""Entries of the audit log, newest last."""

REMOVED_AT_ONCE = 200
"""Removed jobs that one look gives."""


@dataclass(frozen=True, slots=True)
class Found:
    """Jobs, newest first; the cursor of the next page (None on the last); how many match in all."""

    jobs: tuple[Job, ...]
    next_cursor: str | None
    total: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What figures do not tell: ended jobs that are kept, and which worker runs which job."""

    done: int
    error: int
    workers: Mapping[str, str]  # by job id, oldest execution first


@dataclass(frozen=True, slots=True)
class ServerReading:
    """What the queue's server says of itself. None: it does not say."""

    kind: Literal["memory", "redis"]
    version: str | None = None
    memory_bytes: int | None = None
    memory_limit_bytes: int | None = None  # 0: as much as there is
    policy: str | None = None  # what it does when its memory is full
    persistence: str | None = None  # "append-only", "snapshots", "none"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what when, and what came of it."""

    at_ms: int
    actor: str
    action: str
    target: str | None
    outcome: str  # "ok", or the code of the error that refused it
    request_id: str


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Entries, newest first, and the cursor of the next page (None on the last)."""

    entries: tuple[AuditEntry, ...]
    next_cursor: str | None


class AdminQueue(Protocol):
    """Every method raises QueueUnavailable when the facts cannot be reached."""

    async def search(self, wanted: Wanted, limit: int, cursor: str | None) -> Found:
        """Jobs that match, newest first, at most `limit` (from 1).

        A cursor stays good when jobs come and go; while they do, `total` may miss one that changes just then. Raises
        InvalidOptions for a cursor it did not give.
        """

    async def standing(self) -> Standing: ...

    async def told(self, job_id: str) -> Told:
        """What its executions told; empty for a job that is not known, or has told nothing."""

    async def move_to_front(self, job_id: str) -> Job:
        """Have a waiting or delayed job run before all that wait: of high priority from now on, first of its line.

        It stays so when it is given back or retried. Every FAIRNESS_EVERYth turn is still that of the head that has
        waited longest. Raises JobNotFound; Conflict for a job that runs or has ended.
        """

    async def remove(self, job_id: str) -> Job:
        """Forget a job that waits, is delayed or has ended, with all it owns; the job as it was before.

        One that has not ended does so by it, in the same step: as cancelled, counted, and told to its endpoints. What
        was counted of it stays counted. Its Idempotency-Key makes a new job. Raises JobNotFound; Conflict for a
        job that runs.
        """

    async def removed(self) -> Sequence[str]:
        """Ids of removed jobs whose outputs are to be deleted still, oldest first, at most REMOVED_AT_ONCE."""

    async def cleared(self, job_id: str) -> None:
        """The outputs of a removed job are deleted. No error when that was said before."""

    async def history(self) -> Sequence[Point]:
        """The last hour, minute by minute, the current one last (history.py)."""

    async def server(self) -> ServerReading: ...

    async def add_audit(self, entry: AuditEntry) -> None:
        """Append to the audit log; of more than AUDIT_KEPT entries the oldest go. Works on a full server too."""

    async def audit(self, limit: int, cursor: str | None) -> AuditPage:
        """Entries, newest first, at most `limit` (from 1). Raises InvalidOptions for a cursor it did not give."""


class GatewayQueue(JobQueue, AdminQueue, Protocol):
    """All that a gateway asks."""

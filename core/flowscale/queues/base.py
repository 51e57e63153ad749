"""The queue protocol: what a gateway asks (async) and what a worker asks (sync). What an operator asks is in
scaling_view.py.

A backend implements both over one set of facts. Every backend passes tests/contract/queue_suite.py; what is
written here is what that suite checks.

The words:
- an *execution* is one hold of one job by one worker, named by an id that is the fence: `progress`, `commit`,
  `fail`, `release` and `renew` carry it and raise LeaseLost once it is not the job's current one;
- a *lease* is how long an execution may go without `renew` before `tend` gives its job to another worker;
- `tend` is the housekeeping any process may run at any time: due retries are queued, expired leases reaped,
  old jobs retired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from flowscale.jobs import Failure, Job, JobState, Output, Priority, RetryPolicy
from flowscale.queues.told import Facts

FAIRNESS_EVERY = 8
"""Priorities are strict, but every 8th job handed out is, of the heads of the lines, the one that has waited
longest since it joined its line, so that none starves. A job given back has waited since it first joined."""

EVENTS_KEPT = 500
"""Events kept for each job, newest last."""

RECENT_DURATIONS = 50
"""Finished renders whose length feeds the estimate of waiting time."""

WORKER_SEEN_MS = 30_000
"""A worker that reported within this counts as a slot of the estimate: it may miss several reports."""

REPORT_KEPT_MS = 300_000
"""A worker silent for longer is gone, and its report with it: as long as the outage that a render survives."""


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """The queue's limits. Times in ms, counts in jobs."""

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    lease_ms: int = 20_000  # many times the second between two renewals
    max_waiting: int = 10_000  # more than this waiting: QueueFull
    keep_done: int = 100  # fixed by the service FlowScale replaces
    keep_failed: int = 50  # fixed by the service FlowScale replaces
    retention_ms: int = 24 * 3600 * 1000  # ended jobs younger than this are kept too ...
    keep_at_most: int = 10_000  # ... up to this many of each kind
    idempotency_ms: int = 24 * 3600 * 1000  # how long an Idempotency-Key is remembered


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A client's key and the fingerprint (a hash) of the request it came with."""

    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Enqueued:
    """The answer to an enqueue. `created` is False when an Idempotency-Key led to an earlier job."""

    job: Job
    position: int  # 1 is the next to run; 0 when an earlier job found by its key waits no more
    estimated_wait_ms: int | None
    created: bool


@dataclass(frozen=True, slots=True)
class Depth:
    """How many jobs are in each state that is not final. A backend that cannot read raises; it never says 0."""

    waiting: int
    delayed: int  # retries whose back-off has not passed
    running: int
    due: int = 0  # retries whose time has come, and which nobody has queued yet


@dataclass(frozen=True, slots=True)
class JobPage:
    """Jobs, newest first, and the cursor of the next page (None on the last)."""

    jobs: tuple[Job, ...]
    next_cursor: str | None


class EventKind(StrEnum):
    STATE = "state"  # data: {"status", "progressPct", "code"?, "message"?}
    PROGRESS = "progress"  # data: {"progressPct"}
    LOG = "log"  # data: {"line"}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a job. `id` grows by one with each event of that job, from 1."""

    id: int
    kind: EventKind
    at_ms: int
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What a worker last said of itself; how the gateway knows whether anything can render."""

    worker: str
    at_ms: int
    ffmpeg_path: str | None  # None: not found, `problem` says what to do
    ffmpeg_version: str | None
    problem: str | None = None
    slots: int = 1  # renders it does at once
    group: str | None = (
        None  # of workers that come and go together (scaling_view.py); None: one of its own, by its name
    )
    started_ms: int | None = None  # Unix ms of its start; None: an older worker, which does not say


@dataclass(frozen=True, slots=True)
class Figures:
    """One reading. `counts` by the names that figures.py and lua/shared.lua use:

    enqueued, started, released, stalled, fenced, refused, adopted; ended:done, ended:error; failed:CODE, retried:CODE;
    took:BUCKET (jobs that took at most so many seconds and more than the bucket before), took:count, took:ms;
    waited:ms (all the time jobs waited in a line before they were started)
    """

    depth: Depth
    oldest_wait_ms: int | None  # None: nothing waits in a line
    paused: bool
    now_ms: int  # by the queue's clock
    counts: Mapping[str, int] = field(default_factory=dict)
    workers: Mapping[str, tuple[WorkerReport, int]] = field(default_factory=dict)  # the last report, and its age in ms


@dataclass(frozen=True, slots=True)
class Execution:
    """One worker's hold of one job. `job` is the record as it was when the hold began."""

    id: str
    job: Job
    worker: str


@dataclass(frozen=True, slots=True)
class Tended:
    """What one round of housekeeping did: job ids, in no order."""

    promoted: tuple[str, ...] = ()
    stalled: tuple[str, ...] = ()  # every job whose lease had run out, those that ended by it too


class JobQueue(Protocol):
    """The gateway's half. Every method raises QueueUnavailable when the facts cannot be reached."""

    async def enqueue(self, job: Job, idempotency: Idempotency | None = None) -> Enqueued:
        """Accept a new QUEUED job, or return the one its Idempotency-Key made before.

        A key is known for `idempotency_ms`; when its job was retired meanwhile, it makes a new one.
        Raises QueueFull when `max_waiting` jobs wait (delayed ones too); IdempotencyMismatch for a known key
        with another fingerprint.
        """

    async def earlier(self, idempotency: Idempotency) -> Enqueued | None:
        """What `enqueue` would answer to this key without making a job; None where it would make one.

        So that a repeat needs nothing that its first request needed. `enqueue` alone decides: another gateway may
        make the job in between. Raises IdempotencyMismatch as `enqueue` does.
        """

    async def get(self, job_id: str) -> Job:
        """Raises JobNotFound."""

    async def list(self, state: JobState | None, limit: int, cursor: str | None) -> JobPage:
        """Jobs, newest first (by id, which begins with the time), at most `limit` (from 1).

        QUEUED includes DELAYED. A cursor stays good when jobs come and go. Raises InvalidOptions for a cursor
        it did not give.
        """

    async def cancel(self, job_id: str) -> Job:
        """End a waiting job, or ask the worker of a running one to stop.

        Asking twice is no error, even when the first cancel has ended the job. Raises JobNotFound; Conflict
        when the job ended otherwise.
        """

    async def retry(self, job_id: str) -> Job:
        """Queue a failed job again, at the tail of its line.

        Raises JobNotFound; Conflict unless it ended in error; QueueFull.
        """

    async def position(self, job_id: str) -> int | None:
        """From 1, under strict priorities; None when the job does not wait. Raises JobNotFound.

        Delayed jobs come after all that wait, by due time.
        """

    async def positions(self, job_ids: Sequence[str]) -> Mapping[str, int | None]:
        """The position of each of these jobs that is known, asked for in one go."""

    async def depth(self) -> Depth: ...

    async def running(self) -> Sequence[str]:
        """Ids of running jobs, oldest execution first."""

    async def events(self, job_id: str, after: int, wait_s: float) -> Sequence[Event]:
        """Events with an id above `after`, waiting up to `wait_s` for the first. Raises JobNotFound.

        A reader whose `after` is older than what is kept gets what is kept. There is a STATE for each change of
        state, a PROGRESS when the percent changed within a run, a LOG for each line.
        """

    async def pause(self) -> None:
        """Stop handing out jobs; accepting them goes on."""

    async def resume(self) -> None: ...

    async def is_paused(self) -> bool: ...

    async def workers(self) -> Sequence[WorkerReport]:
        """The last report of every worker heard of within REPORT_KEPT_MS, by name."""

    async def figures(self) -> Figures:
        """What the queue has counted, and how it stands."""

    async def warnings(self) -> Sequence[str]:
        """A sentence for each thing that may lose jobs one day, though the queue works; for whoever runs it."""

    async def check(self) -> None:
        """Raises QueueUnavailable when the queue cannot be used now."""


class WorkQueue(Protocol):
    """The worker's half. Safe to call from any thread."""

    def fetch(self, worker: str, wait_s: float, group: str | None = None) -> Execution | None:
        """Take the next job and mark it running, in one step; None if none came within `wait_s`.

        The group (None: of the worker's own name) holds it from then on; while that is draining there is none for it.
        It queues due retries itself: a worker that waits here needs nobody else to call `tend`.
        """

    def renew(self, execution: Execution) -> bool:
        """Extend the lease; True when a cancel was asked for. Raises LeaseLost.

        A lease that ran out is taken back as long as `tend` has not given the job away.
        """

    def progress(self, execution: Execution, percent: int | None, lines: Sequence[str] = ()) -> None:
        """Record progress (None: unchanged) and log lines. Raises LeaseLost."""

    def describe(self, execution: Execution, facts: Facts) -> None:
        """Keep what the execution tells of its work, in place of what was told before. Raises LeaseLost."""

    def commit(self, execution: Execution, output: Output) -> Job:
        """End the job DONE; from here on the output is the job's. Raises LeaseLost.

        A cancel that comes too late to stop the render does not undo it: the job is DONE. Committing the same
        output again is no error: the first answer may have been lost on its way, and a worker that took that
        for a lost lease would delete the job's output.
        """

    def fail(self, execution: Execution, failure: Failure) -> Job:
        """End the execution; the job is delayed for another attempt or ends in ERROR. Raises LeaseLost.

        A cancel wins over a failure that could be retried.
        """

    def release(self, execution: Execution) -> Job:
        """Give the job back to the head of its line, no attempt used; a cancelled one ends. Raises LeaseLost."""

    def tend(self) -> Tended:
        """Queue due retries, reap expired leases, retire old jobs with all they own.

        A reaped job goes to the head of its line, unless it was cancelled or has lost too many workers. Of the
        ended jobs the last `keep_done` and `keep_failed` stay always, those younger than `retention_ms` too, up
        to `keep_at_most` of each kind.
        """

    def lose(self, execution: Execution) -> Job:
        """The execution is known to be dead: do now what `tend` would do once its lease ran out. Raises LeaseLost."""

    def report(self, report: WorkerReport) -> None:
        """Say how this worker is; replaces its last report."""

    def leave(self, worker: str) -> None:
        """Take back this worker's report: it stops, and does no more work."""


PRIORITY_ORDER: tuple[Priority, ...] = (Priority.HIGH, Priority.NORMAL, Priority.LOW)


def estimate_wait_ms(position: int, running: int, slots: int, recent_ms: Sequence[float]) -> int | None:
    """Wait of the job at `position`: the mean of recent renders, over the slots that work through the line.

    None without a finished render to go by: an estimate is never invented. A free slot means no wait.
    """
    if not recent_ms:
        return None
    if position + running <= slots:
        return 0
    mean = sum(recent_ms) / len(recent_ms)
    return int(mean * (position + running - slots) / max(1, slots))

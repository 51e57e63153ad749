"""The job record and every step it may take. Frozen and pure: a step returns a new record, `now` is an argument.

    QUEUED ──start──> RUNNING ──finish──> DONE
      ^                  │
      │                  ├──fail, retryable, attempts left──> DELAYED ──due──> QUEUED
      │                  ├──fail, otherwise──> ERROR
      ├──release, stall──┘
      └──retry (a person's)── ERROR

A cancel ends QUEUED and DELAYED jobs at once (ERROR, code CANCELLED); on a RUNNING job it sets
`cancel_requested`, and the worker that sees it fails the execution with CANCELLED. From then on no step queues
the job again: a release, a stall or a failure that would have been retried ends it with CANCELLED. Only an
output that is finished already wins over a cancel: the job is DONE.

Clients see four states only: DELAYED is shown as `queued`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from flowscale.errors import IllegalTransition

LOG_LINES_KEPT = 40
"""Lines of a job's log kept in its record, newest last (the `logsTail` of the contract)."""

ATTEMPTS_KEPT = 50
"""Ended executions kept in a job's record, newest last: retries by hand have no end."""

TAIL_LINES = 15
"""Last log lines that are kept of an attempt, beside the job's record."""

TAILS_KEPT = 10
"""Attempts of a job, the last ones, whose lines are kept."""

LOG_LINE_LENGTH = 400
"""Longest kept log line in characters."""


class JobState(StrEnum):
    QUEUED = "queued"  # waits for a worker
    DELAYED = "delayed"  # waits for its back-off to pass, then is QUEUED again
    RUNNING = "running"  # one execution holds its lease
    DONE = "done"  # final: its output is published
    ERROR = "error"  # final: `failure` says why

    @property
    def is_final(self) -> bool:
        return self in (JobState.DONE, JobState.ERROR)

    @property
    def public(self) -> str:
        """The contract's status: exactly queued, running, done or error."""
        return "queued" if self is JobState.DELAYED else self.value


class Priority(StrEnum):
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an execution ended without output."""

    code: str
    message: str
    retryable: bool = False


CANCELLED = Failure("CANCELLED", "cancelled on request")
"""How a job ends when a cancel, not its last execution, decided its end."""

LOST_WORKER = Failure("WORKER_LOST", "the worker {worker} stopped renewing its lease")
"""How an execution ends whose worker was lost."""

TOO_MANY_LOST = "{count} workers were lost while they rendered this job; it will not be tried again"
"""The message of a job that ends by it."""


@dataclass(frozen=True, slots=True)
class Output:
    """A published result. `duration_ms` is the length of the rendered media; None for what has none."""

    key: str
    size: int  # bytes
    media_type: str
    duration_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One execution that ended: in success (no code), in failure, or in a stall (its worker was lost)."""

    number: int  # from 1, counts executions, stalled ones too
    started_ms: int
    ended_ms: int
    worker: str
    code: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """3 attempts with back-off from 5 s, doubling: 5 s, 10 s (fixed by the service FlowScale replaces)."""

    max_attempts: int = 3
    base_delay_ms: int = 5_000
    jitter: float = 0.1  # up to this share is added, so that retries of one incident spread
    max_stalls: int = 3  # lost workers a job may survive; one more ends it with WORKER_LOST

    def delay_ms(self, failures: int, chance: float) -> int:
        """Wait before the next attempt after `failures` failed ones; `chance` in [0, 1) draws the jitter."""
        return int(self.base_delay_ms * 2 ** (failures - 1) * (1 + self.jitter * chance))


def clip_lines(lines: Sequence[str]) -> tuple[str, ...]:
    """Log lines as they are kept: at most LOG_LINE_LENGTH characters each."""
    return tuple(line[:LOG_LINE_LENGTH] for line in lines)


@dataclass(frozen=True, slots=True)
class Job:
    """Everything known of a job. Times are Unix ms. `spec` is RenderSpec's JSON form, opaque here."""

    id: str
    spec: Mapping[str, Any]
    created_ms: int
    priority: Priority = Priority.NORMAL
    project_id: str | None = None
    state: JobState = JobState.QUEUED
    progress: int = 0  # 0..100, never falls; 100 only with a published output
    started_ms: int | None = None  # of the first execution since it was accepted, or retried by a person
    completed_ms: int | None = None
    due_ms: int | None = None  # when a DELAYED job is queued again
    execution_id: str | None = None  # the fence: set while RUNNING
    worker: str | None = None
    execution_started_ms: int | None = None
    failures: int = 0  # attempts used up
    stalls: int = 0  # executions whose worker was lost; they use up no attempt
    attempts: tuple[Attempt, ...] = ()
    cancel_requested: bool = False
    output: Output | None = None
    failure: Failure | None = None
    logs: tuple[str, ...] = ()

    @property
    def duration_ms(self) -> int | None:
        """From the first start to the end; None before that, and for a job that never started."""
        if self.started_ms is None or self.completed_ms is None:
            return None
        return self.completed_ms - self.started_ms

    def start(self, execution_id: str, worker: str, now_ms: int) -> Job:
        self._require(JobState.QUEUED)
        return replace(
            self,
            state=JobState.RUNNING,
            execution_id=execution_id,
            worker=worker,
            execution_started_ms=now_ms,
            started_ms=self.started_ms if self.started_ms is not None else now_ms,
            due_ms=None,
        )

    def advance(self, percent: int) -> Job:
        """Progress of the running execution; it never falls and stays below 100 until `finish`."""
        self._require(JobState.RUNNING)
        return replace(self, progress=max(self.progress, min(99, percent)))

    def log(self, lines: Sequence[str]) -> Job:
        return replace(self, logs=(self.logs + clip_lines(lines))[-LOG_LINES_KEPT:])

    def finish(self, output: Output, now_ms: int) -> Job:
        self._require(JobState.RUNNING)
        return replace(
            self._end_execution(now_ms, None),
            state=JobState.DONE,
            progress=100,
            completed_ms=now_ms,
            output=output,
            failure=None,
        )

    def fail(self, failure: Failure, now_ms: int, policy: RetryPolicy, chance: float) -> Job:
        """End the execution: DELAYED if the failure may pass and attempts are left, else ERROR.

        A cancel wins over a failure that may pass: the attempt keeps its own code, the job ends CANCELLED.
        """
        self._require(JobState.RUNNING)
        ended = replace(self._end_execution(now_ms, failure), failures=self.failures + 1)
        if failure.retryable and self.cancel_requested:
            return ended._end(CANCELLED, now_ms)
        if failure.retryable and ended.failures < policy.max_attempts:
            delay = policy.delay_ms(ended.failures, chance)
            return replace(ended, state=JobState.DELAYED, due_ms=now_ms + delay)
        return ended._end(failure, now_ms)

    def release(self, now_ms: int) -> Job:
        """The worker gives the job back unharmed (it is shutting down): no attempt is used up."""
        self._require(JobState.RUNNING)
        back = replace(self, state=JobState.QUEUED, execution_id=None, worker=None, execution_started_ms=None)
        return back._end(CANCELLED, now_ms) if self.cancel_requested else back

    def stall(self, now_ms: int, policy: RetryPolicy) -> Job:
        """The execution's lease ran out: back to the queue, until `max_stalls` is passed."""
        self._require(JobState.RUNNING)
        lost = replace(LOST_WORKER, message=LOST_WORKER.message.format(worker=self.worker))
        ended = replace(self._end_execution(now_ms, lost), stalls=self.stalls + 1)
        if self.cancel_requested:
            return ended._end(CANCELLED, now_ms)
        if ended.stalls > policy.max_stalls:
            return ended._end(replace(LOST_WORKER, message=TOO_MANY_LOST.format(count=ended.stalls)), now_ms)
        return replace(ended, state=JobState.QUEUED)

    def due(self) -> Job:
        self._require(JobState.DELAYED)
        return replace(self, state=JobState.QUEUED, due_ms=None)

    def cancel(self, now_ms: int) -> Job:
        """Ends a waiting job; asks the worker of a running one; an error on a job that has ended."""
        self._require(JobState.QUEUED, JobState.DELAYED, JobState.RUNNING)
        if self.state is JobState.RUNNING:
            return replace(self, cancel_requested=True)
        return replace(self, cancel_requested=True)._end(CANCELLED, now_ms)

    def to_front(self) -> Job:
        """A person wants it to run before all that wait: its priority is high from now on, and its back-off over."""
        self._require(JobState.QUEUED, JobState.DELAYED)
        return replace(self, state=JobState.QUEUED, due_ms=None, priority=Priority.HIGH)

    def retry(self) -> Job:
        """A person's retry of a failed job: a fresh set of attempts; what was tried stays recorded."""
        self._require(JobState.ERROR)
        return replace(
            self,
            state=JobState.QUEUED,
            failures=0,
            stalls=0,
            failure=None,
            started_ms=None,  # else the time until somebody came to retry it would count as time it took
            completed_ms=None,
            cancel_requested=False,
        )

    def _end(self, failure: Failure, now_ms: int) -> Job:
        return replace(self, state=JobState.ERROR, failure=failure, completed_ms=now_ms, due_ms=None)

    def _end_execution(self, now_ms: int, failure: Failure | None) -> Job:
        attempt = Attempt(
            number=self.attempts[-1].number + 1 if self.attempts else 1,
            started_ms=self.execution_started_ms if self.execution_started_ms is not None else now_ms,
            ended_ms=now_ms,
            worker=self.worker or "",
            code=failure.code if failure else None,
            message=failure.message if failure else None,
        )
        return replace(
            self,
            attempts=(*self.attempts, attempt)[-ATTEMPTS_KEPT:],
            execution_id=None,
            worker=None,
            execution_started_ms=None,
        )

    def _require(self, *allowed: JobState) -> None:
        if self.state not in allowed:
            states = ", ".join(allowed)
            raise IllegalTransition(f"job {self.id} is {self.state}; this step needs {states}")

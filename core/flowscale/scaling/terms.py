"""What a decision is made of, and its words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from flowscale.predictions import Expected

COUNTS = ("waiting", "delayed", "due", "busy", "workers")
"""Of a snapshot: without one of them nothing is known."""

GATHER_MS = 30_000
"""A step down waits no longer than this for others to come with it."""


class Reason(StrEnum):
    """Why this many workers are wanted; one word, for conditions, events and metrics."""

    QUEUE_DEPTH = "QueueDepth"  # more, for the jobs there are
    RETRY_DUE = "RetryDue"  # more, for a delayed retry whose time is near
    MINIMUM = "Minimum"  # more, because there are never to be fewer
    MAXIMUM = "Maximum"  # fewer, because there are never to be more
    IDLE = "Idle"  # fewer, because they were not needed for long enough
    STEADY = "Steady"  # as many as there are
    UNKNOWN = "Unknown"  # as many as there are, for want of knowledge


class Limit(StrEnum):
    """What keeps the size away from the demand."""

    NONE = ""
    MINIMUM = "Minimum"
    MAXIMUM = "Maximum"
    STEP_UP = "StepUp"
    STEP_DOWN = "StepDown"
    IDLE_TIME = "IdleTime"  # demand was lower for less than idle_ms
    GATHERING = "Gathering"  # it was for long enough, and the step waits for others to come with it


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was read of the queue and of the workers. A count that could not be read is None, never 0.

    `at_ms` is when the oldest part of it was read. Raises ValueError for a negative count.
    """

    at_ms: int
    waiting: int | None  # jobs in the lines
    delayed: int | None  # retries whose time has not come
    due: int | None  # retries whose time has come and that are in no line yet
    next_due_ms: int | None  # when the first of the delayed is due; None when nothing is delayed
    busy: int | None  # workers that render
    oldest_wait_ms: int | None  # None when nothing waits; only told
    workers: int | None  # that exist now, starting ones too; not those that were told to leave
    renders: int | None = None  # that the busy workers do; None: one each
    line: Sequence[Expected] = ()  # the first of the waiting jobs, in their order; only `max_wait_ms` asks for them
    running: Sequence[Expected] = ()  # renders that the workers do, likewise

    def __post_init__(self) -> None:
        for name in (*COUNTS, "renders"):
            count = getattr(self, name)
            if count is not None and count < 0:
                raise ValueError(f"{name} cannot be {count}: a count that could not be read is None")


@dataclass(frozen=True, slots=True)
class Policy:
    """What a person allows. Raises ValueError for bounds that contradict each other.

    One of `jobs_per_worker` and `max_wait_ms` is the target; without either it is one job for each worker.
    """

    minimum: int
    maximum: int
    jobs_per_worker: int | None = None
    max_step_up: int = 100  # workers in one decision
    idle_ms: int = 60_000  # how long demand must have been lower before the size is
    max_step_down_percent: int = 100  # of the present size, rounded down, at least one worker
    stale_ms: int = 10_000  # older readings are unknown
    warm_up_ms: int = 10_000  # a worker's start, and room: so early one is there for a retry
    max_wait_ms: int | None = None  # no job is to wait longer in its line
    renders_per_worker: int = 1  # at once

    def __post_init__(self) -> None:
        if not 0 <= self.minimum <= self.maximum:
            raise ValueError(f"minimum ({self.minimum}) must be from 0 to maximum ({self.maximum})")
        if not 1 <= self.max_step_down_percent <= 100:
            raise ValueError(f"max_step_down_percent ({self.max_step_down_percent}) must be from 1 to 100")
        if self.jobs_per_worker is not None and self.max_wait_ms is not None:
            raise ValueError(
                f"jobs_per_worker ({self.jobs_per_worker}) and max_wait_ms ({self.max_wait_ms}) are both targets; "
                "give one of them"
            )
        if self.jobs_per_worker is None and self.max_wait_ms is None:
            object.__setattr__(self, "jobs_per_worker", 1)
        for name in ("maximum", "jobs_per_worker", "max_step_up", "renders_per_worker"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} ({getattr(self, name)}) must be at least 1")
        for name in ("idle_ms", "stale_ms", "warm_up_ms", "max_wait_ms"):
            if getattr(self, name) is not None and getattr(self, name) < 0:
                raise ValueError(f"{name} ({getattr(self, name)}) must not be negative")

    @property
    def gather_ms(self) -> int:
        """How long a step down waits for others to come with it."""
        return min(self.idle_ms // 2, GATHER_MS)

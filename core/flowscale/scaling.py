"""How many workers there should be: the one decision that the fleet of one machine and the operator of a cluster share.

`decide` reads nothing and does nothing. It is given what was read, when, and what it remembered itself, and says how
many workers are wanted, why, and what held it back. Times are Unix milliseconds.

**Demand.** A worker renders one job at a time, so a busy worker is one running job, and

    demand = max(busy, ceil((busy + waiting + due) / jobs_per_worker))

that is, each worker has `jobs_per_worker` jobs to see to, the one it renders included. Running jobs count in the sum
because a job that moves from the line to a worker must not change it: were only the line divided, every start of a
job would call for another worker. `busy` bounds it from below: no worker that renders can be spared. `due` are jobs
that wait, though nobody has put them in the line yet.

**Delayed retries** wait in no line and nobody would start for them. From `warm_up_ms` before the next is due, demand
is at least one.

**Up** at once, in one step, as far as `maximum` and `max_step_up` allow; the minimum is reached whatever the step.

**Down** to the highest demand of the last `idle_ms`, once all of it was seen to be lower than the present size. So
demand that swings does not make the size swing with it. A round that is missing, unknown or more than `stale_ms`
later than the one before it starts the wait anew, and so does each step down: `max_step_down_percent` holds for each
`idle_ms`. A maximum that was lowered is an order and does not wait. In no case is the size less than `busy`.

**Unknown** is not zero. Without every count, not older than `stale_ms`, the size stays as it is; only what lies below
the minimum is raised to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

_COUNTS = ("waiting", "delayed", "due", "busy", "workers")


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

    def __post_init__(self) -> None:
        for name in _COUNTS:
            count = getattr(self, name)
            if count is not None and count < 0:
                raise ValueError(f"{name} cannot be {count}: a count that could not be read is None")


@dataclass(frozen=True, slots=True)
class Policy:
    """What a person allows. Raises ValueError for bounds that contradict each other."""

    minimum: int
    maximum: int
    jobs_per_worker: int = 1
    max_step_up: int = 100  # workers in one decision
    idle_ms: int = 60_000  # how long demand must have been lower before the size is
    max_step_down_percent: int = 100  # of the present size, rounded down, at least one worker
    stale_ms: int = 10_000  # older readings are unknown
    warm_up_ms: int = 10_000  # before a delayed retry is due: a worker's start, and room

    def __post_init__(self) -> None:
        if not 0 <= self.minimum <= self.maximum:
            raise ValueError(f"minimum ({self.minimum}) must be from 0 to maximum ({self.maximum})")
        if not 1 <= self.max_step_down_percent <= 100:
            raise ValueError(f"max_step_down_percent ({self.max_step_down_percent}) must be from 1 to 100")
        for name in ("maximum", "jobs_per_worker", "max_step_up"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} ({getattr(self, name)}) must be at least 1")
        for name in ("idle_ms", "stale_ms", "warm_up_ms"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} ({getattr(self, name)}) must not be negative")


@dataclass(frozen=True, slots=True)
class Peak:
    """A demand seen at a time; no later one that is still remembered was as high."""

    at_ms: int
    demand: int


@dataclass(frozen=True, slots=True)
class History:
    """What one decision leaves to the next. Nothing of it need outlive the process: without it, down waits longer."""

    since_ms: int | None = None  # demand was known without a break since; None: it is not known now
    last_ms: int | None = None  # the last round in which it was known
    peaks: tuple[Peak, ...] = ()  # of the last idle_ms, oldest and highest first

    def seen(self, demand: int, policy: Policy, now_ms: int) -> History:
        """With this round's demand."""
        since_ms, peaks = self.since_ms, self.peaks
        if since_ms is None or self.last_ms is None or not 0 <= now_ms - self.last_ms <= policy.stale_ms:
            since_ms, peaks = now_ms, ()
        kept = (peak for peak in peaks if peak.demand > demand and peak.at_ms >= now_ms - policy.idle_ms)
        return History(since_ms, now_ms, (*kept, Peak(now_ms, demand)))


@dataclass(frozen=True, slots=True)
class Decision:
    """How many workers, and why. `wanted` is None when not even the present size is known: see `size`."""

    wanted: int | None
    reason: Reason
    message: str  # a sentence with the figures
    limited_by: Limit = Limit.NONE
    history: History = field(default_factory=History)

    def size(self, present: int, policy: Policy) -> int:
        """How many there are to be, for one who knows that there are `present`."""
        return max(present, policy.minimum) if self.wanted is None else self.wanted


@dataclass(frozen=True, slots=True)
class _Known:
    """A snapshot of which every count is known, and what follows from it."""

    jobs: int  # that wait or are due
    busy: int
    workers: int
    demand: int
    warm: bool  # a delayed retry is near


def decide(snapshot: Snapshot | None, policy: Policy, history: History, now_ms: int) -> Decision:
    """The decision of this round; its `history` belongs to the next. Rules: see the module."""
    known = _known(snapshot, policy, now_ms)
    if snapshot is None or known is None:
        return _unknown(snapshot, policy, now_ms)
    history = history.seen(known.demand, policy, now_ms)
    facts = _facts(known, snapshot)
    need = min(max(known.demand, policy.minimum), policy.maximum)
    present = min(known.workers, max(policy.maximum, known.busy))  # what there is, and may be
    if need > present:
        return _up(known, need, policy, history, facts)
    return _idle(known, present, policy, history, facts) or _stay(known, present, policy, history, facts)


def _known(snapshot: Snapshot | None, policy: Policy, now_ms: int) -> _Known | None:
    if snapshot is None or abs(now_ms - snapshot.at_ms) > policy.stale_ms:
        return None
    waiting, due, delayed = snapshot.waiting, snapshot.due, snapshot.delayed
    busy, workers = snapshot.busy, snapshot.workers
    if waiting is None or due is None or delayed is None or busy is None or workers is None:
        return None
    jobs = waiting + due
    # A delayed retry of which nobody knows when it is due may be due at any moment.
    warm = delayed > 0 and (snapshot.next_due_ms is None or snapshot.next_due_ms - now_ms <= policy.warm_up_ms)
    demand = max(busy, -(-(busy + jobs) // policy.jobs_per_worker), int(warm))
    return _Known(jobs, busy, workers, demand, warm)


def _unknown(snapshot: Snapshot | None, policy: Policy, now_ms: int) -> Decision:
    if snapshot is None:
        why = "Nothing is known of the queue and the workers"
    elif abs(now_ms - snapshot.at_ms) > policy.stale_ms:
        seconds = policy.stale_ms / 1000
        why = f"What is known of the queue and the workers was read more than {seconds:g} s ago"
    else:
        missing = ", ".join(name for name in _COUNTS if getattr(snapshot, name) is None)
        why = f"These could not be read: {missing}"
        if snapshot.workers is not None:
            held = max(snapshot.workers, policy.minimum)
            if held > snapshot.workers:
                message = f"{why}; from {snapshot.workers} to {held} workers, because there are never to be fewer."
                return Decision(held, Reason.UNKNOWN, message, Limit.MINIMUM)
            return Decision(held, Reason.UNKNOWN, f"{why}; the number of workers stays {held} until they can be.")
    return Decision(None, Reason.UNKNOWN, f"{why}; the number of workers stays as it is until more is.")


def _up(known: _Known, need: int, policy: Policy, history: History, facts: str) -> Decision:
    wanted = min(need, max(known.workers + policy.max_step_up, policy.minimum))
    if wanted < need:
        limit = Limit.STEP_UP
    elif known.demand > policy.maximum:
        limit = Limit.MAXIMUM
    else:
        limit = Limit.MINIMUM if known.demand < policy.minimum else Limit.NONE
    if known.demand <= known.workers:
        reason, why = Reason.MINIMUM, f"there are never to be fewer than {policy.minimum}"
    elif known.busy + known.jobs == 0:
        reason, why = Reason.RETRY_DUE, "a delayed retry is about to be due"
    else:
        reason, why = Reason.QUEUE_DEPTH, f"{known.demand} are needed"
    message = f"From {known.workers} to {wanted} workers, because {why}: {facts}."
    return Decision(wanted, reason, message, limit, history)


def _idle(known: _Known, present: int, policy: Policy, history: History, facts: str) -> Decision | None:
    """Fewer, when fewer were enough for long enough."""
    if history.since_ms is None or history.last_ms is None or history.last_ms - history.since_ms < policy.idle_ms:
        return None
    peak = max(peak.demand for peak in history.peaks)
    floor = max(peak, policy.minimum)
    if floor >= present:
        return None
    wanted = max(floor, present - max(1, present * policy.max_step_down_percent // 100))
    at_floor = Limit.MINIMUM if peak < policy.minimum else Limit.NONE
    limit = at_floor if wanted == floor else Limit.STEP_DOWN
    why = f"no more than {peak} were needed for {policy.idle_ms / 1000:g} s"
    message = f"From {known.workers} to {wanted} workers, because {why}: {facts}."
    return Decision(wanted, Reason.IDLE, message, limit, History().seen(known.demand, policy, history.last_ms))


def _stay(known: _Known, present: int, policy: Policy, history: History, facts: str) -> Decision:
    if present < known.workers:
        message = f"From {known.workers} to {present} workers, because at most {policy.maximum} are allowed: {facts}."
        return Decision(present, Reason.MAXIMUM, message, Limit.MAXIMUM, history)
    if known.demand > present:
        limit, why = Limit.MAXIMUM, f"{known.demand} are needed, but at most {policy.maximum} allowed"
    elif max(known.demand, policy.minimum) < present:
        limit, why = Limit.IDLE_TIME, f"fewer would do, once that has been so for {policy.idle_ms / 1000:g} s"
    elif known.demand < present:
        limit, why = Limit.MINIMUM, f"there are never to be fewer than {policy.minimum}"
    else:
        limit, why = Limit.NONE, "as many as are needed"
    return Decision(present, Reason.STEADY, f"The number of workers stays {present}: {why}; {facts}.", limit, history)


def _facts(known: _Known, snapshot: Snapshot) -> str:
    facts = f"{known.busy} busy, {known.jobs} waiting, {snapshot.delayed} delayed"
    if snapshot.oldest_wait_ms is not None and known.jobs:
        facts += f", the oldest waiting for {snapshot.oldest_wait_ms // 1000} s"
    return facts

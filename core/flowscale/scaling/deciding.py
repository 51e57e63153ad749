"""The decision itself. Its rules stand in the package's docstring."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from flowscale.scaling.history import History, Step
from flowscale.scaling.schedule import Load, fewest_workers
from flowscale.scaling.terms import COUNTS, Limit, Policy, Reason, Snapshot


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


def decide(snapshot: Snapshot | None, policy: Policy, history: History, now_ms: int) -> Decision:
    """The decision of this round; its `history` belongs to the next."""
    known = _known(snapshot, policy, now_ms)
    if snapshot is None or known is None:
        return _unknown(snapshot, policy, history, now_ms)
    past = history.until(policy, now_ms)
    now = past.seen(known.demand, now_ms)
    facts = _facts(known, snapshot)
    need = min(max(known.demand, policy.minimum), policy.maximum)
    present = min(known.workers, max(policy.maximum, known.busy))  # what there is, and may be
    if need > present:
        return _up(known, need, policy, now, facts)
    return _down(known, present, policy, past, now, facts) or _stay(known, present, policy, now, facts)


def _known(snapshot: Snapshot | None, policy: Policy, now_ms: int) -> _Known | None:
    if snapshot is None or abs(now_ms - snapshot.at_ms) > policy.stale_ms:
        return None
    waiting, due, delayed = snapshot.waiting, snapshot.due, snapshot.delayed
    busy, workers = snapshot.busy, snapshot.workers
    if waiting is None or due is None or delayed is None or busy is None or workers is None:
        return None
    # A delayed retry of which nobody knows when it is due may be due at any moment.
    warm = delayed > 0 and (snapshot.next_due_ms is None or snapshot.next_due_ms - now_ms <= policy.warm_up_ms)
    jobs, renders = waiting + due, busy if snapshot.renders is None else snapshot.renders
    if policy.max_wait_ms is not None:
        needed = fewest_workers(
            Load(jobs, snapshot.line, renders, snapshot.running),
            busy=busy,
            workers=workers,
            renders_per_worker=policy.renders_per_worker,
            max_wait_ms=policy.max_wait_ms,
            start_ms=policy.warm_up_ms,
        )
    else:
        needed = -(-(renders + jobs) // (policy.jobs_per_worker or 1))
    return _Known(jobs, busy, workers, max(busy, needed, int(warm)))


def _unknown(snapshot: Snapshot | None, policy: Policy, history: History, now_ms: int) -> Decision:
    forgotten = History(step=history.step)
    if snapshot is None:
        why = "Nothing is known of the queue and the workers"
    elif abs(now_ms - snapshot.at_ms) > policy.stale_ms:
        seconds = policy.stale_ms / 1000
        why = f"What is known of the queue and the workers was read more than {seconds:g} s ago"
    else:
        missing = ", ".join(name for name in COUNTS if getattr(snapshot, name) is None)
        why = f"These could not be read: {missing}"
        if snapshot.workers is not None:
            held = max(snapshot.workers, policy.minimum)
            message = f"{why}; the number of workers stays {held} until they can be."
            limit = Limit.NONE
            if held > snapshot.workers:
                message = f"{why}; from {snapshot.workers} to {held} workers, because there are never to be fewer."
                limit = Limit.MINIMUM
            return Decision(held, Reason.UNKNOWN, message, limit, forgotten)
    message = f"{why}; the number of workers stays as it is until more is."
    return Decision(None, Reason.UNKNOWN, message, history=forgotten)


def _up(known: _Known, need: int, policy: Policy, now: History, facts: str) -> Decision:
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
    elif policy.max_wait_ms is not None:
        seconds = policy.max_wait_ms / 1000
        reason, why = Reason.QUEUE_DEPTH, f"{known.demand} are needed for no job to wait longer than {seconds:g} s"
    else:
        reason, why = Reason.QUEUE_DEPTH, f"{known.demand} are needed"
    message = f"From {known.workers} to {wanted} workers, because {why}: {facts}."
    return Decision(wanted, reason, message, limit, replace(now, due_ms=None, step=None))


def _down(known: _Known, present: int, policy: Policy, past: History, now: History, facts: str) -> Decision | None:
    """Fewer, when fewer were enough for long enough, or why not yet; None when they were not."""
    if now.since_ms is None or now.last_ms is None or now.last_ms - now.since_ms < policy.idle_ms:
        return None
    floor = max(now.peak, policy.minimum)
    if floor >= present:
        return None
    now_ms, step = now.last_ms, past.step
    if step is not None and present > step.size:
        floor = max(floor, step.size)  # it was decided, and not carried out
    elif past.waits_to_gather(policy, now_ms) or past.waits_for_step(policy, now_ms):
        message = (
            f"The number of workers stays {present}: {floor} would do, and more are about to leave together; {facts}."
        )
        due_ms = now_ms if past.due_ms is None else past.due_ms
        return Decision(present, Reason.STEADY, message, Limit.GATHERING, replace(now, due_ms=due_ms))
    wanted = max(floor, present - max(1, present * policy.max_step_down_percent // 100))
    at_floor = Limit.MINIMUM if now.peak < policy.minimum else Limit.NONE
    limit = at_floor if wanted == floor else Limit.STEP_DOWN
    why = f"no more than {now.peak} were needed for {policy.idle_ms / 1000:g} s"
    message = f"From {known.workers} to {wanted} workers, because {why}: {facts}."
    return Decision(wanted, Reason.IDLE, message, limit, replace(now, due_ms=None, step=Step(now_ms, wanted)))


def _stay(known: _Known, present: int, policy: Policy, now: History, facts: str) -> Decision:
    now = replace(now, due_ms=None)
    if present < known.workers:
        message = f"From {known.workers} to {present} workers, because at most {policy.maximum} are allowed: {facts}."
        return Decision(present, Reason.MAXIMUM, message, Limit.MAXIMUM, now)
    if known.demand > present:
        limit, why = Limit.MAXIMUM, f"{known.demand} are needed, but at most {policy.maximum} allowed"
    elif max(known.demand, policy.minimum) < present:
        limit, why = Limit.IDLE_TIME, f"fewer would do, once that has been so for {policy.idle_ms / 1000:g} s"
    elif known.demand < present:
        limit, why = Limit.MINIMUM, f"there are never to be fewer than {policy.minimum}"
    else:
        limit, why = Limit.NONE, "as many as are needed"
    return Decision(present, Reason.STEADY, f"The number of workers stays {present}: {why}; {facts}.", limit, now)


def _facts(known: _Known, snapshot: Snapshot) -> str:
    facts = f"{known.busy} busy, {known.jobs} waiting, {snapshot.delayed} delayed"
    if snapshot.oldest_wait_ms is not None and known.jobs:
        facts += f", the oldest waiting for {snapshot.oldest_wait_ms // 1000} s"
    return facts

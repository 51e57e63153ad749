"""What a policy would have done with the jobs of a trace: the same `decide`, over workers that are imagined. Pure.

Every second, and whenever a job comes or ends, a decision is made and carried out at once. New workers are ready
`start_ms` later. Workers that leave are those that have not started yet, then idle ones: as in a cluster, none that
renders is removed. Jobs are taken in the order in which they come; none fails. Times are ms from the trace's beginning.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from flowscale.predictions import LINE_READ, Expected, Lessons
from flowscale.scaling.deciding import decide
from flowscale.scaling.history import History
from flowscale.scaling.terms import Limit, Policy, Reason, Snapshot

ROUND_MS = 1_000
"""A decision is made at least this often."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A job of the trace. Jobs of one kind are taken to be alike: it stands for a profile."""

    at_ms: int
    render_ms: int
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Moment:
    """How it stands from `at_ms` until the next."""

    at_ms: int
    waiting: int
    busy: int
    workers: int  # starting and busy ones too


@dataclass(frozen=True, slots=True)
class Change:
    """A decision that changed the number of workers."""

    at_ms: int
    before: int
    after: int
    reason: Reason
    limited_by: Limit
    message: str


@dataclass(slots=True)
class Simulation:
    """What would have been. `worker_ms` is the time that workers were there, starting or idle too."""

    moments: list[Moment] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    waits_ms: list[int] = field(default_factory=list)  # of each job, in the order of their starts
    worker_ms: int = 0
    render_ms: int = 0


def simulate(arrivals: Sequence[Arrival], policy: Policy, *, start_ms: int) -> Simulation:
    """Until every job is done and no more than the minimum of workers is left."""
    return _Run(arrivals, policy, start_ms).all()


class _Run:
    def __init__(self, arrivals: Sequence[Arrival], policy: Policy, start_ms: int) -> None:
        self._coming = deque(sorted(arrivals, key=lambda arrival: arrival.at_ms))
        self._policy = policy
        self._start_ms = start_ms
        self._history = History()
        self._lessons = Lessons()
        self._line: deque[Arrival] = deque()
        self._running: list[tuple[int, int, Arrival]] = []  # a heap: when it ends, its number, the job
        self._starting: list[int] = []  # when each is ready, soonest first
        self._slots = policy.renders_per_worker
        self._workers = policy.minimum  # ready ones
        self._done = Simulation()
        self._now = 0

    def all(self) -> Simulation:
        tick = 0
        while True:
            self._now = min([tick, *self._next_events()])
            if self._now == tick:
                tick += ROUND_MS
            self._happen()
            self._assign()
            self._resize()
            self._note()
            idle = not (self._coming or self._line or self._running)
            if idle and self._total <= self._policy.minimum:
                return self._done

    @property
    def _total(self) -> int:
        return self._workers + len(self._starting)

    @property
    def _busy(self) -> int:
        """Workers that render: as many as can be, since jobs spread over those that are there."""
        return min(self._workers, len(self._running))

    def _next_events(self) -> list[int]:
        coming = [self._coming[0].at_ms] if self._coming else []
        return [*coming, *(end for end, _, _ in self._running[:1]), *self._starting[:1]]

    def _happen(self) -> None:
        while self._running and self._running[0][0] <= self._now:
            _, _, job = heapq.heappop(self._running)
            self._lessons.add(job.kind, job.render_ms)
            self._done.render_ms += job.render_ms
        while self._starting and self._starting[0] <= self._now:
            self._starting.pop(0)
            self._workers += 1
        while self._coming and self._coming[0].at_ms <= self._now:
            self._line.append(self._coming.popleft())

    def _assign(self) -> None:
        while self._line and len(self._running) < self._workers * self._slots:
            job = self._line.popleft()
            self._done.waits_ms.append(self._now - job.at_ms)
            heapq.heappush(self._running, (self._now + job.render_ms, len(self._done.waits_ms), job))

    def _resize(self) -> None:
        decision = decide(self._snapshot(), self._policy, self._history, self._now)
        self._history = decision.history
        before, after = self._total, decision.size(self._total, self._policy)
        if after == before:
            return
        self._done.changes.append(
            Change(self._now, before, after, decision.reason, decision.limited_by, decision.message)
        )
        if after > before:
            self._starting += [self._now + self._start_ms] * (after - before)
        else:
            unborn = min(len(self._starting), before - after)
            self._starting = self._starting[: len(self._starting) - unborn]
            self._workers -= before - after - unborn

    def _snapshot(self) -> Snapshot:
        line = self._line
        return Snapshot(
            at_ms=self._now,
            waiting=len(line),
            delayed=0,
            due=0,
            next_due_ms=None,
            busy=self._busy,
            oldest_wait_ms=self._now - line[0].at_ms if line else None,
            workers=self._total,
            renders=len(self._running),
            line=tuple(self._expected(job, self._now - job.at_ms) for job in islice(line, LINE_READ)),
            running=tuple(
                self._expected(job, self._now - end + job.render_ms) for end, _, job in self._running[:LINE_READ]
            ),
        )

    def _expected(self, job: Arrival, for_ms: int) -> Expected:
        return Expected(for_ms, self._lessons.predicted_ms(job.kind))

    def _note(self) -> None:
        moment = Moment(self._now, len(self._line), len(self._running), self._total)
        moments = self._done.moments
        if moments:
            self._done.worker_ms += moments[-1].workers * (self._now - moments[-1].at_ms)
        if moments and moments[-1].at_ms == self._now:
            moments[-1] = moment
        else:
            moments.append(moment)

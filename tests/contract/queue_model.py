"""The queue as its protocol describes it, with no thought of speed: what queue_machine.py compares backends with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import groupby

from contract.queue_harness import POLICY
from flowscale.jobs import Job, JobState, Priority
from flowscale.queues.base import FAIRNESS_EVERY, PRIORITY_ORDER

MODEL_POLICY = replace(
    POLICY, max_waiting=12, keep_done=2, keep_failed=2, keep_at_most=3, retention_ms=30_000, idempotency_ms=30_000
)

KEPT = {JobState.DONE: MODEL_POLICY.keep_done, JobState.ERROR: MODEL_POLICY.keep_failed}


@dataclass
class Known:
    """What the model knows of one job. Times in ms since the queue was opened."""

    id: str
    priority: Priority
    project: str | None = None
    label: str | None = None
    since: int = 0  # the turn in which it joined its line
    state: JobState = JobState.QUEUED
    progress: int = 0
    failures: int = 0
    stalls: int = 0
    attempts: int = 0
    cancelled: bool = False
    execution_id: str | None = None
    expires: int = 0
    due: int = 0
    ended: int = 0
    record: Job | None = None  # as it was when it ended: it must not change

    def has(self, word: str) -> bool:
        failure = self.record.failure if self.record is not None else None
        words = [self.id, self.project or "", self.label or "", failure.code.lower() if failure else ""]
        return any(own.startswith(word) for own in words)


@dataclass
class Model:
    """Every job that was accepted and not retired, and the lines they wait in."""

    jobs: dict[str, Known] = field(default_factory=dict)
    lines: dict[Priority, list[Known]] = field(default_factory=lambda: {line: [] for line in PRIORITY_ORDER})
    now: int = 0
    joined: int = 0
    taken: int = 0
    paused: bool = False

    def of(self, *states: JobState) -> list[Known]:
        return [known for known in self.jobs.values() if known.state in states]

    def waiting(self) -> list[Known]:
        return [known for line in PRIORITY_ORDER for known in self.lines[line]]

    def has_room(self) -> bool:
        return len(self.of(JobState.QUEUED, JobState.DELAYED)) < MODEL_POLICY.max_waiting

    def join(self, *together: Known) -> None:
        """Those who join at one instant have waited equally long."""
        self.joined += 1
        for known in together:
            known.state, known.since = JobState.QUEUED, self.joined
            self.lines[known.priority].append(known)

    def back_to_head(self, known: Known) -> None:
        known.state, known.execution_id = JobState.QUEUED, None
        self.lines[known.priority].insert(0, known)

    def to_front(self, known: Known) -> None:
        """Before all that wait, with the priority of the first line."""
        if known.state is JobState.QUEUED:
            self.lines[known.priority].remove(known)
        else:
            self.joined += 1
            known.state, known.since = JobState.QUEUED, self.joined
        known.priority = PRIORITY_ORDER[0]
        self.lines[known.priority].insert(0, known)

    def remove(self, known: Known) -> None:
        if known.state is JobState.QUEUED:
            self.lines[known.priority].remove(known)
        del self.jobs[known.id]

    def found(self, word: str, state: JobState | None) -> list[str]:
        """Ids of the jobs in a state of which a word begins so, newest first."""
        found = [known for known in self.jobs.values() if state in (None, known.state)]
        return sorted((known.id for known in found if known.has(word)), reverse=True)

    def end(self, known: Known, state: JobState, record: Job) -> None:
        known.state, known.execution_id, known.record, known.ended = state, None, record, self.now

    def promote(self) -> list[list[Known]]:
        """Queue what is due; gives those that were due at one instant together."""
        due = sorted((k for k in self.of(JobState.DELAYED) if k.due <= self.now), key=lambda k: k.due)
        groups = [list(group) for _, group in groupby(due, key=lambda k: k.due)]
        for group in groups:
            self.join(*group)
        return groups

    def may_be_next(self) -> list[Known]:
        """Empty when nobody waits; more than one when several have waited longest."""
        heads = [line[0] for line in self.lines.values() if line]
        if heads and (self.taken + 1) % FAIRNESS_EVERY == 0:
            longest = min(known.since for known in heads)
            return [known for known in heads if known.since == longest]
        return heads[:1]

    def may_be_retired(self) -> list[Known]:
        """The ended jobs that the policy does not hold, with every job that ended at the same instant as one."""
        return [known for state in KEPT for known in self.of(state) if not self.is_held(known, at_most=False)]

    def must_be_retired(self) -> list[Known]:
        return [known for state in KEPT for known in self.of(state) if not self.is_held(known, at_most=True)]

    def is_held(self, known: Known, *, at_most: bool) -> bool:
        """Whether the policy keeps an ended job; of those that ended with it, all (or none) count as older."""
        others = [other for other in self.of(known.state) if other is not known]
        rank = sum(other.ended > known.ended or (other.ended == known.ended and not at_most) for other in others)
        young = self.now - known.ended < MODEL_POLICY.retention_ms
        return rank < KEPT[known.state] or (young and rank < MODEL_POLICY.keep_at_most)

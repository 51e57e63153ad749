"""The job records of the memory backend, with all that a job owns: its events and its turn to be retired.

`put` is the one place where a record changes, so that a change of state cannot go untold. No lock: the queue
around it owns one.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterator
from itertools import islice

from flowscale.clocks import Clock
from flowscale.errors import IllegalTransition
from flowscale.jobs import Job, JobState
from flowscale.queues import answers
from flowscale.queues.base import EventKind, JobPage, QueuePolicy
from flowscale.queues.figures import count_of_end
from flowscale.queues.finding import card_of
from flowscale.queues.memory.events import EventLog
from flowscale.queues.memory.tellings import Tellings
from flowscale.queues.told import Facts, Told


def elapsed_ms(clock: Clock) -> int:
    """The monotonic clock in whole ms: what every wait and age in the memory backend is counted on."""
    return round(clock.monotonic() * 1000)


class Records:
    """Every job that was accepted and is kept still."""

    def __init__(self, policy: QueuePolicy, clock: Clock) -> None:
        self.events = EventLog()
        self.counts: Counter[str] = Counter()  # queues/figures.py
        self._policy = policy
        self._clock = clock
        self._jobs: dict[str, Job] = {}
        self._cards: dict[str, str] = {}  # queues/finding.py
        self._tellings = Tellings()
        self._ids: list[str] = []  # sorted; ids begin with their time, so this is oldest first
        # When each ended job ended (ms, monotonic), earliest first.
        self._ended: dict[JobState, dict[str, int]] = {JobState.DONE: {}, JobState.ERROR: {}}

    def find(self, job_id: str) -> Job | None:
        return self._jobs.get(job_id)

    def get(self, job_id: str) -> Job:
        """Raises JobNotFound."""
        job = self._jobs.get(job_id)
        if job is None:
            raise answers.job_not_found(job_id)
        return job

    def add(self, job: Job) -> None:
        """Raises IllegalTransition for a job that is not new."""
        if job.state is not JobState.QUEUED or job.id in self._jobs:
            raise IllegalTransition(
                f"job {job.id} is {job.state} or was accepted before; only a new job can be enqueued"
            )
        self._jobs[job.id] = job
        self.counts["enqueued"] += 1
        insort(self._ids, job.id)
        self._cards[job.id] = card_of(job)
        self._tell_state(job)

    def put(self, job: Job) -> Job:
        """Replace a job's record and tell what changed of its state and progress."""
        before = self._jobs[job.id]
        self._jobs[job.id] = job
        if job.state is not before.state:
            if before.state is JobState.RUNNING:
                ended = job.attempts[-1].number if job.attempts[-1:] != before.attempts[-1:] else None
                self._tellings.end(job.id, ended)
            if before.state.is_final:
                del self._ended[before.state][job.id]
            if job.state.is_final or before.state.is_final:
                self._cards[job.id] = card_of(job)
            if job.state.is_final:
                self._ended[job.state][job.id] = elapsed_ms(self._clock)
                self.counts.update(count_of_end(job))
            self._tell_state(job)
        elif job.progress != before.progress:
            self.events.add(job.id, EventKind.PROGRESS, self._clock.now_ms(), answers.progress_data(job))
        return job

    def log(self, job: Job, line: str) -> None:
        """Tell one line of a job's log."""
        self.events.add(job.id, EventKind.LOG, self._clock.now_ms(), {"line": line})
        self._tellings.line(job.id, line)

    def describe(self, job_id: str, facts: Facts) -> None:
        """Keep what its execution tells of its work."""
        self._tellings.describe(job_id, facts)

    def told(self, job_id: str) -> Told:
        return self._tellings.of(job_id)

    def ended_count(self, state: JobState) -> int:
        """How many jobs that ended so are kept."""
        return len(self._ended[state])

    def newest(self, most: int, below: str | None) -> list[tuple[Job, str]]:
        """As many jobs as that with their cards, newest first, beginning with the one before `below`."""
        end = len(self._ids) if below is None else bisect_left(self._ids, below)
        return [(self._jobs[each], self._cards[each]) for each in reversed(self._ids[max(0, end - most) : end])]

    def drop(self, job: Job) -> None:
        """Forget a job, in whatever state, and all it owns here."""
        if job.state.is_final:
            del self._ended[job.state][job.id]
        self._forget(job.id)

    def page(self, state: JobState | None, limit: int, cursor: str | None) -> JobPage:
        """Raises InvalidOptions."""
        end = len(self._ids) if cursor is None else bisect_left(self._ids, answers.read_cursor(cursor))
        found = tuple(islice(self._older(end, state), limit + 1))
        page = found[:limit]
        return JobPage(page, answers.cursor_after(page[-1]) if len(found) > limit else None)

    def retire(self) -> None:
        """Forget ended jobs, and all they own, as far as the policy lets them go."""
        self._retire(self._ended[JobState.DONE], self._policy.keep_done)
        self._retire(self._ended[JobState.ERROR], self._policy.keep_failed)

    def _retire(self, ended: dict[str, int], keep: int) -> None:
        now = elapsed_ms(self._clock)
        while len(ended) > keep:
            job_id, when = next(iter(ended.items()))
            if len(ended) <= self._policy.keep_at_most and now - when < self._policy.retention_ms:
                return
            del ended[job_id]
            self._forget(job_id)

    def _forget(self, job_id: str) -> None:
        del self._jobs[job_id]
        del self._cards[job_id]
        del self._ids[bisect_left(self._ids, job_id)]
        self._tellings.drop(job_id)
        self.events.drop(job_id)

    def _older(self, end: int, state: JobState | None) -> Iterator[Job]:
        for index in range(end - 1, -1, -1):
            job = self._jobs[self._ids[index]]
            if answers.matches(job, state):
                yield job

    def _tell_state(self, job: Job) -> None:
        self.events.add(job.id, EventKind.STATE, self._clock.now_ms(), answers.state_data(job))

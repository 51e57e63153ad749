"""The queue in one process: both halves of the protocol over one set of facts under one lock.

For `flowscale dev`, the demo and tests. It survives nothing: with the process go its jobs. Otherwise it promises
what the Redis backend promises, and passes the same suite.

The lock is held for microseconds (no call under it waits or does I/O), so the gateway's coroutines take it
directly. Worker threads wait in `fetch` on the lock's condition; coroutines wait in `events` on futures of
their own loop (events.py). The lock is re-entrant because a reader that is garbage collected lets go of
its place in whichever thread the collector happens to run.

Two clocks, one for each purpose: records carry Unix time, but everything the queue waits for (leases, due
retries, retention, forgetting keys and reports) is counted on the monotonic clock. A Unix clock that is set
right while jobs run must not make every worker look dead, nor hold back a retry for an hour.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from random import random
from uuid import uuid4

from flowscale.clocks import Clock
from flowscale.errors import LeaseLost
from flowscale.jobs import Failure, Job, JobState, Output, clip_lines
from flowscale.predictions import Lessons, profile_of
from flowscale.queues import answers
from flowscale.queues.base import (
    RECENT_DURATIONS,
    Depth,
    Enqueued,
    Event,
    Execution,
    Figures,
    Idempotency,
    JobPage,
    QueuePolicy,
    Tended,
    WorkerReport,
    estimate_wait_ms,
)
from flowscale.queues.memory.admin import AdminHalf
from flowscale.queues.memory.groups import Drains
from flowscale.queues.memory.idempotency import Keys
from flowscale.queues.memory.lines import Delays, Lines, Place
from flowscale.queues.memory.records import Records
from flowscale.queues.memory.scaling import Hold
from flowscale.queues.memory.wakes import Wakes
from flowscale.queues.memory.workers import Reports


class MemoryQueue(AdminHalf):
    """GatewayQueue, WorkQueue and ScalingQueue in one.

    `chance` draws the jitter of retries, in [0, 1).
    """

    def __init__(
        self,
        policy: QueuePolicy,
        clock: Clock,
        chance: Callable[[], float] = random,
    ) -> None:
        super().__init__()
        self._policy = policy
        self._clock = clock
        self._chance = chance
        self._changed = threading.Condition(threading.RLock())
        self._records = Records(policy, clock)
        self._lines = Lines()
        self._delays = Delays()
        self._holds: dict[str, Hold] = {}  # by job id, oldest execution first
        self._keys = Keys(policy.idempotency_ms)
        self._reports = Reports()
        self._durations: deque[int] = deque(maxlen=RECENT_DURATIONS)  # ms
        self._lessons = Lessons()
        self._drains = Drains()
        self._wakes = Wakes()
        self._paused = False

    # The gateway's half.

    async def enqueue(self, job: Job, idempotency: Idempotency | None = None) -> Enqueued:
        with self._changed:
            if idempotency is not None and (made_before := self._made_before(idempotency)) is not None:
                return made_before
            self._require_room()
            self._records.add(job)
            if idempotency is not None:
                self._keys.remember(idempotency, job.id, self._now())
            self._join(job)
            return self._enqueued(job, created=True)

    async def earlier(self, idempotency: Idempotency) -> Enqueued | None:
        with self._changed:
            return self._made_before(idempotency)

    async def get(self, job_id: str) -> Job:
        with self._changed:
            return self._records.get(job_id)

    async def list(self, state: JobState | None, limit: int, cursor: str | None) -> JobPage:
        with self._changed:
            return self._records.page(state, limit, cursor)

    async def cancel(self, job_id: str) -> Job:
        with self._changed:
            job = self._records.get(job_id)
            if job.state is JobState.ERROR and job.failure is not None and job.failure.code == "CANCELLED":
                return job
            if job.state.is_final:
                raise answers.cannot_cancel(job)
            if job.state is JobState.QUEUED:
                self._lines.leave(job_id, job.priority)
            elif job.state is JobState.DELAYED:
                self._delays.remove(job_id)
            return self._records.put(job.cancel(self._clock.now_ms()))

    async def retry(self, job_id: str) -> Job:
        with self._changed:
            job = self._records.get(job_id)
            if job.state is not JobState.ERROR:
                raise answers.cannot_retry(job)
            self._require_room()
            queued = self._records.put(job.retry())
            self._join(queued)
            return queued

    async def position(self, job_id: str) -> int | None:
        with self._changed:
            return self._position(self._records.get(job_id))

    async def positions(self, job_ids: Sequence[str]) -> Mapping[str, int | None]:
        with self._changed:
            jobs = (self._records.find(job_id) for job_id in job_ids)
            return {job.id: self._position(job) for job in jobs if job is not None}

    async def depth(self) -> Depth:
        with self._changed:
            due = self._delays.due_count(self._now())
            return Depth(len(self._lines), len(self._delays) - due, len(self._holds), due)

    async def running(self) -> Sequence[str]:
        with self._changed:
            return tuple(self._holds)

    async def events(self, job_id: str, after: int, wait_s: float) -> Sequence[Event]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        while True:
            with self._changed:
                self._records.get(job_id)
                found = self._records.events.after(job_id, after)
                left = deadline - loop.time()
                if found or left <= 0:
                    return found
                news = self._records.events.expect(job_id)
            try:
                await asyncio.wait((news,), timeout=left)
            finally:
                with self._changed:
                    self._records.events.forget(job_id, news)

    async def pause(self) -> None:
        with self._changed:
            self._paused = True

    async def resume(self) -> None:
        with self._changed:
            self._paused = False
            self._wake()

    async def is_paused(self) -> bool:
        with self._changed:
            return self._paused

    async def workers(self) -> Sequence[WorkerReport]:
        with self._changed:
            return self._reports.kept(self._now())

    async def figures(self) -> Figures:
        depth = await self.depth()
        with self._changed:
            now, now_ms = self._now(), self._clock.now_ms()
            since = self._lines.oldest_ms()
            workers = {name: (report, now - came) for name, (came, report) in self._reports.by_name(now).items()}
            oldest = None if since is None else max(0, now - since)
            return Figures(depth, oldest, self._paused, now_ms, dict(self._records.counts), workers)

    async def warnings(self) -> Sequence[str]:
        return ("The queue is in memory: jobs are forgotten when this process ends; set QUEUE_MODE=redis to keep them",)

    async def check(self) -> None:
        """Memory is always there."""

    def reader_count(self) -> int:
        """Coroutines that wait in `events` now; it returns to 0 when they have gone, however they went."""
        with self._changed:
            return self._records.events.reader_count()

    # The worker's half.

    def fetch(self, worker: str, wait_s: float, group: str | None = None) -> Execution | None:
        group = worker if group is None else group
        left = wait_s
        with self._changed:
            while True:
                self._promote()
                now = self._now()
                ends = self._drains.next_end(group, now)
                place = self._lines.take() if ends is None and not self._paused else None
                if place is not None:
                    return self._start(place, worker, group)
                if left <= 0:
                    return None
                moments = [moment for moment in (self._delays.next_due(), ends) if moment is not None]
                pause = min(left, *((moment - now) / 1000 for moment in moments)) if moments else left
                before = self._clock.monotonic()
                told = self._changed.wait(pause)
                # A pause that ran out has passed, whatever an injected clock says of it.
                left -= max(self._clock.monotonic() - before, 0 if told else pause)

    def renew(self, execution: Execution) -> bool:
        with self._changed:
            job, hold = self._held(execution)
            hold.expires = self._now() + self._policy.lease_ms
            return job.cancel_requested

    def progress(self, execution: Execution, percent: int | None, lines: Sequence[str] = ()) -> None:
        with self._changed:
            job, _ = self._held(execution)
            clipped = clip_lines(lines)
            advanced = job if percent is None else job.advance(percent)
            job = self._records.put(advanced.log(clipped))
            for line in clipped:
                self._records.log(job, line)

    def commit(self, execution: Execution, output: Output) -> Job:
        with self._changed:
            committed = self._records.find(execution.job.id)
            if committed is not None and committed.output == output:
                return committed
            job, hold = self._held_or_fenced(execution)
            took = self._now() - hold.started
            self._durations.append(took)
            self._lessons.add(profile_of(job.spec), took)
            return self._let_go(job.finish(output, self._clock.now_ms()))

    def fail(self, execution: Execution, failure: Failure) -> Job:
        with self._changed:
            job, _ = self._held_or_fenced(execution)
            now_ms = self._clock.now_ms()
            failed = self._let_go(job.fail(failure, now_ms, self._policy.retry, self._chance()))
            if failed.due_ms is not None:
                self._records.counts[f"retried:{failure.code}"] += 1
                self._delays.add(failed.id, self._now() + failed.due_ms - now_ms)
                self._wake()  # whoever waits in fetch must learn when to wake
            return failed

    def release(self, execution: Execution) -> Job:
        with self._changed:
            job, hold = self._held(execution)
            released = self._give_back(job.release(self._clock.now_ms()), hold.place)
            self._records.counts["released"] += released.state is JobState.QUEUED
            return released

    def lose(self, execution: Execution) -> Job:
        with self._changed:
            job, hold = self._held(execution)
            return self._stall(job, hold.place)

    def tend(self) -> Tended:
        with self._changed:
            stalled = self._reap()
            promoted = self._promote()
            self._records.retire()
            self._keys.forget_old(self._now())
            self._reports.forget_old(self._now())
            self._drains.forget_old(self._now())
            self._take_sample()
            return Tended(promoted, stalled)

    def report(self, report: WorkerReport) -> None:
        with self._changed:
            self._reports.add(report, self._now())

    def leave(self, worker: str) -> None:
        with self._changed:
            self._reports.drop(worker)

    # Beneath all; the caller holds the lock.

    def _require_room(self) -> None:
        if len(self._lines) + len(self._delays) >= self._policy.max_waiting:
            raise answers.queue_full(self._policy.max_waiting)

    def _join(self, job: Job) -> None:
        self._lines.join(job.id, job.priority, self._now())
        self._wake()

    def _position(self, job: Job) -> int | None:
        if job.state is JobState.QUEUED:
            return self._lines.position(job.id, job.priority)
        if job.state is JobState.DELAYED:
            return len(self._lines) + self._delays.ahead_of(job.id) + 1
        return None

    def _made_before(self, idempotency: Idempotency) -> Enqueued | None:
        """The job that the key made and that is kept still. Raises IdempotencyMismatch."""
        job = self._records.find(self._keys.job_id(idempotency, self._now()) or "")
        return None if job is None else self._enqueued(job, created=False)

    def _enqueued(self, job: Job, *, created: bool) -> Enqueued:
        position = self._position(job)
        if position is None:
            return Enqueued(job, 0, None, created)
        slots = self._reports.slots(self._now())
        wait_ms = estimate_wait_ms(position, len(self._holds), slots, tuple(self._durations))
        return Enqueued(job, position, wait_ms, created)

    def _start(self, place: Place, worker: str, group: str) -> Execution:
        execution_id = uuid4().hex
        now = self._now()
        self._records.counts.update({"started": 1, "waited:ms": now - place.since_ms})
        self._holds[place.job_id] = Hold(execution_id, group, place, now, now + self._policy.lease_ms)
        job = self._records.get(place.job_id).start(execution_id, worker, self._clock.now_ms())
        return Execution(execution_id, self._records.put(job), worker)

    def _held(self, execution: Execution) -> tuple[Job, Hold]:
        """The job and its lease. Raises LeaseLost unless the execution is the current one."""
        hold = self._holds.get(execution.job.id)
        if hold is None or hold.execution_id != execution.id:
            raise answers.lease_lost(execution.job.id, execution.id)
        return self._records.get(execution.job.id), hold

    def _held_or_fenced(self, execution: Execution) -> tuple[Job, Hold]:
        try:
            return self._held(execution)
        except LeaseLost:
            self._records.counts["fenced"] += 1
            raise

    def _let_go(self, job: Job) -> Job:
        """Record a job that is running no more."""
        del self._holds[job.id]
        self._wakes.tell()  # its group may be free
        return self._records.put(job)

    def _give_back(self, job: Job, place: Place) -> Job:
        """Record a job whose execution ended early; unless that ended the job too, it is the next of its line."""
        self._let_go(job)
        if job.state is JobState.QUEUED:
            self._lines.give_back(place, self._now())
            self._wake()
        return job

    def _stall(self, job: Job, place: Place) -> Job:
        self._records.counts["stalled"] += 1
        return self._give_back(job.stall(self._clock.now_ms(), self._policy.retry), place)

    def _reap(self) -> tuple[str, ...]:
        now = self._now()
        expired = [(job_id, hold.place) for job_id, hold in self._holds.items() if hold.expires <= now]
        # The last to be put at the head is the first to leave it: the oldest execution goes last.
        for job_id, place in reversed(expired):
            self._stall(self._records.get(job_id), place)
        return tuple(job_id for job_id, _ in expired)

    def _promote(self) -> tuple[str, ...]:
        due = self._delays.take_due(self._now())
        for job_id in due:
            self._join(self._records.put(self._records.get(job_id).due()))
        return tuple(due)

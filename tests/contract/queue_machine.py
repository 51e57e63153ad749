"""Any order of any calls, against a model of the queue that fits on a page.

`queue_machine` gives a test case in which hypothesis drives a backend and the model side by side and compares
them after every step. Executions that have ended stay in play, so that every step is also tried by those who
have lost their lease.

The protocol leaves three orders open: of jobs that were reaped in one round, of retries that are due at one
instant, and of jobs that ended at one instant when the time comes to retire them. There the model takes the
backend's word (`settle_order`, `forget_retired`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar
from unittest import TestCase

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from contract.queue_harness import QueueHarness
from contract.queue_model import MODEL_POLICY, Known, Model
from flowscale.errors import Conflict, JobNotFound, LeaseLost, QueueFull
from flowscale.jobs import CANCELLED, Job, JobState, Priority
from flowscale.queues.base import PRIORITY_ORDER, Depth, Execution
from flowscale.queues.finding import Wanted
from flowscale.testing import a_failure, a_job, an_output

T = TypeVar("T")

PAUSES_MS = (1, 4_999, 5_000, 10_000, 19_999, 20_000, 61_000)

NAMES = ("cancel", "canal", "film", "ffmpeg_exit_error")
"""Of projects and labels: some begin alike, some like a code that jobs end with."""

WORDS = ("c", "can", "cancel", "cancelled", "f", "ff", "ffmpeg_exit_error", "film", "films", "job_1", "worker_lost")

picks = st.integers(min_value=0, max_value=30)


class Seen(NamedTuple):
    """What the backend says of every job the model knows."""

    records: dict[str, Job]
    positions: dict[str, int | None]
    listed: list[str]
    depth: Depth
    running: Sequence[str]


class QueueMachine(RuleBasedStateMachine):
    """The backend and the model, side by side. `harness_type` is set by `queue_machine`."""

    harness_type: Callable[[], QueueHarness]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.harness = type(self).harness_type()
        self.queue = self.wait(self.harness.open(MODEL_POLICY))
        self.model = Model()
        self.executions: list[Execution] = []

    def teardown(self) -> None:
        self.wait(self.harness.close())
        self.runner.close()

    def wait(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    def record(self, known: Known) -> Job:
        return self.wait(self.queue.jobs.get(known.id))

    # What gateways do.

    @rule(
        priorities=st.lists(st.sampled_from(PRIORITY_ORDER), min_size=1, max_size=4),
        project=st.none() | st.sampled_from(NAMES),
        label=st.none() | st.sampled_from(NAMES),
    )
    def enqueue(self, priorities: list[Priority], project: str | None, label: str | None) -> None:
        for priority in priorities:
            self.enqueue_one(a_job(priority=priority, project_id=project, spec={"outputName": label}))

    def enqueue_one(self, job: Job) -> None:
        if not self.model.has_room():
            self.refused(QueueFull, lambda: self.wait(self.queue.jobs.enqueue(job)))
            return
        known = Known(job.id, job.priority, job.project_id, job.spec["outputName"])
        self.model.jobs[job.id] = known
        self.model.join(known)
        answer = self.wait(self.queue.jobs.enqueue(job))
        assert answer.position == self.model.waiting().index(known) + 1

    @precondition(lambda self: self.model.jobs)
    @rule(pick=picks, state=st.sampled_from(JobState))
    def cancel(self, pick: int, state: JobState) -> None:
        known = self.pick_job(pick, state)
        was_cancelled = known.record is not None and known.record.failure == CANCELLED
        if known.state.is_final and not was_cancelled:
            self.refused(Conflict, lambda: self.wait(self.queue.jobs.cancel(known.id)))
            return
        record = self.wait(self.queue.jobs.cancel(known.id))
        known.cancelled = True
        if known.state in (JobState.QUEUED, JobState.DELAYED):
            if known.state is JobState.QUEUED:
                self.model.lines[known.priority].remove(known)
            self.model.end(known, JobState.ERROR, record)

    @precondition(lambda self: self.model.jobs)
    @rule(pick=picks, state=st.sampled_from(JobState))
    def retry(self, pick: int, state: JobState) -> None:
        known = self.pick_job(pick, state)
        if known.state is not JobState.ERROR:
            self.refused(Conflict, lambda: self.wait(self.queue.jobs.retry(known.id)))
            return
        if not self.model.has_room():
            self.refused(QueueFull, lambda: self.wait(self.queue.jobs.retry(known.id)))
            return
        self.wait(self.queue.jobs.retry(known.id))
        known.failures, known.stalls, known.cancelled, known.record = 0, 0, False, None
        self.model.join(known)

    @precondition(lambda self: self.model.jobs)
    @rule(pick=picks, state=st.sampled_from(JobState))
    def move_to_front(self, pick: int, state: JobState) -> None:
        known = self.pick_job(pick, state)
        if known.state not in (JobState.QUEUED, JobState.DELAYED):
            self.refused(Conflict, lambda: self.wait(self.queue.jobs.move_to_front(known.id)))
            return
        assert self.wait(self.queue.jobs.move_to_front(known.id)).priority is PRIORITY_ORDER[0]
        self.model.to_front(known)

    @precondition(lambda self: self.model.jobs)
    @rule(pick=picks, state=st.sampled_from(JobState))
    def remove(self, pick: int, state: JobState) -> None:
        known = self.pick_job(pick, state)
        if known.state is JobState.RUNNING:
            self.refused(Conflict, lambda: self.wait(self.queue.jobs.remove(known.id)))
            return
        assert self.wait(self.queue.jobs.remove(known.id)).state is known.state
        self.model.remove(known)
        self.refused(JobNotFound, partial(self.record, known))

    @rule(word=st.sampled_from(WORDS), state=st.none() | st.sampled_from(JobState), limit=st.integers(1, 5))
    def search(self, word: str, state: JobState | None, limit: int) -> None:
        expected = self.model.found(word, state)
        found = self.wait(self.queue.jobs.search(Wanted(state=state, words=(word,)), limit, None))
        assert ([job.id for job in found.jobs], found.total) == (expected[:limit], len(expected))

    @rule(pause=st.sampled_from([False, False, True]))
    def pause_or_resume(self, pause: bool) -> None:
        self.model.paused = pause
        self.wait(self.queue.jobs.pause() if self.model.paused else self.queue.jobs.resume())

    # What workers do.

    @rule(times=st.integers(min_value=1, max_value=5))
    def fetch(self, times: int) -> None:
        for _ in range(times):
            self.fetch_one()

    def fetch_one(self) -> None:
        if self.model.paused:
            self.tend()  # first, as it is left open whether the fetch of a paused queue queues due retries
            assert self.queue.work.fetch("worker", wait_s=0) is None
            return
        promoted = self.model.promote()
        execution = self.queue.work.fetch("worker", wait_s=0)
        taken = None if execution is None else self.model.jobs[execution.job.id]
        for group in promoted:
            self.settle_order(group, first=taken)
        expected = self.model.may_be_next()
        if execution is None or taken is None:
            assert not expected
            return
        assert taken in expected
        self.executions.append(execution)
        self.model.taken += 1
        self.model.lines[taken.priority].remove(taken)
        taken.state, taken.execution_id = JobState.RUNNING, execution.id
        taken.expires = self.model.now + MODEL_POLICY.lease_ms

    @precondition(lambda self: self.executions)
    @rule(pick=picks)
    def renew(self, pick: int) -> None:
        execution, known = self.pick_execution(pick)
        if known is None:
            self.refused(LeaseLost, lambda: self.queue.work.renew(execution))
            return
        assert self.queue.work.renew(execution) is known.cancelled
        known.expires = self.model.now + MODEL_POLICY.lease_ms

    @precondition(lambda self: self.executions)
    @rule(pick=picks, percents=st.lists(st.integers(min_value=0, max_value=100), min_size=1, max_size=3))
    def progress(self, pick: int, percents: list[int]) -> None:
        execution, known = self.pick_execution(pick)
        if known is None:
            self.refused(LeaseLost, lambda: self.queue.work.progress(execution, percents[0], ["late"]))
            return
        for percent in percents:
            self.queue.work.progress(execution, percent, ["line"])
            known.progress = max(known.progress, min(99, percent))

    @precondition(lambda self: self.executions)
    @rule(pick=picks)
    def commit(self, pick: int) -> None:
        execution, known = self.pick_execution(pick)
        output = an_output(execution)
        if known is None:
            ended = self.model.jobs.get(execution.job.id)
            if ended is not None and ended.record is not None and ended.record.output == output:
                assert self.queue.work.commit(execution, output) == ended.record
            else:
                self.refused(LeaseLost, lambda: self.queue.work.commit(execution, output))
            return
        record = self.queue.work.commit(execution, output)
        known.progress, known.attempts = 100, known.attempts + 1
        self.model.end(known, JobState.DONE, record)

    @precondition(lambda self: self.executions)
    @rule(pick=picks, retryable=st.sampled_from([True, True, False]))
    def fail(self, pick: int, retryable: bool) -> None:
        execution, known = self.pick_execution(pick)
        failure = a_failure(retryable=retryable)
        if known is None:
            self.refused(LeaseLost, lambda: self.queue.work.fail(execution, failure))
            return
        record = self.queue.work.fail(execution, failure)
        known.failures, known.attempts = known.failures + 1, known.attempts + 1
        if retryable and not known.cancelled and known.failures < MODEL_POLICY.retry.max_attempts:
            known.state, known.execution_id = JobState.DELAYED, None
            known.due = self.model.now + MODEL_POLICY.retry.delay_ms(known.failures, 0)
        else:
            self.model.end(known, JobState.ERROR, record)

    @precondition(lambda self: self.executions)
    @rule(pick=picks)
    def release(self, pick: int) -> None:
        execution, known = self.pick_execution(pick)
        if known is None:
            self.refused(LeaseLost, lambda: self.queue.work.release(execution))
            return
        record = self.queue.work.release(execution)
        if known.cancelled:
            self.model.end(known, JobState.ERROR, record)
        else:
            self.model.back_to_head(known)

    @precondition(lambda self: self.executions)
    @rule(pick=picks)
    def lose(self, pick: int) -> None:
        """A worker is found dead."""
        execution, known = self.pick_execution(pick)
        if known is None:
            self.refused(LeaseLost, lambda: self.queue.work.lose(execution))
            return
        record = self.queue.work.lose(execution)
        known.stalls, known.attempts = known.stalls + 1, known.attempts + 1
        if known.cancelled or known.stalls > MODEL_POLICY.retry.max_stalls:
            self.model.end(known, JobState.ERROR, record)
        else:
            self.model.back_to_head(known)

    @rule(ms=st.sampled_from(PAUSES_MS))
    def time_passes(self, ms: int) -> None:
        self.harness.advance(ms)
        self.model.now += ms

    @rule()
    def tend(self) -> None:
        expired = [known for known in self.model.of(JobState.RUNNING) if known.expires <= self.model.now]
        tended = self.queue.work.tend()
        assert sorted(tended.stalled) == sorted(known.id for known in expired)
        for known in expired:
            known.stalls, known.attempts = known.stalls + 1, known.attempts + 1
            if known.cancelled or known.stalls > MODEL_POLICY.retry.max_stalls:
                self.model.end(known, JobState.ERROR, self.record(known))
            else:
                self.model.back_to_head(known)
        promoted = self.model.promote()
        assert sorted(tended.promoted) == sorted(known.id for group in promoted for known in group)
        for group in (expired, *promoted):
            self.settle_order(group)
        self.forget_retired()
        assert not self.model.must_be_retired()

    # What must hold whatever they did.

    @invariant()
    def backend_and_model_agree(self) -> None:
        self.forget_retired()
        seen = self.wait(self.look())
        self.every_job_is_as_the_model_says(seen)
        self.every_waiting_job_has_its_position(seen)
        self.the_counts_agree_and_nothing_is_lost(seen)

    async def look(self) -> Seen:
        """All that a gateway can see, in one turn of the loop's runner (which costs more than the questions)."""
        jobs = self.queue.jobs
        return Seen(
            records={job_id: await jobs.get(job_id) for job_id in self.model.jobs},
            positions={job_id: await jobs.position(job_id) for job_id in self.model.jobs},
            listed=[job.id for job in (await jobs.list(None, 1_000, None)).jobs],
            depth=await jobs.depth(),
            running=await jobs.running(),
        )

    def every_job_is_as_the_model_says(self, seen: Seen) -> None:
        for known in self.model.jobs.values():
            job = seen.records[known.id]
            assert (job.state, job.progress) == (known.state, known.progress)
            assert (job.failures, job.stalls) == (known.failures, known.stalls)
            assert len(job.attempts) == known.attempts
            assert job.execution_id == known.execution_id
            assert job.cancel_requested == known.cancelled
            assert (job.output is not None) == (known.state is JobState.DONE)
            assert (job.failure is not None) == (known.state is JobState.ERROR)
            assert known.record is None or job == known.record

    def every_waiting_job_has_its_position(self, seen: Seen) -> None:
        waiting, delayed = self.model.waiting(), self.model.of(JobState.DELAYED)
        assert [seen.positions[known.id] for known in waiting] == list(range(1, len(waiting) + 1))
        due_at = {seen.positions[known.id]: known.due for known in delayed}
        behind = range(len(waiting) + 1, len(waiting) + len(delayed) + 1)
        assert due_at.keys() == set(behind)
        assert [due_at[position] for position in behind] == sorted(known.due for known in delayed)
        others = self.model.of(JobState.RUNNING, JobState.DONE, JobState.ERROR)
        assert {seen.positions[known.id] for known in others} <= {None}

    def the_counts_agree_and_nothing_is_lost(self, seen: Seen) -> None:
        states = [known.state for known in self.model.jobs.values()]
        waiting, delayed, running = map(states.count, (JobState.QUEUED, JobState.DELAYED, JobState.RUNNING))
        due = sum(known.due <= self.model.now for known in self.model.of(JobState.DELAYED))
        assert seen.depth == Depth(waiting, delayed - due, running, due)
        assert sorted(seen.running) == sorted(known.id for known in self.model.of(JobState.RUNNING))
        assert seen.listed == sorted(self.model.jobs, reverse=True)

    # Beneath.

    def pick_job(self, pick: int, state: JobState) -> Known:
        """A job in this state if there is one, else any."""
        known = self.model.of(state) or list(self.model.jobs.values())
        return known[pick % len(known)]

    def pick_execution(self, pick: int) -> tuple[Execution, Known | None]:
        """One of the last executions, and its job if it is the current one. Most picks are current."""
        running = {known.execution_id for known in self.model.of(JobState.RUNNING)}
        current = [execution for execution in self.executions if execution.id in running]
        some = self.executions[-8:] if pick % 4 == 0 else current or self.executions[-8:]
        execution = some[pick // 4 % len(some)]
        known = self.model.jobs.get(execution.job.id)
        return execution, known if known is not None and known.execution_id == execution.id else None

    def refused(self, error: type[Exception], call: Callable[[], object]) -> None:
        try:
            call()
        except error:
            return
        raise AssertionError(f"the queue should have answered {error.__name__}")

    def forget_retired(self) -> None:
        """Whatever is gone must be what the policy lets go; a backend may retire it before `tend` does."""
        if not self.model.may_be_retired():
            return
        listed = {job.id for job in self.wait(self.queue.jobs.list(None, 1_000, None)).jobs}
        while gone := [known for known in self.model.may_be_retired() if known.id not in listed]:
            oldest = min(gone, key=lambda k: k.ended)
            self.refused(JobNotFound, partial(self.record, oldest))
            del self.model.jobs[oldest.id]

    def settle_order(self, group: list[Known], first: Known | None = None) -> None:
        """Put the jobs of a group that still wait into the backend's order, `first` before all."""
        for line in self.model.lines.values():
            places = [index for index, known in enumerate(line) if known in group]
            told = [line[index] for index in places]
            told.sort(key=lambda k: 0 if k is first else self.wait(self.queue.jobs.position(k.id)) or 0)
            for index, known in zip(places, told, strict=True):
                line[index] = known


def queue_machine(harness: Callable[[], QueueHarness], *, examples: int = 60, steps: int = 40) -> type[TestCase]:
    """A test case for pytest to collect. No deadline: a test never asserts on time."""

    class Machine(QueueMachine):
        harness_type = staticmethod(harness)

    case: type[TestCase] = Machine.TestCase
    phases = set(Phase) - {Phase.explain}  # it traces every line, which makes a failure minutes late
    chosen = settings(max_examples=examples, stateful_step_count=steps, deadline=None, phases=phases)
    case.settings = chosen  # type: ignore[attr-defined]  # hypothesis sets it on its TestCase
    return case

"""Groups of workers under any order of any calls: at no instant does a group that was granted hold an execution.

`groups_machine` gives a test case. Beside the backend stands a model that knows which group holds which execution and
until when each grant lasts, and nothing of lines and states: those have a model of their own (queue_machine.py).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar
from unittest import TestCase

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from contract.queue_harness import POLICY, QueueHarness, enqueue
from flowscale.errors import Conflict, QueueUnavailable
from flowscale.jobs import JobState, RetryPolicy
from flowscale.queues.base import Execution
from flowscale.testing import a_failure, an_output

T = TypeVar("T")

GROUPS = ("pod-1", "pod-2", "pod-3", "a pod with a longer name")
GROUPS_POLICY = replace(POLICY, retry=RetryPolicy(max_attempts=2, jitter=0.0, max_stalls=1))

PATIENCE = 20
"""Tries of a call, of which each may take as long as a gateway's may."""

groups = st.sampled_from(GROUPS)
picks = st.integers(min_value=0, max_value=30)


@dataclass
class Held:
    """An execution that is held. `expires`: when its lease runs out (ms since the queue was opened)."""

    execution: Execution
    group: str
    expires: int


class GroupsMachine(RuleBasedStateMachine):
    """The backend and the model. `harness_type` is set by `groups_machine`."""

    harness_type: Callable[[], QueueHarness]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.harness = type(self).harness_type()
        self.queue = self.wait(self.harness.open(GROUPS_POLICY))
        self.now = 0
        self.held: dict[str, Held] = {}  # by job id
        self.until: dict[str, int] = {}
        self.jobs: list[str] = []

    def teardown(self) -> None:
        self.wait(self.harness.close())
        self.runner.close()

    def wait(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    def ask(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Again when this machine was too slow for a gateway's patience: carried out twice, each call says the same."""
        for _ in range(PATIENCE - 1):
            try:
                return self.wait(call())
            except QueueUnavailable:
                continue
        return self.wait(call())

    def is_draining(self, group: str) -> bool:
        return self.until.get(group, 0) > self.now

    @rule(count=st.integers(1, 3))
    def enqueue(self, count: int) -> None:
        self.jobs += [job.id for job in self.ask(lambda: enqueue(self.queue, count))]

    @rule(group=groups, number=st.integers(0, 1))
    def fetch(self, group: str, number: int) -> None:
        waits = self.ask(lambda: self.queue.jobs.depth())
        execution = self.queue.work.fetch(f"{group}/{number}", 0, group)
        assert (execution is None) == (self.is_draining(group) or waits.waiting + waits.due == 0)
        if execution is not None:
            assert execution.job.id not in self.held
            self.held[execution.job.id] = Held(execution, group, self.now + GROUPS_POLICY.lease_ms)

    @precondition(lambda self: self.held)
    @rule(pick=picks, how=st.sampled_from(["commit", "fail", "fail for good", "release", "lose"]))
    def end(self, pick: int, how: str) -> None:
        held = list(self.held.values())[pick % len(self.held)]
        work, execution = self.queue.work, held.execution
        match how:
            case "commit":
                work.commit(execution, an_output(execution))
            case "fail":
                work.fail(execution, a_failure())
            case "fail for good":
                work.fail(execution, a_failure(retryable=False))
            case "release":
                work.release(execution)
            case "lose":
                work.lose(execution)
        del self.held[execution.job.id]

    @precondition(lambda self: self.held)
    @rule(pick=picks)
    def renew(self, pick: int) -> None:
        held = list(self.held.values())[pick % len(self.held)]
        self.queue.work.renew(held.execution)
        held.expires = self.now + GROUPS_POLICY.lease_ms

    @precondition(lambda self: self.jobs)
    @rule(pick=picks, retry=st.booleans())
    def cancel_or_retry(self, pick: int, retry: bool) -> None:
        job_id = self.jobs[pick % len(self.jobs)]
        try:
            self.ask(lambda: self.queue.jobs.retry(job_id) if retry else self.queue.jobs.cancel(job_id))
        except Conflict:
            return  # it is in no state for that; the other machine knows which

    @rule(asked=st.lists(groups, max_size=4), ttl_ms=st.sampled_from([1, 5_000, 60_000]))
    def drain(self, asked: list[str], ttl_ms: int) -> None:
        busy = {held.group for held in self.held.values()}
        granted = self.ask(lambda: self.queue.scaling.drain(asked, ttl_ms))
        assert granted == set(asked) - busy
        self.until |= dict.fromkeys(granted, self.now + ttl_ms)

    @rule(asked=st.lists(groups, max_size=3))
    def undrain(self, asked: list[str]) -> None:
        self.ask(lambda: self.queue.scaling.undrain(asked))
        for group in asked:
            self.until.pop(group, None)

    @rule(ms=st.sampled_from([1, 4_999, 5_000, 20_000, 61_000]))
    def time_passes(self, ms: int) -> None:
        self.harness.advance(ms)
        self.now += ms

    @rule()
    def tend(self) -> None:
        for job_id in self.queue.work.tend().stalled:
            assert self.held.pop(job_id).expires <= self.now

    @invariant()
    def what_is_told_is_so(self) -> None:
        demand = self.ask(lambda: self.queue.scaling.demand())
        busy = Counter(held.group for held in self.held.values())
        assert {name: state.busy for name, state in demand.groups.items() if state.busy} == busy
        draining = {group for group in GROUPS if self.is_draining(group)}
        assert {name for name, state in demand.groups.items() if state.draining} == draining
        assert not draining & busy.keys()
        assert len(demand.running) == len(self.held)
        assert len(demand.line) == demand.waiting

    @invariant()
    def who_is_held_runs(self) -> None:
        for held in self.held.values():
            job = self.ask(partial(self.queue.jobs.get, held.execution.job.id))
            assert (job.state, job.execution_id) == (JobState.RUNNING, held.execution.id)


def groups_machine(harness: Callable[[], QueueHarness], *, examples: int = 40, steps: int = 40) -> type[TestCase]:
    """A test case for pytest to collect. No deadline: a test never asserts on time."""

    class Machine(GroupsMachine):
        harness_type = staticmethod(harness)

    case: type[TestCase] = Machine.TestCase
    phases = set(Phase) - {Phase.explain}  # it traces every line, which makes a failure minutes late
    chosen = settings(max_examples=examples, stateful_step_count=steps, deadline=None, phases=phases)
    case.settings = chosen  # type: ignore[attr-defined]  # hypothesis sets it on its TestCase
    return case

"""Taking a job and holding it: what workers do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flowscale import logs
from flowscale.jobs import CANCELLED, Failure, Job, Output, Priority, clip_lines
from flowscale.queues import answers
from flowscale.queues.base import (
    FAIRNESS_EVERY,
    PRIORITY_ORDER,
    Execution,
)
from flowscale.queues.redis.operations.ground import Ground
from flowscale.queues.redis.operations.replies import (
    Seen,
    job_id_in,
    job_in,
    mapping,
)
from flowscale.queues.redis.records import (
    SPEC_BYTES,
    Unreadable,
    from_record,
    priority_of,
    task_data,
    to_output,
)
from flowscale.queues.redis.scripts import Argument, Command, Operation, command
from flowscale.queues.told import Facts, to_json

TURNS = 100
"""Looks of one try: forged entries, or faster workers, may make each vain."""

ASIDE_KEPT = 1_000
"""Refused entries that are remembered, newest last."""

ASIDE_SECONDS = 24 * 3600
"""How long the record of a refused entry stays to be looked at."""

_log = logs.get("queue")


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a try to fetch gave: an execution, or for how long there can be none (None: until something joins)."""

    execution: Execution | None
    due_in_ms: int | None = None


class Executions(Ground):
    """fetch, renew, progress, and the four ends of an execution."""

    def fetch(self, worker: str, execution_id: str, group: str) -> Operation[Fetched]:
        """Start the next job, promoting due retries first. With the id of a start whose answer was lost: that job."""
        for _ in range(TURNS):
            seen = yield from self._look()
            if seen.due:
                yield from self._promote(seen.due)
                continue
            due_in = None if seen.next_due_ms is None else max(0, seen.next_due_ms - seen.now_ms)
            if seen.paused or not any(seen.heads):
                return Fetched(None, due_in)
            ((answer, *rest),) = yield (self._start(worker, execution_id, group, seen),)
            match answer:
                case b"none":
                    return Fetched(None, due_in)
                case b"aside":
                    _log.error(
                        "entry.refused",
                        "An entry of the queue is nothing of ours; it was set aside",
                        entry=repr(rest[0]),
                    )
                case b"started":
                    execution = yield from self._execution(worker, execution_id, *rest)
                    if execution is not None:
                        return Fetched(execution)
        return Fetched(None, 0)  # the caller may be asked to stop meanwhile

    def recover(self, worker: str, execution_id: str) -> Operation[Execution | None]:
        """The execution of this id, if a start whose answer was lost made it."""
        (job_id,) = yield (command("HGET", self.keys.holders, execution_id),)
        if job_id is None:
            return None
        raw, log = yield self._read(job_id.decode())
        return (yield from self._execution(worker, execution_id, raw, log, job_id.decode()))

    def _start(self, worker: str, execution_id: str, group: str, seen: Seen) -> Command:
        first = next(head for heads in seen.heads for head in heads)
        lines, started = self.keys.lines, [self.keys.started(priority) for priority in PRIORITY_ORDER]
        keys = [*self.keys.job_keys(first, Priority.NORMAL), *lines, *started, self.keys.turns, self.keys.aside]
        keys += [self.keys.suspended, self.keys.draining]
        arguments: list[Argument] = []
        for job_id in dict.fromkeys(head for heads in seen.heads for head in heads):
            keys += [self.keys.record(job_id), self.keys.events(job_id), self.keys.log(job_id), self.keys.facts(job_id)]
            arguments += [job_id, task_data(job_id)]
        head = (
            execution_id,
            worker,
            self.policy.lease_ms,
            FAIRNESS_EVERY,
            SPEC_BYTES,
            ASIDE_KEPT,
            ASIDE_SECONDS,
            group,
        )
        return self._script("start", keys, first, *head, *arguments)

    def _execution(
        self, worker: str, execution_id: str, raw: Any, log: Any, job_id: str | None = None
    ) -> Operation[Execution | None]:
        """The execution of a record that was started; None when it turned out to be unreadable, and is set aside."""
        fields = mapping(raw)
        job_id = job_id or job_id_in(fields)
        try:
            return Execution(execution_id, from_record(job_id, fields, log), worker)
        except Unreadable as error:
            _log.error("entry.refused", "A record of the queue cannot be read; it was set aside", reason=str(error))
            priority = priority_of(fields.get(b"priority"))
            keys = (*self.keys.job_keys(job_id, priority), self.keys.aside, self.keys.every_job)
            yield (self._script("aside", keys, job_id, execution_id, ASIDE_KEPT, ASIDE_SECONDS),)
            return None

    def is_held(self, execution: Execution) -> Operation[bool]:
        (current,) = yield (command("HGET", self.keys.record(execution.job.id), "execution"),)
        return bool(current == execution.id.encode())

    def renew(self, execution: Execution) -> Operation[bool]:
        (answer,) = yield (self._held("renew", execution, self.policy.lease_ms),)
        _require_held(execution, answer)
        return bool(answer[1])

    def progress(self, execution: Execution, percent: int | None, lines: Sequence[str]) -> Operation[None]:
        shown = "" if percent is None else min(99, percent)
        (answer,) = yield (self._held("progress", execution, shown, *clip_lines(lines)),)
        _require_held(execution, answer)

    def describe(self, execution: Execution, facts: Facts) -> Operation[None]:
        (answer,) = yield (self._held("describe", execution, to_json(facts)),)
        _require_held(execution, answer)

    def commit(self, execution: Execution, output: Output) -> Operation[Job]:
        (answer,) = yield (self._held("commit", execution, to_output(output)),)
        return _ended(execution, answer)

    def fail(self, execution: Execution, failure: Failure) -> Operation[Job]:
        retry = self.policy.retry
        chance = self._chance()
        delays = [retry.delay_ms(failures, chance) for failures in range(1, retry.max_attempts)]
        may_pass = int(failure.retryable)
        words = (failure.code, failure.message, may_pass, CANCELLED.code, CANCELLED.message)
        (answer,) = yield (self._held("fail", execution, *words, *delays),)
        return _ended(execution, answer)

    def release(self, execution: Execution) -> Operation[Job]:
        (answer,) = yield (self._held("release", execution, CANCELLED.code, CANCELLED.message),)
        return _ended(execution, answer)

    def lose(self, execution: Execution) -> Operation[Job]:
        (answer,) = yield (self._stall(execution.job.id, execution.job.priority, execution.id),)
        return _ended(execution, answer)

    def _held(self, name: str, execution: Execution, *arguments: Argument) -> Command:
        job = execution.job
        keys = self.keys.job_keys(job.id, job.priority)
        return self._script(name, keys, job.id, execution.id, *arguments)


def _require_held(execution: Execution, answer: Any) -> None:
    if answer[0] == b"lost":
        raise answers.lease_lost(execution.job.id, execution.id)


def _ended(execution: Execution, answer: Any) -> Job:
    job = None if answer[0] in (b"lost", b"held") else job_in(execution.job.id, answer[1], answer[2])
    if job is None:
        raise answers.lease_lost(execution.job.id, execution.id)
    return job

"""What every operation stands on: the keys, the policy, the clock, and the commands several of them send."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flowscale.jobs import CANCELLED, LOST_WORKER, TOO_MANY_LOST, Job, Priority, Target
from flowscale.queues import answers
from flowscale.queues.base import (
    PRIORITY_ORDER,
    REPORT_KEPT_MS,
    QueuePolicy,
)
from flowscale.queues.redis.keys import Keys
from flowscale.queues.redis.operations.replies import (
    Seen,
    job_in,
    seen_in,
    told_by,
)
from flowscale.queues.redis.records import (
    priority_of,
)
from flowscale.queues.redis.scripts import Argument, Batch, Command, Operation, command, run_script

CANDIDATES = 8
"""Heads of a line offered to a fetch: so many workers may be faster between its look and its start."""

LOOKS = 10
"""Tries of one step whose job is moved by others in between each time. Once is rare."""

AT_ONCE = 32
"""Ids of each kind that one look gives: more retries, leases or ended jobs wait for the next look."""


class Ground:
    """`now` gives the time in ms for tests; None: the server's own clock. `chance` draws the jitter of retries."""

    def __init__(
        self,
        keys: Keys,
        policy: QueuePolicy,
        chance: Callable[[], float],
        now: Callable[[], int] | None,
    ) -> None:
        self.keys = keys
        self.policy = policy
        self._chance = chance
        self._now_or_none = now

    def find(self, job_id: str) -> Operation[Job | None]:
        """The job; None when it is not kept, or when its record is none of ours."""
        raw, log = yield self._read(job_id)
        return job_in(job_id, raw, log)

    def _now(self) -> Argument:
        return "" if self._now_or_none is None else self._now_or_none()

    def _head(self, job_id: str) -> tuple[Argument, ...]:
        """The first arguments of every script that works on a job."""
        return (self._now(), job_id, self.keys.news, self.keys.wake, self.keys.freed)

    def _script(self, name: str, keys: Sequence[str], job_id: str, *arguments: Argument) -> Command:
        """A script that works on one job; `keys`: the job's, and what else it takes."""
        return run_script(name, (*keys, *self.keys.beside(job_id)), *self._head(job_id), *arguments)

    def _read(self, job_id: str) -> Batch:
        return (
            command("HGETALL", self.keys.record(job_id), forgiving=True),
            command("LRANGE", self.keys.log(job_id), 0, -1, forgiving=True),
        )

    def _priorities(self, job_ids: Sequence[str]) -> Operation[Sequence[Priority]]:
        """A job's priority changes by `move_to_front` alone: it is read before the script that needs its line, which
        looks whether it is the same still."""
        found = yield [command("HGET", self.keys.record(job_id), "priority", forgiving=True) for job_id in job_ids]
        return [priority_of(text) for text in found]

    def _in_place(self, name: str, job_id: str, *arguments: Argument, more: Sequence[str] = ()) -> Operation[Any]:
        """What a script answers that works on the line in which the job waits; `more`: what keys it takes beside the
        job's. Called again when the job was moved since its priority was read."""
        for _ in range(LOOKS):
            (priority,) = yield from self._priorities([job_id])
            keys = (*self.keys.job_keys(job_id, priority), *more)
            (answer,) = yield (self._script(name, keys, job_id, *arguments),)
            if answer[0] != b"look":
                return answer
        raise answers.moved_too_often(job_id)

    def _answered(self, job_id: str, answer: Any) -> Job:
        """The job that such a script has answered. Raises JobNotFound."""
        job = None if answer[0] == b"missing" else job_in(job_id, answer[1], answer[2])
        if job is None:
            raise answers.job_not_found(job_id)
        return job

    def _position(self, job_id: str, priority: Priority) -> Command:
        keys = (*self.keys.job_keys(job_id, priority), self.keys.every_job, *self.keys.lines)
        return self._script("position", keys, job_id, PRIORITY_ORDER.index(priority) + 1)

    def _depth(self) -> Command:
        return run_script("depth", (*self.keys.lines, self.keys.delayed, self.keys.leases), self._now())

    def _peek(self) -> Command:
        policy = self.policy
        keys = (
            self.keys.suspended,
            *self.keys.lines,
            self.keys.delayed,
            self.keys.leases,
            *self.keys.ended,
            self.keys.idempotency[1],
            self.keys.reports[1],
        )
        keep = (
            policy.keep_done,
            policy.keep_failed,
            policy.keep_at_most,
            policy.retention_ms,
            REPORT_KEPT_MS,
            CANDIDATES,
            policy.lease_ms,
        )
        return run_script("peek", keys, self._now(), AT_ONCE, *keep)

    def _look(self) -> Operation[Seen]:
        (answer,) = yield (self._peek(),)
        return seen_in(answer)

    def _promote(self, due: Sequence[str]) -> Operation[tuple[str, ...]]:
        if not due:
            return ()
        priorities = yield from self._priorities(due)
        answers_ = yield [
            self._script("promote", self.keys.job_keys(job_id, priority), job_id)
            for job_id, priority in zip(due, priorities, strict=True)
        ]
        return tuple(job_id for job_id, promoted in zip(due, answers_, strict=True) if promoted)

    def _told(self, job_ids: Sequence[str]) -> Operation[Sequence[tuple[Target, ...]]]:
        """Who is told of each job's ends, which never changes either; nobody where it cannot be read."""
        found = yield [command("HGET", self.keys.record(job_id), "hooks", forgiving=True) for job_id in job_ids]
        return [told_by(hooks) for hooks in found]

    def _outbox(self, webhooks: Sequence[Target]) -> tuple[str, ...]:
        return self.keys.outbox([target.name for target in webhooks])

    def _stall(self, job_id: str, priority: Priority, webhooks: Sequence[Target], execution_id: str = "") -> Command:
        words = (LOST_WORKER.code, LOST_WORKER.message, TOO_MANY_LOST, CANCELLED.code, CANCELLED.message)
        head = (execution_id, self.policy.retry.max_stalls, *words, self.policy.lease_ms)
        keys = (*self.keys.job_keys(job_id, priority), self.keys.untidy, *self._outbox(webhooks))
        return self._script("stall", keys, job_id, *head)

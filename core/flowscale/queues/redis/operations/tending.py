"""Housekeeping, which any process may do: due retries, expired leases, old jobs and keys, silent workers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from flowscale import logs
from flowscale.jobs import Job
from flowscale.queues.base import (
    REPORT_KEPT_MS,
    Tended,
    WorkerReport,
)
from flowscale.queues.redis.contact import Contact
from flowscale.queues.redis.operations.replies import (
    Seen,
    ids,
    run_id_in,
    scores,
    seen_in,
)
from flowscale.queues.redis.operations.searching import Searching
from flowscale.queues.redis.operations.steering import Steering
from flowscale.queues.redis.records import task_data
from flowscale.queues.redis.scripts import Operation, command, run_script

ADOPTED_AT_ONCE = 8
"""Waiting jobs looked at in each round; each costs the server a walk along a line."""

UNTIDY_AT_ONCE = 200
"""Jobs that lost an execution, oldest first, looked at in one go; those that run again meanwhile are few."""

_log = logs.get("queue")


@dataclass(frozen=True, slots=True)
class Untidy:
    """An ended job that lost an execution, whose output, if it stored one, no job names. `noted_ms`: when that was."""

    job: Job
    noted_ms: int


class Tending(Searching, Steering):
    """See WorkQueue.tend."""

    _adopted = ""  # the last waiting job that was looked at; "": begin with the oldest

    def tend(self, contact: Contact, monotonic: Callable[[], float]) -> Operation[Tended]:
        """One round; see WorkQueue.tend. `contact` says whether silent workers may be taken for dead."""
        seen, run_id = yield from self._look_and_ask()
        may_reap = contact.seen(monotonic(), seen.now_ms, run_id)
        promoted = yield from self._promote(seen.due)
        stalled = (yield from self._reap(seen.expired)) if may_reap else ()
        if stalled:
            seen = yield from self._look()  # jobs that ended by it make others go
        yield from self._retire((*seen.done, *seen.failed))
        yield from self._adopt()
        yield from self._file()
        yield from self._forget(seen)
        yield from self._sample(seen.now_ms)
        return Tended(promoted, stalled)

    def _reap(self, expired: Sequence[str]) -> Operation[tuple[str, ...]]:
        if not expired:
            return ()
        # The last to be put at the head is the first to leave it: the oldest lease goes last.
        newest_first = tuple(reversed(expired))
        priorities = yield from self._priorities(newest_first)
        replies = yield [
            self._stall(job_id, priority) for job_id, priority in zip(newest_first, priorities, strict=True)
        ]
        reaped = tuple(job_id for job_id, reply in zip(newest_first, replies, strict=True) if reply[0] == b"stalled")
        for job_id in reaped:
            _log.warning("job.stalled", "A worker stopped renewing its lease; its job was given back", job_id=job_id)
        return reaped

    def _adopt(self) -> Operation[None]:
        """Look at a few jobs that wait, others each time, whether they stand in a line."""
        newer = f"({self._adopted}" if self._adopted else "-"
        (found,) = yield (
            command("ZRANGEBYLEX", self.keys.in_state("queued"), newer, "+", "LIMIT", 0, ADOPTED_AT_ONCE),
        )
        waiting = ids(found)
        self._adopted = waiting[-1] if len(waiting) == ADOPTED_AT_ONCE else ""
        if not waiting:
            return
        priorities = yield from self._priorities(waiting)
        answers = yield [
            self._script(
                "adopt", (*self.keys.job_keys(job_id, priority), self.keys.every_job), job_id, task_data(job_id)
            )
            for job_id, priority in zip(waiting, priorities, strict=True)
        ]
        for job_id in (job_id for job_id, adopted in zip(waiting, answers, strict=True) if adopted):
            _log.warning(
                "job.adopted",
                "A job that waits stood in no line; it was put back, or its remains removed",
                job_id=job_id,
            )

    def _retire(self, ended: Sequence[str]) -> Operation[None]:
        if ended:
            priorities = yield from self._priorities(ended)
            yield [
                self._script(
                    "retire",
                    (*self.keys.job_keys(job_id, priority), self.keys.every_job, *self.keys.owned_by_rq(job_id)),
                    job_id,
                )
                for job_id, priority in zip(ended, priorities, strict=True)
            ]

    def _forget(self, seen: Seen) -> Operation[None]:
        batch = []
        if seen.forgotten_keys:
            batch.append(run_script("forget", self.keys.idempotency, seen.now_ms, *seen.forgotten_keys))
        if seen.silent_workers:
            batch.append(run_script("forget", self.keys.reports, seen.now_ms - REPORT_KEPT_MS, *seen.silent_workers))
        if batch:
            yield batch

    def _look_and_ask(self) -> Operation[tuple[Seen, str]]:
        answer, info = yield (self._peek(), command("INFO", "server", forgiving=True))
        return seen_in(answer), run_id_in(info)

    def untidy(self) -> Operation[Sequence[Untidy]]:
        (found,) = yield (command("ZRANGE", self.keys.untidy, 0, UNTIDY_AT_ONCE - 1, "WITHSCORES"),)
        untidy = []
        for name, at_ms in scores(found):
            job_id = name.decode(errors="surrogateescape")
            job = yield from self.find(job_id)
            if job is None:
                yield (command("ZREM", self.keys.untidy, job_id),)  # retired; whose an output is nobody knows any more
            elif job.state.is_final:
                untidy.append(Untidy(job, int(at_ms)))
        return untidy

    def tidied(self, untidy: Untidy) -> Operation[None]:
        yield (run_script("tidied", (self.keys.untidy,), untidy.job.id, untidy.noted_ms),)

    def report(self, report: WorkerReport) -> Operation[None]:
        able = report.slots if report.problem is None else 0
        text = f"{able} {json.dumps(asdict(report), separators=(',', ':'))}"
        yield (run_script("report", self.keys.reports, self._now(), report.worker, text),)

    def leave(self, worker: str) -> Operation[None]:
        reports, ages = self.keys.reports
        yield (command("HDEL", reports, worker), command("ZREM", ages, worker))

"""What gateways ask of jobs, and of the queue as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flowscale.jobs import CANCELLED, Job, JobState
from flowscale.queues import answers
from flowscale.queues.base import (
    REPORT_KEPT_MS,
    Depth,
    Event,
    Figures,
    JobPage,
    WorkerReport,
)
from flowscale.queues.redis.operations.ground import Ground
from flowscale.queues.redis.operations.replies import (
    event,
    ids,
    job_in,
    mapping,
    memory_in,
    scores,
    worker_report,
)
from flowscale.queues.redis.records import task_data
from flowscale.queues.redis.scripts import Operation, command, run_script


class Asking(Ground):
    """See JobQueue."""

    def get(self, job_id: str) -> Operation[Job]:
        job = yield from self.find(job_id)
        if job is None:
            raise answers.job_not_found(job_id)
        return job

    def list(self, state: JobState | None, limit: int, cursor: str | None) -> Operation[JobPage]:
        index = self.keys.every_job if state is None else self.keys.in_state(state.public)
        newest = "+" if cursor is None else f"({answers.read_cursor(cursor)}"
        (found,) = yield (command("ZREVRANGEBYLEX", index, newest, "-", "LIMIT", 0, limit + 1),)
        job_ids = ids(found[:limit])
        read = (yield [part for job_id in job_ids for part in self._read(job_id)]) if job_ids else ()
        jobs = (job_in(job_id, *read[2 * at : 2 * at + 2]) for at, job_id in enumerate(job_ids))
        page = tuple(job for job in jobs if job is not None and answers.matches(job, state))
        return JobPage(page, job_ids[-1] if len(found) > limit else None)

    def cancel(self, job_id: str) -> Operation[Job]:
        (told,) = yield from self._told([job_id])
        answer = yield from self._in_place("cancel", job_id, CANCELLED.code, CANCELLED.message, more=self._outbox(told))
        job = self._answered(job_id, answer)
        if answer[0] == b"over":
            raise answers.cannot_cancel(job)
        return job

    def retry(self, job_id: str) -> Operation[Job]:
        answer = yield from self._in_place(
            "retry", job_id, self.policy.max_waiting, task_data(job_id), more=self.keys.lines
        )
        if answer[0] == b"full":
            raise answers.queue_full(self.policy.max_waiting)
        job = self._answered(job_id, answer)
        if answer[0] == b"other":
            raise answers.cannot_retry(job)
        return job

    def position(self, job_id: str) -> Operation[int | None]:
        found = yield from self.positions([job_id])
        if job_id not in found:
            raise answers.job_not_found(job_id)
        return found[job_id]

    def positions(self, job_ids: Sequence[str]) -> Operation[Mapping[str, int | None]]:
        """Of the jobs that are known; see JobQueue.position."""
        if not job_ids:
            return {}
        priorities = yield from self._priorities(job_ids)
        places = yield [self._position(job_id, priority) for job_id, priority in zip(job_ids, priorities, strict=True)]
        found = zip(job_ids, places, strict=True)
        return {job_id: place or None for job_id, place in found if place >= 0}

    def check(self) -> Operation[None]:
        """A write that changes nothing: a replica, or a server that cannot save, refuses it though it can be read."""
        yield (command("DEL", self.keys.of("checked")),)

    def depth(self) -> Operation[Depth]:
        (answer,) = yield (self._depth(),)
        waiting, due, delayed, running = answer[:4]
        return Depth(waiting, delayed, running, due)

    def running(self) -> Operation[Sequence[str]]:
        (leased,) = yield (command("ZRANGE", self.keys.leases, 0, -1),)
        if not leased:
            return ()
        job_ids = ids(leased)
        since = yield [
            command("HGET", self.keys.record(job_id), "execution_started_ms", forgiving=True) for job_id in job_ids
        ]
        return tuple(job_id for _, job_id in sorted(zip(map(int, (at or 0 for at in since)), job_ids, strict=True)))

    def events(self, job_id: str, after: int) -> Operation[Sequence[Event]]:
        """Raises JobNotFound."""
        exists, entries = yield (
            command("EXISTS", self.keys.record(job_id)),
            command("XRANGE", self.keys.events(job_id), f"({max(0, after)}-0", "+"),
        )
        if not exists:
            raise answers.job_not_found(job_id)
        return tuple(event(number, mapping(fields)) for number, fields in entries)

    def pause(self, paused: bool) -> Operation[None]:
        if paused:
            yield (run_script("pause", (self.keys.suspended,)),)
        else:
            yield (command("DEL", self.keys.suspended), command("PUBLISH", self.keys.wake, ""))

    def is_paused(self) -> Operation[bool]:
        (exists,) = yield (command("EXISTS", self.keys.suspended),)
        return bool(exists)

    def workers(self) -> Operation[Sequence[WorkerReport]]:
        reports, ages, depth = yield (
            command("HGETALL", self.keys.reports[0]),
            command("ZRANGE", self.keys.reports[1], 0, -1, "WITHSCORES"),
            self._depth(),
        )
        heard = {name for name, at in scores(ages) if int(depth[5]) - at < REPORT_KEPT_MS}
        said = [worker_report(text) for name, text in mapping(reports).items() if name in heard]
        return tuple(sorted((report for report in said if report is not None), key=lambda report: report.worker))

    def figures(self) -> Operation[Figures]:
        depth, paused, counts, reports, ages, memory, stats, *heads = yield (
            self._depth(),
            command("EXISTS", self.keys.suspended),
            command("HGETALL", self.keys.counters),
            command("HGETALL", self.keys.reports[0]),
            command("ZRANGE", self.keys.reports[1], 0, -1, "WITHSCORES"),
            command("INFO", "memory", forgiving=True),
            command("INFO", "stats", forgiving=True),
            *(command("LINDEX", line, 0) for line in self.keys.lines),
        )
        now = int(depth[5])
        first = [head.decode(errors="surrogateescape") for head in heads if head is not None]
        joined = (
            (yield [command("HGET", self.keys.record(head), "joined_ms", forgiving=True) for head in first])
            if first
            else ()
        )
        said = ((name, worker_report(text)) for name, text in mapping(reports).items())
        age = {name: now - int(at) for name, at in scores(ages)}
        return Figures(
            depth=Depth(depth[0], depth[2], depth[3], depth[1]),
            oldest_wait_ms=max((now - int(at) for at in joined if at is not None), default=None),
            paused=bool(paused),
            now_ms=now,
            counts={name.decode(): int(count) for name, count in mapping(counts).items()},
            workers={
                name.decode(): (report, age[name])
                for name, report in said
                if report is not None and age.get(name, REPORT_KEPT_MS) < REPORT_KEPT_MS
            },
            memory=memory_in(memory, stats),
        )

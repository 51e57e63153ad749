"""What the queue does, each operation written once: generators over batches of commands (scripts.py). No I/O.

Every change of a job's state is one script. Where a script needs keys that only the server can name (the next job, the
expired leases), a look that writes nothing comes first, and the script refuses to act on anything but what it was
given: then the operation looks again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from flowscale import logs
from flowscale.errors import IllegalTransition
from flowscale.jobs import CANCELLED, LOST_WORKER, TOO_MANY_LOST, Failure, Job, JobState, Output, Priority, clip_lines
from flowscale.queues import answers
from flowscale.queues.base import (
    FAIRNESS_EVERY,
    PRIORITY_ORDER,
    RECENT_DURATIONS,
    REPORT_KEPT_MS,
    WORKER_SEEN_MS,
    Depth,
    Enqueued,
    Event,
    EventKind,
    Execution,
    Idempotency,
    JobPage,
    QueuePolicy,
    Tended,
    WorkerReport,
    estimate_wait_ms,
)
from flowscale.queues.figures import Figures
from flowscale.queues.redis.contact import Contact
from flowscale.queues.redis.keys import Keys
from flowscale.queues.redis.records import (
    SPEC_BYTES,
    Unreadable,
    from_record,
    priority_of,
    task_data,
    to_output,
    to_record,
)
from flowscale.queues.redis.scripts import Argument, Batch, Command, Operation, command, run_script

AT_ONCE = 32
"""Ids of each kind that one look gives: more retries, leases or ended jobs wait for the next look."""

CANDIDATES = 8
"""Heads of a line offered to a fetch: so many workers may be faster between its look and its start."""

ASIDE_KEPT = 1_000
"""Refused entries that are remembered, newest last."""

_log = logs.get("queue")


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look found: ids, oldest first. Times in ms of the server's clock."""

    now_ms: int
    paused: bool
    heads: tuple[tuple[str, ...], ...]  # of the lines, most urgent first
    due: tuple[str, ...]
    next_due_ms: int | None
    expired: tuple[str, ...]
    done: tuple[str, ...]  # that may go
    failed: tuple[str, ...]  # that may go
    forgotten_keys: tuple[str, ...]
    silent_workers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a try to fetch gave: an execution, or for how long there can be none (None: until something joins)."""

    execution: Execution | None
    due_in_ms: int | None = None


class Operations:
    """The operations over one set of keys. `now` gives the time in ms for tests; None: the server's own clock."""

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

    # Taking and holding jobs.

    def fetch(self, worker: str, execution_id: str) -> Operation[Fetched]:
        """Start the next job, promoting due retries first. With the id of a start whose answer was lost: that job."""
        while True:
            seen = yield from self._look()
            if seen.due:
                yield from self._promote(seen.due)
                continue
            due_in = None if seen.next_due_ms is None else max(0, seen.next_due_ms - seen.now_ms)
            if seen.paused or not any(seen.heads):
                return Fetched(None, due_in)
            ((answer, *rest),) = yield (self._start(worker, execution_id, seen),)
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

    def recover(self, worker: str, execution_id: str) -> Operation[Execution | None]:
        """The execution of this id, if a start whose answer was lost made it."""
        (job_id,) = yield (command("HGET", self.keys.holders, execution_id),)
        if job_id is None:
            return None
        raw, log = yield self._read(job_id.decode())
        return (yield from self._execution(worker, execution_id, raw, log, job_id.decode()))

    def _start(self, worker: str, execution_id: str, seen: Seen) -> Command:
        first = next(head for heads in seen.heads for head in heads)
        lines, started = self.keys.lines, [self.keys.started(priority) for priority in PRIORITY_ORDER]
        keys = [*self.keys.job_keys(first, Priority.NORMAL), *lines, *started, self.keys.turns, self.keys.aside]
        arguments: list[Argument] = []
        for job_id in dict.fromkeys(head for heads in seen.heads for head in heads[:CANDIDATES]):
            keys += [self.keys.record(job_id), self.keys.events(job_id), self.keys.log(job_id)]
            arguments += [job_id, task_data(job_id)]
        head = (execution_id, worker, self.policy.lease_ms, FAIRNESS_EVERY, SPEC_BYTES, ASIDE_KEPT)
        return run_script("start", keys, *self._head(first), *head, *arguments)

    def _execution(
        self, worker: str, execution_id: str, raw: Any, log: Any, job_id: str | None = None
    ) -> Operation[Execution | None]:
        """The execution of a record that was started; None when it turned out to be unreadable, and is set aside."""
        fields = _mapping(raw)
        job_id = job_id or _id_in(fields)
        try:
            return Execution(execution_id, from_record(job_id, fields, log), worker)
        except Unreadable as error:
            _log.error("entry.refused", "A record of the queue cannot be read; it was set aside", reason=str(error))
            priority = priority_of(fields.get(b"priority"))
            keys = (*self.keys.job_keys(job_id, priority), self.keys.aside)
            yield (run_script("aside", keys, *self._head(job_id), execution_id, ASIDE_KEPT),)
            return None

    def renew(self, execution: Execution) -> Operation[bool]:
        (answer,) = yield (self._held("renew", execution, self.policy.lease_ms),)
        _require_held(execution, answer)
        return bool(answer[1])

    def progress(self, execution: Execution, percent: int | None, lines: Sequence[str]) -> Operation[None]:
        shown = "" if percent is None else min(99, percent)
        (answer,) = yield (self._held("progress", execution, shown, *clip_lines(lines)),)
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

    def is_held(self, execution: Execution) -> Operation[bool]:
        (current,) = yield (command("HGET", self.keys.record(execution.job.id), "execution"),)
        return bool(current == execution.id.encode())

    # Housekeeping.

    def tend(self, contact: Contact, monotonic: Callable[[], float]) -> Operation[Tended]:
        """One round; see WorkQueue.tend. `contact` says whether silent workers may be taken for dead."""
        seen, run_id = yield from self._look_and_ask()
        may_reap = contact.seen(monotonic(), seen.now_ms, run_id)
        promoted = yield from self._promote(seen.due)
        stalled = (yield from self._reap(seen.expired)) if may_reap else ()
        yield from self._retire((*seen.done, *seen.failed))
        yield from self._forget(seen)
        return Tended(promoted, stalled)

    def _promote(self, due: Sequence[str]) -> Operation[tuple[str, ...]]:
        if not due:
            return ()
        priorities = yield from self._priorities(due)
        answers_ = yield [
            run_script("promote", self.keys.job_keys(job_id, priority), *self._head(job_id))
            for job_id, priority in zip(due, priorities, strict=True)
        ]
        return tuple(job_id for job_id, promoted in zip(due, answers_, strict=True) if promoted)

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

    def _retire(self, ended: Sequence[str]) -> Operation[None]:
        if ended:
            priorities = yield from self._priorities(ended)
            yield [
                run_script(
                    "retire",
                    (*self.keys.job_keys(job_id, priority), self.keys.every_job, *self.keys.owned_by_rq(job_id)),
                    *self._head(job_id),
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

    def report(self, report: WorkerReport) -> Operation[None]:
        text = json.dumps(asdict(report), separators=(",", ":"))
        yield (run_script("report", self.keys.reports, self._now(), report.worker, text),)

    # What gateways ask.

    def enqueue(self, job: Job, idempotency: Idempotency | None) -> Operation[Enqueued]:
        if job.state is not JobState.QUEUED:
            raise IllegalTransition(f"job {job.id} is {job.state}; only a new job can be enqueued")
        gone = ""  # a job that the key names and that is kept no longer
        while True:
            (answer,) = yield (self._enqueue(job, idempotency, gone),)
            match answer[0]:
                case b"full":
                    raise answers.queue_full(self.policy.max_waiting)
                case b"known":
                    known = yield from self._made_before(idempotency, answer[1].decode(), answer[2].decode())
                    if known is not None:
                        return known
                    gone = answer[2].decode()
                case b"exists":
                    return (yield from self._accepted_before(job))
                case _:
                    return (yield from self._enqueued(job, created=True))

    def _enqueue(self, job: Job, idempotency: Idempotency | None, gone: str) -> Command:
        keys = (
            *self.keys.job_keys(job.id, job.priority),
            self.keys.queues,
            self.keys.every_job,
            *self.keys.lines,
            *self.keys.idempotency,
        )
        key, fingerprint = (idempotency.key, idempotency.fingerprint) if idempotency else ("", "")
        head = (self.policy.max_waiting, key, fingerprint, self.policy.idempotency_ms, gone)
        return run_script("enqueue", keys, *self._head(job.id), *head, *to_record(job))

    def _accepted_before(self, job: Job) -> Operation[Enqueued]:
        """An earlier try of this very call was accepted, and its answer lost."""
        record = yield from self.find(job.id)
        if record is None or (record.spec, record.created_ms) != (job.spec, job.created_ms):
            raise IllegalTransition(f"job {job.id} was accepted before; only a new job can be enqueued")
        return (yield from self._enqueued(record, created=True))

    def earlier(self, idempotency: Idempotency) -> Operation[Enqueued | None]:
        entry, until, seen = yield (
            command("HGET", self.keys.idempotency[0], idempotency.key),
            command("ZSCORE", self.keys.idempotency[1], idempotency.key),
            self._depth(),
        )
        if entry is None or until is None or float(until) <= int(seen[5]):
            return None
        fingerprint, _, job_id = entry.decode().rpartition(" ")
        return (yield from self._made_before(idempotency, fingerprint, job_id))

    def _made_before(
        self, idempotency: Idempotency | None, fingerprint: str, job_id: str
    ) -> Operation[Enqueued | None]:
        job = yield from self.find(job_id)
        if job is None:
            return None
        if idempotency is not None and fingerprint != idempotency.fingerprint:
            raise answers.idempotency_mismatch()
        return (yield from self._enqueued(job, created=False))

    def _enqueued(self, job: Job, *, created: bool) -> Operation[Enqueued]:
        place, durations, depth, reports, ages = yield (
            self._position(job.id, job.priority),
            command("LRANGE", self.keys.durations, 0, RECENT_DURATIONS - 1),
            self._depth(),
            command("HGETALL", self.keys.reports[0]),
            command("ZRANGE", self.keys.reports[1], 0, -1, "WITHSCORES"),
        )
        if place <= 0:
            return Enqueued(job, 0, None, created)
        now = int(depth[5])
        heard = {name for name, at in _scores(ages) if now - at < WORKER_SEEN_MS}
        said = (_report(text) for name, text in _mapping(reports).items() if name in heard)
        slots = max(1, sum(report.slots for report in said if report is not None and report.problem is None))
        recent = [int(duration) for duration in durations]
        return Enqueued(job, place, estimate_wait_ms(place, depth[3], slots, recent), created)

    def find(self, job_id: str) -> Operation[Job | None]:
        """The job; None when it is not kept, or when its record is none of ours."""
        raw, log = yield self._read(job_id)
        return _job(job_id, raw, log)

    def get(self, job_id: str) -> Operation[Job]:
        job = yield from self.find(job_id)
        if job is None:
            raise answers.job_not_found(job_id)
        return job

    def list(self, state: JobState | None, limit: int, cursor: str | None) -> Operation[JobPage]:
        index = self.keys.every_job if state is None else self.keys.in_state(state.public)
        newest = "+" if cursor is None else f"({answers.read_cursor(cursor)}"
        (found,) = yield (command("ZREVRANGEBYLEX", index, newest, "-", "LIMIT", 0, limit + 1),)
        job_ids = _ids(found[:limit])
        read = (yield [part for job_id in job_ids for part in self._read(job_id)]) if job_ids else ()
        jobs = (_job(job_id, *read[2 * at : 2 * at + 2]) for at, job_id in enumerate(job_ids))
        page = tuple(job for job in jobs if job is not None and answers.matches(job, state))
        return JobPage(page, job_ids[-1] if len(found) > limit else None)

    def cancel(self, job_id: str) -> Operation[Job]:
        answer = yield from self._asked("cancel", job_id, CANCELLED.code, CANCELLED.message)
        job = self._answered(job_id, answer)
        if answer[0] == b"over":
            raise answers.cannot_cancel(job)
        return job

    def retry(self, job_id: str) -> Operation[Job]:
        answer = yield from self._asked("retry", job_id, self.policy.max_waiting, more=self.keys.lines)
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

    def depth(self) -> Operation[Depth]:
        (answer,) = yield (self._depth(),)
        waiting, due, delayed, running = answer[:4]
        return Depth(waiting, delayed, running, due)

    def running(self) -> Operation[Sequence[str]]:
        (leased,) = yield (command("ZRANGE", self.keys.leases, 0, -1),)
        if not leased:
            return ()
        job_ids = [job_id.decode() for job_id in leased]
        since = yield [command("HGET", self.keys.record(job_id), "execution_started_ms") for job_id in job_ids]
        return tuple(job_id for _, job_id in sorted(zip(map(int, (at or 0 for at in since)), job_ids, strict=True)))

    def events(self, job_id: str, after: int) -> Operation[Sequence[Event]]:
        """Raises JobNotFound."""
        exists, entries = yield (
            command("EXISTS", self.keys.record(job_id)),
            command("XRANGE", self.keys.events(job_id), f"({max(0, after)}-0", "+"),
        )
        if not exists:
            raise answers.job_not_found(job_id)
        return tuple(_event(number, _mapping(fields)) for number, fields in entries)

    def pause(self, paused: bool) -> Operation[None]:
        if paused:
            yield (command("SET", self.keys.suspended, 1),)
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
        heard = {name for name, at in _scores(ages) if int(depth[5]) - at < REPORT_KEPT_MS}
        said = [_report(text) for name, text in _mapping(reports).items() if name in heard]
        return tuple(sorted((report for report in said if report is not None), key=lambda report: report.worker))

    def figures(self) -> Operation[Figures]:
        depth, paused, counts, reports, ages, *heads = yield (
            self._depth(),
            command("EXISTS", self.keys.suspended),
            command("HGETALL", self.keys.counters),
            command("HGETALL", self.keys.reports[0]),
            command("ZRANGE", self.keys.reports[1], 0, -1, "WITHSCORES"),
            *(command("LINDEX", line, 0) for line in self.keys.lines),
        )
        now = int(depth[5])
        first = [head.decode(errors="surrogateescape") for head in heads if head is not None]
        joined = (yield [command("HGET", self.keys.record(head), "joined_ms") for head in first]) if first else ()
        said = ((name, _report(text)) for name, text in _mapping(reports).items())
        age = {name: now - int(at) for name, at in _scores(ages)}
        return Figures(
            depth=Depth(depth[0], depth[2], depth[3], depth[1]),
            oldest_wait_ms=max((now - int(at) for at in joined if at is not None), default=None),
            paused=bool(paused),
            now_ms=now,
            counts={name.decode(): int(count) for name, count in _mapping(counts).items()},
            workers={
                name.decode(): (report, age[name])
                for name, report in said
                if report is not None and age.get(name, REPORT_KEPT_MS) < REPORT_KEPT_MS
            },
        )

    # Beneath.

    def _now(self) -> Argument:
        return "" if self._now_or_none is None else self._now_or_none()

    def _head(self, job_id: str) -> tuple[Argument, ...]:
        """The first arguments of every script that works on a job."""
        return (self._now(), job_id, self.keys.news, self.keys.wake)

    def _held(self, name: str, execution: Execution, *arguments: Argument) -> Command:
        job = execution.job
        keys = self.keys.job_keys(job.id, job.priority)
        return run_script(name, keys, *self._head(job.id), execution.id, *arguments)

    def _stall(self, job_id: str, priority: Priority, execution_id: str = "") -> Command:
        words = (LOST_WORKER.code, LOST_WORKER.message, TOO_MANY_LOST, CANCELLED.code, CANCELLED.message)
        head = (execution_id, self.policy.retry.max_stalls, *words)
        return run_script("stall", self.keys.job_keys(job_id, priority), *self._head(job_id), *head)

    def _position(self, job_id: str, priority: Priority) -> Command:
        keys = (*self.keys.job_keys(job_id, priority), self.keys.every_job, *self.keys.lines)
        return run_script("position", keys, *self._head(job_id), PRIORITY_ORDER.index(priority) + 1)

    def _depth(self) -> Command:
        return run_script("depth", (*self.keys.lines, self.keys.delayed, self.keys.leases), self._now())

    def _read(self, job_id: str) -> Batch:
        return (
            command("HGETALL", self.keys.record(job_id)),
            command("LRANGE", self.keys.log(job_id), 0, -1),
        )

    def _priorities(self, job_ids: Sequence[str]) -> Operation[Sequence[Priority]]:
        """A job's priority never changes, so that it may be read before the script that needs its line."""
        found = yield [command("HGET", self.keys.record(job_id), "priority") for job_id in job_ids]
        return [priority_of(text) for text in found]

    def _asked(self, name: str, job_id: str, *arguments: Argument, more: Sequence[str] = ()) -> Operation[Any]:
        (priority,) = yield from self._priorities([job_id])
        keys = (*self.keys.job_keys(job_id, priority), *more)
        (answer,) = yield (run_script(name, keys, *self._head(job_id), *arguments),)
        return answer

    def _answered(self, job_id: str, answer: Any) -> Job:
        if answer[0] == b"missing":
            raise answers.job_not_found(job_id)
        return from_record(job_id, _mapping(answer[1]), answer[2])

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
        keep = (policy.keep_done, policy.keep_failed, policy.keep_at_most, policy.retention_ms, REPORT_KEPT_MS)
        return run_script("peek", keys, self._now(), AT_ONCE, *keep)

    def _look(self) -> Operation[Seen]:
        (answer,) = yield (self._peek(),)
        return _seen(answer)

    def _look_and_ask(self) -> Operation[tuple[Seen, str]]:
        answer, info = yield (self._peek(), command("INFO", "server"))
        return _seen(answer), _run_id(info)


def _seen(answer: Sequence[Any]) -> Seen:
    now, paused, high, normal, low, due, next_due, expired, done, failed, keys, workers = answer
    return Seen(
        now_ms=int(now),
        paused=bool(paused),
        heads=(_ids(high), _ids(normal), _ids(low)),
        due=_ids(due),
        next_due_ms=int(float(next_due)) if next_due else None,
        expired=_ids(expired),
        done=_ids(done),
        failed=_ids(failed),
        forgotten_keys=_ids(keys),
        silent_workers=_ids(workers),
    )


def _job(job_id: str, raw: Any, log: Sequence[bytes]) -> Job | None:
    """None when there is no record, or none of ours."""
    fields = _mapping(raw)
    if not fields:
        return None
    try:
        return from_record(job_id, fields, log)
    except Unreadable as error:
        _log.warning("entry.unreadable", "A record of the queue cannot be read", reason=str(error))
        return None


def _ids(found: Sequence[bytes]) -> tuple[str, ...]:
    """As text; bytes that are none stay what they are on the way back (surrogateescape)."""
    return tuple(entry.decode(errors="surrogateescape") for entry in found)


def _mapping(flat: Any) -> dict[bytes, bytes]:
    if isinstance(flat, Mapping):
        return dict(flat)
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _scores(flat: Any) -> list[tuple[bytes, float]]:
    pairs = flat if flat and isinstance(flat[0], list | tuple) else zip(flat[::2], flat[1::2], strict=True)
    return [(name, float(score)) for name, score in pairs]


def _run_id(info: Any) -> str:
    """Of the server's INFO; "" where it is not told."""
    if isinstance(info, Mapping):
        return str(info.get("run_id", ""))
    for line in info.decode(errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name == "run_id":
            return str(value)
    return ""


def _id_in(fields: Mapping[bytes, bytes]) -> str:
    """The job id in a record's `data`, which start.lua has compared with what it should be."""
    return str(json.loads(fields[b"data"])[2][0])


def _event(number: bytes, fields: Mapping[bytes, bytes]) -> Event:
    return Event(
        id=int(number.partition(b"-")[0]),
        kind=EventKind(fields[b"kind"].decode()),
        at_ms=int(fields[b"at"]),
        data=json.loads(fields[b"data"]),
    )


def _report(text: bytes) -> WorkerReport | None:
    try:
        return WorkerReport(**json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        _log.warning("report.unreadable", "A worker's report cannot be read", reason=str(error))
        return None


def _require_held(execution: Execution, answer: Any) -> None:
    if answer[0] == b"lost":
        raise answers.lease_lost(execution.job.id, execution.id)


def _ended(execution: Execution, answer: Any) -> Job:
    if answer[0] in (b"lost", b"held"):
        raise answers.lease_lost(execution.job.id, execution.id)
    return from_record(execution.job.id, _mapping(answer[1]), answer[2])

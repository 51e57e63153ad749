"""What the people who run the service steer and look at, beside the search (searching.py)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from flowscale import logs
from flowscale.jobs import CANCELLED, Job, Priority
from flowscale.queues import answers
from flowscale.queues.admin_view import AUDIT_KEPT, REMOVED_AT_ONCE, AuditEntry, AuditPage, Standing
from flowscale.queues.history import COUNTED, SAMPLES_KEPT, STEP_MS, Point, Sample, points
from flowscale.queues.redis.keys import queue_name
from flowscale.queues.redis.operations.ground import Ground
from flowscale.queues.redis.operations.replies import ids, mapping, told_in
from flowscale.queues.redis.scripts import Command, Operation, command, run_script
from flowscale.queues.told import Told

_STREAM_ID = re.compile(r"([0-9]{1,20})-([0-9]{1,20})\Z")
_log = logs.get("queue")


class Steering(Ground):
    """See AdminQueue."""

    _minute = 0  # whose sample was taken, or seen to be taken

    def standing(self) -> Operation[Standing]:
        done, error, leased = yield (
            *(command("ZCARD", self.keys.in_state(state)) for state in ("done", "error")),
            command("ZRANGE", self.keys.leases, 0, -1),
        )
        running = ids(leased)
        words = (
            (
                yield [
                    command("HMGET", self.keys.record(job_id), "worker", "execution_started_ms", forgiving=True)
                    for job_id in running
                ]
            )
            if running
            else ()
        )
        held = [(int(word[1] or 0), job_id, word[0]) for job_id, word in zip(running, words, strict=True) if word]
        workers = {job_id: worker.decode(errors="replace") for _, job_id, worker in sorted(held) if worker is not None}
        return Standing(done, error, workers)

    def told(self, job_id: str) -> Operation[Told]:
        (raw,) = yield (command("HGETALL", self.keys.facts(job_id), forgiving=True),)
        return told_in(mapping(raw))

    def move_to_front(self, job_id: str) -> Operation[Job]:
        high = Priority.HIGH
        answer = yield from self._in_place("front", job_id, high.value, queue_name(high), more=(self.keys.line(high),))
        job = self._answered(job_id, answer)
        if answer[0] == b"other":
            raise answers.cannot_move(job)
        return job

    def remove(self, job_id: str) -> Operation[Job]:
        (told,) = yield from self._told([job_id])
        owned = self.keys.owned_by_rq(job_id)
        more = (self.keys.every_job, self.keys.removed, *owned, *self._outbox(told))
        words = (CANCELLED.code, CANCELLED.message, len(owned))
        answer = yield from self._in_place("remove", job_id, *words, more=more)
        job = self._answered(job_id, answer)
        if answer[0] == b"running":
            raise answers.cannot_remove(job)
        return job

    def removed(self) -> Operation[Sequence[str]]:
        (found,) = yield (command("ZRANGE", self.keys.removed, 0, REMOVED_AT_ONCE - 1),)
        return ids(found)

    def cleared(self, job_id: str) -> Operation[None]:
        yield (command("ZREM", self.keys.removed, job_id),)

    def history(self) -> Operation[Sequence[Point]]:
        kept, counted, depth = yield (
            command("LRANGE", self.keys.history, 0, -1),
            command("HMGET", self.keys.counters, *COUNTED),
            self._depth(),
        )
        enqueued, done, error = (int(count or 0) for count in counted)
        waiting, due, delayed, running = depth[:4]
        now = Sample(int(depth[5]) // STEP_MS, enqueued, done, error, waiting + due + delayed, running)
        return points([Sample(*map(int, text.split())) for text in kept], now)

    def add_audit(self, entry: AuditEntry) -> Operation[None]:
        fields = {
            "at": str(entry.at_ms),
            "actor": entry.actor,
            "action": entry.action,
            "target": entry.target or "",
            "outcome": entry.outcome,
            "request": entry.request_id,
        }
        flat = [text for field in fields.items() for text in field]
        yield (run_script("audit", (self.keys.audit,), AUDIT_KEPT, *flat),)

    def audit(self, limit: int, cursor: str | None) -> Operation[AuditPage]:
        if cursor is not None and not _is_stream_id(cursor):
            raise answers.not_a_cursor()
        newest = "+" if cursor is None else f"({cursor}"
        (found,) = yield (command("XREVRANGE", self.keys.audit, newest, "-", "COUNT", limit + 1),)
        entries = [_entry(mapping(fields)) for _, fields in found[:limit]]
        return AuditPage(tuple(entries), found[limit - 1][0].decode() if len(found) > limit else None)

    def _sample(self, now_ms: int) -> Operation[None]:
        """At most one round trip a minute."""
        if now_ms // STEP_MS == self._minute:
            return
        yield (self._minute_begun(),)
        self._minute = now_ms // STEP_MS

    def _minute_begun(self) -> Command:
        keys = (self.keys.history, self.keys.counters, *self.keys.lines, self.keys.delayed, self.keys.leases)
        return run_script("minute", keys, self._now(), SAMPLES_KEPT)


def _is_stream_id(text: str) -> bool:
    """Whether a stream may have an entry of this id: two numbers of 64 bits, not both 0."""
    found = _STREAM_ID.match(text)
    return found is not None and 0 < max(map(int, found.groups())) < 2**64


def _entry(fields: dict[bytes, bytes]) -> AuditEntry:
    text = {name.decode(): value.decode(errors="replace") for name, value in fields.items()}
    return AuditEntry(
        at_ms=int(text["at"]),
        actor=text["actor"],
        action=text["action"],
        target=text["target"] or None,
        outcome=text["outcome"],
        request_id=text["request"],
    )

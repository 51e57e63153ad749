"""Accepting jobs, once for each Idempotency-Key."""

from __future__ import annotations

from flowscale.errors import IllegalTransition
from flowscale.jobs import Job, JobState
from flowscale.queues import answers
from flowscale.queues.base import (
    PRIORITY_ORDER,
    WORKER_SEEN_MS,
    Enqueued,
    Idempotency,
    estimate_wait_ms,
)
from flowscale.queues.finding import first_card
from flowscale.queues.redis.operations.ground import Ground
from flowscale.queues.redis.records import (
    to_record,
)
from flowscale.queues.redis.scripts import Command, Operation, command


class Accepting(Ground):
    """See JobQueue.enqueue and JobQueue.earlier."""

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
                    return _placed(job, *answer[1:], created=True)

    def _enqueue(self, job: Job, idempotency: Idempotency | None, gone: str) -> Command:
        keys = (
            *self.keys.job_keys(job.id, job.priority),
            self.keys.queues,
            self.keys.every_job,
            *self.keys.lines,
            *self.keys.idempotency,
            *self.keys.reports,
        )
        key, fingerprint = (idempotency.key, idempotency.fingerprint) if idempotency else ("", "")
        line = PRIORITY_ORDER.index(job.priority) + 1
        head = (self.policy.max_waiting, key, fingerprint, self.policy.idempotency_ms, gone, line, WORKER_SEEN_MS)
        return self._script("enqueue", keys, job.id, *head, first_card(job)[1:], *to_record(job))

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
        keys = (*self.keys.job_keys(job.id, job.priority), *self.keys.reports)
        place, outlook = yield (
            self._position(job.id, job.priority),
            self._script("outlook", keys, job.id, WORKER_SEEN_MS),
        )
        return _placed(job, max(0, place), *outlook, created=created)


def _placed(job: Job, place: int, running: int, slots: int, mean_ms: bytes, *, created: bool) -> Enqueued:
    """The answer, from what the server said of the queue."""
    if place == 0:
        return Enqueued(job, 0, None, created)
    recent = (float(mean_ms),) if mean_ms else ()
    return Enqueued(job, place, estimate_wait_ms(place, running, max(1, slots), recent), created)

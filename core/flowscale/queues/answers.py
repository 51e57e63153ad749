"""What every backend answers in the same words: the data of its events, its cursors, its refusals. Pure.

Kept apart from the backends so that a client cannot tell them apart by a sentence or a key.
"""

from __future__ import annotations

from typing import Any

from flowscale.errors import Conflict, IdempotencyMismatch, InvalidOptions, JobNotFound, LeaseLost, QueueFull
from flowscale.jobs import Job, JobState
from flowscale.names import is_job_id


def state_data(job: Job) -> dict[str, Any]:
    """The data of a STATE event; `code` and `message` only for a job that ended in error."""
    data: dict[str, Any] = {"status": job.state.public, "progressPct": job.progress}
    if job.state is JobState.ERROR and job.failure is not None:
        data |= {"code": job.failure.code, "message": job.failure.message}
    return data


def progress_data(job: Job) -> dict[str, Any]:
    """The data of a PROGRESS event."""
    return {"progressPct": job.progress}


def cursor_after(job: Job) -> str:
    """The cursor of the page that follows this job.

    It is the job's id: ids begin with their time, so "older than this id" means the same after the job is gone.
    """
    return job.id


def read_cursor(cursor: str) -> str:
    """The id that a cursor names. Raises InvalidOptions for text that `cursor_after` cannot have made."""
    if not is_job_id(cursor):
        raise not_a_cursor()
    return cursor


def not_a_cursor() -> InvalidOptions:
    fault = {"path": "$.cursor", "message": "not a cursor that this service gave"}
    return InvalidOptions(
        "the cursor is not one that this service gave; leave it out to begin with the newest",
        details={"faults": [fault]},
    )


def matches(job: Job, state: JobState | None) -> bool:
    """Whether a listing of `state` shows the job. QUEUED includes DELAYED: clients know no other word for it."""
    if state is JobState.QUEUED:
        return job.state in (JobState.QUEUED, JobState.DELAYED)
    return state is None or job.state is state


def job_not_found(job_id: str) -> JobNotFound:
    return JobNotFound(f"there is no job {job_id}: it was never accepted, or it ended and is kept no longer")


def queue_full(limit: int) -> QueueFull:
    return QueueFull(f"{limit} jobs wait already, which is the limit; try again when some of them have run")


def idempotency_mismatch() -> IdempotencyMismatch:
    return IdempotencyMismatch("this Idempotency-Key came with another request before; use a new key for a new request")


def cannot_cancel(job: Job) -> Conflict:
    return Conflict(f"job {job.id} has ended ({job.state}); there is nothing left to cancel")


def cannot_retry(job: Job) -> Conflict:
    return Conflict(f"job {job.id} is {job.state.public}; only a job that ended in error can be retried")


def moved_too_often(job_id: str) -> Conflict:
    return Conflict(f"job {job_id} is being moved by somebody else again and again; try again")


def cannot_move(job: Job) -> Conflict:
    return Conflict(f"job {job.id} is {job.state.public}; only a job that waits can be moved to the front")


def cannot_remove(job: Job) -> Conflict:
    return Conflict(f"job {job.id} is running; cancel it, and remove it when it has ended")


def lease_lost(job_id: str, execution_id: str) -> LeaseLost:
    return LeaseLost(
        f"execution {execution_id} no longer holds job {job_id}: the job ended or went to another worker; "
        "stop, and delete what this execution stored"
    )

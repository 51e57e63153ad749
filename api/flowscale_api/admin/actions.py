"""What people do to jobs. Each job changes in one step of the queue, guarded by its state."""

from __future__ import annotations

from dataclasses import dataclass

from flowscale import logs
from flowscale.errors import Conflict, FileNotFound, JobNotFound, QueueFull, StorageUnavailable
from flowscale.jobs import CANCELLED, Job, JobState
from flowscale.queues.finding import Wanted
from flowscale_api.admin.removal import clear
from flowscale_api.deps import Gateway
from flowscale_api.jobs.retrying import retry

RETRIED_AT_ONCE = 1_000
"""Failed jobs that one request queues again."""

PAGE = 200

_log = logs.get("gateway")


async def remove(gateway: Gateway, job_id: str) -> None:
    """Raises JobNotFound, Conflict. A storage that is away deletes the output later."""
    await gateway.queue.remove(job_id)
    try:
        await clear(gateway.queue, gateway.storage, job_id)
    except StorageUnavailable as error:
        _log.warning("output.kept", "A removed job's output is deleted later", job_id=job_id, reason=error.message)


@dataclass(frozen=True, slots=True)
class Retried:
    """How many were queued, and how many more match."""

    retried: int
    left: int


async def retry_failed(gateway: Gateway, code: str | None, project_id: str | None) -> Retried:
    """Queue failed jobs again, at most RETRIED_AT_ONCE, the newest ones, in the order in which they came.

    Those that somebody cancelled stay, unless their code is asked for. What cannot be queued again is left, and so is
    the rest once the queue is full.
    """
    wanted = Wanted(state=JobState.ERROR, project=project_id, code=code)
    failed: list[str] = []
    cursor: str | None = None
    while len(failed) < RETRIED_AT_ONCE:
        page = await gateway.queue.search(wanted, PAGE, cursor)
        failed += [job.id for job in page.jobs if _is_meant(job, code, project_id)]
        cursor = page.next_cursor
        if cursor is None:
            break
    retried = 0
    for job_id in reversed(failed[:RETRIED_AT_ONCE]):
        try:
            await retry(gateway, job_id)
            retried += 1
        except (JobNotFound, Conflict, FileNotFound):
            continue  # it has gone on since, or its source is gone
        except QueueFull:
            break
    return Retried(retried, await _count(gateway, wanted))


async def _count(gateway: Gateway, wanted: Wanted) -> int:
    total = (await gateway.queue.search(wanted, 1, None)).total
    if wanted.code is not None:
        return total
    cancelled = Wanted(state=wanted.state, project=wanted.project, code=CANCELLED.code)
    return max(0, total - (await gateway.queue.search(cancelled, 1, None)).total)


def _is_meant(job: Job, code: str | None, project_id: str | None) -> bool:
    """As the records say: the words that jobs are found by differ in control characters from what they stand for."""
    failed_with = job.failure.code if job.failure is not None else None
    if project_id is not None and job.project_id != project_id:
        return False
    return failed_with == code if code is not None else failed_with != CANCELLED.code

"""From the job record to what clients see of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request

from flowscale.clocks import iso_utc
from flowscale.errors import JobNotFound
from flowscale.jobs import Job
from flowscale.names import is_job_id
from flowscale.queues.finding import title_of
from flowscale_api.deps import Gateway
from flowscale_api.links import public_url
from flowscale_api.schemas import JobAnswer, JobAttempt, JobError, JobFacts, Status, WaitsFor


async def job_answer(gateway: Gateway, request: Request, job: Job) -> JobAnswer:
    positions, waits_for = await _places(gateway, [job])
    return JobAnswer(**_facts(gateway, request, job, positions.get(job.id), waits_for))


async def job_list(gateway: Gateway, request: Request, jobs: Sequence[Job]) -> list[JobFacts]:
    positions, waits_for = await _places(gateway, jobs)
    return [JobFacts(**_facts(gateway, request, job, positions.get(job.id), waits_for)) for job in jobs]


def _facts(
    gateway: Gateway, request: Request, job: Job, position: int | None, waits_for: WaitsFor | None
) -> dict[str, Any]:
    output = job.output
    return {
        "job_id": job.id,
        "label": title_of(job.spec),
        "status": Status(job.state.public),
        "progress_pct": job.progress,
        "logs_tail": list(job.logs),
        "created_at": iso_utc(job.created_ms),
        "started_at": _maybe_time(job.started_ms),
        "completed_at": _maybe_time(job.completed_ms),
        "output_url": public_url(gateway, request, output.key) if output else None,
        "output_size": output.size if output else None,
        "output_duration_ms": output.duration_ms if output else None,
        "duration_ms": job.duration_ms,
        "error": JobError(code=job.failure.code, message=job.failure.message) if job.failure else None,
        "priority": job.priority,
        "project_id": job.project_id,
        "cancel_requested": job.cancel_requested,
        "queue_position": position,
        "waits_for": waits_for if _is_queued(job) else None,
        "attempts": [
            JobAttempt(
                number=attempt.number,
                started_at=iso_utc(attempt.started_ms),
                ended_at=iso_utc(attempt.ended_ms),
                worker=attempt.worker,
                code=attempt.code,
                message=attempt.message,
            )
            for attempt in job.attempts
        ],
    }


async def _places(gateway: Gateway, jobs: Sequence[Job]) -> tuple[Mapping[str, int | None], WaitsFor | None]:
    """Positions of the jobs that wait, and what all that wait do so for beside their turns; one that ended and was
    retired since its record was read has no position."""
    waiting = [job.id for job in jobs if _is_queued(job)]
    return (await gateway.queue.positions(waiting), await gateway.standstill.waits_for()) if waiting else ({}, None)


def _is_queued(job: Job) -> bool:
    return Status(job.state.public) is Status.QUEUED


def _maybe_time(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else iso_utc(milliseconds)


def known_job_id(text: str) -> str:
    """The text, when it has a job id's form. Raises JobNotFound: no other text ever reaches the queue."""
    if not is_job_id(text):
        raise JobNotFound(f"There is no job {text[:80]!r}: a job id looks like job_<13 digits>_<32 hex digits>.")
    return text

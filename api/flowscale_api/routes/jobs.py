"""Jobs: look at one, list them, cancel, retry."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic.json_schema import SkipJsonSchema

from flowscale.errors import (
    Conflict,
    FileNotFound,
    InvalidOptions,
    JobNotFound,
    QueueFull,
    QueueUnavailable,
    StorageUnavailable,
)
from flowscale.keys.base import Scope
from flowscale_api.access.callers import Asker
from flowscale_api.access.owned import check_job, check_seen, own_page
from flowscale_api.access.rules import needs
from flowscale_api.deps import Parts
from flowscale_api.description.openapi import JobId, failures
from flowscale_api.jobs.retrying import retry
from flowscale_api.jobs.views import job_answer, job_list, known_job_id
from flowscale_api.schemas import JobAnswer, JobList, Status, json_answer

router = APIRouter(tags=["jobs"])


@router.get(
    "/api/jobs",
    operation_id="listJobs",
    summary="List jobs, newest first",
    response_model=JobList,
    responses=failures(InvalidOptions, QueueUnavailable),
    dependencies=[Depends(needs(Scope.READ))],
)
async def list_jobs(
    request: Request,
    gateway: Parts,
    caller: Asker,
    status: Annotated[Status | SkipJsonSchema[None], Query(description="Only jobs that are in this status.")] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Jobs on a page.")] = 50,
    cursor: Annotated[str | SkipJsonSchema[None], Query(description="`nextCursor` of the page before.")] = None,
) -> Response:
    """Jobs that ended are kept for a while: the last 100 done, the last 50 failed, and all of the last day."""
    page = await own_page(gateway, caller, status.state if status else None, limit, cursor)
    jobs = await job_list(gateway, request, page.jobs)
    return json_answer(JobList(jobs=jobs, next_cursor=page.next_cursor))


@router.get(
    "/api/jobs/{job_id}",
    operation_id="getJob",
    summary="Look at a job",
    response_model=JobAnswer,
    responses=failures(JobNotFound, QueueUnavailable),
    dependencies=[Depends(needs(Scope.READ))],
)
async def get_job(request: Request, gateway: Parts, job_id: JobId) -> Response:
    """The state of a job, its progress, and once it is done where its output is."""
    job = await gateway.queue.get(known_job_id(job_id))
    check_seen(request, job)
    return json_answer(await job_answer(gateway, request, job))


@router.post(
    "/api/jobs/{job_id}/cancel",
    operation_id="cancelJob",
    summary="Cancel a job",
    response_model=JobAnswer,
    responses=failures(JobNotFound, Conflict, QueueUnavailable),
    dependencies=[Depends(needs(Scope.RENDER))],
)
async def cancel_job(request: Request, gateway: Parts, job_id: JobId) -> Response:
    """Ends a waiting job at once, and asks the worker of a running one to stop. Asking twice is no error."""
    await check_job(request, gateway, known_job_id(job_id))
    job = await gateway.queue.cancel(job_id)
    return json_answer(await job_answer(gateway, request, job))


@router.post(
    "/api/jobs/{job_id}/retry",
    operation_id="retryJob",
    summary="Queue a failed job again",
    response_model=JobAnswer,
    responses=failures(JobNotFound, FileNotFound, Conflict, QueueFull, QueueUnavailable, StorageUnavailable),
    dependencies=[Depends(needs(Scope.RENDER))],
)
async def retry_job(request: Request, gateway: Parts, job_id: JobId) -> Response:
    """Gives a job that ended in error a fresh set of attempts, under the same id."""
    await check_job(request, gateway, known_job_id(job_id))
    job = await retry(gateway, job_id)
    return json_answer(await job_answer(gateway, request, job))

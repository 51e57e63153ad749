"""/api/admin/jobs: find jobs, look at one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic.json_schema import SkipJsonSchema

from flowscale.errors import InvalidOptions, JobNotFound, QueueUnavailable
from flowscale.keys.base import Scope
from flowscale.queues.finding import Wanted, read_question
from flowscale_api.access.rules import needs
from flowscale_api.admin.shapes import JobDetail, JobRows, State
from flowscale_api.admin.views import job_detail, job_rows
from flowscale_api.deps import Parts
from flowscale_api.description.openapi import JobId, failures
from flowscale_api.jobs.views import known_job_id
from flowscale_api.schemas import json_answer

router = APIRouter(tags=["admin"], dependencies=[Depends(needs(Scope.ADMIN))])


@router.get(
    "/api/admin/jobs",
    operation_id="findJobs",
    summary="Find jobs, newest first",
    response_model=JobRows,
    responses=failures(InvalidOptions, QueueUnavailable),
)
async def find_jobs(
    request: Request,
    gateway: Parts,
    state: Annotated[State | SkipJsonSchema[None], Query(description="Only jobs in this state.")] = None,
    q: Annotated[
        str,
        Query(
            max_length=400,
            description="Words, each the beginning of a job's id, of a word of its project or of its label, or of the "
            "code it ended with. All must match; 8 words at most.",
        ),
    ] = "",
    limit: Annotated[int, Query(ge=1, le=200, description="Jobs on a page.")] = 50,
    cursor: Annotated[str | SkipJsonSchema[None], Query(description="`nextCursor` of the page before.")] = None,
) -> Response:
    """`total` is how many match. A label's parts are words too: `ride` finds `night_ride-2`."""
    wanted = Wanted(state=None if state is None else state.job_state, words=read_question(q))
    found = await gateway.queue.search(wanted, limit, cursor)
    rows = await job_rows(gateway, request, found.jobs)
    return json_answer(JobRows(jobs=rows, next_cursor=found.next_cursor, total=found.total))


@router.get(
    "/api/admin/jobs/{job_id}",
    operation_id="examineJob",
    summary="All that is known of a job",
    response_model=JobDetail,
    responses=failures(JobNotFound, QueueUnavailable),
)
async def examine_job(request: Request, gateway: Parts, job_id: JobId) -> Response:
    """Beside the job's answer: its options, what its sources hold, what happened to it and when, the last log lines of
    each attempt, and FFmpeg's command lines."""
    known = known_job_id(job_id)
    job = await gateway.queue.get(known)
    told, events = await gateway.queue.told(known), await gateway.queue.events(known, 0, 0)
    deliveries = await gateway.queue.deliveries(known)
    return json_answer(await job_detail(gateway, request, job, told, events, deliveries))

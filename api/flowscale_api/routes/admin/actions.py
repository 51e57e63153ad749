"""Steering under /api/admin: cancel, retry, promote and remove jobs; pause and resume the queue. All audited."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import ConfigDict, Field

from flowscale.errors import (
    Conflict,
    FileNotFound,
    FileTooLarge,
    InvalidOptions,
    JobNotFound,
    QueueFull,
    QueueUnavailable,
    ReadOnly,
    StorageUnavailable,
    UploadError,
)
from flowscale.jobs import Job
from flowscale.keys.base import Scope
from flowscale.validation import Strict
from flowscale_api.access.rules import needs
from flowscale_api.admin import actions
from flowscale_api.admin.auditing import audited
from flowscale_api.admin.shapes import Acted, Paused, Retried
from flowscale_api.admin.views import job_row
from flowscale_api.deps import Gateway, Parts
from flowscale_api.description.openapi import JobId, failures, plain_json_body
from flowscale_api.jobs import retrying
from flowscale_api.jobs.views import known_job_id
from flowscale_api.schemas import Fine, json_answer
from flowscale_api.wire.bodies import read_json

router = APIRouter(tags=["admin"], dependencies=[Depends(needs(Scope.ADMIN))])


class RetryFailedRequest(Strict):
    """The body of POST /api/admin/retry-failed: which failed jobs; without both all but the cancelled ones."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"code": "STORAGE_ERROR"}]})

    code: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Only those that ended with this code."""

    project_id: Annotated[str, Field(max_length=200)] | None = None
    """Only those of this project."""


@router.post(
    "/api/admin/jobs/{job_id}/cancel",
    operation_id="steerCancel",
    summary="Cancel a job, running too",
    response_model=Acted,
    responses=failures(ReadOnly, JobNotFound, Conflict, QueueUnavailable),
)
async def cancel(request: Request, gateway: Parts, job_id: JobId) -> Response:
    """Ends a waiting job at once, and asks the worker of a running one to stop. Asking twice is no error."""

    async def call() -> Job:
        return await gateway.queue.cancel(known_job_id(job_id))

    return await _acted(gateway, request, await audited(gateway, request, "cancel", job_id, call))


@router.post(
    "/api/admin/jobs/{job_id}/retry",
    operation_id="steerRetry",
    summary="Queue a failed job again",
    response_model=Acted,
    responses=failures(ReadOnly, JobNotFound, FileNotFound, Conflict, QueueFull, QueueUnavailable, StorageUnavailable),
)
async def retry(request: Request, gateway: Parts, job_id: JobId) -> Response:
    """Gives a job that ended in error a fresh set of attempts, under the same id."""

    async def call() -> Job:
        return await retrying.retry(gateway, known_job_id(job_id))

    return await _acted(gateway, request, await audited(gateway, request, "retry", job_id, call))


@router.post(
    "/api/admin/jobs/{job_id}/promote",
    operation_id="steerPromote",
    summary="Have a waiting job run next",
    response_model=Acted,
    responses=failures(ReadOnly, JobNotFound, Conflict, QueueUnavailable),
)
async def promote(request: Request, gateway: Parts, job_id: JobId) -> Response:
    """Its priority is `high` from now on, and it is the first of that line; a delayed one waits no more. Every 8th job
    handed out is still the one that has waited longest."""

    async def call() -> Job:
        return await gateway.queue.move_to_front(known_job_id(job_id))

    return await _acted(gateway, request, await audited(gateway, request, "promote", job_id, call))


@router.delete(
    "/api/admin/jobs/{job_id}",
    operation_id="steerRemove",
    summary="Remove a job and its output",
    response_model=Fine,
    responses=failures(ReadOnly, JobNotFound, Conflict, QueueUnavailable),
)
async def remove(request: Request, gateway: Parts, job_id: JobId) -> Response:
    """Forgets a job that waits or has ended, and deletes its output. A running one is to be cancelled first."""

    async def call() -> None:
        await actions.remove(gateway, known_job_id(job_id))

    await audited(gateway, request, "remove", job_id, call)
    return json_answer(Fine())


@router.post(
    "/api/admin/retry-failed",
    operation_id="steerRetryFailed",
    summary="Queue failed jobs again",
    response_model=Retried,
    responses=failures(ReadOnly, UploadError, FileTooLarge, InvalidOptions, QueueUnavailable, StorageUnavailable),
    openapi_extra=plain_json_body(RetryFailedRequest),
)
async def retry_failed(request: Request, gateway: Parts) -> Response:
    """At most 1000 at a time, the newest ones, and until the queue is full. Cancelled ones stay, unless `code` is
    `CANCELLED`."""
    wanted = RetryFailedRequest()

    async def call() -> actions.Retried:
        nonlocal wanted
        wanted = await read_json(request, RetryFailedRequest, gateway.settings.max_body_bytes)
        return await actions.retry_failed(gateway, wanted.code, wanted.project_id)

    def target() -> str | None:
        return " ".join(f"{name}={value}" for name, value in wanted.model_dump(exclude_none=True).items()) or None

    done = await audited(gateway, request, "retry-failed", target, call)
    return json_answer(Retried(retried=done.retried, left=done.left))


@router.post(
    "/api/admin/queue/pause",
    operation_id="steerPause",
    summary="Hand out no jobs",
    response_model=Paused,
    responses=failures(ReadOnly, QueueUnavailable),
)
async def pause(request: Request, gateway: Parts) -> Response:
    """Jobs are accepted and wait; those that run go on."""
    await audited(gateway, request, "pause", None, gateway.queue.pause)
    return json_answer(Paused(paused=await gateway.queue.is_paused()))


@router.post(
    "/api/admin/queue/resume",
    operation_id="steerResume",
    summary="Hand out jobs again",
    response_model=Paused,
    responses=failures(ReadOnly, QueueUnavailable),
)
async def resume(request: Request, gateway: Parts) -> Response:
    """Ends a pause."""
    await audited(gateway, request, "resume", None, gateway.queue.resume)
    return json_answer(Paused(paused=await gateway.queue.is_paused()))


async def _acted(gateway: Gateway, request: Request, job: Job) -> Response:
    return json_answer(Acted(job=await job_row(gateway, request, job)))

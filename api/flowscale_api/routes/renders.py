"""POST /api/execute and /api/execute-plan."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from flowscale.errors import (
    FFmpegUnavailable,
    FileNotFound,
    FileTooLarge,
    IdempotencyMismatch,
    InvalidOptions,
    InvalidPath,
    MissingSource,
    QueueFull,
    QueueUnavailable,
    StorageUnavailable,
    UnsupportedOption,
    UploadError,
)
from flowscale.keys.base import Scope
from flowscale.plans import PlanRequest
from flowscale.specs import ExecuteRequest
from flowscale_api.access.rules import needs
from flowscale_api.deps import Parts
from flowscale_api.description.openapi import failures, json_body
from flowscale_api.jobs.submissions import submit
from flowscale_api.schemas import Accepted, json_answer
from flowscale_api.wire.bodies import read_json

router = APIRouter(tags=["renders"])

_FAILURES = failures(
    MissingSource,
    InvalidPath,
    UploadError,
    FileNotFound,
    FileTooLarge,
    InvalidOptions,
    UnsupportedOption,
    IdempotencyMismatch,
    FFmpegUnavailable,
    QueueUnavailable,
    QueueFull,
    StorageUnavailable,
)


@router.post(
    "/api/execute",
    operation_id="execute",
    summary="Render one source, or several joined",
    status_code=202,
    response_model=Accepted,
    responses=_FAILURES,
    openapi_extra=json_body(ExecuteRequest),
    dependencies=[Depends(needs(Scope.RENDER))],
)
async def execute(request: Request, gateway: Parts) -> Response:
    """Queues a render of exactly one of `sourcePath`, `inputFileUrl` and `sources`, with typed options. The answer
    comes at once; follow `statusUrl` or the job's events."""
    wanted = await read_json(request, ExecuteRequest, gateway.settings.max_body_bytes)
    return json_answer(await submit(gateway, request, wanted), status=202)


@router.post(
    "/api/execute-plan",
    operation_id="executePlan",
    summary="Render a timeline",
    status_code=202,
    response_model=Accepted,
    responses=_FAILURES,
    openapi_extra=json_body(PlanRequest),
    dependencies=[Depends(needs(Scope.RENDER))],
)
async def execute_plan(request: Request, gateway: Parts) -> Response:
    """Queues a render of an editor's timeline: segments of one source are cut and joined in timeline order."""
    wanted = await read_json(request, PlanRequest, gateway.settings.max_body_bytes)
    return json_answer(await submit(gateway, request, wanted), status=202)

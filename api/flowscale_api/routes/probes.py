"""Whether it lives, is ready, can work; and its figures. Checks of uptime send HEAD, which is answered as GET is; the
server leaves the body out."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from flowscale.errors import FFmpegUnavailable, FlowScaleError, QueueUnavailable, StorageUnavailable
from flowscale.metrics import CONTENT_TYPE, render
from flowscale_api.access.rules import OPEN_TO_ALL
from flowscale_api.deps import Parts
from flowscale_api.description.openapi import plain_text, same_shape
from flowscale_api.health.health import health_now, ready_now
from flowscale_api.problems import note_fault, retry_after
from flowscale_api.schemas import Fine, Health, Ready, json_answer
from flowscale_api.wire.figures import render_own
from flowscale_api.wire.guards import guards_of

router = APIRouter(tags=["operation"])


@router.head("/api/health", include_in_schema=False, dependencies=[Depends(OPEN_TO_ALL)])
@router.get(
    "/api/health",
    operation_id="getHealth",
    summary="Whether the service can work",
    response_model=Health,
    responses=same_shape(503, Health, FFmpegUnavailable, QueueUnavailable, StorageUnavailable),
    dependencies=[Depends(OPEN_TO_ALL)],
)
async def health(request: Request, gateway: Parts) -> Response:
    """Whether renders can be taken and stored now, and how many wait. Workers that have nothing to do may all be
    gone: then FFmpeg is not known (`available` false, the rest null) and the service is still `ok`."""
    answer, fault = await health_now(gateway)
    if gateway.gate.asks:
        # This is open to all, and whose job it is, is not.
        answer = answer.model_copy(update={"current_job": None})
    return _answer(request, answer, fault)


@router.head("/livez", include_in_schema=False, dependencies=[Depends(OPEN_TO_ALL)])
@router.get(
    "/livez",
    operation_id="isAlive",
    summary="Whether the process answers",
    response_model=Fine,
    dependencies=[Depends(OPEN_TO_ALL)],
)
async def alive() -> Response:
    """Depends on nothing: a restart would not mend what this does not ask."""
    return json_answer(Fine())


@router.head("/readyz", include_in_schema=False, dependencies=[Depends(OPEN_TO_ALL)])
@router.get(
    "/readyz",
    operation_id="isReady",
    summary="Whether requests can be served",
    response_model=Ready,
    responses=same_shape(503, Ready, QueueUnavailable, StorageUnavailable),
    dependencies=[Depends(OPEN_TO_ALL)],
)
async def ready(request: Request, gateway: Parts) -> Response:
    """Asks the queue and the storage, at most every 5 s, and says of each what is wrong."""
    return _answer(request, *await ready_now(gateway))


@router.head("/metrics", include_in_schema=False, dependencies=[Depends(OPEN_TO_ALL)])
@router.get(
    "/metrics",
    operation_id="getMetrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses=plain_text(),
    dependencies=[Depends(OPEN_TO_ALL)],
)
async def show_metrics(request: Request, gateway: Parts) -> Response:
    """Of the whole queue: several gateways over one queue show the same figures; but `flowscale_gateway_...` are each
    gateway's own."""
    try:
        figures = await gateway.queue.figures()
    except QueueUnavailable:
        figures = None
    risks = (await gateway.readiness.readings()).warnings
    own = render_own(gateway.figures, guards_of(request.scope))
    return Response(render(figures, len(risks)) + own, media_type=CONTENT_TYPE)


def _answer(request: Request, answer: Health | Ready, fault: FlowScaleError | None) -> Response:
    if fault is None:
        return json_answer(answer)
    note_fault(request, fault)
    return json_answer(answer, status=503, headers=retry_after(fault))

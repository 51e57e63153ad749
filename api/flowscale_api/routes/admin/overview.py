"""/api/admin/overview, history, events: how the service stands."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response
from starlette.responses import StreamingResponse

from flowscale.errors import QueueUnavailable
from flowscale.keys.base import Scope
from flowscale_api.access.rules import needs
from flowscale_api.admin.caller import may_watch_on
from flowscale_api.admin.shapes import History, Overview
from flowscale_api.admin.views import history_points
from flowscale_api.deps import Parts
from flowscale_api.description.openapi import failures, overview_stream
from flowscale_api.schemas import json_answer

router = APIRouter(tags=["admin"], dependencies=[Depends(needs(Scope.ADMIN))])


@router.get(
    "/api/admin/overview",
    operation_id="getOverview",
    summary="How the service stands",
    response_model=Overview,
    responses=failures(QueueUnavailable),
)
async def overview(gateway: Parts) -> Response:
    """Counts by state, workers and what they do, the queue's server, and what may lose jobs one day."""
    return json_answer(await gateway.overviews.read())


@router.get(
    "/api/admin/history",
    operation_id="getHistory",
    summary="The last hour, minute by minute",
    response_model=History,
    responses=failures(QueueUnavailable),
)
async def history(gateway: Parts) -> Response:
    """What came and ended in each minute, and how many jobs waited and ran at its beginning. null: nobody was there."""
    return json_answer(History(points=history_points(await gateway.queue.history())))


@router.get(
    "/api/admin/events",
    operation_id="watchOverview",
    summary="Watch how the service stands",
    response_class=StreamingResponse,
    responses=overview_stream() | failures(QueueUnavailable),
)
async def events(request: Request, gateway: Parts) -> Response:
    """Server-Sent Events: `overview` with the overview as its data, at once and whenever it changed; looked at once a
    second, for all who watch together. A comment comes every 15 s of silence. The stream ends when the queue cannot be
    read: come back."""
    await gateway.queue.check()

    async def may_go_on() -> bool:
        return await may_watch_on(request)

    overviews = gateway.overviews
    return StreamingResponse(
        overviews.feed.stream(overviews.event, gateway.stopping, may_go_on),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )

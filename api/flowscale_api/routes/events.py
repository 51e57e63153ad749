"""GET /api/jobs/{id}/events."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request, Response
from pydantic.json_schema import SkipJsonSchema
from starlette.responses import StreamingResponse

from flowscale.errors import JobNotFound, QueueUnavailable
from flowscale.keys.base import Scope
from flowscale_api.access.callers import Asker
from flowscale_api.access.owned import check_job, while_allowed
from flowscale_api.access.rules import needs
from flowscale_api.deps import Parts
from flowscale_api.description.openapi import JobId, event_stream, failures
from flowscale_api.jobs.event_stream import last_event_id, stream
from flowscale_api.jobs.views import known_job_id

router = APIRouter(tags=["jobs"])


@router.get(
    "/api/jobs/{job_id}/events",
    operation_id="watchJob",
    summary="Watch a job",
    response_class=StreamingResponse,
    responses=event_stream() | failures(JobNotFound, QueueUnavailable),
    dependencies=[Depends(needs(Scope.READ))],
)
async def watch_job(
    request: Request,
    gateway: Parts,
    caller: Asker,
    job_id: JobId,
    last_event: Annotated[
        str | SkipJsonSchema[None],
        Header(alias="Last-Event-ID", description="Go on after this event; without it all that are kept come first."),
    ] = None,
) -> Response:
    """Server-Sent Events: `state`, `progress` and `log`, each with JSON as its data. A comment comes every 15 s of
    silence. The stream ends when the job has; a reader that comes back after that is answered 204, which tells
    browsers to stop coming."""
    job_id = known_job_id(job_id)
    await check_job(request, gateway, job_id)
    after = last_event_id(last_event)
    first = await gateway.queue.events(job_id, after, 0)
    if not first and last_event is not None and (await gateway.queue.get(job_id)).state.is_final:
        return Response(status_code=204)
    return StreamingResponse(
        while_allowed(gateway, caller, stream(gateway.queue, job_id, first, after, gateway.stopping)),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )

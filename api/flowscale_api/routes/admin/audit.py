"""/api/admin/audit: who did what when."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic.json_schema import SkipJsonSchema

from flowscale.errors import InvalidOptions, QueueUnavailable
from flowscale.keys.base import Scope
from flowscale_api.access.rules import needs
from flowscale_api.admin.shapes import AuditList
from flowscale_api.admin.views import audit_view
from flowscale_api.deps import Parts
from flowscale_api.description.openapi import failures
from flowscale_api.schemas import json_answer

router = APIRouter(tags=["admin"], dependencies=[Depends(needs(Scope.ADMIN))])


@router.get(
    "/api/admin/audit",
    operation_id="listActions",
    summary="Who did what when, newest first",
    response_model=AuditList,
    responses=failures(InvalidOptions, QueueUnavailable),
)
async def list_actions(
    gateway: Parts,
    limit: Annotated[int, Query(ge=1, le=200, description="Entries on a page.")] = 50,
    cursor: Annotated[str | SkipJsonSchema[None], Query(description="`nextCursor` of the page before.")] = None,
) -> Response:
    """The last 10,000 actions, refused ones too."""
    page = await gateway.queue.audit(limit, cursor)
    return json_answer(AuditList(entries=[audit_view(entry) for entry in page.entries], next_cursor=page.next_cursor))

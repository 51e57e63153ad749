"""Steering webhooks: POST /api/admin/webhooks/{deliveryId}/replay."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Depends, Request, Response

from flowscale.errors import NotFound, QueueFull, QueueUnavailable, ReadOnly
from flowscale.keys.base import Scope
from flowscale_api.access.rules import needs
from flowscale_api.admin.auditing import audited
from flowscale_api.deps import Parts
from flowscale_api.description.openapi import failures
from flowscale_api.schemas import json_answer
from flowscale_api.webhooks.views import Replayed, delivery_facts

router = APIRouter(tags=["admin"], dependencies=[Depends(needs(Scope.ADMIN))])


@router.post(
    "/api/admin/webhooks/{delivery_id}/replay",
    operation_id="replayWebhook",
    summary="Deliver a webhook again",
    response_model=Replayed,
    responses=failures(ReadOnly, NotFound, QueueUnavailable, QueueFull),
)
async def replay_webhook(request: Request, gateway: Parts, delivery_id: str) -> Response:
    """From now on, with all its tries, under the same webhook-id. One that waits is tried at once."""
    call = partial(gateway.queue.replay, delivery_id)
    return json_answer(
        Replayed(
            delivery=delivery_facts(
                await audited(gateway, request, "replay-webhook", delivery_id, call), gateway.webhooks
            )
        )
    )

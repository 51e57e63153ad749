"""Steering webhooks: POST /api/admin/webhooks/{deliveryId}/replay."""

from __future__ import annotations

from fastapi import APIRouter, Response

from flowscale.errors import NotFound, QueueFull, QueueUnavailable
from flowscale_api.deps import Parts
from flowscale_api.description.openapi import failures
from flowscale_api.schemas import json_answer
from flowscale_api.webhooks.views import Replayed, delivery_facts

# An admin's route: what lies below /api/admin is guarded where the routers are put together, none without a key.
router = APIRouter(prefix="/api/admin/webhooks", tags=["admin"])


@router.post(
    "/{delivery_id}/replay",
    operation_id="replayWebhook",
    summary="Deliver a webhook again",
    response_model=Replayed,
    responses=failures(NotFound, QueueUnavailable, QueueFull),
)
async def replay_webhook(gateway: Parts, delivery_id: str) -> Response:
    """From now on, with all its tries, under the same webhook-id. One that waits is tried at once."""
    return json_answer(Replayed(delivery=delivery_facts(await gateway.queue.replay(delivery_id))))

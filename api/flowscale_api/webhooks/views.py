"""What people see of a delivery. Never its URL: path and query may hold a token of the receiver's."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field

from flowscale.clocks import iso_utc
from flowscale.settings import WebhookSettings
from flowscale.webhooks.deliveries import Delivery, DeliveryState, own_target
from flowscale_api.schemas import Fine, Shape, Time


class DeliveryFacts(Shape):
    """One message about a job's end to one endpoint. What is unknown is null."""

    id: str = Field(description="The webhook-id, the same at every try.")
    host: str | None = Field(description="The receiver's host. null: an endpoint that the settings name no more.")
    at: Time = Field(description="When the job ended.")
    state: DeliveryState
    tries: int = Field(description="Since the job's end, or the last replay.")
    last_status: int | None = Field(description="HTTP status of the last answer.")
    last_error: str | None = Field(description="Why the last try failed.")
    last_answer: str = Field(description="How the last answer began.")
    next_at: Time | None = Field(description="When it is tried again.")


class Replayed(Fine):
    delivery: DeliveryFacts


def delivery_facts(delivery: Delivery, settings: WebhookSettings) -> DeliveryFacts:
    return DeliveryFacts(
        id=delivery.id,
        host=_host(delivery, settings),
        at=iso_utc(delivery.ended.at_ms),
        state=delivery.state,
        tries=delivery.tries,
        last_status=delivery.status,
        last_error=delivery.fault,
        last_answer=delivery.answer,
        next_at=None if delivery.next_ms is None else iso_utc(delivery.next_ms),
    )


def _host(delivery: Delivery, settings: WebhookSettings) -> str | None:
    """An endpoint of the settings is kept by its name alone, and found there by it."""
    named = (endpoint for endpoint in settings.urls if own_target(endpoint).name == delivery.target.name)
    url = delivery.target.url or next(named, None)
    return None if url is None else urlsplit(url).hostname

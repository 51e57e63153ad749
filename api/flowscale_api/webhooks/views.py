"""What people see of a delivery. Never its URL."""

from __future__ import annotations

from pydantic import Field

from flowscale.clocks import iso_utc
from flowscale.webhooks.deliveries import Delivery, DeliveryState
from flowscale_api.schemas import Fine, Shape, Time


class DeliveryFacts(Shape):
    """One message about a job's end to one endpoint. What is unknown is null."""

    id: str = Field(description="The webhook-id, the same at every try.")
    at: Time = Field(description="When the job ended.")
    state: DeliveryState
    tries: int = Field(description="Since the job's end, or the last replay.")
    last_status: int | None = Field(description="HTTP status of the last answer.")
    last_error: str | None = Field(description="Why the last try failed.")
    last_answer: str = Field(description="How the last answer began.")
    next_at: Time | None = Field(description="When it is tried again.")


class Replayed(Fine):
    delivery: DeliveryFacts


def delivery_facts(delivery: Delivery) -> DeliveryFacts:
    return DeliveryFacts(
        id=delivery.id,
        at=iso_utc(delivery.ended.at_ms),
        state=delivery.state,
        tries=delivery.tries,
        last_status=delivery.status,
        last_error=delivery.fault,
        last_answer=delivery.answer,
        next_at=None if delivery.next_ms is None else iso_utc(delivery.next_ms),
    )

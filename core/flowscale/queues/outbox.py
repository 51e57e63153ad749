"""The queue's half for webhooks: what is to be delivered, made in the very step that ends a job.

A job says when it is accepted who is to be told of its end (Job.webhooks). Each end of it, whoever brings it about,
makes one delivery for each of these, in the same step; so a crash loses none and makes none twice. Delivering is at
least once: a try is claimed for CLAIM_MS, after which another may claim it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from flowscale.errors import NotFound
from flowscale.webhooks.deliveries import Claim, Delivery, Outcome

CLAIM_MS = 30_000
"""Twice what a try may take (webhooks/sending.py); a gateway that died leaves its delivery to others after it."""

KEPT_MS = 24 * 3600 * 1000
"""How long a delivery is kept after it was delivered or given up; its job may go earlier or later."""

KEPT_MOST = 10_000
"""Of those, the newest."""

WAITING_MOST = 10_000
"""Deliveries that wait for one endpoint; one more is given up at once, and may be replayed."""

TOO_MANY_WAIT = "more than 10000 deliveries wait for this endpoint"
"""Why; lua/shared.lua has the same words."""

ENDS_SHOWN = 50
"""Ends of one job whose deliveries are listed, the last: retries by hand have no end."""


@dataclass(frozen=True, slots=True)
class DueTarget:
    """An endpoint for which a delivery is due, since when (Unix ms), and the queue's time now."""

    name: str
    due_ms: int
    now_ms: int


class Outbox(Protocol):
    """Part of JobQueue. Every method raises QueueUnavailable when the facts cannot be reached."""

    async def deliveries(self, job_id: str) -> Sequence[Delivery]:
        """Of a job, oldest end first. Raises JobNotFound. Those kept no longer are left out."""

    async def replay(self, delivery_id: str) -> Delivery:
        """Deliver it again from now on, with all its tries; one that waits is due now. Raises NotFound.

        The id stays: a receiver that has seen it may ignore it.
        """

    async def due_targets(self, most: int) -> Sequence[DueTarget]:
        """Endpoints with a delivery that is due, those longest due first."""

    async def claim(self, target: str, most: int) -> Sequence[Claim]:
        """Claim due deliveries of an endpoint, those longest due first. Each counts as a try."""

    async def settle(self, claim: Claim, outcome: Outcome) -> bool:
        """Say what came of a claim; False when it is this caller's no more, and nothing was changed."""


def delivery_not_found(delivery_id: str) -> NotFound:
    return NotFound(f"There is no delivery {delivery_id[:120]!r}: it never was, or it is kept no longer.")

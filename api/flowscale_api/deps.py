"""What a handler works with, made once in create_app and passed through the application's state."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from flowscale.clocks import Clock
from flowscale.queues.admin_view import GatewayQueue
from flowscale.settings import GatewaySettings, StorageSettings, WebhookSettings
from flowscale.storage.base import Storage
from flowscale.uploads.base import UploadLedger
from flowscale_api.access.gate import Gate
from flowscale_api.admin.overview import Overviews
from flowscale_api.health.readiness import Readiness
from flowscale_api.jobs.standstill import Standstill
from flowscale_api.wire.figures import OwnFigures


@dataclass(frozen=True, slots=True)
class Gateway:
    """The parts of one gateway. `started` is the monotonic clock's reading in seconds at its start."""

    settings: GatewaySettings
    files: StorageSettings
    queue: GatewayQueue
    storage: Storage
    uploads: UploadLedger
    clock: Clock
    readiness: Readiness
    gate: Gate
    standstill: Standstill  # one for all who wait
    overviews: Overviews  # one for all pages that are open
    started: float
    webhooks: WebhookSettings
    figures: OwnFigures = field(default_factory=OwnFigures)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)  # set when the server begins to stop


def gateway_of(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


Parts = Annotated[Gateway, Depends(gateway_of)]
"""The type of a handler's `gateway` argument."""

"""The application: the parts put together, in one screen."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from flowscale import __version__, tracing
from flowscale.clocks import Clock
from flowscale.keys.base import AccessStore
from flowscale.keys.memory import MemoryAccessStore
from flowscale.queues.admin_view import GatewayQueue
from flowscale.settings import Settings
from flowscale.storage.base import Storage
from flowscale.storage.counting import CountingStorage
from flowscale.uploads.base import UploadLedger
from flowscale.uploads.memory import MemoryLedger
from flowscale_api import problems
from flowscale_api.access.admin_paths import DenyByDefault, is_admin_path
from flowscale_api.access.gate import Gate
from flowscale_api.access.rules import LoginNeeded
from flowscale_api.admin.overview import Overviews
from flowscale_api.deps import Gateway
from flowscale_api.description.document import TITLE, document
from flowscale_api.health.readiness import Readiness
from flowscale_api.jobs.standstill import Standstill
from flowscale_api.jobs.submissions import IDEMPOTENCY_KEY
from flowscale_api.links import outputs_elsewhere
from flowscale_api.routes import ROUTERS, admin_pages
from flowscale_api.routes.pages import page_router
from flowscale_api.uploads import tus
from flowscale_api.wire.envelope import REQUEST_ID, Envelope, LastResort
from flowscale_api.wire.figures import OwnFigures
from flowscale_api.wire.lingering import LingeringClose
from flowscale_api.wire.traced import Traced
from flowscale_api.wire.traffic import CountTraffic

NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
"""The framework's own would tell queries and tracebacks; wire/traced.py tells what may be told."""


def create_app(
    *,
    settings: Settings,
    queue: GatewayQueue,
    storage: Storage,
    clock: Clock,
    uploads: UploadLedger | None = None,
    access: AccessStore | None = None,
    page: bool = False,
    trust_loopback: bool = False,
) -> FastAPI:
    """The gateway over these parts, which stay the caller's to close. `uploads`: several gateways share one; without,
    this one remembers its resumable uploads by itself; and so it is with `access`, keys and logins. `page`: serve the
    web page at `/`. `trust_loopback`: whoever comes from this machine to a loopback listener needs no key for
    /admin."""
    # The framework's own documentation pages load scripts from other hosts; routes/pages.py has one that does not.
    app = FastAPI(title=TITLE, version=__version__, openapi_url=None, redirect_slashes=False, telemetry=NO_TELEMETRY)
    figures = OwnFigures()
    storage = CountingStorage(storage, figures.storage, clock)
    readiness = Readiness(queue, storage, clock)
    app.state.gateway = Gateway(
        settings=settings.gateway,
        files=settings.storage,
        queue=queue,
        storage=storage,
        uploads=uploads or MemoryLedger(clock),
        clock=clock,
        readiness=readiness,
        gate=Gate(access or MemoryAccessStore(clock), settings.gateway, trust_loopback),
        standstill=Standstill(queue, clock),
        overviews=Overviews(queue, readiness, clock, read_only=settings.gateway.admin_read_only),
        started=clock.monotonic(),
        webhooks=settings.webhooks,
        figures=figures,
    )
    for router in ROUTERS:
        app.include_router(router)
    described = document(app.routes)
    app.include_router(page_router(described, page=page, outputs_at=outputs_elsewhere(app.state.gateway)))
    app.include_router(admin_pages.router)
    problems.install(app)
    app.add_exception_handler(LoginNeeded, admin_pages.login_needed)
    # From the inside out: what is added last sees a request first.
    app.add_middleware(DenyByDefault)
    app.add_middleware(LastResort)
    if settings.gateway.cors_origins:
        app.add_middleware(
            Cors,
            allow_origins=settings.gateway.cors_origins,
            allow_methods=("GET", "HEAD", "POST", "PATCH", "DELETE"),
            allow_headers=(
                *("Authorization", "Content-Type", "Last-Event-ID", "Range", "If-Range", IDEMPOTENCY_KEY, REQUEST_ID),
                *tus.SENT_HEADERS,
            ),
            expose_headers=(
                *(REQUEST_ID, "Retry-After", "Accept-Ranges", "Content-Range", "ETag"),
                *tus.READ_HEADERS,
            ),
        )
    app.add_middleware(LingeringClose)
    app.add_middleware(Envelope, clock=clock)
    app.add_middleware(CountTraffic, traffic=figures.traffic, clock=clock)
    if tracing.is_on():
        app.add_middleware(Traced)
    return app


class Cors(CORSMiddleware):
    """A preflight is answered without a body: browsers read its headers only, and what is not allowed they lack. What
    lies below /admin is of no other origin's concern, whatever the setting says."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and is_admin_path(scope["path"]):
            await self.app(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def preflight_response(self, request_headers: Headers) -> Response:
        headers: dict[str, Any] = dict(super().preflight_response(request_headers).headers)
        return Response(
            status_code=204, headers={name: value for name, value in headers.items() if not name.startswith("content-")}
        )

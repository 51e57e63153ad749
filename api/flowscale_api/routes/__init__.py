"""The addresses of the gateway, one module a subject. `ROUTERS` lists all that OpenAPI describes."""

from flowscale_api.routes import admin_webhooks, events, files, jobs, presigned, probes, renders, resumable, uploads
from flowscale_api.routes.admin import ADMIN_ROUTERS

ROUTERS = (
    uploads.router,
    presigned.router,
    resumable.router,
    renders.router,
    jobs.router,
    events.router,
    probes.router,
    files.router,
    admin_webhooks.router,
    *ADMIN_ROUTERS,
)

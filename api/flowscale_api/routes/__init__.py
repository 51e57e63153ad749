"""The addresses of the gateway, one module a subject. `ROUTERS` lists all that OpenAPI describes."""

from flowscale_api.routes import events, files, jobs, presigned, probes, renders, resumable, sessions, uploads
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
    sessions.router,
    *ADMIN_ROUTERS,
)

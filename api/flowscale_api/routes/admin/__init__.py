"""/api/admin: see and steer. Every router in ADMIN_ROUTERS is for those who run the service, and for nobody else."""

from flowscale_api.routes.admin import actions, audit, jobs, overview, webhooks

ADMIN_ROUTERS = (overview.router, jobs.router, actions.router, audit.router, webhooks.router)

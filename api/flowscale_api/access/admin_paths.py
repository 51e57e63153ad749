"""Nothing below /admin and /api/admin runs without a rule, whoever adds a route there and forgets it."""

from __future__ import annotations

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from flowscale.errors import Forbidden
from flowscale_api.access import audit
from flowscale_api.access.rules import every_route, rule_of
from flowscale_api.problems import problem

PREFIXES = ("/admin", "/api/admin")


def is_admin_path(path: str) -> bool:
    """Whether it is one of the prefixes, or below it."""
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in PREFIXES)


class DenyByDefault:
    """Next to the router: refuses what would lead to a route without a rule, before it runs."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and is_admin_path(scope["path"]) and _leads_to_no_rule(scope):
            audit.refused(Request(scope), "no_rule")
            refusal = Forbidden("Nobody has said who may use this, so nobody may. This is a mistake of the service.")
            await problem(refusal)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _leads_to_no_rule(scope: Scope) -> bool:
    for route in every_route(scope["app"].routes):
        pattern = getattr(route, "path_regex", None)
        if pattern is None or not pattern.match(scope["path"]):
            continue
        methods = getattr(route, "methods", None)
        if (methods is None or scope["method"] in methods) and rule_of(route) is None:
            return True
    return False

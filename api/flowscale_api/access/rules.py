"""Who may use a route, said beside the route, and a route without a rule is refused.

    @router.get("/api/jobs", dependencies=[Depends(needs(Scope.READ))])
    @router.get("/livez", dependencies=[Depends(OPEN_TO_ALL)])
    @router.get("/admin/queues", dependencies=[Depends(ADMIN_PAGE)])

A rule finds out who asks and keeps it for the handler (callers.caller_of). tests/contract/test_access_rules.py walks
all routes and fails for one without; below /admin and /api/admin such a route is refused where it runs, too
(admin_paths.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.dependencies.models import Dependant

from flowscale.errors import Unauthorized
from flowscale.keys.base import Scope
from flowscale_api.access.callers import ANYBODY, Caller, Proof
from flowscale_api.access.owned import file_caller
from flowscale_api.deps import Gateway, gateway_of


class Rule(ABC):
    """A dependency that lets a request through, or raises why not."""

    def __init__(self, scope: Scope | None) -> None:
        self.scope = scope  # None: open to all

    async def __call__(self, request: Request) -> Caller:
        caller: Caller = await self.find_caller(request, gateway_of(request))
        request.state.caller = caller
        return caller

    @abstractmethod
    async def find_caller(self, request: Request, gateway: Gateway) -> Caller: ...


class _Needs(Rule):
    async def find_caller(self, request: Request, gateway: Gateway) -> Caller:
        if self.scope is Scope.ADMIN:
            return await gateway.gate.admin(request)
        return await gateway.gate.renderer(request, self.scope or Scope.READ)


class _AdminPage(Rule):
    async def find_caller(self, request: Request, gateway: Gateway) -> Caller:
        try:
            return await gateway.gate.admin(request)
        except Unauthorized as error:
            ended = await gateway.gate.had_login(request)
            raise LoginNeeded(login_address(request, ended=ended)) from error


class _OneFile(Rule):
    async def find_caller(self, request: Request, gateway: Gateway) -> Caller:
        return await file_caller(request, gateway)


class _OpenToAll(Rule):
    async def find_caller(self, _request: Request, _gateway: Gateway) -> Caller:
        return Caller(ANYBODY.name, frozenset(), None, Proof.NOTHING)


@cache
def needs(scope: Scope) -> Rule:
    """The rule that the caller has this scope. ADMIN asks always, the others while FLOWSCALE_AUTH is keys."""
    return _Needs(scope)


ADMIN_PAGE: Rule = _AdminPage(Scope.ADMIN)
"""For what people open in a browser: who is not logged in is led to the login page, and back from there."""

ONE_FILE: Rule = _OneFile(Scope.READ)
"""For a stored file: a key that may see it, or the seal in its address."""

OPEN_TO_ALL: Rule = _OpenToAll(None)


class LoginNeeded(Exception):
    """A page was asked for by somebody who is not logged in. `location` leads to the login page."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.location = location


def login_address(request: Request, *, ended: bool = False) -> str:
    """The login page, relative to the page that was asked for: it holds below whatever prefix a proxy has put
    before. `ended`: it says that a login was lost."""
    path = request.scope["path"]
    up = "../" * (path.count("/") - 1)
    wanted = path.removeprefix("/admin").lstrip("/")
    query = request.scope.get("query_string", b"").decode("ascii", "replace")
    words = {"next": f"{wanted}?{query}" if query else wanted} if wanted else {}
    if ended:
        words["ended"] = "yes"
    address = f"{up}admin/login"
    return f"{address}?{urlencode(words, quote_via=quote, safe='')}" if words else address


def rule_of(route: Any) -> Rule | None:
    """The rule of a route; None when it has none."""
    dependant = getattr(route, "dependant", None)
    return next(_rules(dependant), None) if isinstance(dependant, Dependant) else None


def _rules(dependant: Dependant) -> Iterator[Rule]:
    for each in dependant.dependencies:
        if isinstance(each.call, Rule):
            yield each.call
        yield from _rules(each)


def every_route(routes: Iterable[Any]) -> Iterator[Any]:
    """All routes, those of included routers too, with the prefix and the rules that they were included with."""
    for route in routes:
        included = getattr(route, "effective_candidates", None)  # the framework keeps a router as it was included
        if included is not None:
            yield from every_route(included())
        else:
            yield getattr(route, "starlette_route", None) or route

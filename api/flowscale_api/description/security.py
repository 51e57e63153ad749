"""What the OpenAPI document says of who may: read from the rules of the routes (access/rules.py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.routing import BaseRoute

from flowscale.errors import CsrfRefused, FlowScaleError, Forbidden, TooManyAttempts, Unauthorized
from flowscale.keys.base import Scope
from flowscale_api.access.browsers import CSRF_HEADER
from flowscale_api.access.cookies import COOKIE
from flowscale_api.access.rules import Rule, every_route, rule_of
from flowscale_api.description.openapi import failures

SCHEMES: dict[str, Any] = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key, made by `flowscale keys create`. The render API asks for one where FLOWSCALE_AUTH is "
        "`keys`, /api/admin always.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": f"A login of a browser; a change then needs the header {CSRF_HEADER} too.",
    },
}

_REF = "#/components/schemas/Problem"


def describe_security(document: dict[str, Any], routes: Sequence[BaseRoute]) -> None:
    """Write into each operation what it asks for, and how it refuses."""
    document["components"]["securitySchemes"] = SCHEMES
    rules = {
        (route.path_format, method.lower()): rule_of(route)
        for route in every_route(routes)
        for method in route.methods or ()
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            rule = rules[path, method]
            if rule is not None and rule.scope is not None:
                _describe(operation, rule, unsafe=method not in ("get", "head"))


def _describe(operation: dict[str, Any], rule: Rule, *, unsafe: bool) -> None:
    by_admin = rule.scope is Scope.ADMIN
    # Nothing, {}, is enough where nobody asks: a client reads from the answer which it is.
    operation["security"] = [{"key": []}, {"session": []}] if by_admin else [{}, {"key": []}]
    operation["x-scope"] = rule.scope
    errors: list[type[FlowScaleError]] = [Unauthorized, Forbidden, TooManyAttempts]
    if by_admin and unsafe:
        errors.insert(2, CsrfRefused)
    for status, response in failures(*errors).items():
        if status == 500:
            continue
        described = {name: value for name, value in response.items() if name != "model"}
        described["content"]["application/json"]["schema"] = {"$ref": _REF}
        operation["responses"].setdefault(str(status), described)

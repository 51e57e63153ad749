"""The log's lines of who was let in, who was not, and why: events `audit.*`, never with a secret in them."""

from __future__ import annotations

from fastapi import Request

from flowscale import logs

_log = logs.get("audit")


def refused(request: Request, reason: str, **fields: str | None) -> None:
    """`reason`: no_key, wrong_key, too_many, scope, project, csrf, other_site, link, no_rule."""
    _log.warning(
        "audit.refused",
        f"Refused a request: {reason}",
        reason=reason,
        method=request.method,
        path=request.scope.get("raw_path", b"").decode("ascii", "replace")[:300],
        address=address_of(request),
        **fields,
    )


def logged_in(request: Request, name: str) -> None:
    _log.info("audit.login", f"{name} logged in", name=name, address=address_of(request))


def logged_out(request: Request, name: str) -> None:
    _log.info("audit.logout", f"{name} logged out", name=name, address=address_of(request))


def address_of(request: Request) -> str:
    """The client's address, as told by the proxies that are trusted."""
    return request.client.host if request.client else "unknown"

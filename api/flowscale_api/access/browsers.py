"""Telling a page of ours from a page of strangers that the same browser shows.

A browser sends a login's cookie whoever's page asks it to, unless SameSite holds it back. So a change that comes with
one must also carry a token that only a page of ours can read, and must not come from another origin, where the
browser says from which it comes (Sec-Fetch-Site; Origin in those that lack it).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from urllib.parse import urlsplit

from fastapi import Request

CSRF_HEADER = "X-CSRF-Token"

_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def check_csrf(request: Request, public_url: str | None, is_token: Callable[[str], bool]) -> str | None:
    """Why the change is refused: `other_site` or `csrf`; None for one that comes from a page of ours."""
    if comes_from_elsewhere(request, public_url):
        return "other_site"
    return None if is_token(request.headers.get(CSRF_HEADER, "")) else "csrf"


def comes_from_elsewhere(request: Request, public_url: str | None) -> bool:
    """Whether a browser says that a page of another origin sent the request."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return True
    origin = request.headers.get("origin")
    return origin is not None and not _is_ours(origin, request, public_url)


def is_from_this_machine(request: Request, listens_on: str) -> bool:
    """Whether it came straight from this machine's own user: to a loopback listener, by a loopback name, through no
    proxy.

    By the name, because a page whose own name leads to 127.0.0.1 (DNS rebinding) is of the same origin as we.
    """
    if not _is_loopback(listens_on) or any(name in request.headers for name in _FORWARDED):
        return False
    place = _place(f"http://{request.headers.get('host', '')}")
    return (
        place is not None
        and _is_loopback(place[0])
        and request.client is not None
        and _is_loopback(request.client.host)
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_ours(origin: str, request: Request, public_url: str | None) -> bool:
    theirs = _place(origin)
    if theirs is None:
        return False
    # The scheme is left out where TLS ends before us: a proxy may not have told it.
    scheme = origin.partition(":")[0]
    return theirs in (_place(f"{scheme}://{request.headers.get('host', '')}"), _place(public_url or ""))


def _place(url: str) -> tuple[str, int | None] | None:
    """Host and port; None where there is none."""
    try:
        parts = urlsplit(url)
        return (parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme)) if parts.hostname else None
    except ValueError:
        return None

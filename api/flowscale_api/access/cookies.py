"""The cookie of a login: `<id>.<seal>`. The store keeps the id's digest only, so that who reads the store has no
cookie."""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit

from fastapi import Request, Response

from flowscale.keys.base import SESSION_MS
from flowscale.keys.seals import Purpose, Seals
from flowscale.keys.tokens import SECRET_BYTES, digest

COOKIE = "flowscale_session"


def new_cookie(seals: Seals) -> tuple[str, str]:
    """A fresh cookie's value, and the id of its session as the store has it."""
    name = secrets.token_urlsafe(SECRET_BYTES)
    return f"{name}.{seals.of(Purpose.SESSION, name)}", digest(name)


def session_in(request: Request, seals: Seals) -> str | None:
    """The id of the session that the request's cookie names; None without one, or one that we did not make."""
    name, _, seal = request.cookies.get(COOKIE, "").partition(".")
    return digest(name) if name and seals.fits(seal, Purpose.SESSION, name) else None


def give(response: Response, request: Request, value: str, public_url: str | None) -> None:
    """Have the browser keep it, out of reach of scripts and of other sites' pages."""
    response.set_cookie(
        COOKIE,
        value,
        max_age=SESSION_MS // 1000,
        path=_path(public_url),
        secure=_secure(request, public_url),
        httponly=True,
        samesite="strict",
    )


def take_back(response: Response, request: Request, public_url: str | None) -> None:
    response.delete_cookie(
        COOKIE, path=_path(public_url), secure=_secure(request, public_url), httponly=True, samesite="strict"
    )


def _secure(request: Request, public_url: str | None) -> bool:
    """A proxy that is not trusted says nothing of its scheme; the setting does."""
    return request.url.scheme == "https" or (public_url or "").startswith("https:")


def _path(public_url: str | None) -> str:
    """Behind a prefix only what lies below it is sent the cookie; which one it is, only the setting tells."""
    return (urlsplit(public_url).path.rstrip("/") or "/") if public_url else "/"

"""/admin: the login page. Not part of OpenAPI. Pages that ask who is there have the rule ADMIN_PAGE
(access/rules.py)."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, Depends, Request, Response

from flowscale_api.access.rules import ADMIN_PAGE, OPEN_TO_ALL, LoginNeeded

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)

router = APIRouter(include_in_schema=False)


@router.get("/admin", dependencies=[Depends(ADMIN_PAGE)])
async def admin() -> Response:
    # Relative: whatever prefix a proxy has put before it stays.
    return Response(status_code=302, headers={"Location": "admin/queues", "Cache-Control": "no-store"})


@router.get("/admin/", dependencies=[Depends(ADMIN_PAGE)])
async def admin_folder() -> Response:
    return Response(status_code=302, headers={"Location": "queues", "Cache-Control": "no-store"})


@router.get("/admin/login", dependencies=[Depends(OPEN_TO_ALL)])
async def login_page() -> Response:
    return _file("login.html", "text/html")


@router.get("/admin/login.css", dependencies=[Depends(OPEN_TO_ALL)])
async def login_style() -> Response:
    return _file("login.css", "text/css")


@router.get("/admin/login.js", dependencies=[Depends(OPEN_TO_ALL)])
async def login_script() -> Response:
    return _file("login.js", "text/javascript")


async def login_needed(_request: Request, error: Exception) -> Response:
    """The answer to who is not logged in."""
    if not isinstance(error, LoginNeeded):
        raise error
    return Response(status_code=302, headers={"Location": error.location, "Cache-Control": "no-store"})


def _file(name: str, media_type: str) -> Response:
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache", "Referrer-Policy": "no-referrer"}
    content = files("flowscale_api").joinpath("web", "login", name).read_bytes()
    return Response(content, headers=headers, media_type=media_type)

"""/admin: the login page, and the page of the queue. Not part of OpenAPI. All their addresses are relative: they work
below any path that a proxy in front takes off. Pages that ask who is there have the rule ADMIN_PAGE
(access/rules.py)."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, Depends, Request, Response
from starlette.responses import RedirectResponse

from flowscale_api.access.rules import ADMIN_PAGE, OPEN_TO_ALL, LoginNeeded
from flowscale_api.deps import Parts
from flowscale_api.files.page_files import page_files, with_origins
from flowscale_api.jobs.views import known_job_id
from flowscale_api.links import outputs_elsewhere
from flowscale_api.routes.pages import LOOKS
from flowscale_api.schemas import Fine, json_answer

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; "
    "img-src 'self'; frame-ancestors 'none'; base-uri 'none'"
)

QUEUE_POLICY = (
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'; "
    "default-src 'self'; img-src 'self' data:; media-src 'self'"
)
"""Nobody may put the page into a frame: a click there can remove jobs. What comes last may have the origins behind it
from which outputs are served."""

router = APIRouter(include_in_schema=False)


class LoginState(Fine):
    logged_in: bool


@router.api_route("/admin", methods=LOOKS, dependencies=[Depends(ADMIN_PAGE)])
async def admin() -> Response:
    # Relative: whatever prefix a proxy has put before it stays.
    return Response(status_code=302, headers={"Location": "admin/queues", "Cache-Control": "no-store"})


@router.api_route("/admin/", methods=LOOKS, dependencies=[Depends(ADMIN_PAGE)])
async def admin_folder() -> Response:
    return Response(status_code=302, headers={"Location": "queues", "Cache-Control": "no-store"})


@router.api_route("/admin/queues", methods=LOOKS, dependencies=[Depends(ADMIN_PAGE)])
async def queue_page(request: Request, gateway: Parts) -> Response:
    policy = with_origins(QUEUE_POLICY, outputs_elsewhere(gateway))
    headers = {"Content-Security-Policy": policy, "Referrer-Policy": "same-origin"}
    return page_files().page("admin/queues.html", request, headers)


@router.api_route("/admin/queues/jobs/{job_id}", methods=LOOKS, dependencies=[Depends(ADMIN_PAGE)])
async def job_page(job_id: str) -> Response:
    return RedirectResponse(f"../../queues?job={known_job_id(job_id)}", 302)


@router.api_route("/admin/assets/{name:path}", methods=LOOKS, dependencies=[Depends(OPEN_TO_ALL)])
async def asset(request: Request, name: str) -> Response:
    """The files of /assets once more: an Ingress that lets /admin in and not the rest serves the whole page."""
    return page_files().asset(name, request)


@router.api_route("/admin/login", methods=LOOKS, dependencies=[Depends(OPEN_TO_ALL)])
async def login_page() -> Response:
    return _file("login.html", "text/html")


@router.api_route("/admin/login.json", methods=LOOKS, dependencies=[Depends(OPEN_TO_ALL)])
async def login_state(request: Request, gateway: Parts) -> Response:
    """What the login page asks first: whether whoever opens it needs it."""
    return json_answer(LoginState(logged_in=await gateway.gate.is_looker(request)))


@router.api_route("/admin/login.css", methods=LOOKS, dependencies=[Depends(OPEN_TO_ALL)])
async def login_style() -> Response:
    return _file("login.css", "text/css")


@router.api_route("/admin/login.js", methods=LOOKS, dependencies=[Depends(OPEN_TO_ALL)])
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

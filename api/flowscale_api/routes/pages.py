"""What people open in a browser: the start page, the page of the queue, the API reference. Not part of OpenAPI.

The start page is an example of a frontend and part of `flowscale dev` alone. The page of the queue is part of every
gateway, and all its addresses are relative: it works below any path that a proxy in front takes off.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import HTMLResponse, RedirectResponse

from flowscale import __version__
from flowscale_api.description.reference import POLICY, reference_page
from flowscale_api.files.page_files import PageFiles
from flowscale_api.jobs.views import known_job_id
from flowscale_api.schemas import About, json_answer

PAGE_POLICY = "default-src 'self'; img-src 'self' data:; media-src 'self' blob:"
"""What comes last may have the origins behind it from which outputs are served."""

ADMIN_POLICY = (
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'; "
    "default-src 'self'; img-src 'self' data:; media-src 'self'"
)
"""The same for the page of the queue, which nobody may put into a frame: a click there can remove jobs."""


def page_router(document: dict[str, Any], *, page: bool, output_origins: Collection[str] = ()) -> APIRouter:
    """The routes; with `page` the start page is the web page, else a few words of JSON.

    `output_origins`: where outputs are served from besides here, for the pages to show.
    """
    router = APIRouter(include_in_schema=False)
    text = json.dumps(document, ensure_ascii=False)
    reference = reference_page(document)
    folder = PageFiles()
    more = "".join(f" {origin}" for origin in output_origins)

    @router.get("/openapi.json")
    async def openapi() -> Response:
        return Response(text, media_type="application/json")

    @router.get("/docs")
    async def docs() -> Response:
        return HTMLResponse(reference, headers={"Content-Security-Policy": POLICY})

    @router.get("/assets/{name:path}")
    async def asset(request: Request, name: str) -> Response:
        return folder.asset(name, {}, request.headers.get("if-none-match"))

    _add_start_page(router, folder, PAGE_POLICY + more if page else None)
    _add_queue_page(router, folder, ADMIN_POLICY + more)
    return router


def _add_start_page(router: APIRouter, folder: PageFiles, policy: str | None) -> None:
    @router.get("/")
    async def start() -> Response:
        if policy is None:
            return json_answer(About(name="FlowScale", version=__version__, docs="/docs"))
        return folder.page("index.html", {"Content-Security-Policy": policy})


def _add_queue_page(router: APIRouter, folder: PageFiles, policy: str) -> None:
    headers = {"Content-Security-Policy": policy, "Referrer-Policy": "same-origin"}

    @router.get("/admin/queues")
    async def queue_page(request: Request) -> Response:
        return folder.page("admin/queues.html", headers, request.headers.get("if-none-match"))

    @router.get("/admin/queues/jobs/{job_id}")
    async def job_page(job_id: str) -> Response:
        return RedirectResponse(f"../../queues?job={known_job_id(job_id)}", 302)

    @router.get("/admin")
    async def admin() -> Response:
        return RedirectResponse("admin/queues", 302)

    @router.get("/admin/")
    async def admin_folder() -> Response:
        return RedirectResponse("queues", 302)

    @router.get("/admin/queues/")
    async def queue_folder() -> Response:
        return RedirectResponse("../queues", 302)

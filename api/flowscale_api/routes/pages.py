"""What anybody may open in a browser: the start page, the API reference, and what pages are made of. Not part of
OpenAPI. The start page is an example of a frontend, and part of `flowscale dev` alone."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from starlette.responses import HTMLResponse

from flowscale import __version__
from flowscale_api.access.rules import OPEN_TO_ALL
from flowscale_api.description.reference import POLICY, reference_page
from flowscale_api.files.page_files import page_files, with_origins
from flowscale_api.schemas import About, json_answer

LOOKS = ["GET", "HEAD"]
"""What every page takes."""

PAGE_POLICY = "default-src 'self'; img-src 'self' data:; media-src 'self' blob:"
"""What comes last may have the origins behind it from which outputs are served."""


def page_router(document: dict[str, Any], *, page: bool, outputs_at: Collection[str] = ()) -> APIRouter:
    """The routes; with `page` the start page is the web page, else a few words of JSON.

    `outputs_at`: addresses from which outputs are served besides here, for the page to show.
    """
    router = APIRouter(include_in_schema=False, dependencies=[Depends(OPEN_TO_ALL)])
    text = json.dumps(document, ensure_ascii=False)
    reference = reference_page(document)
    policy = with_origins(PAGE_POLICY, outputs_at)

    @router.api_route("/openapi.json", methods=LOOKS)
    async def openapi() -> Response:
        return Response(text, media_type="application/json")

    @router.api_route("/docs", methods=LOOKS)
    async def docs() -> Response:
        return HTMLResponse(reference, headers={"Content-Security-Policy": POLICY})

    @router.api_route("/", methods=LOOKS)
    async def start(request: Request) -> Response:
        if not page:
            return json_answer(About(name="FlowScale", version=__version__, docs="/docs"))
        return page_files().page("index.html", request, {"Content-Security-Policy": policy})

    @router.api_route("/assets/{name:path}", methods=LOOKS)
    async def asset(request: Request, name: str) -> Response:
        return page_files().asset(name, request)

    return router

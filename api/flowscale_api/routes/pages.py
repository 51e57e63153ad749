"""What people open in a browser: the start page, the API reference. Not part of OpenAPI."""

from __future__ import annotations

import json
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Response
from starlette.responses import HTMLResponse

from flowscale import __version__
from flowscale.errors import FileNotFound
from flowscale_api.access.rules import OPEN_TO_ALL
from flowscale_api.description.reference import POLICY, reference_page
from flowscale_api.schemas import About, json_answer

PAGE_POLICY = "default-src 'self'; img-src 'self' data:; media-src 'self' blob:"
"""What comes last may have the origin behind it from which the storage serves outputs itself."""

MEDIA_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
"""By extension: only files of these kinds are served from the page's folder."""


def page_router(document: dict[str, Any], *, page: bool, outputs_at: str | None = None) -> APIRouter:
    """The routes; with `page` the start page is the web page, else a few words of JSON.

    `outputs_at`: the address at which the storage serves outputs itself, for the page to show.
    """
    router = APIRouter(include_in_schema=False, dependencies=[Depends(OPEN_TO_ALL)])
    text = json.dumps(document, ensure_ascii=False)
    reference = reference_page(document)

    @router.get("/openapi.json")
    async def openapi() -> Response:
        return Response(text, media_type="application/json")

    @router.get("/docs")
    async def docs() -> Response:
        return HTMLResponse(reference, headers={"Content-Security-Policy": POLICY})

    if page:
        _add_page(router, f"{PAGE_POLICY} {_origin(outputs_at)}" if outputs_at else PAGE_POLICY)
    else:

        @router.get("/")
        async def about() -> Response:
            return json_answer(About(name="FlowScale", version=__version__, docs="/docs"))

    return router


def _add_page(router: APIRouter, policy: str) -> None:
    # Listed once: what is not in the folder now is never looked for, whatever a path says.
    assets = {entry.name: entry for entry in files("flowscale_api").joinpath("web").iterdir() if _is_served(entry)}

    def answer(name: str) -> Response:
        headers = {"Content-Security-Policy": policy, "Cache-Control": "no-cache"}
        return Response(assets[name].read_bytes(), headers=headers, media_type=_media_type(name))

    @router.get("/")
    async def start_page() -> Response:
        return answer("index.html")

    @router.get("/assets/{name}")
    async def asset(name: str) -> Response:
        if name not in assets:
            raise FileNotFound(f"There is no asset {name[:80]!r}.")
        return answer(name)


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def _is_served(entry: Traversable) -> bool:
    return entry.is_file() and _media_type(entry.name) is not None


def _media_type(name: str) -> str | None:
    return MEDIA_TYPES.get(name[name.rfind(".") :])

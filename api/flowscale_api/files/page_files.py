"""The files of the web pages: the folder `web`, as it is packed, under `/assets` and as the pages themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from urllib.parse import urlsplit

from fastapi import Request
from starlette.responses import Response

from flowscale.errors import FileNotFound

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
"""By extension: only files of these kinds are served."""


class PageFiles:
    """What the folder holds when this is made: what is not in it then is never looked for, whatever a path says."""

    def __init__(self) -> None:
        self._files = dict(_served(files("flowscale_api").joinpath("web"), ""))

    def page(self, name: str, request: Request, headers: Mapping[str, str]) -> Response:
        """A page, with these headers beside our own."""
        return self._answer(name, request, headers)

    def asset(self, name: str, request: Request) -> Response:
        """What pages are made of; they themselves have addresses of their own. Raises FileNotFound."""
        if name not in self._files or name.endswith(".html"):
            raise FileNotFound(f"There is no asset {name[:80]!r}.")
        return self._answer(name, request, {})

    def _answer(self, name: str, request: Request, headers: Mapping[str, str]) -> Response:
        content = self._files[name].read_bytes()
        # Asked for again at each visit, so that a new version is seen at once; sent again only when it is one.
        tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        kept = {**headers, "Cache-Control": "no-cache", "ETag": tag}
        seen = request.headers.get("if-none-match", "").split(",")
        if tag in {each.strip().removeprefix("W/") for each in seen}:
            return Response(status_code=304, headers=kept)
        return Response(content, headers=kept, media_type=_media_type(name))


@cache
def page_files() -> PageFiles:
    """The one folder of this program."""
    return PageFiles()


def with_origins(policy: str, addresses: Collection[str]) -> str:
    """The policy, whose last rule also takes what comes from the origins of these addresses."""
    parts = [urlsplit(address) for address in addresses]
    return " ".join((policy, *sorted({f"{part.scheme}://{part.netloc}" for part in parts})))


def _served(folder: Traversable, path: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _served(entry, f"{path}{entry.name}/")
        elif _media_type(entry.name) is not None:
            yield f"{path}{entry.name}", entry


def _media_type(name: str) -> str | None:
    return MEDIA_TYPES.get(name[name.rfind(".") :])

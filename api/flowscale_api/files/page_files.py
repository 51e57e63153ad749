"""The files of the web pages: the folder `web`, as it is packed, under `/assets` and as the pages themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from urllib.parse import urlsplit

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

    def page(self, name: str, headers: Mapping[str, str], seen: str | None = None) -> Response:
        """A page, with these headers beside our own. `seen`: the If-None-Match of who asks."""
        return self._answer(name, headers, seen)

    def asset(self, name: str, headers: Mapping[str, str], seen: str | None = None) -> Response:
        """What pages are made of; they themselves have addresses of their own. Raises FileNotFound."""
        if name not in self._files or name.endswith(".html"):
            raise FileNotFound(f"There is no asset {name[:80]!r}.")
        return self._answer(name, headers, seen)

    def _answer(self, name: str, headers: Mapping[str, str], seen: str | None) -> Response:
        content = self._files[name].read_bytes()
        # Asked for again at each visit, so that a new version is seen at once; sent again only when it is one.
        tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        kept = {**headers, "Cache-Control": "no-cache", "ETag": tag}
        if seen is not None and tag in {each.strip().removeprefix("W/") for each in seen.split(",")}:
            return Response(status_code=304, headers=kept)
        return Response(content, headers=kept, media_type=_media_type(name))


def origin_of(address: str) -> str:
    """Scheme, host and port of an address, as a policy names them."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def _served(folder: Traversable, path: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _served(entry, f"{path}{entry.name}/")
        elif _media_type(entry.name) is not None:
            yield f"{path}{entry.name}", entry


def _media_type(name: str) -> str | None:
    return MEDIA_TYPES.get(name[name.rfind(".") :])

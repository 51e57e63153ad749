"""Serving a stored file: whole, in part or not at all, by RFC 9110 (byte_ranges.py reads the headers).

Files come from strangers and are shown on the service's own address. So the type is a fixed one by the name's
extension, no browser may guess another, and a file opened as a document is alone in a sandbox without scripts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Sequence
from secrets import token_hex

from fastapi import Request
from starlette.responses import Response, StreamingResponse

from flowscale import names
from flowscale.errors import FileNotFound
from flowscale.media import mime_of
from flowscale.storage.base import Storage, StoredObject
from flowscale_api.files.byte_ranges import (
    ByteRange,
    Multipart,
    Unsatisfiable,
    http_date,
    if_range_holds,
    not_modified,
    quoted,
    requested,
)
from flowscale_api.threads import in_thread

SANDBOX = "sandbox; default-src 'none'"

KEPT_SECONDS = 3600
"""How long a browser may use its copy without asking: a stored file never changes, but it may be deleted."""

SIGNED_SECONDS = 3600
"""How long an address of the storage itself is good, which `?redirect` leads to: for a long download to begin."""

Part = tuple[bytes, ByteRange]
"""What goes before a range, and the range."""


async def file_answer(storage: Storage, request: Request, key: str) -> Response:
    """The answer to GET or HEAD of a stored file. Raises FileNotFound, StorageUnavailable."""
    if not names.is_key(key):
        raise FileNotFound(f"There is no file {key[:200]}.")
    stored = await in_thread(storage.stat, key)
    attachment = "download" in request.query_params
    if "redirect" in request.query_params and request.method == "GET":  # a signature is for one method
        signed = await in_thread(storage.signed_url, key, SIGNED_SECONDS, attachment=attachment)
        if signed is not None:
            return Response(status_code=307, headers={"Location": signed, "Cache-Control": "no-store"})
    media_type = mime_of(key)
    headers = _headers(stored, media_type, attachment=attachment)
    asked = request.headers
    if not_modified(asked.get("if-none-match"), asked.get("if-modified-since"), stored.etag, stored.modified_ms):
        del headers["Content-Type"]
        return Response(status_code=304, headers=headers)
    if request.method == "HEAD":
        return Response(headers=headers | {"Content-Length": str(stored.size)})
    ranges = None
    if if_range_holds(asked.get("if-range"), stored.etag, stored.modified_ms):
        ranges = requested(asked.get("range"), stored.size)
    if isinstance(ranges, Unsatisfiable):
        # Not JSON: whoever asks for ranges is a player, and reads the header.
        return Response(status_code=416, headers=headers | {"Content-Range": ranges.content_range})
    if ranges is None:
        whole: list[Part] = [(b"", ByteRange(0, stored.size - 1))] if stored.size else []
        headers["Content-Length"] = str(stored.size)
        return await _streamed(storage, key, whole, 200, headers)
    if len(ranges) == 1:
        headers |= {"Content-Length": str(ranges[0].length), "Content-Range": ranges[0].content_range(stored.size)}
        return await _streamed(storage, key, [(b"", ranges[0])], 206, headers)
    several = Multipart(token_hex(16), media_type, ranges, stored.size)
    headers |= {"Content-Length": str(several.content_length), "Content-Type": several.content_type}
    parts = [(several.head(part), part) for part in ranges]
    return await _streamed(storage, key, parts, 206, headers, several.tail)


def _headers(stored: StoredObject, media_type: str, *, attachment: bool) -> dict[str, str]:
    name = stored.key.rsplit("/", 1)[-1]  # a safe name: it needs no escaping
    return {
        "Content-Type": media_type,
        "Content-Disposition": f'{"attachment" if attachment else "inline"}; filename="{name}"',
        "Content-Security-Policy": SANDBOX,
        "ETag": quoted(stored.etag),
        "Last-Modified": http_date(stored.modified_ms),
        "Accept-Ranges": "bytes",
        "Cache-Control": f"private, max-age={KEPT_SECONDS}",
    }


async def _streamed(
    storage: Storage, key: str, parts: Sequence[Part], status: int, headers: dict[str, str], tail: bytes = b""
) -> Response:
    # Opened before the answer begins: a file that was deleted since it was looked at is not found, not cut off.
    first = await in_thread(_open, storage, key, parts[0]) if parts else None
    return StreamingResponse(_pieces(storage, key, parts, first, tail), status, headers)


async def _pieces(
    storage: Storage, key: str, parts: Sequence[Part], first: Generator[bytes, None, None] | None, tail: bytes
) -> AsyncIterator[bytes]:
    for number, part in enumerate(parts):
        pieces = first if number == 0 and first is not None else await in_thread(_open, storage, key, part)
        try:
            if part[0]:
                yield part[0]
            while piece := await in_thread(next, pieces, b""):
                yield piece
        finally:
            await in_thread(pieces.close)  # now, not when the garbage collector comes by
    if tail:
        yield tail


def _open(storage: Storage, key: str, part: Part) -> Generator[bytes, None, None]:
    return storage.open_range(key, part[1].start, part[1].length)

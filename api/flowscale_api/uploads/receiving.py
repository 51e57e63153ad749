"""Taking in an upload: from the form's events to a stored object, in flat memory.

The first bytes are held until they tell what the file is; only then is anything written. From there on bytes go
to the storage a buffer at a time, and the next are read from the client when those are written: a slow disk slows
the client, not the gateway. The object becomes visible when the whole form has been read and found right.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from uuid import uuid4

from flowscale import names
from flowscale.errors import (
    DiskFull,
    FileTooLarge,
    InvalidOptions,
    NoFile,
    StorageUnavailable,
    UnsupportedMedia,
)
from flowscale.media import MEDIA_TYPES, SNIFF_BYTES, MediaType, sniff
from flowscale.storage.base import ObjectWriter, Storage, StoredObject
from flowscale_api.threads import in_thread
from flowscale_api.uploads.multipart import Event, FileBegins, FileData, FileEnds, TextField, UploadForm
from flowscale_api.wire.bodies import Body

BUFFER = 1024 * 1024
"""Bytes gathered before they are written: a thread is asked once a MiB, and an upload costs that much memory."""

MAX_PROJECT_ID = 200
"""Characters; as in the execute request."""


@dataclass(frozen=True, slots=True)
class Received:
    """A stored upload."""

    file_id: str
    name: str
    media: MediaType
    stored: StoredObject
    project_id: str | None


Admit = Callable[[str, str | None], Awaitable[str | None]]
"""Asked with the file's id and the project that the form says, before the file becomes visible; the project it has
then."""


async def receive_upload(body: Body, form: UploadForm, storage: Storage, max_bytes: int, admit: Admit) -> Received:
    """Store the form's file, of at most `max_bytes`. Raises what the contract lists for upload.

    Whatever ends it early, the client's going away included, leaves nothing in the storage.
    """
    try:
        async with Incoming(storage, max_bytes) as incoming:
            while data := await body.read():
                for event in form.feed(data):
                    await incoming.take(event)
            form.close()
            return await incoming.finish(admit)
    except DiskFull as error:
        raise StorageUnavailable(f"The upload cannot be stored: {error.message}") from error


class Incoming:
    """One file on its way in. Leaving the `async with` block without `finish` removes what was written."""

    def __init__(self, storage: Storage, max_bytes: int) -> None:
        self._storage = storage
        self._max_bytes = max_bytes
        self._file_id = uuid4().hex
        self._claimed_name = ""
        self._project_id: str | None = None
        self._size = 0
        self._buffer = bytearray()
        self._name = ""
        self._media: MediaType | None = None
        self._writer: ObjectWriter | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            await in_thread(self._writer.__exit__, kind, error, trace)

    async def take(self, event: Event) -> None:
        match event:
            case FileBegins(name):
                self._claimed_name = name
            case FileData(data):
                await self._take_bytes(data)
            case FileEnds():
                if self._size == 0:
                    raise NoFile("The file in the field 'file' is empty.")
                if self._writer is None:
                    await self._open()
            case TextField("projectId", value):
                self._project_id = checked_project(value, "form")

    async def finish(self, admit: Admit) -> Received:
        """Make the file visible. Raises StorageUnavailable, DiskFull, and what `admit` raises."""
        writer, media = self._writer, self._media
        if writer is None or media is None:
            raise NoFile("The form has no file: send one in the field 'file'.")
        await self._write(writer)
        project = await admit(self._file_id, self._project_id)
        stored = await in_thread(writer.commit)
        return Received(self._file_id, self._name, media, stored, project)

    async def _take_bytes(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._max_bytes:
            raise FileTooLarge(too_large(self._max_bytes))
        self._buffer += data
        if self._writer is None and len(self._buffer) >= SNIFF_BYTES:
            await self._open()
        if self._writer is not None and len(self._buffer) >= BUFFER:
            await self._write(self._writer)

    async def _open(self) -> None:
        self._media = media = media_of(self._buffer)
        self._name = stored_name(self._claimed_name, media)
        self._writer = await in_thread(self._begin, names.upload_key(self._file_id, self._name))

    def _begin(self, key: str) -> ObjectWriter:
        return self._storage.writer(key).__enter__()

    async def _write(self, writer: ObjectWriter) -> None:
        full, self._buffer = self._buffer, bytearray()
        await in_thread(writer.write, memoryview(full))


def media_of(head: bytes | bytearray) -> MediaType:
    """The kind of a file that begins so. Raises UnsupportedMedia."""
    media = sniff(bytes(head[:SNIFF_BYTES]))
    if media is None:
        raise UnsupportedMedia(f"The file's content is none of the kinds that can be uploaded: {KINDS}.")
    return media


def stored_name(claimed: str, media: MediaType) -> str:
    """The client's file name as a safe one, with an extension that tells the content's type: it is served by it."""
    name = names.safe_name(claimed, fallback=f"upload{media.extensions[0]}")
    stem, dot, last = name.rpartition(".")
    extension = f".{last.lower()}" if dot else ""
    if extension in media.extensions:
        return name
    kept = stem if extension in _KNOWN_EXTENSIONS else name
    return kept[: names.MAX_NAME - len(media.extensions[0])] + media.extensions[0]


def checked_project(text: str, where: str) -> str:
    """The client's projectId, found in `where`. Raises InvalidOptions."""
    if len(text) > MAX_PROJECT_ID:
        fault = {"path": "$.projectId", "message": f"must have at most {MAX_PROJECT_ID} characters"}
        raise InvalidOptions(
            f"The {where} has a projectId that cannot be used: it is too long.", details={"faults": [fault]}
        )
    return text


def too_large(max_bytes: int) -> str:
    return f"The file has more than {max_bytes} bytes, the most an upload may have here."


KINDS = ", ".join(one.name for one in MEDIA_TYPES)
"""What can be uploaded, for people."""

_KNOWN_EXTENSIONS = {extension for media in MEDIA_TYPES for extension in media.extensions}

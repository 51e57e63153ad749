"""The storage protocol. Every backend passes tests/contract/storage_suite.py.

Keys are ours (flowscale.names), never a client's text: `uploads/<fileId>/<safe name>` and
`outputs/<jobId>/<execution>/<safe name>`. What is being written is invisible until it is complete: a reader
sees a whole object or none. The protocol is synchronous (so is every client library worth having); an async
caller runs it in threads.

Errors: FileNotFound for a key that holds nothing, InvalidPath for a key that is not of our form or leads
outside the root, DiskFull when there is no room, StorageUnavailable for everything the storage did.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

CHUNK = 256 * 1024
"""Bytes a reader is handed at most at once: flat memory at any object size, and little for each stalled client."""

WRITER_MOST = 64 * 1024**3
"""Bytes an object may grow to whose writer was told nothing else."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What is known of a stored object without reading it. `etag` changes when the content does."""

    key: str
    size: int  # bytes
    etag: str  # opaque, without quotes
    modified_ms: int  # Unix ms


@dataclass(frozen=True, slots=True)
class Part:
    """One stored part of an object in the making."""

    number: int  # from 1, in the order of the object's bytes
    size: int  # bytes
    tag: str  # the storage's receipt, which `complete` gives back to it


@dataclass(frozen=True, slots=True)
class OpenUpload:
    """An object that is being made in parts and has not been completed."""

    key: str
    upload: str  # what `begin` returned
    begun_ms: int  # Unix ms


class ObjectWriter(Protocol):
    """An object in the making. Leaving the `with` block without `commit` leaves nothing behind."""

    def write(self, data: bytes | memoryview) -> None:
        """Append. Raises DiskFull, StorageUnavailable."""

    def commit(self) -> StoredObject:
        """Make it durable and visible. Raises DiskFull, StorageUnavailable."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Storage(Protocol):
    """Safe to call from any thread."""

    def writer(self, key: str, most: int = WRITER_MOST) -> ObjectWriter:
        """Begin an object; it replaces an earlier one at commit. `most`: bytes it may grow to."""

    def put_file(self, key: str, source: Path) -> StoredObject:
        """Store a finished local file; the file may be moved away."""

    def fetch(self, key: str, target: Path) -> StoredObject:
        """Bring an object to a new local file, by link where that is possible: it must not be written to."""

    def open_range(self, key: str, start: int, length: int) -> Generator[bytes, None, None]:
        """`length` bytes from `start`, in pieces of at most CHUNK. A shorter object ends early.

        The object is opened at once: what is deleted afterwards is read to the end. Close what is not read so far.
        """

    def stat(self, key: str) -> StoredObject: ...

    def find(self, prefix: str) -> Iterator[StoredObject]:
        """Objects whose key begins with `prefix`, a whole number of key parts ending in `/`."""

    def delete(self, key: str) -> None:
        """Remove an object; no error when it is gone already."""

    def url(self, key: str) -> str | None:
        """Where a browser can fetch it directly; None when it must go through the gateway."""

    def signed_url(self, key: str, seconds: int, *, attachment: bool = False) -> str | None:
        """Where anyone can GET the object for `seconds` seconds, without the gateway; None when there is no such way.

        `attachment`: browsers are told to save it.
        """

    # An object in parts, which any process may continue that knows its upload and parts. Invisible until complete.

    def part_size(self, total: int) -> int:
        """Bytes of each part but the last for an object of `total` bytes; the last has 1 to as many."""

    def begin(self, key: str) -> str:
        """Begin an object in parts; returns its upload, which names it from then on. It replaces an earlier object
        at `complete`."""

    def part(self, key: str, upload: str, number: int, start: int, data: bytes | memoryview) -> Part:
        """Store one part durably; again with the same number replaces it. `start`: bytes before it in the object.

        Raises FileNotFound when the upload was completed or aborted; DiskFull, StorageUnavailable.
        """

    def complete(self, key: str, upload: str, parts: Sequence[Part]) -> StoredObject:
        """Make the object of these parts, in order, visible. Raises as `part`, and StorageUnavailable for parts that
        are not as they were stored. Asked again after it was done, it answers the same or FileNotFound."""

    def abort(self, key: str, upload: str) -> None:
        """Remove the parts; no error when they are gone already."""

    def open_uploads(self) -> Iterator[OpenUpload]:
        """What was begun, and neither completed nor aborted."""

    def presigned_part(self, key: str, upload: str, number: int, size: int, seconds: int) -> str | None:
        """Where anyone can PUT this one part for `seconds` seconds; None when only the gateway can."""

    def parts(self, key: str, upload: str) -> list[Part]:
        """What is stored of an upload, by number. Raises FileNotFound as `part`."""

    # The bytes of an upload that do not fill a part yet, kept so that another process can go on with them.

    def put_rest(self, file_id: str, start: int, data: bytes | memoryview) -> None:
        """Keep, durably, the bytes that follow `start` in the file that is being uploaded as `file_id`."""

    def rest(self, file_id: str, start: int) -> bytes:
        """What `put_rest` kept last for this start. Raises FileNotFound."""

    def drop_rests(self, file_id: str) -> None:
        """Forget all that `put_rest` kept of this file."""

    def reap(self, before_ms: int) -> int:
        """Abort uploads begun before `before_ms` (Unix ms) and drop rests kept before it; how many of both.

        What makes an object in parts and is killed leaves its parts, which nobody sees and somebody pays for.
        """

    def describe(self, folder: str) -> str:
        """For people: where `uploads` or `outputs` are (a folder, an s3:// address)."""

    def check(self) -> None:
        """Raises StorageUnavailable when objects cannot be stored now, saying why."""

    def close(self) -> None:
        """Let go of what this process holds. The storage can be used again afterwards."""

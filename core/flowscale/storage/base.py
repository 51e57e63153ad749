"""The storage protocol. Every backend passes tests/contract/storage_suite.py.

Keys are ours (flowscale.names), never a client's text: `uploads/<fileId>/<safe name>` and
`outputs/<jobId>/<execution>/<safe name>`. What is being written is invisible until it is complete: a reader
sees a whole object or none. The protocol is synchronous (so is every client library worth having); an async
caller runs it in threads.

Errors: FileNotFound for a key that holds nothing, InvalidPath for a key that is not of our form or leads
outside the root, DiskFull when there is no room, StorageUnavailable for everything the storage did.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

CHUNK = 256 * 1024
"""Bytes a reader is handed at most at once: flat memory at any object size, and little for each stalled client."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What is known of a stored object without reading it. `etag` changes when the content does."""

    key: str
    size: int  # bytes
    etag: str  # opaque, without quotes
    modified_ms: int  # Unix ms


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

    def writer(self, key: str) -> ObjectWriter:
        """Begin an object; it replaces an earlier one at commit."""

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

    def describe(self, folder: str) -> str:
        """For people: where `uploads` or `outputs` are (a folder, an s3:// address)."""

    def check(self) -> None:
        """Raises StorageUnavailable when objects cannot be stored now, saying why."""

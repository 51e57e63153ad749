"""Reading an object, or a range of it, as a stream that goes on where a connection broke.

What follows a break must be of the same object (If-Match), so that no reader is given the halves of two.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from flowscale.errors import StorageRefused, StorageUnavailable
from flowscale.storage.base import CHUNK, StoredObject
from flowscale.storage.s3.client import ROUNDS, Clients, code_of, patiently, translated
from flowscale.storage.s3.place import S3Place

if TYPE_CHECKING:
    from botocore.response import StreamingBody


BEYOND = 2**50
"""Bytes that no object has (S3's largest has 5 * 2**40); some servers overflow at larger numbers."""


class Reading:
    """The object is opened when this is made; `stored` says what it is. Iterate once, and close.

    `length` None: to the end. Raises FileNotFound, StorageUnavailable.
    """

    def __init__(self, clients: Clients, place: S3Place, key: str, name: str, start: int, length: int | None) -> None:
        self._clients = clients
        self._place = place
        self._key = key
        self._name = name
        self._at = start
        self._end = None if length is None else start + length  # the byte after the last
        self._etag: str | None = None
        self._body: StreamingBody | None = None
        self.stored = patiently(self._open)

    def __iter__(self) -> Iterator[bytes]:
        breaks = 0
        while self._body is not None and self._at < (self._end or 0):
            try:
                with translated(self._key, self._place):
                    piece = self._body.read(min(CHUNK, (self._end or 0) - self._at))
                    if not piece:
                        raise StorageUnavailable(f"The storage ended {self._key} at {self._at} of {self._end} bytes.")
            except StorageRefused:
                raise
            except StorageUnavailable:
                breaks += 1
                if breaks > ROUNDS:
                    raise
                self.close()
                patiently(self._open)
                continue
            self._at += len(piece)
            yield piece

    def close(self) -> None:
        body, self._body = self._body, None
        if body is not None:
            body.close()

    def _open(self) -> StoredObject:
        asked: dict[str, Any] = {"Bucket": self._place.bucket, "Key": self._name}
        if self._etag is not None:
            asked["IfMatch"] = self._etag
        if self._at >= BEYOND:
            return self._look(asked)
        if self._end is None:
            if self._at:
                asked["Range"] = f"bytes={self._at}-"
        elif self._end > self._at:
            asked["Range"] = f"bytes={self._at}-{min(self._end, BEYOND) - 1}"
        else:
            return self._look(asked)
        with translated(self._key, self._place):
            try:
                answer = self._clients.usual.get_object(**asked)
            except ClientError as fault:
                if code_of(fault) in ("InvalidRange", "416"):
                    return self._look({"Bucket": self._place.bucket, "Key": self._name})
                if code_of(fault) in ("PreconditionFailed", "412"):
                    raise StorageRefused(f"{self._key} was replaced while it was being read. Begin again.") from fault
                raise
            self._etag = answer["ETag"]
            self._body = answer["Body"]
            self._end = self._at + answer["ContentLength"]
            whole = answer.get("ContentRange", "").rpartition("/")[2]
            return StoredObject(
                self._key,
                int(whole) if whole.isdecimal() else answer["ContentLength"],
                answer["ETag"].strip('"'),
                int(answer["LastModified"].timestamp()) * 1000,
            )

    def _look(self, asked: dict[str, Any]) -> StoredObject:
        """There is nothing to read, but the object must be there."""
        with translated(self._key, self._place):
            head = self._clients.usual.head_object(**asked)
        self._end = self._at
        return StoredObject(
            self._key, head["ContentLength"], head["ETag"].strip('"'), int(head["LastModified"].timestamp()) * 1000
        )

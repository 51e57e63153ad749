"""The words of the tus 1.0 protocol: its headers, read and written; no I/O.

https://tus.io/protocols/resumable-upload, with the extensions creation, creation-with-upload, checksum, termination
and expiration.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

from flowscale.errors import Conflict, FileTooLarge, NoFile, RequestError, UnsupportedMedia, UploadError
from flowscale_api.uploads.receiving import too_large

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,checksum,termination,expiration"
OFFSET_STREAM = "application/offset+octet-stream"

RESUMABLE = "Tus-Resumable"
LENGTH = "Upload-Length"
DEFERRED = "Upload-Defer-Length"
OFFSET = "Upload-Offset"
METADATA = "Upload-Metadata"
CHECKSUM = "Upload-Checksum"
EXPIRES = "Upload-Expires"
OVERRIDE = "X-HTTP-Method-Override"

SENT_HEADERS = (RESUMABLE, LENGTH, DEFERRED, OFFSET, METADATA, CHECKSUM, OVERRIDE)
"""What clients of other origins may send."""

READ_HEADERS = (
    *("Location", RESUMABLE, LENGTH, OFFSET, METADATA, EXPIRES),
    *("Tus-Version", "Tus-Extension", "Tus-Max-Size", "Tus-Checksum-Algorithm"),
)
"""What they may read."""

ALGORITHMS = ("sha1", "sha256", "md5")

MAX_CHECKED = 64 * 1024**2
"""Bytes of one PATCH with a checksum: none of them counts before the last has come."""

MAX_NUMBER = 2**53  # beyond it a client's own numbers are no longer exact


class OtherVersion(RequestError):
    """The client speaks no tus, or another version of it."""

    code = "TUS_VERSION"
    status = 412


class ChecksumMismatch(RequestError):
    """The bytes are not those that the client meant to send."""

    code = "CHECKSUM_MISMATCH"
    status = 460  # tus' own


@dataclass(frozen=True, slots=True)
class Metadata:
    """What of Upload-Metadata means anything here."""

    filename: str = ""
    project_id: str | None = None


class Checksum:
    """What Upload-Checksum promises of a PATCH."""

    def __init__(self, algorithm: str, digest: bytes) -> None:
        self._hash = hashlib.new(algorithm, usedforsecurity=False)
        self._algorithm = algorithm
        self._digest = digest

    def update(self, data: bytes) -> None:
        self._hash.update(data)

    def check(self) -> None:
        """Raises ChecksumMismatch."""
        if not hmac.compare_digest(self._hash.digest(), self._digest):
            raise ChecksumMismatch(
                f"The {self._algorithm} of what came is not the one of Upload-Checksum; none of it was kept. "
                "Send it again."
            )


def check_version(headers: Mapping[str, str]) -> None:
    """Raises OtherVersion."""
    if headers.get(RESUMABLE) != VERSION:
        raise OtherVersion(f"This address speaks tus {VERSION}; send the header {RESUMABLE}: {VERSION}.")


def length_in(headers: Mapping[str, str], most: int) -> int:
    """The size of a new upload. Raises UploadError, NoFile, FileTooLarge."""
    if DEFERRED in headers:
        raise UploadError(f"{DEFERRED} is not supported: say the size of the file in {LENGTH} when you begin.")
    length = _number_in(headers, LENGTH)
    if length == 0:
        raise NoFile("The file is empty: Upload-Length is 0.")
    if length > most:
        raise FileTooLarge(too_large(most))
    return length


def offset_in(headers: Mapping[str, str]) -> int:
    """Where the bytes of a PATCH belong. Raises UploadError."""
    return _number_in(headers, OFFSET)


def check_content_type(headers: Mapping[str, str]) -> None:
    """Raises UnsupportedMedia."""
    if headers.get("content-type", "").partition(";")[0].strip().lower() != OFFSET_STREAM:
        raise UnsupportedMedia(f"The bytes of a resumable upload are sent with Content-Type: {OFFSET_STREAM}.")


def checksum_in(headers: Mapping[str, str]) -> Checksum | None:
    """Raises UploadError, and FileTooLarge for a body that is too long to be checked at once."""
    text = headers.get(CHECKSUM)
    if text is None:
        return None
    algorithm, _, digest = text.strip().partition(" ")
    if algorithm.lower() not in ALGORITHMS:
        raise UploadError(f"{CHECKSUM} names an algorithm that is not known; use one of {', '.join(ALGORITHMS)}.")
    if int(headers.get("content-length", 0)) > MAX_CHECKED:
        raise FileTooLarge(checked_too_large())
    return Checksum(algorithm.lower(), _decoded(digest, CHECKSUM))


def metadata_in(headers: Mapping[str, str]) -> Metadata:
    """Raises UploadError."""
    found: dict[str, str] = {}
    for pair in headers.get(METADATA, "").split(","):
        name, _, value = pair.strip().partition(" ")
        if name in found:
            raise UploadError(f"{METADATA} has a key twice; each may be there once.")
        if name:
            found[name] = _decoded(value, METADATA).decode("utf-8", "replace")
    return Metadata(found.get("filename", ""), found.get("projectId"))


def http_date(unix_ms: int) -> str:
    return formatdate(unix_ms / 1000, usegmt=True)


def checked_too_large() -> str:
    return f"A PATCH with {CHECKSUM} may have at most {MAX_CHECKED} bytes; send the file in several."


def wrong_offset(offset: int, found: int) -> Conflict:
    details: dict[str, Any] = {"offset": found}
    return Conflict(
        f"The upload is at byte {found}, and these bytes are for {offset}; ask with HEAD, and go on from there.",
        details=details,
    )


def _number_in(headers: Mapping[str, str], name: str) -> int:
    text = headers.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and int(text) < MAX_NUMBER):
        raise UploadError(f"The header {name} is missing or is no number of bytes.")
    return int(text)


def _decoded(text: str, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UploadError(f"{name} has a value that is not Base64.") from error

"""The record of an upload in several requests, and the ledger that keeps it. Every ledger passes
tests/contract/upload_ledger_suite.py.

The ledger knows what is durable: which parts the storage holds, how many bytes follow them. It is told after the
storage has them, never before, so that whoever is killed in between leaves an offset from which the same bytes are
sent again.

One request at a time works on an upload: it holds the upload's lock, a lease with a token. **Every change is one step
guarded by the token; nothing reads, then writes.** A lease that ran out is its holder's until another takes it; from
then on the old holder can record nothing. Whatever is asked may be carried out twice: the second time it gives the
same answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from flowscale.errors import Conflict, FileNotFound, RequestError
from flowscale.storage.base import Part

EXPIRY_MS = 24 * 3600 * 1000
"""How long an upload is kept after its last byte, unless the ledger was told otherwise."""

LEASE_MS = 10_000
"""How long a lock outlives the last sign of its holder."""


class UploadLocked(RequestError):
    """Another request works on the upload."""

    code = "UPLOAD_LOCKED"
    status = 423


class UploadGone(RequestError):
    """The upload was ended before it was complete."""

    code = "UPLOAD_GONE"
    status = 410


class UploadKind(StrEnum):
    """Who sends the bytes to the storage."""

    RESUMABLE = "resumable"  # the gateway, as it gets them
    PRESIGNED = "presigned"  # the client itself


class UploadState(StrEnum):
    """The last two are final."""

    OPEN = "open"
    COMPLETE = "complete"
    ENDED = "ended"  # nothing of it is kept


class Hold(StrEnum):
    """What a holder learns when it renews its lock."""

    HELD = "held"
    WANTED = "wanted"  # held, and another request was refused because of it
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload as the ledger has it."""

    file_id: str
    kind: UploadKind
    total: int  # bytes
    name: str  # the client's, made harmless; "" when nothing of it was
    project_id: str | None
    part_size: int  # bytes of each part but the last
    created_ms: int  # Unix ms
    expires_ms: int = 0  # Unix ms; the ledger sets it
    state: UploadState = UploadState.OPEN
    key: str = ""  # "" until the content has told what the file is
    media: str = ""  # MediaType.name, likewise
    upload: str = ""  # the storage's name of the object in parts, likewise
    count: int = 0  # parts that are recorded, numbered from 1
    stored: int = 0  # bytes in them
    rest: int = 0  # bytes after them that are kept as a rest
    reason: str = ""  # why it ended: a sentence for its client

    @property
    def offset(self) -> int:
        """Bytes of the file that are durable, from its start."""
        return self.stored + self.rest

    @property
    def whole(self) -> bool:
        return self.offset == self.total


@dataclass(frozen=True, slots=True)
class Begun:
    """The object in parts that the storage has begun for an upload."""

    key: str
    media: str
    upload: str


class UploadLedger(Protocol):
    """For one event loop. Raises QueueUnavailable when its server cannot be asked, QueueFull when it is full."""

    async def create(self, upload: Upload) -> Upload:
        """A new upload, as recorded: it expires. Raises Conflict when the id is another's."""

    async def get(self, file_id: str) -> Upload:
        """Raises FileNotFound for what was never here or has expired."""

    async def parts(self, file_id: str) -> Sequence[Part]:
        """The recorded parts of an open upload, by number."""

    async def lock(self, file_id: str, token: str, *, seize: bool = False) -> Upload:
        """Take the lock of an open upload; of a settled one, only read it. Raises FileNotFound as `get`, and
        UploadLocked while another holds it, who is then told that it is wanted. `seize`: take it all the same."""

    async def renew(self, file_id: str, token: str) -> Hold:
        """The holder lives."""

    async def unlock(self, file_id: str, token: str) -> None:
        """Let go, if it is held still."""

    async def record(
        self, file_id: str, token: str, after: int, parts: Sequence[Part], rest: int, begun: Begun | None = None
    ) -> Upload:
        """These parts, which follow the first `after`, are durable, and `rest` bytes behind them. Renews the lock and
        the expiry. Raises LeaseLost."""

    async def complete(self, file_id: str, token: str) -> Upload:
        """The object is visible. Lets go of the lock. Raises LeaseLost."""

    async def end(self, file_id: str, token: str, reason: str) -> Upload:
        """Nothing of it is kept. Lets go of the lock. Raises LeaseLost."""

    async def close(self) -> None: ...


def unknown(file_id: str) -> FileNotFound:
    return FileNotFound(
        f"There is no upload {file_id[:64]}: it was never begun here, or it has expired. Begin another."
    )


def locked(file_id: str) -> UploadLocked:
    return UploadLocked(f"Another request works on the upload {file_id}. Try again in a moment.")


def taken(file_id: str) -> Conflict:
    return Conflict(f"There is an upload {file_id} already.")


LOST = "The lock of the upload was taken by another request."

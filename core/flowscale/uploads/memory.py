"""The ledger of one process: it forgets with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from flowscale.clocks import Clock
from flowscale.errors import LeaseLost
from flowscale.storage.base import Part
from flowscale.uploads.base import (
    EXPIRY_MS,
    LEASE_MS,
    LOST,
    Begun,
    Hold,
    Upload,
    UploadState,
    locked,
    taken,
    unknown,
)


@dataclass
class _Entry:
    upload: Upload
    parts: list[Part] = field(default_factory=list)
    token: str | None = None
    locked_until_ms: int = 0
    wanted: bool = False


class MemoryLedger:
    """UploadLedger. No step of it waits, so that each is one step."""

    def __init__(self, clock: Clock, expiry_ms: int = EXPIRY_MS) -> None:
        self._clock = clock
        self._expiry_ms = expiry_ms
        self._entries: dict[str, _Entry] = {}

    async def create(self, upload: Upload) -> Upload:
        now = self._clock.now_ms()
        for expired in [name for name, entry in self._entries.items() if entry.upload.expires_ms <= now]:
            del self._entries[expired]
        if upload.file_id in self._entries:
            raise taken(upload.file_id)
        entry = self._entries[upload.file_id] = _Entry(upload)
        return self._touch(entry)

    async def get(self, file_id: str) -> Upload:
        return self._entry(file_id).upload

    async def parts(self, file_id: str) -> Sequence[Part]:
        return tuple(self._entry(file_id).parts)

    async def lock(self, file_id: str, token: str, *, seize: bool = False) -> Upload:
        entry = self._entry(file_id)
        if entry.upload.state is not UploadState.OPEN:
            return entry.upload
        now = self._clock.now_ms()
        if entry.token not in (None, token) and entry.locked_until_ms > now and not seize:
            entry.wanted = True
            raise locked(file_id)
        entry.token, entry.locked_until_ms, entry.wanted = token, now + LEASE_MS, False
        return entry.upload

    async def renew(self, file_id: str, token: str) -> Hold:
        entry = self._held(file_id, token)
        if entry is None:
            return Hold.LOST
        entry.locked_until_ms = self._clock.now_ms() + LEASE_MS
        return Hold.WANTED if entry.wanted else Hold.HELD

    async def unlock(self, file_id: str, token: str) -> None:
        entry = self._held(file_id, token)
        if entry is not None:
            entry.token = None

    async def record(
        self, file_id: str, token: str, after: int, parts: Sequence[Part], rest: int, begun: Begun | None = None
    ) -> Upload:
        entry = self._held(file_id, token)
        if entry is None or entry.upload.count != after:
            raise LeaseLost(LOST)
        entry.parts.extend(parts)
        entry.locked_until_ms = self._clock.now_ms() + LEASE_MS
        entry.upload = replace(
            entry.upload,
            count=len(entry.parts),
            stored=entry.upload.stored + sum(part.size for part in parts),
            rest=rest,
        )
        if begun is not None:
            entry.upload = replace(entry.upload, key=begun.key, media=begun.media, upload=begun.upload)
        return self._touch(entry)

    async def complete(self, file_id: str, token: str) -> Upload:
        return self._settle(file_id, token, UploadState.COMPLETE, "")

    async def end(self, file_id: str, token: str, reason: str) -> Upload:
        return self._settle(file_id, token, UploadState.ENDED, reason)

    async def close(self) -> None:
        self._entries.clear()

    def _settle(self, file_id: str, token: str, state: UploadState, reason: str) -> Upload:
        entry = self._entries.get(file_id)
        if entry is not None and entry.upload.state is state:
            return entry.upload
        entry = self._held(file_id, token)
        if entry is None:
            raise LeaseLost(LOST)
        entry.upload = replace(entry.upload, state=state, reason=reason)
        entry.token = None
        entry.parts.clear()
        return self._touch(entry)

    def _touch(self, entry: _Entry) -> Upload:
        entry.upload = replace(entry.upload, expires_ms=self._clock.now_ms() + self._expiry_ms)
        return entry.upload

    def _entry(self, file_id: str) -> _Entry:
        entry = self._entries.get(file_id)
        if entry is None or entry.upload.expires_ms <= self._clock.now_ms():
            raise unknown(file_id)
        return entry

    def _held(self, file_id: str, token: str) -> _Entry | None:
        entry = self._entries.get(file_id)
        return entry if entry is not None and entry.token == token else None

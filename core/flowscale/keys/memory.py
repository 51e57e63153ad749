"""The store of one process: it forgets with it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from flowscale.clocks import Clock
from flowscale.errors import Conflict
from flowscale.keys.base import (
    ADDRESSES_KEPT,
    FAILURE_MS,
    FAILURES_AT_ONCE,
    Key,
    Session,
    key_not_found,
    session_is_alive,
)
from flowscale.keys.tokens import SECRET_BYTES


class MemoryAccessStore:
    """AccessStore. No step of it waits, so that each is one step."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._keys: dict[str, Key] = {}
        self._sessions: dict[str, Session] = {}
        self._secret = secrets.token_bytes(SECRET_BYTES)
        self._free_ms: dict[str, int] = {}  # when all of an address's failures are forgotten
        self._owners: dict[str, str] = {}

    async def add(self, key: Key) -> None:
        if self._keys.setdefault(key.id, key) != key:
            raise Conflict(f"There is a key {key.id} already.")

    async def find(self, key_id: str) -> Key | None:
        return self._keys.get(key_id)

    async def keys(self) -> Sequence[Key]:
        return sorted(self._keys.values(), key=lambda key: (key.created_ms, key.id))

    async def revoke(self, key_id: str) -> Key:
        key = self._keys.pop(key_id, None)
        if key is None:
            raise key_not_found(key_id)
        return key

    async def open_session(self, session: Session) -> None:
        now = self._clock.now_ms()
        for expired in [each.id for each in self._sessions.values() if each.expires_ms <= now]:
            del self._sessions[expired]
        self._sessions[session.id] = session

    async def session(self, session_id: str) -> tuple[Session, Key | None] | None:
        session = self._sessions.get(session_id)
        if session is None:
            return None
        key = self._keys.get(session.key_id)
        return (session, key) if session_is_alive(session, key, self._clock.now_ms()) else None

    async def close_session(self, session_id: str) -> None:
        self._sessions.pop(session_id, None)

    async def secret(self) -> bytes:
        return self._secret

    async def failed(self, address: str) -> int:
        now = self._clock.now_ms()
        wait = await self.blocked_ms(address)
        if not wait:
            self._free_ms[address] = max(now, self._free_ms.get(address, now)) + FAILURE_MS
        if len(self._free_ms) > ADDRESSES_KEPT:
            # Forget whoever is free the soonest, which are first of all those that are free now.
            kept = sorted(self._free_ms.items(), key=lambda entry: entry[1])[-ADDRESSES_KEPT:]
            self._free_ms = {name: free for name, free in kept if free > now}
        return wait

    async def blocked_ms(self, address: str) -> int:
        now = self._clock.now_ms()
        return max(0, self._free_ms.get(address, now) - now - (FAILURES_AT_ONCE - 1) * FAILURE_MS)

    async def own(self, file_id: str, project: str) -> None:
        self._owners[file_id] = project

    async def owner(self, file_id: str) -> str | None:
        return self._owners.get(file_id)

    async def disown(self, file_id: str) -> None:
        self._owners.pop(file_id, None)

    async def close(self) -> None:
        self._sessions.clear()

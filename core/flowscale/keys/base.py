"""The facts by which a gateway decides who may, and the store that keeps them. Every store passes
tests/contract/access_store_suite.py.

Nothing here is cached by a gateway but the seals' secret, which never changes: a key that is revoked, or a session
that is ended, is dead at the next request, on every gateway. That costs one read for each request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from flowscale.errors import RequestError

SESSION_MS = 12 * 3600 * 1000
"""How long a login lasts: a working day."""

FAILURES_AT_ONCE = 10
"""Wrong keys that one address may send before it has to wait."""

FAILURE_MS = 6000
"""After so long one more is allowed: from the worst an address is free again after a minute (10 times 6 s)."""

ADDRESSES_KEPT = 10_000
"""Addresses whose failures are remembered; of more, those that may try again the soonest are forgotten."""


class KeyNotFound(RequestError):
    """There is no key of this id; perhaps no longer."""

    code = "KEY_NOT_FOUND"
    status = 404


class Scope(StrEnum):
    """What a key is good for. Each includes what stands below it."""

    ADMIN = "admin"  # see and steer the whole installation
    RENDER = "render"  # upload, render, cancel, retry
    READ = "read"  # look at jobs and files

    @property
    def included(self) -> frozenset[Scope]:
        """The scope and those below it."""
        order = tuple(Scope)
        return frozenset(order[order.index(self) :])


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is kept: not the secret, but its digest (tokens.py)."""

    id: str
    digest: str = field(repr=False)
    name: str  # for people: who or what holds it
    scopes: frozenset[Scope]
    project: str | None  # its jobs and files are all that the key sees; None: all of them
    created_ms: int  # Unix ms

    @property
    def allowed(self) -> frozenset[Scope]:
        """Its scopes, and those they include. Nobody sees the whole installation with a key of one project."""
        included = frozenset(each for scope in self.scopes for each in scope.included)
        return included if self.project is None else included - {Scope.ADMIN}


@dataclass(frozen=True, slots=True)
class Session:
    """A login. `id` is the digest of what the browser holds; it lives as long as the key it was opened with."""

    id: str
    key_id: str  # "" of the key in FLOWSCALE_ADMIN_KEY
    key_digest: str = field(repr=False)  # of the key as it was then: another in its place opens nothing
    expires_ms: int  # Unix ms


class AccessStore(Protocol):
    """For one event loop. Raises QueueUnavailable when its server cannot be asked, QueueFull when it is full."""

    async def add(self, key: Key) -> None:
        """Keep a new key. Raises Conflict when the id is another's."""

    async def find(self, key_id: str) -> Key | None:
        """The key; None when there is none, or no longer."""

    async def keys(self) -> Sequence[Key]:
        """All keys, oldest first."""

    async def revoke(self, key_id: str) -> Key:
        """Forget a key, and with it its sessions; it as it was. Raises KeyNotFound."""

    async def open_session(self, session: Session) -> None:
        """Keep a login until it expires."""

    async def session(self, session_id: str) -> tuple[Session, Key | None] | None:
        """A login and its key as they are now; the key is None for that of FLOWSCALE_ADMIN_KEY. None: there is no such
        login, or it has ended, or its key has."""

    async def close_session(self, session_id: str) -> None:
        """It is dead from now on."""

    async def secret(self) -> bytes:
        """The seals' secret, 256 bits: made by whoever asks first, then always the same."""

    async def failed(self, address: str) -> int:
        """Note a wrong key from this address. How many ms until another may come: 0 while it has some left."""

    async def blocked_ms(self, address: str) -> int:
        """How many ms until another wrong key may come from this address; 0: now."""

    async def own(self, file_id: str, project: str) -> None:
        """The upload belongs to this project from now on."""

    async def owner(self, file_id: str) -> str | None:
        """The project of an upload; None when it has none, or nobody knows."""

    async def disown(self, file_id: str) -> None:
        """The upload is gone."""

    async def close(self) -> None: ...


def key_not_found(key_id: str) -> KeyNotFound:
    return KeyNotFound(
        f"There is no key {key_id[:64]}: it was never made here, or has been revoked. `flowscale keys list` shows all."
    )


def session_is_alive(session: Session, key: Key | None, now_ms: int) -> bool:
    """Whether it still opens something, given its key as it is now."""
    if session.expires_ms <= now_ms:
        return False
    return session.key_id == "" or (key is not None and key.digest == session.key_digest)

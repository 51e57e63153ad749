"""The store on the queue's server: what one gateway is told, all know at their next request.

Steps of more than one command are scripts (lua/); the others are one command each.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Generator, Sequence
from functools import cache
from importlib import resources
from typing import Any

from flowscale.clocks import Clock, SystemClock
from flowscale.errors import Conflict
from flowscale.keys.base import (
    ADDRESSES_KEPT,
    FAILURE_MS,
    FAILURES_AT_ONCE,
    Key,
    Scope,
    Session,
    key_not_found,
    session_is_alive,
)
from flowscale.keys.tokens import SECRET_BYTES
from flowscale.queues.redis.connections import describe, gateway_client
from flowscale.queues.redis.driving import Driver
from flowscale.queues.redis.keys import Keys
from flowscale.queues.redis.scripts import Argument, Command, Script, command
from flowscale.settings import RedisSettings


def open_access_store(settings: RedisSettings, clock: Clock | None = None) -> RedisAccessStore:
    """For one event loop. Connects when first used; `close` it there."""
    driver = Driver(gateway_client(settings), describe(settings))
    return RedisAccessStore(driver, Keys(settings.prefix), clock or SystemClock())


class RedisAccessStore:
    """AccessStore. `now` gives the server's time in ms for tests; None: its own clock."""

    def __init__(self, driver: Driver, keys: Keys, clock: Clock, *, now: Callable[[], int] | None = None) -> None:
        self._driver = driver
        self._clock = clock
        self._now = now
        self._keys_at = keys.of("keys")
        self._secret_at = keys.of("keys", "secret")
        self._failures_at = keys.of("keys", "failures")
        self._owners_at = keys.of("owners")
        self._keys = keys

    async def add(self, key: Key) -> None:
        record = _to_record(key)
        if await self._ask(command("HSETNX", self._keys_at, key.id, record)):
            return
        # An earlier sending of this very command may have been carried out, and its answer lost.
        if await self.find(key.id) != key:
            raise Conflict(f"There is a key {key.id} already.")

    async def find(self, key_id: str) -> Key | None:
        return _key_in(key_id, await self._ask(command("HGET", self._keys_at, key_id)))

    async def keys(self) -> Sequence[Key]:
        flat = await self._ask(command("HGETALL", self._keys_at))
        pairs = flat.items() if isinstance(flat, dict) else zip(flat[::2], flat[1::2], strict=True)
        found = [_key_in(key_id.decode(), record) for key_id, record in pairs]
        return sorted((key for key in found if key is not None), key=lambda key: (key.created_ms, key.id))

    async def revoke(self, key_id: str) -> Key:
        key = _key_in(key_id, await self._ask(_call("revoke", (self._keys_at,), key_id)))
        if key is None:
            raise key_not_found(key_id)
        return key

    async def open_session(self, session: Session) -> None:
        left_ms = session.expires_ms - self._clock.now_ms()
        record = {"key_id": session.key_id, "key_digest": session.key_digest, "expires_ms": session.expires_ms}
        await self._ask(command("SET", self._session_key(session.id), json.dumps(record), "PX", max(1, left_ms)))

    async def session(self, session_id: str) -> tuple[Session, Key | None] | None:
        login, record = await self._ask(_call("session", (self._session_key(session_id), self._keys_at)))
        if login is None:
            return None
        fields = json.loads(login)
        session = Session(session_id, fields["key_id"], fields["key_digest"], fields["expires_ms"])
        key = _key_in(session.key_id, record)
        return (session, key) if session_is_alive(session, key, self._clock.now_ms()) else None

    async def close_session(self, session_id: str) -> None:
        await self._ask(command("DEL", self._session_key(session_id)))

    async def secret(self) -> bytes:
        kept = await self._ask(_call("secret", (self._secret_at,), secrets.token_hex(SECRET_BYTES)))
        return bytes.fromhex(kept.decode())

    async def failed(self, address: str) -> int:
        return await self._failures(address, note=True)

    async def blocked_ms(self, address: str) -> int:
        return await self._failures(address, note=False)

    async def own(self, file_id: str, project: str) -> None:
        await self._ask(command("HSET", self._owners_at, file_id, project))

    async def owner(self, file_id: str) -> str | None:
        project = await self._ask(command("HGET", self._owners_at, file_id))
        return None if project is None else project.decode()

    async def disown(self, file_id: str) -> None:
        await self._ask(command("HDEL", self._owners_at, file_id))

    async def close(self) -> None:
        await self._driver.close()

    def _session_key(self, session_id: str) -> str:
        return self._keys.of("session", session_id)

    async def _failures(self, address: str, *, note: bool) -> int:
        now: Argument = "" if self._now is None else self._now()
        limits = (FAILURE_MS, FAILURES_AT_ONCE, ADDRESSES_KEPT, int(note))
        return int(await self._ask(_call("failed", (self._failures_at,), now, address, *limits)))

    async def _ask(self, asked: Command) -> Any:
        return await self._driver.do(_one(asked))


def _one(asked: Command) -> Generator[Sequence[Command], Sequence[Any], Any]:
    (answer,) = yield (asked,)
    return answer


def _call(name: str, keys: Sequence[str], *arguments: Argument) -> Command:
    called = _script(name)
    return Command(command("EVALSHA", called.sha, len(keys), *keys, *arguments).words, called.text)


@cache
def _script(name: str) -> Script:
    text = (resources.files(__package__) / "lua" / f"{name}.lua").read_text()
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def _to_record(key: Key) -> str:
    return json.dumps(
        {
            "digest": key.digest,
            "name": key.name,
            "scopes": sorted(key.scopes),
            "project": key.project,
            "created_ms": key.created_ms,
        }
    )


def _key_in(key_id: str, record: bytes | None) -> Key | None:
    """The key of a record; None for none, and for what is no record of ours: it opens nothing."""
    if record is None:
        return None
    try:
        fields = json.loads(record)
        return Key(
            id=key_id,
            digest=str(fields["digest"]),
            name=str(fields["name"]),
            scopes=frozenset(Scope(scope) for scope in fields["scopes"]),
            project=fields["project"],
            created_ms=int(fields["created_ms"]),
        )
    except (ValueError, KeyError, TypeError):
        return None

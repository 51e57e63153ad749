"""What every store of keys and logins promises. A backend's test class inherits it and gives the fixture `opened`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import pytest

from flowscale.errors import Conflict
from flowscale.keys.base import (
    FAILURE_MS,
    FAILURES_AT_ONCE,
    SESSION_MS,
    AccessStore,
    Key,
    KeyNotFound,
    Scope,
    Session,
)
from flowscale.keys.tokens import digest, new_token
from flowscale.testing import START_MS


class Opened(NamedTuple):
    """A store, and its time."""

    store: AccessStore
    now_ms: Callable[[], int]
    advance: Callable[[int], None]  # by ms


def a_key(*scopes: Scope, project: str | None = None, created_ms: int = START_MS) -> Key:
    token = new_token()
    return Key(token.key_id, digest(token.secret), 'Ä "name"', frozenset(scopes or {Scope.RENDER}), project, created_ms)


def a_session(opened: Opened, key: Key | None, name: str = "one") -> Session:
    key_id, key_digest = (key.id, key.digest) if key else ("", digest("the setting's"))
    return Session(digest(name), key_id, key_digest, opened.now_ms() + SESSION_MS)


class AccessStoreSuite:
    async def test_a_key_is_found_as_it_was_added(self, opened: Opened) -> None:
        for key in (a_key(), a_key(Scope.READ, project="ä project"), a_key(*Scope)):
            await opened.store.add(key)
            assert await opened.store.find(key.id) == key

    async def test_a_key_that_was_never_made_is_none(self, opened: Opened) -> None:
        assert await opened.store.find(new_token().key_id) is None
        assert await opened.store.keys() == []

    async def test_an_id_is_one_keys(self, opened: Opened) -> None:
        key = a_key()
        await opened.store.add(key)
        await opened.store.add(key)  # asked twice, as a caller does whose answer was lost
        with pytest.raises(Conflict):
            await opened.store.add(replace(key, digest=digest("another")))
        assert await opened.store.keys() == [key]

    async def test_keys_are_listed_oldest_first(self, opened: Opened) -> None:
        made = [a_key(created_ms=START_MS + at) for at in (3, 1, 2)]
        for key in made:
            await opened.store.add(key)
        assert await opened.store.keys() == sorted(made, key=lambda key: key.created_ms)

    async def test_a_revoked_key_is_gone_at_once(self, opened: Opened) -> None:
        key, other = a_key(), a_key()
        await opened.store.add(key)
        await opened.store.add(other)
        assert await opened.store.revoke(key.id) == key
        assert await opened.store.find(key.id) is None
        assert await opened.store.keys() == [other]
        with pytest.raises(KeyNotFound, match=key.id):
            await opened.store.revoke(key.id)

    async def test_a_session_comes_with_its_key_as_it_is_now(self, opened: Opened) -> None:
        key = a_key(Scope.ADMIN)
        await opened.store.add(key)
        session = a_session(opened, key)
        await opened.store.open_session(session)
        assert await opened.store.session(session.id) == (session, key)
        assert await opened.store.session(digest("another")) is None

    async def test_a_session_of_the_settings_key_has_none_of_ours(self, opened: Opened) -> None:
        session = a_session(opened, None)
        await opened.store.open_session(session)
        assert await opened.store.session(session.id) == (session, None)

    async def test_a_session_dies_when_it_is_closed(self, opened: Opened) -> None:
        session, other = a_session(opened, None), a_session(opened, None, "other")
        await opened.store.open_session(session)
        await opened.store.open_session(other)
        await opened.store.close_session(session.id)
        await opened.store.close_session(session.id)
        assert await opened.store.session(session.id) is None
        assert await opened.store.session(other.id) == (other, None)

    async def test_a_session_dies_with_its_key(self, opened: Opened) -> None:
        key = a_key(Scope.ADMIN)
        await opened.store.add(key)
        session = a_session(opened, key)
        await opened.store.open_session(session)
        await opened.store.revoke(key.id)
        assert await opened.store.session(session.id) is None
        await opened.store.add(replace(key, digest=digest("another key under its id")))
        assert await opened.store.session(session.id) is None

    async def test_a_session_dies_of_age(self, opened: Opened) -> None:
        session = a_session(opened, None)
        await opened.store.open_session(session)
        opened.advance(SESSION_MS - 1)
        assert await opened.store.session(session.id) is not None
        opened.advance(1)
        assert await opened.store.session(session.id) is None

    async def test_the_secret_is_made_once(self, opened: Opened) -> None:
        secrets = await asyncio.gather(*(opened.store.secret() for _ in range(10)))
        assert len(set(secrets)) == 1
        assert len(secrets[0]) == 32

    async def test_so_many_failures_are_free_and_each_comes_back(self, opened: Opened) -> None:
        for _ in range(FAILURES_AT_ONCE):
            assert await opened.store.blocked_ms("1.2.3.4") == 0
            assert await opened.store.failed("1.2.3.4") == 0
        assert await opened.store.failed("1.2.3.4") == FAILURE_MS
        assert await opened.store.blocked_ms("1.2.3.4") == FAILURE_MS
        assert await opened.store.failed("1.2.3.5") == 0  # nobody else's concern
        opened.advance(FAILURE_MS - 1)
        assert await opened.store.failed("1.2.3.4") == 1  # and coming too early did not make it longer
        opened.advance(1)
        assert await opened.store.failed("1.2.3.4") == 0
        assert await opened.store.failed("1.2.3.4") == FAILURE_MS
        opened.advance(FAILURES_AT_ONCE * FAILURE_MS)
        for _ in range(FAILURES_AT_ONCE):
            assert await opened.store.failed("1.2.3.4") == 0

    async def test_looking_is_no_failure(self, opened: Opened) -> None:
        for _ in range(2 * FAILURES_AT_ONCE):
            assert await opened.store.blocked_ms("::1") == 0

    async def test_failures_at_once_are_counted_one_by_one(self, opened: Opened) -> None:
        waits = await asyncio.gather(*(opened.store.failed("1.2.3.4") for _ in range(3 * FAILURES_AT_ONCE)))
        assert waits.count(0) == FAILURES_AT_ONCE

    async def test_an_upload_has_an_owner_until_it_is_gone(self, opened: Opened) -> None:
        assert await opened.store.owner("a" * 32) is None
        await opened.store.own("a" * 32, "ä project")
        await opened.store.own("b" * 32, "another")
        assert await opened.store.owner("a" * 32) == "ä project"
        await opened.store.disown("a" * 32)
        await opened.store.disown("a" * 32)
        assert await opened.store.owner("a" * 32) is None
        assert await opened.store.owner("b" * 32) == "another"

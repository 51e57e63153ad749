"""The stores of keys and logins: the suite over memory and over real servers, and what only a server can get wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from itertools import count

import pytest

from contract.access_store_suite import AccessStoreSuite, Opened, a_key, a_session
from fault_proxy import FaultProxy
from flowscale.clocks import SystemClock
from flowscale.errors import QueueUnavailable
from flowscale.keys import memory
from flowscale.keys.base import ADDRESSES_KEPT, FAILURES_AT_ONCE, SESSION_MS, Scope
from flowscale.keys.memory import MemoryAccessStore
from flowscale.keys.redis import RedisAccessStore, open_access_store
from flowscale.queues.redis import Keys
from flowscale.queues.redis.connections import describe, gateway_client
from flowscale.queues.redis.driving import Driver
from flowscale.settings import RedisSettings
from flowscale.testing import FakeClock
from redis_server import REDIS_7, REDIS_8, VALKEY, RedisServer, shared_server

_prefixes = count(1)

SERVERS = {"system": REDIS_7, "valkey 8.1": VALKEY, "redis 8": REDIS_8}


class TestMemoryStore(AccessStoreSuite):
    @pytest.fixture
    def opened(self) -> Opened:
        clock = FakeClock()
        return Opened(MemoryAccessStore(clock), clock.now_ms, lambda ms: clock.advance(ms=ms))


class TestRedisStore(AccessStoreSuite):
    @pytest.fixture(params=SERVERS)
    async def opened(self, request: pytest.FixtureRequest) -> AsyncIterator[Opened]:
        server = shared_server(SERVERS[request.param])
        settings = server.settings(prefix=f"{{access-{next(_prefixes)}}}")
        clock = FakeClock()
        driver = Driver(gateway_client(settings), describe(settings))
        store = RedisAccessStore(driver, Keys(settings.prefix), clock, now=clock.now_ms)
        yield Opened(store, clock.now_ms, lambda ms: clock.advance(ms=ms))
        await store.close()
        server.forget(settings.prefix)


@pytest.fixture
def settings(redis_server: RedisServer) -> Iterator[RedisSettings]:
    made = redis_server.settings(prefix=f"{{access-{next(_prefixes)}}}")
    yield made
    redis_server.forget(made.prefix)


async def test_what_one_gateway_does_another_knows_at_once(settings: RedisSettings) -> None:
    here, there = open_access_store(settings), open_access_store(settings)
    key = a_key(Scope.ADMIN)
    await here.add(key)
    assert await there.find(key.id) == key
    session = a_session(Opened(here, SystemClock().now_ms, lambda _: None), key)
    await here.open_session(session)
    assert await there.session(session.id) == (session, key)
    assert await here.secret() == await there.secret()
    await there.revoke(key.id)
    assert await here.find(key.id) is None
    assert await here.session(session.id) is None
    for _ in range(FAILURES_AT_ONCE):
        await here.failed("1.2.3.4")
    assert await there.failed("1.2.3.4") > 0
    await here.close()
    await there.close()


async def test_nothing_in_the_server_opens_anything(settings: RedisSettings, redis_server: RedisServer) -> None:
    """No secret of a key and no cookie is kept; every key begins with the prefix, and logins go by themselves."""
    store = open_access_store(settings)
    key = a_key(Scope.ADMIN)
    await store.add(key)
    session = a_session(Opened(store, SystemClock().now_ms, lambda _: None), key, "what the browser holds")
    await store.open_session(session)
    await store.secret()
    await store.failed("1.2.3.4")
    await store.own("a" * 32, "project")
    with redis_server.admin() as admin:
        found = {name.decode(): admin.dump(name) for name in admin.scan_iter(match=f"{settings.prefix}*")}
        assert set(found) == {
            f"{settings.prefix}:{name}"
            for name in ("keys", "keys:secret", "keys:failures", "owners", f"session:{session.id}")
        }
        assert 0 < admin.pttl(f"{settings.prefix}:session:{session.id}") <= SESSION_MS
        assert not any(b"what the browser holds" in (value or b"") for value in found.values())
    await store.close()


async def test_what_is_no_record_of_ours_opens_nothing(settings: RedisSettings, redis_server: RedisServer) -> None:
    store = open_access_store(settings)
    with redis_server.admin() as admin:
        for number, text in enumerate((b"\xff", b"[]", b"{}", b'{"scopes": ["root"], "digest": "", "name": ""}')):
            admin.hset(f"{settings.prefix}:keys", f"{number:016x}", text)
            assert await store.find(f"{number:016x}") is None
    assert await store.keys() == []
    await store.close()


async def test_addresses_that_failed_take_bounded_room(settings: RedisSettings, redis_server: RedisServer) -> None:
    store = open_access_store(settings)
    at = f"{settings.prefix}:keys:failures"
    later = SystemClock().now_ms() + 3_600_000
    with redis_server.admin() as admin:
        admin.zadd(at, {f"10.0.{number // 256}.{number % 256}": later + number for number in range(ADDRESSES_KEPT)})
        assert await store.failed("1.2.3.4") == 0
        assert admin.zcard(at) == ADDRESSES_KEPT
        admin.delete(at)
        admin.zadd(at, {"long ago": 1})
        await store.failed("1.2.3.4")
        assert admin.zrange(at, 0, -1) == [b"1.2.3.4"]  # what is forgiven is forgotten
    await store.close()


async def test_addresses_take_bounded_room_in_memory_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "ADDRESSES_KEPT", 5)
    store = MemoryAccessStore(FakeClock())
    for _ in range(FAILURES_AT_ONCE):
        await store.failed("worst")
    for number in range(20):
        await store.failed(f"1.2.3.{number}")
    assert await store.failed("worst") > 0  # whoever has to wait the longest is kept


async def test_a_server_that_is_away_is_unavailable_and_comes_back(
    own_redis: RedisServer, fault_proxy: FaultProxy
) -> None:
    store = open_access_store(own_redis.settings(port=fault_proxy.port))
    key = a_key()
    await store.add(key)
    fault_proxy.refuse()
    with pytest.raises(QueueUnavailable):
        await store.find(key.id)
    fault_proxy.pass_through()
    assert await store.find(key.id) == key
    with own_redis.admin() as admin:
        admin.script_flush()
    assert await store.failed("1.2.3.4") == 0
    await store.close()

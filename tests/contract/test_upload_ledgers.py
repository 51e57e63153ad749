"""The ledgers of uploads: the suite over memory and over a real server, and what only a server can get wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count

import pytest

from contract.upload_ledger_suite import BEGUN, EXPIRY_MS, Opened, UploadLedgerSuite, a_part, an_upload
from fault_proxy import FaultProxy
from flowscale.errors import QueueUnavailable
from flowscale.queues.redis import Keys
from flowscale.queues.redis.connections import describe, gateway_client
from flowscale.queues.redis.driving import Driver
from flowscale.testing import FakeClock
from flowscale.uploads.memory import MemoryLedger
from flowscale.uploads.redis import RedisLedger, open_upload_ledger
from redis_server import REDIS_7, REDIS_8, VALKEY, RedisServer, shared_server

_prefixes = count(1)

SERVERS = {"system": REDIS_7, "valkey 8.1": VALKEY, "redis 8": REDIS_8}


class TestMemoryLedger(UploadLedgerSuite):
    @pytest.fixture
    def opened(self) -> Opened:
        clock = FakeClock()
        return Opened(MemoryLedger(clock, EXPIRY_MS), lambda ms: clock.advance(ms=ms))


class TestRedisLedger(UploadLedgerSuite):
    @pytest.fixture(params=SERVERS)
    async def opened(self, request: pytest.FixtureRequest) -> AsyncIterator[Opened]:
        server = shared_server(SERVERS[request.param])
        settings = server.settings(prefix=f"{{uploads-{next(_prefixes)}}}")
        clock = FakeClock()
        driver = Driver(gateway_client(settings), describe(settings))
        ledger = RedisLedger(driver, Keys(settings.prefix), EXPIRY_MS, now=clock.now_ms)
        yield Opened(ledger, lambda ms: clock.advance(ms=ms))
        await ledger.close()
        server.forget(settings.prefix)


async def test_a_step_that_is_asked_twice_is_taken_once(redis_server: RedisServer) -> None:
    """Whatever is sent may be carried out twice: the second ledger sends what the first did."""
    settings = redis_server.settings(prefix=f"{{uploads-{next(_prefixes)}}}")
    first, second = open_upload_ledger(settings), open_upload_ledger(settings)
    file_id = (await first.create(an_upload())).file_id
    await first.lock(file_id, "token")
    part = a_part(1)
    once = await first.record(file_id, "token", 0, [part], 0, BEGUN)
    twice = await second.record(file_id, "token", 0, [part], 0, BEGUN)
    assert (once.count, once.stored) == (twice.count, twice.stored) == (1, part.size)
    assert await first.parts(file_id) == (part,)
    await first.close()
    await second.close()
    redis_server.forget(settings.prefix)


async def test_every_key_goes_with_its_upload(redis_server: RedisServer) -> None:
    settings = redis_server.settings(prefix=f"{{uploads-{next(_prefixes)}}}")
    ledger = open_upload_ledger(settings, EXPIRY_MS)
    file_id = (await ledger.create(an_upload())).file_id
    await ledger.lock(file_id, "token")
    await ledger.record(file_id, "token", 0, [a_part(1)], 0, BEGUN)
    with redis_server.admin() as admin:
        keys = list(admin.scan_iter(match=f"{settings.prefix}*"))
        assert len(keys) == 2
        assert all(0 < admin.pttl(key) <= EXPIRY_MS for key in keys)
    await ledger.close()
    redis_server.forget(settings.prefix)


async def test_a_server_that_is_away_is_unavailable_and_comes_back(
    own_redis: RedisServer, fault_proxy: FaultProxy
) -> None:
    ledger = open_upload_ledger(own_redis.settings(port=fault_proxy.port))
    upload = await ledger.create(an_upload())
    fault_proxy.refuse()
    with pytest.raises(QueueUnavailable):
        await ledger.get(upload.file_id)
    fault_proxy.pass_through()
    assert await ledger.get(upload.file_id) == upload
    with own_redis.admin() as admin:
        admin.script_flush()
    assert (await ledger.lock(upload.file_id, "token")).file_id == upload.file_id
    await ledger.close()

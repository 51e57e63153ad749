"""Fixtures of the queue's server, for the folders of tests that import them in their conftest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fault_proxy import FaultProxy
from redis_server import RedisServer, shared_server


@pytest.fixture(scope="session")
def redis_server() -> RedisServer:
    """One plain server for all tests: keep to a prefix of your own there, and start another to do it harm."""
    return shared_server()


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A server for one test, to do with as it likes."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def fault_proxy(own_redis: RedisServer) -> Iterator[FaultProxy]:
    """A proxy before `own_redis`."""
    with FaultProxy(own_redis.port) as proxy:
        yield proxy

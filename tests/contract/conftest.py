"""A running gateway for the tests of the HTTP contract, and a running server for those of the queue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.gateway_server import Running, running
from redis_fixtures import fault_proxy, own_redis, redis_server

__all__ = ["fault_proxy", "fresh", "own_redis", "redis_server", "shared"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """For tests that leave nothing behind which another would meet."""
    with running(tmp_path_factory.mktemp("storage"), max_upload_bytes=100_000, max_body_bytes=50_000) as gateway:
        yield gateway


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Running]:
    """For one test alone."""
    with running(tmp_path) as gateway:
        yield gateway

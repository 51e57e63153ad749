"""A running gateway for the tests of the HTTP contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.gateway_server import Running, running


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

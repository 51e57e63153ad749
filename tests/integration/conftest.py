"""Real parts for integration tests: real clips, and the program itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from integration.accessibility import Axe, install_axe
from integration.admin_site import AdminSite
from integration.browser import chromium
from integration.frontend import Frontend
from integration.leased import Stage
from integration.program import Program, running
from redis_fixtures import fault_proxy, own_redis, redis_server
from redis_server import RedisServer

__all__ = ["clips", "connect", "dev_server", "fault_proxy", "own_redis", "redis_server", "start"]

CLIPS = Path(__file__).parents[2] / ".cache" / "clips"


@pytest.fixture(scope="session")
def clips() -> Path:
    """Folder with bigbuckbunny.mp4 (1280x720, 25/s, 5.3 s, sound), bikes.mp4 (640x272, 10 s), carphone_pristine.mp4."""
    assert (CLIPS / "bigbuckbunny.mp4").is_file(), "the real clips are missing: `scripts/bootstrap clips` brings them"
    return CLIPS


@pytest.fixture(scope="module")
def dev_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """`flowscale dev` for a module's tests."""
    with running("dev", tmp_path_factory.mktemp("dev")) as program:
        yield program


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> Axe:
    return Axe(install_axe(tmp_path_factory.mktemp("npm")))


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Stage:
    """A queue and a storage for a module's tests."""
    return Stage(tmp_path_factory.mktemp("stage"), redis_server)


@pytest.fixture
def site(stage: Stage) -> Iterator[AdminSite]:
    """A gateway with the page of the queue."""
    with AdminSite(stage) as made:
        yield made


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Start `flowscale <command>` with settings of the test's own, as often as it likes."""
    with ExitStack() as stack:
        yield lambda command, *wrapper, **environment: stack.enter_context(
            running(command, tmp_path, wrapper, **environment)
        )


@pytest.fixture
def connect() -> Iterator[Callable[[str], Frontend]]:
    """A frontend of the server at an address."""
    with ExitStack() as stack:

        def to(url: str) -> Frontend:
            frontend = Frontend(url)
            stack.callback(frontend.http.close)
            return frontend

        yield to

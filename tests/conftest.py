"""Options and fixtures that all tests share."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

# Assertions of the suites that backends plug into are shown in full, as those of test modules are.
pytest.register_assert_rewrite("contract", "integration")

# No test asserts on time: hypothesis' own deadline and its check for slow examples would.
hypothesis.settings.register_profile(
    "flowscale", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("flowscale")

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="Rewrite golden files instead of comparing.")


def pytest_configure() -> None:
    """A shell's background jobs ignore SIGINT, and so would every program that a test starts and interrupts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Note in pytest's cache how a run ended: .ci/run tries failed tests again only after a run of all of them."""
    if hasattr(session.config, "cache") and not hasattr(session.config, "workerinput"):  # not one of several processes
        session.config.cache.set("flowscale/ended", int(exitstatus))


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare text with tests/golden/<name>; `--update-golden` rewrites the file, for a person to read the diff."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        assert text == path.read_text(), f"{path.name} differs; pytest --update-golden rewrites it"

    return compare

"""A server that may lose jobs is warned of: in the log at start, by /readyz and by a metric; and the service works."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from integration.frontend import Frontend
from integration.program import running
from redis_server import RedisServer

RISKS: dict[str, tuple[Callable[[], RedisServer], str]] = {
    "evicting": (lambda: RedisServer(maxmemory=100_000_000, maxmemory_policy="allkeys-lru"), "noeviction"),
    "forgetting": (lambda: RedisServer(append_only=False), "appendonly yes"),
}


def read(folder: Path, server: RedisServer) -> tuple[list[str], str, str]:
    """The warnings of /readyz, the metrics, and the log, of a gateway on this server."""
    environment = {"QUEUE_MODE": "redis", "REDIS_URL": server.url, "STORAGE_DIR": str(folder / "data")}
    with running("api", folder, **environment) as program:
        frontend = Frontend(program.url)
        answer = frontend.http.get("/readyz")
        assert answer.status_code == 200
        metrics = frontend.http.get("/metrics").text
        frontend.http.close()
    return answer.json()["warnings"], metrics, program.log.read_text()


@pytest.mark.parametrize("risk", RISKS)
def test_a_server_that_may_lose_jobs_is_warned_of(tmp_path: Path, risk: str) -> None:
    make, remedy = RISKS[risk]
    with make() as server:
        (warning,), metrics, log = read(tmp_path, server)
    assert remedy in warning
    assert "flowscale_queue_risks 1.0" in metrics
    assert warning in log


@pytest.mark.parametrize("forbidden", [(), ("CONFIG",)])
def test_a_server_that_keeps_jobs_is_not_even_when_it_forbids_config(
    tmp_path: Path, forbidden: tuple[str, ...]
) -> None:
    with RedisServer(forbidden=forbidden) as server:
        warnings, metrics, log = read(tmp_path, server)
    assert warnings == []
    assert "flowscale_queue_risks 0.0" in metrics
    assert "at_risk" not in log

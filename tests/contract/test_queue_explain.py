"""`flowscale queue explain`, over a real queue."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from contextlib import closing

import pytest
from typer.testing import CliRunner, Result

from flowscale.clocks import SystemClock
from flowscale.errors import QueueUnavailable, SettingsError
from flowscale.queues.base import QueuePolicy
from flowscale.queues.redis import open_job_queue, open_scaling_queue, open_work_queue
from flowscale.settings import RedisSettings
from flowscale.testing import a_job, a_report
from flowscale_cli.main import app
from redis_server import RedisServer, free_port


@pytest.fixture
def settings(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisSettings]:
    settings = redis_server.settings(prefix=f"{{test-{uuid.uuid4().hex}}}")
    monkeypatch.setenv("QUEUE_MODE", "redis")
    monkeypatch.setenv("REDIS_HOST", settings.host)
    monkeypatch.setenv("REDIS_PORT", str(settings.port))
    monkeypatch.setenv("FLOWSCALE_REDIS_PREFIX", settings.prefix)
    yield settings
    redis_server.forget(settings.prefix)


def explain(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["queue", "explain", *arguments])


async def fill(settings: RedisSettings) -> None:
    """Five jobs, one of them running, and a group that is draining."""
    jobs = open_job_queue(settings, QueuePolicy(), SystemClock())
    scaling = open_scaling_queue(settings, QueuePolicy(), SystemClock())
    for _ in range(5):
        await jobs.enqueue(a_job())
    await scaling.drain(["pod-2"], 60_000)
    await jobs.close()
    await scaling.close()
    with closing(open_work_queue(settings, QueuePolicy(), SystemClock())) as work:
        for number in (1, 2):
            work.report(a_report(f"fleet-{number}", group=f"pod-{number}"))
        assert work.fetch("fleet-1-0", 0, "pod-1") is not None


def test_it_says_what_is_read_and_what_is_decided(settings: RedisSettings) -> None:
    asyncio.run(fill(settings))
    result = explain("--max", "3")
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert any(line.startswith("waiting 4, the oldest for") for line in lines)
    assert "retries 0 due, 0 delayed" in lines
    assert "workers 2, of which 1 busy with 1 renders" in lines
    assert any(line.startswith("pod-1 1 1 no ") for line in lines)
    assert any(line.startswith("pod-2 0 1 yes ") for line in lines)
    assert "policy 0 to 3 workers, a job for each; fewer after 60 s" in lines
    assert "decision QueueDepth, limited by Maximum" in lines
    assert any(line.startswith("From 2 to 3 workers, because 5 are needed: 1 busy, 4 waiting") for line in lines)


def test_programs_are_told_the_same(settings: RedisSettings) -> None:
    asyncio.run(fill(settings))
    told = json.loads(explain("--max", "30", "--workers", "9", "--json").stdout)
    reading = told["reading"]
    assert (reading["waiting"], reading["workers"], reading["busy"], reading["paused"]) == (4, 9, 1, False)
    assert reading["groups"]["pod-2"]["draining"] is True
    assert (told["decision"]["wanted"], told["decision"]["reason"], told["decision"]["limitedBy"]) == (
        *(9, "Steady"),
        "IdleTime",
    )
    assert told["policy"]["jobsPerWorker"] == 1


def test_it_says_how_much_is_predicted(settings: RedisSettings) -> None:
    asyncio.run(fill(settings))
    assert "0 of the first 4 that wait" in explain("--max-wait", "60").stdout


def test_a_queue_that_nobody_uses_is_explained_too(settings: RedisSettings) -> None:
    result = explain()
    assert "The number of workers stays 0: as many as are needed" in result.stdout


def test_it_needs_a_queue_that_can_be_reached(settings: RedisSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PORT", str(free_port()))
    assert isinstance(explain().exception, QueueUnavailable)
    monkeypatch.setenv("QUEUE_MODE", "memory")
    assert isinstance(explain().exception, SettingsError)

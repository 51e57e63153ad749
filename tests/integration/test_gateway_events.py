"""A job's events over the wire: all of them, in order, resumed where they broke off, ended when the job has."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from contract.gateway_server import Running, eventually, running
from flowscale.clocks import SystemClock
from flowscale.queues.base import Execution, QueuePolicy
from flowscale.queues.memory import MemoryQueue
from flowscale.testing import a_failure, a_job, an_output
from flowscale_api.jobs.event_stream import PING, last_event_id, stream


@dataclass(frozen=True)
class Seen:
    id: int
    event: str
    data: dict[str, Any]


class Stream:
    """Reads events as a browser does."""

    def __init__(self, answer: httpx2.Response) -> None:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        self._lines = answer.iter_lines()

    def __iter__(self) -> Iterator[Seen]:
        return self

    def __next__(self) -> Seen:
        found: dict[str, str] = {}
        for line in self._lines:
            if not line and found:
                return Seen(int(found["id"]), found["event"], json.loads(found["data"]))
            name, _, value = line.partition(": ")
            if name:
                found[name] = value
        raise StopIteration


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path) as served:
        yield served


def watch(gateway: Running, job_id: str, after: int | None = None) -> AbstractContextManager[httpx2.Response]:
    headers = {} if after is None else {"Last-Event-ID": str(after)}
    return gateway.http.stream("GET", f"/api/jobs/{job_id}/events", headers=headers)


def fetch(gateway: Running) -> Execution:
    execution = gateway.queue.fetch("worker", 0)
    assert execution is not None
    return execution


def test_events_come_as_they_happen_and_end_with_the_job(gateway: Running) -> None:
    job_id = gateway.execute()["jobId"]
    with watch(gateway, job_id) as answer:
        assert answer.headers["cache-control"] == "no-store"
        events = Stream(answer)
        assert next(events) == Seen(1, "state", {"status": "queued", "progressPct": 0})
        execution = fetch(gateway)
        assert next(events) == Seen(2, "state", {"status": "running", "progressPct": 0})
        gateway.queue.progress(execution, 40, ["first line"])
        assert {next(events).event, next(events).event} == {"progress", "log"}
        gateway.queue.commit(execution, an_output(execution))
        last = list(events)
        assert (last[-1].event, last[-1].data["status"], last[-1].data["progressPct"]) == ("state", "done", 100)


def test_late_reader_is_told_everything_that_is_kept(gateway: Running) -> None:
    job_id = gateway.execute()["jobId"]
    execution = fetch(gateway)
    gateway.queue.progress(execution, 10, ["größe\nzwei"])
    gateway.queue.fail(execution, a_failure("INVALID_MEDIA", retryable=False))
    with watch(gateway, job_id) as answer:
        seen = list(Stream(answer))
    assert [event.id for event in seen] == list(range(1, len(seen) + 1))
    assert next(event.data["line"] for event in seen if event.event == "log").startswith("größe")
    assert seen[-1].data == {
        "status": "error",
        "progressPct": 10,
        "code": "INVALID_MEDIA",
        "message": "ended with INVALID_MEDIA",
    }


def test_reader_goes_on_where_it_broke_off(gateway: Running) -> None:
    job_id = gateway.execute()["jobId"]
    execution = fetch(gateway)
    gateway.queue.commit(execution, an_output(execution))
    with watch(gateway, job_id) as answer:
        everything = list(Stream(answer))
    with watch(gateway, job_id, after=1) as answer:
        assert list(Stream(answer)) == everything[1:]


def test_reader_that_has_seen_the_end_is_told_to_stop_coming(gateway: Running) -> None:
    job_id = gateway.execute()["jobId"]
    gateway.http.post(f"/api/jobs/{job_id}/cancel")
    with watch(gateway, job_id) as answer:
        last = list(Stream(answer))[-1]
    with watch(gateway, job_id, after=last.id) as answer:
        assert (answer.status_code, answer.read()) == (204, b"")


def test_retried_job_goes_on_in_the_same_stream(gateway: Running) -> None:
    job_id = gateway.execute()["jobId"]
    gateway.queue.fail(fetch(gateway), a_failure(retryable=False))
    gateway.http.post(f"/api/jobs/{job_id}/retry")
    with watch(gateway, job_id) as answer:
        events = Stream(answer)
        statuses = [next(events).data["status"] for _ in range(4)]
        assert statuses == ["queued", "running", "error", "queued"]
        execution = fetch(gateway)
        gateway.queue.commit(execution, an_output(execution))
        assert list(events)[-1].data["status"] == "done"


def test_reader_that_goes_away_leaves_nothing_behind(gateway: Running) -> None:
    job_id = gateway.execute()["jobId"]
    with watch(gateway, job_id) as answer:
        events = Stream(answer)
        next(events)
        assert eventually(lambda: gateway.queue.reader_count() == 1)
    assert eventually(lambda: gateway.queue.reader_count() == 0)


def test_streams_end_when_the_server_stops(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        job_id = gateway.execute()["jobId"]
        with watch(gateway, job_id) as answer:
            events = Stream(answer)
            next(events)
            assert eventually(lambda: gateway.queue.reader_count() == 1)
            gateway.server.stop()
            assert list(events) == []  # ended as it should, not cut off
        assert gateway.queue.reader_count() == 0


async def test_silence_is_filled_with_comments() -> None:
    queue = MemoryQueue(QueuePolicy(), SystemClock())
    job = a_job()
    await queue.enqueue(job)
    pieces = stream(queue, job.id, (), 1, asyncio.Event(), ping_s=0.01)
    assert [await anext(pieces) for _ in range(3)] == [PING, PING, PING]
    await queue.cancel(job.id)
    rest = [piece async for piece in pieces if piece != PING]
    assert len(rest) == 1
    assert b'"status":"error"' in rest[0]
    assert queue.reader_count() == 0


async def test_stream_ends_though_the_end_came_unseen() -> None:
    """A job that ended between two readings: the stream finds out, it does not wait for ever."""
    queue = MemoryQueue(QueuePolicy(), SystemClock())
    job = a_job()
    await queue.enqueue(job)
    await queue.cancel(job.id)
    last = (await queue.events(job.id, 0, 0))[-1].id
    assert [piece async for piece in stream(queue, job.id, (), last, asyncio.Event())] == []


@pytest.mark.parametrize(
    ("header", "after"), [(None, 0), ("", 0), ("17", 17), ("-1", 0), ("1e9", 0), ("٣", 0), ("9" * 40, 0)]
)
def test_only_an_id_of_ours_is_gone_on_from(header: str | None, after: int) -> None:
    assert last_event_id(header) == after

"""What somebody with access to the server writes beside us: never executed, set aside, counted, and in nobody's way."""

from __future__ import annotations

import json
import pickle
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import redis

from contract.queue_harness import OpenQueue, enqueue, fetch
from contract.test_redis_queue import RedisHarness
from flowscale.errors import Conflict, JobNotFound
from flowscale.jobs import JobState, Priority
from flowscale.queues.base import Depth
from flowscale.queues.redis.keys import Keys
from flowscale.queues.redis.records import SPEC_BYTES, TASK, task_data, to_record
from flowscale.testing import a_job


class Place(NamedTuple):
    """Where a forger writes, and the file that would exist had anything been executed."""

    client: redis.Redis
    keys: Keys
    marker: Path


class Bomb:
    """Unpickled, it touches the file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return Path.touch, (str(self.marker),)


def _record(place: Place, job_id: str, **changes: str | bytes) -> None:
    """A genuine record, then changed."""
    place.client.hset(place.keys.record(job_id), items=to_record(a_job(id=job_id)))
    for field, value in {"state": "queued", **changes}.items():
        place.client.hset(place.keys.record(job_id), field, value)


def _nested(depth: int) -> str:
    """What stands for cyclic JSON, which JSON itself cannot say: a reader that follows it never ends, or runs out."""
    return '{"a":' * depth + "1" + "}" * depth


def _without(place: Place, job_id: str, field: str) -> None:
    _record(place, job_id)
    place.client.hdel(place.keys.record(job_id), field)


FORGERIES: dict[str, Callable[[Place, str], object]] = {
    "another function": lambda place, job_id: _record(
        place, job_id, data=json.dumps(["os.system", None, [f"touch {place.marker}"], {}])
    ),
    "our function with other arguments": lambda place, job_id: _record(
        place, job_id, data=json.dumps([TASK, None, ["job_1700000000000_" + "a" * 32], {}])
    ),
    "a pickle": lambda place, job_id: _record(place, job_id, data=pickle.dumps(Bomb(place.marker))),
    "a pickle as options": lambda place, job_id: _record(place, job_id, spec=pickle.dumps(Bomb(place.marker))),
    "a plain RQ job": lambda place, job_id: place.client.hset(
        place.keys.record(job_id), mapping={"data": task_data(job_id), "status": "queued", "origin": "default"}
    ),
    "no record": lambda place, job_id: None,
    "a string for a record": lambda place, job_id: place.client.set(place.keys.record(job_id), "x"),
    "a list for a record": lambda place, job_id: place.client.rpush(place.keys.record(job_id), "x"),
    "huge options": lambda place, job_id: _record(place, job_id, spec='"' + "x" * (SPEC_BYTES + 1) + '"'),
    "endless options": lambda place, job_id: _record(place, job_id, spec=_nested(100_000)),
    "options that are no object": lambda place, job_id: _record(place, job_id, spec="[1, 2]"),
    "options that are no JSON": lambda place, job_id: _record(place, job_id, spec=b"\xff{"),
    "a version of the future": lambda place, job_id: _record(place, job_id, v="999"),
    "a state of its own": lambda place, job_id: _record(place, job_id, state="whatever"),
    "a priority of its own": lambda place, job_id: _record(place, job_id, priority="urgent"),
    "figures that are none": lambda place, job_id: _record(place, job_id, failures="many"),
    "no options": lambda place, job_id: _without(place, job_id, "spec"),
    "no time": lambda place, job_id: _without(place, job_id, "created_ms"),
}

STRANGE_IDS = [b"\xff\xfe", b"", b"../../etc/passwd", b"job_1", b"x" * 100_000, "jöb".encode(), b"a\x00b\r\n"]


@pytest.fixture
async def harness() -> AsyncIterator[RedisHarness]:
    opened = RedisHarness()
    yield opened
    await opened.close()


async def _open(harness: RedisHarness, tmp_path: Path) -> tuple[OpenQueue, Place]:
    queue = await harness.open()
    return queue, Place(harness.server.admin(), harness.keys, tmp_path / "executed")


async def _only_the_genuine_job_runs(queue: OpenQueue, place: Place, refused: int) -> None:
    (genuine,) = await enqueue(queue)
    assert fetch(queue).job.id == genuine.id
    assert queue.work.fetch("worker-1", wait_s=0) is None
    figures = await queue.jobs.figures()
    assert figures.counts["refused"] == refused
    assert figures.depth == Depth(waiting=0, delayed=0, running=1)
    assert place.client.zcard(place.keys.aside) == refused
    assert [job.id for job in (await queue.jobs.list(None, 100, None)).jobs] == [genuine.id]
    for state in (JobState.QUEUED, JobState.RUNNING):
        await queue.jobs.list(state, 100, None)
    assert not place.marker.exists()
    queue.work.tend()


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_forged_entry_is_set_aside_and_counted(harness: RedisHarness, tmp_path: Path, forgery: str) -> None:
    queue, place = await _open(harness, tmp_path)
    job_id = a_job().id
    FORGERIES[forgery](place, job_id)
    place.client.rpush(place.keys.line(Priority.NORMAL), job_id)
    await _only_the_genuine_job_runs(queue, place, refused=1)


@pytest.mark.parametrize("entry", STRANGE_IDS, ids=lambda entry: repr(entry[:20]))
async def test_an_entry_that_is_no_id_is_set_aside(harness: RedisHarness, tmp_path: Path, entry: bytes) -> None:
    queue, place = await _open(harness, tmp_path)
    place.client.rpush(place.keys.line(Priority.HIGH), entry)
    await _only_the_genuine_job_runs(queue, place, refused=1)


async def test_a_thousand_forgeries_are_all_set_aside(harness: RedisHarness, tmp_path: Path) -> None:
    queue, place = await _open(harness, tmp_path)
    place.client.rpush(place.keys.line(Priority.NORMAL), *(f"forged-{number}" for number in range(1_000)))
    for _ in range(10):
        assert queue.work.fetch("worker-1", wait_s=0) is None  # a few at a time: it may be asked to stop meanwhile
    await _only_the_genuine_job_runs(queue, place, refused=1_000)


async def test_a_second_entry_of_a_job_does_not_run_it_twice(harness: RedisHarness, tmp_path: Path) -> None:
    queue, place = await _open(harness, tmp_path)
    (job,) = await enqueue(queue)
    place.client.rpush(place.keys.line(Priority.NORMAL), job.id, job.id)
    assert fetch(queue).job.id == job.id
    assert queue.work.fetch("worker-1", wait_s=0) is None
    assert (await queue.jobs.depth()).waiting == 0


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_forged_leases_and_retries_hold_nothing_up(harness: RedisHarness, tmp_path: Path, forgery: str) -> None:
    queue, place = await _open(harness, tmp_path)
    leased, delayed = a_job().id, a_job().id
    for job_id in (leased, delayed):
        FORGERIES[forgery](place, job_id)
    place.client.zadd(place.keys.leases, {leased: 1})
    place.client.zadd(place.keys.delayed, {delayed: 1})
    queue.work.tend()
    harness.advance(60_000)
    queue.work.tend()
    assert await queue.jobs.depth() == Depth(waiting=0, delayed=0, running=0)
    (genuine,) = await enqueue(queue)
    assert fetch(queue).job.id == genuine.id


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_no_question_of_a_gateway_trips_over_a_forged_job(
    harness: RedisHarness, tmp_path: Path, forgery: str
) -> None:
    queue, place = await _open(harness, tmp_path)
    job_id = a_job().id
    FORGERIES[forgery](place, job_id)
    place.client.zadd(place.keys.every_job, {job_id: 0})
    try:
        assert (await queue.jobs.get(job_id)).id == job_id
    except JobNotFound:
        assert (await queue.jobs.list(None, 10, None)).jobs == ()
    await queue.jobs.positions([job_id])
    for leased in (job_id.encode(), b"\xff"):
        place.client.zadd(place.keys.leases, {leased: 4e12})
    place.client.rpush(place.keys.line(Priority.NORMAL), job_id)
    await queue.jobs.running()
    await queue.jobs.figures()
    for question in (
        queue.jobs.cancel,
        queue.jobs.retry,
        queue.jobs.position,
        partial(queue.jobs.events, after=0, wait_s=0),
    ):
        with suppress(JobNotFound, Conflict):
            await question(job_id)
    assert not place.marker.exists()

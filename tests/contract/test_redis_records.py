"""What lies in Redis: RQ reads it, the scripts agree with the code, and nothing is left of what was retired."""

from __future__ import annotations

import re
import zlib
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rq.job import Job as RqJob
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer

from contract.queue_harness import POLICY, enqueue, fetch, fetch_all, start_one
from contract.test_redis_queue import RedisHarness
from flowscale import jobs
from flowscale.clocks import SystemClock
from flowscale.errors import LeaseLost, QueueFull, QueueUnavailable
from flowscale.jobs import Job, JobState, Output, Priority
from flowscale.names import job_id
from flowscale.origins import Origin
from flowscale.queues import base
from flowscale.queues.base import Execution
from flowscale.queues.figures import JOB_SECONDS_BUCKETS
from flowscale.queues.redis import open_job_queue, open_work_queue, scripts
from flowscale.queues.redis.keys import QUEUES, Keys
from flowscale.queues.redis.records import TASK, from_record, to_record
from flowscale.testing import START_MS, a_failure, a_job, an_output
from redis_server import RedisServer, shared_server

LUA = Path(scripts.__file__).parent / "lua"
BEGINNINGS = (LUA / "shared.lua", LUA / "clock.lua")
"""What is put before others, and is no script by itself."""

BODIES = sorted(path for path in LUA.glob("*.lua") if path not in BEGINNINGS)


@pytest.fixture
async def harness() -> AsyncIterator[RedisHarness]:
    opened = RedisHarness()
    yield opened
    await opened.close()


def test_the_function_a_record_names_is_there_and_refuses_to_run() -> None:
    module, _, name = TASK.rpartition(".")
    with pytest.raises(Exception, match="flowscale worker"):
        getattr(import_module(module), name)("job_1700000000000_" + "a" * 32)


@pytest.mark.parametrize("path", BODIES, ids=lambda path: path.stem)
def test_each_script_says_what_it_takes_gives_and_guarantees(path: Path) -> None:
    first, *lines = path.read_text().splitlines()
    header = lines[: next(at for at, line in enumerate(lines) if not line.startswith("--"))]
    assert re.fullmatch(r"#!lua( flags=(allow-oom|no-writes))?", first)
    for word in ("-- KEYS", "-- ARGV", "-- Result"):
        assert any(line.startswith(word) for line in header), f"{path.name} does not say {word}"


def test_scripts_and_code_agree_on_the_figures_they_share() -> None:
    shared = (LUA / "shared.lua").read_text()
    kept = re.search(r"EVENTS_KEPT, LOG_LINES_KEPT, DURATIONS_KEPT, ATTEMPTS_KEPT = (\d+), (\d+), (\d+), (\d+)", shared)
    assert kept is not None
    assert tuple(map(int, kept.groups())) == (
        *(base.EVENTS_KEPT, jobs.LOG_LINES_KEPT),
        *(base.RECENT_DURATIONS, jobs.ATTEMPTS_KEPT),
    )
    tails = re.search(r"TAIL_LINES, TAILS_KEPT = (\d+), (\d+)", shared)
    assert tails is not None
    assert tuple(map(int, tails.groups())) == (jobs.TAIL_LINES, jobs.TAILS_KEPT)
    buckets = re.search(r"ipairs\(\{ ([\d, ]+) \}\)", shared)
    assert buckets is not None
    assert tuple(map(int, buckets[1].split(", "))) == JOB_SECONDS_BUCKETS
    assert {state.value for state in JobState} == set(
        re.findall(r"(\w+) = '", shared.split("PUBLIC = {")[1].split("}")[0])
    )


@settings(max_examples=100, deadline=None)
@given(st.integers(min_value=0, max_value=4_102_444_799_999))
def test_times_are_written_as_rq_writes_them(ms: int) -> None:
    shared = (LUA / "shared.lua").read_text()
    start = shared.index("local function iso")
    source = shared[start : shared.index("\nend\n", start) + 5] + "return iso(tonumber(ARGV[1]))"
    written = shared_server().admin().eval(source, 0, str(ms)).decode()
    moment = datetime.fromtimestamp(ms // 1000, tz=UTC).replace(microsecond=ms % 1000 * 1000)
    assert written == moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(texts, values, max_size=5), st.sampled_from(Priority), st.none() | texts)
def test_a_record_reads_back_as_the_job_it_was_written_from(
    spec: dict[str, object], priority: Priority, project: str | None
) -> None:
    job = a_job(spec=spec, priority=priority, project_id=project)
    flat = [text.encode() for text in (*to_record(job), "state", "queued")]
    assert from_record(job.id, dict(zip(flat[::2], flat[1::2], strict=True)), ()) == job


async def test_rq_reads_every_state_of_a_job(harness: RedisHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = await harness.open()
    client, keys = harness.server.admin(), harness.keys
    monkeypatch.setattr(RqJob, "redis_job_namespace_prefix", f"{keys.prefix}:job:")

    def read(job: Job) -> RqJob:
        return RqJob.fetch(job.id, connection=client, serializer=JSONSerializer)

    (job,) = await enqueue(queue)
    seen = read(job)
    assert (seen.func_name, tuple(seen.args), seen.origin, seen.get_status()) == (TASK, (job.id,), QUEUES[1], "queued")
    assert seen.created_at == seen.enqueued_at == datetime.fromtimestamp(START_MS / 1000, tz=UTC)
    execution = fetch(queue, "worker-7")
    assert (read(job).get_status(), read(job).worker_name) == ("started", "worker-7")
    assert client.zrange(keys.started(Priority.NORMAL), 0, -1) == [f"{job.id}:{execution.id}".encode()]
    queue.work.fail(execution, a_failure())
    assert read(job).get_status() == "scheduled"
    harness.advance(5_000)
    execution = fetch(queue)
    queue.work.commit(execution, an_output(execution))
    assert read(job).get_status() == "finished"
    assert read(job).ended_at == datetime.fromtimestamp(START_MS / 1000 + 5, tz=UTC)
    failed = await start_one(queue)
    queue.work.fail(failed, a_failure("INVALID_MEDIA", retryable=False))
    assert read(failed.job).get_status() == "failed"
    registries = {name: client.zcard(keys.of(name, QUEUES[1])) for name in ("wip", "scheduled", "finished", "failed")}
    assert registries == {"wip": 0, "scheduled": 0, "finished": 1, "failed": 1}


async def test_rqs_own_clean_up_takes_nothing_away(harness: RedisHarness) -> None:
    queue = await harness.open()
    execution = await start_one(queue)
    registry = StartedJobRegistry(QUEUES[1], connection=harness.server.admin(), serializer=JSONSerializer)
    registry.key = harness.keys.started(Priority.NORMAL)
    registry.cleanup(timestamp=4_102_444_800)  # the year 2100
    assert registry.get_job_count(cleanup=False) == 1
    assert queue.work.commit(execution, an_output(execution)).state is JobState.DONE


async def test_a_job_that_lost_an_execution_is_noted_until_it_is_tidied(harness: RedisHarness) -> None:
    queue = await harness.open()
    reaped, killed, untouched = await start_one(queue), await start_one(queue), await start_one(queue)
    queue.work.lose(killed)
    harness.advance(POLICY.lease_ms)
    queue.work.renew(untouched)
    queue.work.tend()
    assert harness.work.untidy() == []  # they run again: whoever renders them stores what is theirs
    for execution in (fetch(queue), fetch(queue), untouched):
        queue.work.commit(execution, an_output(execution))
    noted = harness.work.untidy()
    assert {untidy.job.id for untidy in noted} == {reaped.job.id, killed.job.id}
    first, second = noted
    harness.advance(1)
    with pytest.raises(LeaseLost):  # a dead execution of a job that has ended: it may have stored something, too
        queue.work.lose(Execution(first.job.attempts[0].worker, first.job, "worker-1"))
    for untidy in noted:
        harness.work.tidied(untidy)
    assert [untidy.job.id for untidy in harness.work.untidy()] == [first.job.id]
    assert second.noted_ms < harness.work.untidy()[0].noted_ms


async def _rounds(harness: RedisHarness, count: int = 3) -> None:
    for _ in range(count):
        harness.work.tend()


async def test_a_waiting_job_that_rqs_tools_took_from_its_line_is_put_back(harness: RedisHarness) -> None:
    queue = await harness.open()
    jobs_ = await enqueue(queue, 12)
    client, keys = harness.server.admin(), harness.keys
    taken = jobs_[10]
    client.lrem(keys.line(Priority.NORMAL), 1, taken.id)  # as a plain RQ worker does, which then marks it failed
    client.hset(keys.record(taken.id), mapping={"status": "failed", "data": zlib.compress(b"[]")})
    client.zadd(keys.of("failed", QUEUES[1]), {taken.id: 1})
    await _rounds(harness)
    assert (await queue.jobs.depth()).waiting == 12
    assert fetch_all(queue) == [*(job.id for job in jobs_ if job is not taken), taken.id]
    assert client.zcard(keys.of("failed", QUEUES[1])) == 0
    assert (await queue.jobs.figures()).counts["adopted"] == 1


async def test_a_record_without_an_origin_or_with_a_forged_one_is_read(harness: RedisHarness) -> None:
    queue = await harness.open()
    (job,) = await enqueue(queue)
    client, key = harness.server.admin(), harness.keys.record(job.id)
    assert not {b"request_id", b"traceparent", b"tracestate"} & set(client.hgetall(key))
    assert (await queue.jobs.get(job.id)).origin == Origin()
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    forgeries: tuple[Mapping[Any, Any], ...] = (
        {"traceparent": b"\xff", "request_id": "a\nb"},
        {"traceparent": "00-0-0-01", "tracestate": "x"},
    )
    for forged in forgeries:
        client.hset(key, mapping=forged)
        assert (await queue.jobs.get(job.id)).origin == Origin()
    client.hset(key, mapping={"traceparent": trace, "tracestate": "x" * 600, "request_id": "fine-1"})
    assert fetch(queue).job.origin == Origin("fine-1", trace)


async def test_what_rqs_tools_left_of_a_job_goes(harness: RedisHarness) -> None:
    queue = await harness.open()
    (job,) = await enqueue(queue)
    client, keys = harness.server.admin(), harness.keys
    client.delete(keys.line(Priority.NORMAL), keys.record(job.id))  # as `rq empty` does
    await _rounds(harness)
    assert (await queue.jobs.list(None, 10, None)).jobs == ()
    left = {key.decode() for key in client.scan_iter(match=f"{keys.prefix}*")}
    assert left == {keys.of(name) for name in ("queues", "counters", "joined", "history")}


async def test_a_failed_job_that_rqs_tools_queued_is_failed_still_and_can_be_retried(harness: RedisHarness) -> None:
    queue = await harness.open()
    failed = queue.work.fail(await start_one(queue), a_failure(retryable=False))
    client, keys = harness.server.admin(), harness.keys
    data = client.hget(keys.record(failed.id), "data")
    assert isinstance(data, bytes)
    client.hset(keys.record(failed.id), mapping={"status": "queued", "data": zlib.compress(data)})  # as `rq requeue`
    client.rpush(keys.line(Priority.NORMAL), failed.id)
    assert fetch_all(queue) == []
    assert (await queue.jobs.get(failed.id)).state is JobState.ERROR
    assert client.ttl(keys.record(failed.id)) == -1
    await queue.jobs.retry(failed.id)
    assert fetch_all(queue) == [failed.id]


async def test_a_lease_from_before_the_servers_clock_was_set_back_is_reaped(harness: RedisHarness) -> None:
    queue = await harness.open()
    execution = await start_one(queue)
    harness.server.admin().zadd(harness.keys.leases, {execution.job.id: START_MS + 3_600_000})
    harness.advance(POLICY.lease_ms)
    assert queue.work.tend().stalled == (execution.job.id,)


async def test_a_replica_is_not_ready_though_it_can_be_read() -> None:
    with RedisServer() as master, RedisServer(replica_of=master) as replica:
        gateway = open_job_queue(replica.settings(), POLICY, SystemClock())
        await gateway.depth()
        with pytest.raises(QueueUnavailable, match="replica"):
            await gateway.check()
        await gateway.close()


FIXED = {"queues", "counters", "durations", "joined", "turns", "profiles", "history"}
"""Keys that a queue without a job may have: what it has counted, and the names of its lines."""


async def test_a_queue_that_has_forgotten_its_jobs_has_its_fixed_keys_alone(harness: RedisHarness) -> None:
    policy = base.QueuePolicy(retry=POLICY.retry, keep_done=0, keep_failed=0, retention_ms=1, idempotency_ms=1_000)
    queue = await harness.open(policy)
    for number in range(40):
        await queue.jobs.enqueue(a_job(), base.Idempotency(f"key {number}", "body"))
        execution = fetch(queue)
        queue.work.progress(execution, number, ["line"])
        if number % 4 == 0:
            queue.work.commit(execution, an_output(execution))
        elif number % 4 == 1:
            queue.work.fail(execution, a_failure(retryable=False))
        elif number % 4 == 2:
            queue.work.fail(execution, a_failure())
            await queue.jobs.cancel(execution.job.id)
        else:
            await queue.jobs.cancel(execution.job.id)
            queue.work.lose(execution)
    harness.advance(60_000)
    for _ in range(4):
        queue.work.tend()
    assert harness.work.untidy() == []  # jobs that are forgotten need no tidying
    left = {key.decode() for key in harness.server.admin().scan_iter(match=f"{harness.keys.prefix}*")}
    assert left == {harness.keys.of(name) for name in FIXED}


async def test_every_key_lies_under_the_prefix_and_no_script_makes_up_a_name(harness: RedisHarness) -> None:
    keys = Keys("{a}")
    job = job_id(START_MS, "a" * 32)
    names = (*keys.job_keys(job, Priority.LOW), *keys.owned_by_rq(job), *keys.lines, *keys.idempotency, *keys.reports)
    assert all(name.startswith("{a}:") for name in names)
    for path in (*BODIES, *BEGINNINGS):
        calls = re.findall(r"redis\.p?call\('\w+', *([^,)]+)", path.read_text())
        made_up = [call for call in calls if re.match(r"['\"]|[\w\[\]]+ *\.\.", call)]
        assert made_up == [], f"{path.name} builds a key"


async def test_a_full_server_takes_no_job_but_lets_running_ones_end() -> None:
    with RedisServer() as server:
        client = server.admin()
        gateway = open_job_queue(server.settings(), POLICY, SystemClock())
        work = open_work_queue(server.settings(), POLICY, SystemClock())
        accepted = [(await gateway.enqueue(a_job())).job for _ in range(3)]
        committed, failed = work.fetch("worker-1", 0), work.fetch("worker-1", 0)
        assert committed is not None
        assert failed is not None
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1mb")
        with pytest.raises(QueueFull):
            await gateway.enqueue(a_job())
        assert work.renew(committed) is False
        work.progress(committed, 50, ["line"])
        output = Output(an_output(committed).key, 1, "video/mp4")
        assert work.commit(committed, output).state is JobState.DONE
        assert work.fail(failed, a_failure()).state is JobState.DELAYED
        assert (await gateway.cancel(accepted[2].id)).state is JobState.ERROR
        with pytest.raises(QueueFull):
            await gateway.retry(accepted[2].id)
        await gateway.pause()
        assert await gateway.is_paused()
        await gateway.resume()
        client.config_set("maxmemory", "0")
        assert (await gateway.enqueue(a_job())).created
        await gateway.close()
        work.close()

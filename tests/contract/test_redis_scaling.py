"""The operator's half over Redis: what only a shared server, an older version or a lost answer can get wrong."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.exceptions import TimeoutError as TooSlow

from contract.queue_harness import POLICY, enqueue, fetch, soon
from contract.test_redis_queue import RedisHarness
from contract.test_redis_records import LUA
from flowscale import predictions
from flowscale.clocks import SystemClock
from flowscale.errors import QueueUnavailable
from flowscale.predictions import Learned, profile_of
from flowscale.queues.redis import RedisWorkQueue, open_scaling_queue, scaling
from flowscale.queues.redis.connections import worker_client
from flowscale.queues.redis.keys import Keys
from flowscale.queues.redis.scripts import Batch, script
from flowscale.queues.scaling_view import GroupState
from flowscale.testing import a_failure, a_job, an_output
from redis_server import RedisServer


@pytest.fixture
async def harness() -> AsyncIterator[RedisHarness]:
    opened = RedisHarness()
    yield opened
    await opened.close()


def test_lua_and_code_agree_on_what_is_kept_of_profiles() -> None:
    kept = re.search(r"SAMPLES_KEPT, PROFILES_KEPT = (\d+), (\d+)", (LUA / "shared.lua").read_text())
    assert kept is not None
    assert tuple(map(int, kept.groups())) == (predictions.SAMPLES_KEPT, predictions.PROFILES_KEPT)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(min_value=0, max_value=10**7), min_size=1, max_size=60))
def test_lua_learns_as_the_code_does(took: list[int]) -> None:
    async def run() -> None:
        harness = RedisHarness()
        queue = await harness.open()
        expected = Learned()
        for ms in took:
            await enqueue(queue)
            execution = fetch(queue)
            harness.clock.advance(ms=ms)
            queue.work.commit(execution, an_output(execution))
            expected = expected.after(ms)
        text = harness.server.admin().hget(harness.keys.profiles, profile_of(a_job().spec))
        assert isinstance(text, bytes)
        seen, mean = text.split()
        assert int(seen) == expected.seen
        assert float(mean) == pytest.approx(expected.mean_ms)
        await harness.close()

    asyncio.run(run())


async def test_no_more_profiles_are_kept_than_that(harness: RedisHarness) -> None:
    queue = await harness.open()
    client, profiles = harness.server.admin(), harness.keys.profiles
    client.hset(profiles, mapping={f"forged-{number}": "1 1" for number in range(predictions.PROFILES_KEPT)})
    await enqueue(queue)
    execution = fetch(queue)
    queue.work.commit(execution, an_output(execution))
    assert client.hlen(profiles) == predictions.PROFILES_KEPT


async def test_what_was_forged_there_predicts_nothing(harness: RedisHarness) -> None:
    queue = await harness.open()
    await enqueue(queue)
    client = harness.server.admin()
    client.hset(harness.keys.profiles, profile_of(a_job().spec), "many")
    client.hset(harness.keys.live, "no job", "no note")
    (waiting,) = (await queue.scaling.demand()).line
    assert waiting.predicted_ms is None


async def test_notes_are_kept_for_jobs_that_wait_or_run_alone(harness: RedisHarness) -> None:
    queue = await harness.open()
    client, live = harness.server.admin(), harness.keys.live
    jobs = await enqueue(queue, 6)
    assert client.hlen(live) == 6
    queue.work.commit(done := fetch(queue), an_output(done))
    queue.work.fail(fetch(queue), a_failure())
    failed = queue.work.fail(fetch(queue), a_failure(retryable=False))
    queue.work.release(fetch(queue))
    queue.work.lose(fetch(queue))
    await queue.jobs.cancel(jobs[5].id)
    assert sorted(client.hgetall(live)) == sorted(job.id.encode() for job in jobs[3:5])
    await queue.jobs.retry(failed.id)
    harness.advance(5_000)
    queue.work.tend()
    assert client.hlen(live) == 4
    # A second entry of a job that has ended is nothing that waits.
    client.lpush(harness.keys.lines[1], done.job.id)
    assert {fetch(queue).job.id for _ in range(4)} == {jobs[1].id, jobs[2].id, jobs[3].id, jobs[4].id}
    assert client.hlen(live) == 4


async def test_a_forged_entry_leaves_no_note_and_no_lease_holds_a_group_without_a_record(harness: RedisHarness) -> None:
    queue = await harness.open()
    client, keys = harness.server.admin(), harness.keys
    (job,) = await enqueue(queue)
    client.hset(keys.record(job.id), "data", "forged")
    assert queue.work.fetch("worker-1", 0, "pod") is None
    assert client.hlen(keys.live) == 0
    await enqueue(queue)
    lost = fetch(queue, "worker-1", "pod")
    client.delete(keys.record(lost.job.id))
    assert await queue.scaling.drain(["pod"], 1_000) == set()  # nobody knows whether it renders
    harness.advance(POLICY.lease_ms)
    queue.work.tend()
    assert await queue.scaling.drain(["pod"], 1_000) == {"pod"}
    assert client.hlen(keys.live) == 0


async def test_a_job_started_before_there_were_groups_is_its_workers(harness: RedisHarness) -> None:
    queue = await harness.open()
    await enqueue(queue, 3)
    for number in range(3):
        execution = fetch(queue, f"worker-{number}", "pod")
        if number < 2:
            harness.server.admin().hdel(harness.keys.live, execution.job.id)
    groups = (await queue.scaling.demand()).groups
    assert {name: group.busy for name, group in groups.items()} == {"worker-0": 1, "worker-1": 1, "pod": 1}
    asked = ["worker-0", "worker-1", "worker-2", "pod"]
    assert await queue.scaling.drain(asked, 1_000) == {"worker-2"}
    # Such a lease without a record, or with one that is none, is nobody's.
    running = [job_id.encode() for job_id in await queue.jobs.running()]
    harness.server.admin().delete(*(harness.keys.record(job_id.decode()) for job_id in running))
    harness.server.admin().set(harness.keys.record(running[0].decode()), "no record")
    assert await queue.scaling.drain(asked, 1_000) == {"worker-0", "worker-1", "worker-2"}


class HardOfHearing(RedisWorkQueue):
    """A worker that does not hear the answer to its next start."""

    deaf = True

    def _execute(self, batch: Batch) -> list[Any]:
        answers = super()._execute(batch)
        if self.deaf and any(script("start").sha.encode() in command.words for command in batch):
            self.deaf = isinstance(answers[0], Exception)  # then the server did not know the script yet
            if not self.deaf:
                raise TooSlow("no answer")
        return answers


async def test_a_start_whose_answer_was_lost_holds_its_group(harness: RedisHarness) -> None:
    queue = await harness.open()
    connection = harness.server.settings(prefix=harness.keys.prefix)
    work = HardOfHearing(
        worker_client(connection), harness.keys, POLICY, harness.clock, "here", now=harness.clock.now_ms
    )
    (job,) = await enqueue(queue)
    with pytest.raises(QueueUnavailable):
        work.fetch("worker-1", 0, "pod")
    assert await queue.scaling.drain(["pod", "other"], 1_000) == {"other"}
    assert (await queue.scaling.demand()).groups["pod"] == GroupState(1, 0, False, None)
    execution = work.fetch("worker-1", 0, "pod")
    assert execution is not None
    assert execution.job.id == job.id
    work.release(execution)
    assert await queue.scaling.drain(["pod"], 1_000) == {"pod"}
    work.close()


async def test_without_a_server_every_question_is_answered_by_an_error(own_redis: RedisServer) -> None:
    queue = open_scaling_queue(own_redis.settings(), POLICY, SystemClock())
    await queue.demand()
    own_redis.freeze()
    for ask in (queue.demand, partial(queue.drain, ["pod"], 1_000), partial(queue.undrain, ["pod"]), queue.check):
        with pytest.raises(QueueUnavailable, match="did not answer in time"):
            await soon(ask())
    own_redis.thaw()
    await soon(queue.check())
    own_redis.kill()
    with pytest.raises(QueueUnavailable, match="cannot be reached"):
        await soon(queue.demand())
    own_redis.start()
    assert (await soon(queue.demand())).groups == {}
    await queue.close()


@pytest.mark.parametrize("fault", ["freeze", "kill"])
async def test_whoever_listens_is_told_that_contact_is_lost(own_redis: RedisServer, fault: str) -> None:
    queue = open_scaling_queue(own_redis.settings(), POLICY, SystemClock())
    wakes = queue.wakes()
    await soon(anext(wakes))
    getattr(own_redis, fault)()
    with pytest.raises(QueueUnavailable):
        await soon(anext(wakes))
    if fault == "freeze":
        own_redis.thaw()
    await queue.close()


async def test_a_quiet_channel_is_no_lost_contact(own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "QUIET_SECONDS", 0.01)
    queue = open_scaling_queue(own_redis.settings(), POLICY, SystemClock())
    admin, wakes = own_redis.admin(), queue.wakes()
    await soon(anext(wakes))
    woken = asyncio.create_task(_next(wakes))
    before = own_redis.info()["total_commands_processed"]
    while own_redis.info()["total_commands_processed"] < before + 40:
        await asyncio.sleep(0.01)
        assert not woken.done()
    admin.publish(Keys(own_redis.settings().prefix).freed, "job")
    await soon(woken)
    await wakes.aclose()
    await queue.close()


async def _next(wakes: AsyncIterator[None]) -> None:
    await anext(wakes)

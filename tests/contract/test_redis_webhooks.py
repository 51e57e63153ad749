"""Webhooks in Redis: what others wrote beside us holds nothing up, and what waits for a dead endpoint is bounded."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from contract.queue_harness import fetch
from contract.test_redis_queue import RedisHarness
from flowscale.errors import JobNotFound, LeaseLost
from flowscale.jobs import JobState
from flowscale.queues.base import EventKind
from flowscale.queues.outbox import CLAIM_MS, TOO_MANY_WAIT, WAITING_MOST
from flowscale.queues.redis import scripts
from flowscale.testing import a_job, an_output
from flowscale.webhooks.deliveries import DeliveryState, Outcome, delivery_id, own_target
from flowscale.webhooks.retrying import WAITS_SECONDS

TOLD = own_target("https://hooks.example/")
LUA = Path(scripts.__file__).parent / "lua"


@pytest.fixture
async def harness() -> AsyncIterator[RedisHarness]:
    opened = RedisHarness()
    yield opened
    await opened.close()


def test_scripts_and_code_agree_on_what_may_wait_and_be_tried() -> None:
    shared = (LUA / "shared.lua").read_text()
    found = re.search(r"MESSAGES_WAIT, TOO_MANY_WAIT = (\d+), '([^']+)'", shared)
    assert found is not None
    assert (int(found[1]), found[2]) == (WAITING_MOST, TOO_MANY_WAIT)
    most = re.search(r"MOST_TRIES = (\d+)", (LUA / "webhooks_claim.lua").read_text())
    assert most is not None
    assert int(most[1]) > len(WAITS_SECONDS) + 1


async def test_what_waits_for_one_endpoint_is_bounded_and_the_rest_can_be_replayed(harness: RedisHarness) -> None:
    queue = await harness.open()
    client, due = harness.server.admin(), harness.keys.webhooks_due(TOLD.name)
    later = harness.clock.now_ms() + 60_000
    client.zadd(due, {f"msg_{number}": later for number in range(WAITING_MOST)})
    job = (await queue.jobs.enqueue(a_job(webhooks=(TOLD,)))).job
    await queue.jobs.cancel(job.id)
    (delivery,) = await queue.jobs.deliveries(job.id)
    assert (delivery.state, delivery.fault, delivery.next_ms) == (DeliveryState.FAILED, TOO_MANY_WAIT, None)
    assert (await queue.jobs.figures()).counts["webhook:failed"] == 1
    await queue.jobs.replay(delivery.id)
    (claim,) = await queue.jobs.claim(TOLD.name, 5)
    assert claim.delivery.id == delivery.id


@pytest.mark.parametrize(
    "hooks",
    [
        "",
        "{",
        "5",
        "null",
        '"text"',
        '{"a": "b"}',
        "[1]",
        "[[]]",
        "[[1, 2]]",
        "[[null, null]]",
        '[["own000000000000", ""]]',
        '[["own000000000000", ""], ["x", {}]]',
        "[" * 2_000 + "]" * 2_000,
        json.dumps([[TOLD.name, ""]] * 3),
    ],
    ids=range(14),
)
@pytest.mark.parametrize("how", ["cancel", "commit", "stall"])
async def test_a_forged_list_of_endpoints_keeps_no_job_from_ending(harness: RedisHarness, hooks: str, how: str) -> None:
    queue = await harness.open()
    client, keys = harness.server.admin(), harness.keys
    job = (await queue.jobs.enqueue(a_job(webhooks=(TOLD,)))).job
    execution = None if how == "cancel" else fetch(queue)
    if how == "stall":
        await queue.jobs.cancel(job.id)
    client.hset(keys.record(job.id), mapping={"hooks": hooks, "ends": "many"} if hooks == "" else {"hooks": hooks})
    before = set(client.keys(f"{keys.prefix}*"))
    with suppress(JobNotFound, LeaseLost):  # whose record is none of ours any more
        if execution is None:
            await queue.jobs.cancel(job.id)
        elif how == "commit":
            queue.work.commit(execution, an_output(execution))
        else:
            harness.advance(20_000)
            queue.work.tend()
    state = "done" if how == "commit" else "error"
    assert client.hget(keys.record(job.id), "state") == state.encode()
    made = {key for key in set(client.keys(f"{keys.prefix}*")) - before if b"webhooks" in key}
    ours = {keys.messages, keys.webhook_targets, *(keys.webhooks_due(name) for name in ("1", TOLD.name, "a"))}
    ours |= {keys.webhooks_due("own000000000000"), keys.webhooks_due("None"), keys.webhooks_due("x")}
    assert made <= {key.encode() for key in ours}
    assert all(client.type(key) in (b"none", b"zset") for key in client.keys(f"{keys.prefix}:webhooks:due:*"))


@pytest.mark.parametrize(
    "text", [None, "", "{", "[]", '"x"', '{"state": "pending"}', '{"state": "pending", "tries": "x"}', '{"state": 1}']
)
async def test_a_forged_message_holds_up_no_other(harness: RedisHarness, text: str | None) -> None:
    queue = await harness.open()
    client, keys = harness.server.admin(), harness.keys
    forged = "msg_forged"
    client.zadd(keys.webhooks_due(TOLD.name), {forged: 1})
    client.zadd(keys.webhook_targets, {TOLD.name: 1})
    if text is not None:
        client.hset(keys.messages, forged, text)
    job = (await queue.jobs.enqueue(a_job(webhooks=(TOLD,)))).job
    await queue.jobs.cancel(job.id)
    (claim,) = await queue.jobs.claim(TOLD.name, 5)
    assert claim.delivery.ended.job_id == job.id
    assert client.zscore(keys.webhooks_due(TOLD.name), forged) is None
    assert not client.hexists(keys.messages, forged)


async def test_a_message_that_nobody_can_read_is_dropped_in_the_end(harness: RedisHarness) -> None:
    queue = await harness.open()
    client, keys = harness.server.admin(), harness.keys
    job = (await queue.jobs.enqueue(a_job(webhooks=(TOLD,)))).job
    await queue.jobs.cancel(job.id)
    name = delivery_id(job.id, 1, TOLD.name)
    client.hset(keys.messages, name, '{"state": "pending", "tries": 0}')
    for _ in range(101):
        assert await queue.jobs.claim(TOLD.name, 1) == ()
        harness.clock.advance(ms=CLAIM_MS)
    assert client.zcard(keys.webhooks_due(TOLD.name)) == 0
    assert await queue.jobs.due_targets(5) == ()
    assert await queue.jobs.deliveries(job.id) == ()


async def test_all_that_was_kept_for_a_message_goes_with_it(harness: RedisHarness) -> None:
    queue = await harness.open()
    client, keys = harness.server.admin(), harness.keys
    job = (await queue.jobs.enqueue(a_job(webhooks=(TOLD,)))).job
    await queue.jobs.cancel(job.id)
    (claim,) = await queue.jobs.claim(TOLD.name, 1)
    assert await queue.jobs.settle(claim, Outcome(DeliveryState.DELIVERED, status=200))
    harness.leap(24 * 3600 * 1000)
    queue.work.tend()
    assert client.keys(f"{keys.prefix}:webhooks:*") == []


async def test_an_endpoint_is_not_named_in_what_a_job_s_readers_are_told(harness: RedisHarness) -> None:
    queue = await harness.open()
    job = (await queue.jobs.enqueue(a_job(webhooks=(TOLD,)))).job
    await queue.jobs.cancel(job.id)
    events = await queue.jobs.events(job.id, 0, 0)
    assert [event.kind for event in events] == [EventKind.STATE, EventKind.STATE]
    assert (await queue.jobs.get(job.id)).state is JobState.ERROR
    assert TOLD.name not in repr(events)

"""Finding jobs in Redis: many steps give what one gives, and jobs of a version without cards are found too."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contract.queue_harness import OpenQueue, enqueue, fetch
from contract.queue_suite_admin import add, end, ids_of, naively_found
from contract.test_redis_queue import RedisHarness
from flowscale.jobs import JobState
from flowscale.queues.finding import Wanted, read_question
from flowscale.queues.redis.operations import searching
from flowscale.testing import a_failure


@pytest.fixture
async def harness() -> AsyncIterator[RedisHarness]:
    opened = RedisHarness()
    yield opened
    await opened.close()


@pytest.mark.parametrize("most", [0, 20_000], ids=["walking", "gathering"])
async def test_many_steps_find_what_one_finds(
    harness: RedisHarness, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(searching, "STRETCH", 7)
    monkeypatch.setattr(searching, "GATHERED_AT_MOST", most)
    queue = await harness.open()
    chance = random.Random(most)
    words = ("a", "ab", "abc", "b", "ba", "disk")
    for number in range(80):
        await add(queue, " ".join(chance.sample(words, chance.randrange(4))) or None, chance.choice(words))
        if number % 3 == 0:
            await end(queue, chance.choice((None, "ABC")))
        elif number % 3 == 1:
            queue.work.fail(fetch(queue), a_failure("ABC"))
    jobs = list((await queue.jobs.list(None, 200, None)).jobs)
    assert len(jobs) == 80
    for _ in range(100):
        question = " ".join(word[: chance.randrange(1, 4)] for word in chance.sample(words, chance.randrange(3)))
        state = chance.choice((None, *JobState))
        expected = naively_found(jobs, question, state)
        limit, cursor = chance.randrange(1, 30), chance.choice((None, chance.choice(jobs).id))
        found = await queue.jobs.search(Wanted(state=state, words=read_question(question)), limit, cursor)
        older = [job_id for job_id in expected if cursor is None or job_id < cursor]
        assert [job.id for job in found.jobs] == older[:limit], (question, state)
        assert found.total == len(expected), (question, state)


def without_cards(harness: RedisHarness) -> None:
    """As a version that kept none left it."""
    harness.server.admin().delete(harness.keys.cards, harness.keys.find)


async def cards(harness: RedisHarness, queue: OpenQueue) -> int:
    """How many jobs have cards, after a round of housekeeping."""
    queue.work.tend()
    return int(harness.server.admin().hlen(harness.keys.cards))


async def test_jobs_of_a_version_without_cards_are_listed_at_once_and_found_after_a_while(
    harness: RedisHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "FILED_AT_ONCE", 3)
    queue = await harness.open()
    jobs = [await add(queue, "beta", f"ride-{number}") for number in range(8)]
    for code in ("DISK_FULL", None):
        await end(queue, code)
    without_cards(harness)
    everything = [job.id for job in reversed(jobs)]
    assert await ids_of(queue, "") == everything
    assert await ids_of(queue, jobs[5].id) == [jobs[5].id]
    assert await ids_of(queue, "beta") == []
    assert [await cards(harness, queue) for _ in range(4)] == [3, 6, 8, 8]
    assert await ids_of(queue, "beta") == everything
    assert await ids_of(queue, "disk_full ride") == [jobs[0].id]


async def test_a_job_that_ends_before_it_has_its_card_is_found_by_its_code(harness: RedisHarness) -> None:
    queue = await harness.open()
    failing, retried = [await add(queue, "beta") for _ in range(2)]
    without_cards(harness)
    await end(queue, "DISK_FULL")
    await end(queue, "NO_OUTPUT")
    await queue.jobs.retry(retried.id)
    newer = await add(queue, "beta")
    assert await cards(harness, queue) == 3
    assert await ids_of(queue, "disk") == [failing.id]
    assert await ids_of(queue, "no_out") == []
    assert await ids_of(queue, "beta") == [newer.id, retried.id, failing.id]


async def test_an_old_job_can_be_removed_before_it_has_its_card(harness: RedisHarness) -> None:
    queue = await harness.open()
    (old,) = await enqueue(queue)
    without_cards(harness)
    await queue.jobs.remove(old.id)
    assert await cards(harness, queue) == 0
    left = {key.decode() for key in harness.server.admin().scan_iter(match=f"{harness.keys.prefix}*")}
    assert left == {harness.keys.of(name) for name in ("queues", "counters", "joined", "removed", "history")}


async def test_cards_go_whose_jobs_a_version_without_cards_forgot(harness: RedisHarness) -> None:
    queue = await harness.open()
    forgotten, lacking, whole = [await add(queue, "beta", "ride") for _ in range(3)]
    client, keys = harness.server.admin(), harness.keys
    forgotten_keys = (keys.record(forgotten.id), keys.events(forgotten.id), keys.line(forgotten.priority))
    client.delete(*forgotten_keys)  # as that version's script retires a job
    for index in (keys.every_job, keys.in_state("queued")):
        client.zrem(index, forgotten.id)
    client.rpush(keys.line(whole.priority), lacking.id, whole.id)
    client.hdel(keys.cards, lacking.id)  # as many cards as jobs, and yet one lacks its own
    for _ in range(3):
        queue.work.tend()
    assert sorted(client.hkeys(keys.cards)) == sorted(job.id.encode() for job in (lacking, whole))
    assert await ids_of(queue, "beta") == [whole.id, lacking.id]
    entries = client.zrangebylex(keys.find, "-", "+")
    assert {str(entry, "utf-8").partition("\0")[2] for entry in entries if isinstance(entry, bytes)} == {
        lacking.id,
        whole.id,
    }


async def test_nothing_is_left_of_removed_jobs_once_their_outputs_are_deleted(harness: RedisHarness) -> None:
    queue = await harness.open()
    for number in range(12):
        job = await add(queue, "beta", "ride")
        if number % 4:
            queue.work.progress(fetch(queue), 1, ["line"])
        if number % 4 == 1:
            await queue.jobs.cancel(job.id)
    while running := await queue.jobs.running():
        harness.advance(30_000)
        queue.work.tend()
        assert await queue.jobs.running() != running
    for job_id in await ids_of(queue, ""):
        await queue.jobs.remove(job_id)
        await queue.jobs.cleared(job_id)
    queue.work.tend()
    left = {key.decode() for key in harness.server.admin().scan_iter(match=f"{harness.keys.prefix}*")}
    assert left <= {harness.keys.of(name) for name in ("queues", "counters", "joined", "turns", "history", "untidy")}


def test_a_step_of_a_search_writes_nothing() -> None:
    folder = Path(searching.__file__).parents[1] / "lua"
    for name in ("walk", "gather"):
        assert (folder / f"{name}.lua").read_text().startswith("#!lua flags=no-writes\n")

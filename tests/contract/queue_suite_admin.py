"""What every backend owes the people who run the service: one test for each sentence of AdminQueue."""

from __future__ import annotations

import asyncio
import random
import re
from functools import partial

import pytest

from contract.queue_harness import (
    POLICY,
    OpenQueue,
    QueueHarness,
    enqueue,
    fetch,
    fetch_all,
    in_threads,
    retries,
    soon,
    start_one,
)
from flowscale.errors import Conflict, InvalidOptions, JobNotFound, LeaseLost
from flowscale.jobs import CANCELLED, TAIL_LINES, TAILS_KEPT, Job, JobState, Priority
from flowscale.queues.admin_view import REMOVED_AT_ONCE, AuditEntry, ServerReading, Standing
from flowscale.queues.base import FAIRNESS_EVERY, Depth, Idempotency
from flowscale.queues.finding import Wanted, read_question
from flowscale.queues.history import POINTS, STEP_MS
from flowscale.queues.told import Facts, Told
from flowscale.testing import a_failure, a_job, an_output
from flowscale.webhooks.deliveries import own_target

UNKNOWN = "job_1700000000000_" + "f" * 32

FACTS = Facts(
    sources=({"container": "mov", "durationMs": 10_000, "size": 5, "streams": [{"kind": "video"}]},),
    commands=(("ffmpeg", "-i", "source-0", "-filter_complex", "[0:v]scale=2:2[v];ü"),),
)


async def add(queue: OpenQueue, project: str | None = None, label: str | None = None) -> Job:
    """A new job of this project with this label."""
    spec = {"sources": [], **({"outputName": label} if label else {})}
    return (await queue.jobs.enqueue(a_job(project_id=project, spec=spec))).job


async def ids_of(queue: OpenQueue, question: str, state: JobState | None = None) -> list[str]:
    """What a search gives, after checking that it counts what it gives."""
    found = await queue.jobs.search(Wanted(state=state, words=read_question(question)), 200, None)
    assert (found.total, found.next_cursor) == (len(found.jobs), None)
    assert all(state in (None, job.state) for job in found.jobs)
    return [job.id for job in found.jobs]


async def end(queue: OpenQueue, code: str | None) -> Job:
    """Start the next job and end it: well, or with this code."""
    execution = fetch(queue)
    if code is None:
        return queue.work.commit(execution, an_output(execution))
    return queue.work.fail(execution, a_failure(code, retryable=False))


def naive_words(job: Job) -> set[str]:
    """The words a job should be found by, as the sentence of AdminQueue has it."""
    label = job.spec.get("outputName") or ""
    whole = [word for text in (job.project_id or "", label) for word in text.lower().split()]
    parts = [part for word in whole for part in re.split(r"[\W_]+", word) if part]
    code = [job.failure.code.lower()] if job.failure is not None and job.state is JobState.ERROR else []
    return {job.id, *whole, *parts, *code}


def naively_found(jobs: list[Job], question: str, state: JobState | None) -> list[str]:
    words = question.lower().split()
    return [
        job.id
        for job in sorted(jobs, key=lambda job: job.id, reverse=True)
        if state in (None, job.state) and all(any(own.startswith(word) for own in naive_words(job)) for word in words)
    ]


class SearchSuite:
    async def test_a_job_is_found_by_the_beginning_of_each_of_its_words(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        job = await add(queue, "Team A/films", "night_Ride-2")
        other = await add(queue, "team-b", "day")
        for question in ("TEAM", "a/f", "films", "night_r", "night ride", "rid", "2", job.id, job.id[:40] + " te"):
            assert job.id in await ids_of(queue, question), question
        assert await ids_of(queue, "ride") == [job.id]
        assert await ids_of(queue, "team") == [other.id, job.id]
        assert await ids_of(queue, "") == [other.id, job.id]
        assert await ids_of(queue, other.id) == [other.id]
        for question in ("eam", "ights", "ride day", "team\x00", job.id + "0", "\x01pteam-b"):
            assert await ids_of(queue, question) in ([], [other.id, job.id]), question
        assert await ids_of(queue, "ride day") == await ids_of(queue, "eam") == await ids_of(queue, "pteam-b") == []

    async def test_a_failed_job_is_found_by_its_code_until_it_is_retried(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        job = await add(queue, "cancelled", "invalid_media")
        assert await ids_of(queue, "invalid_m", JobState.ERROR) == []
        await end(queue, "INVALID_MEDIA")
        assert await ids_of(queue, "INVALID_M cancel", JobState.ERROR) == [job.id]
        by_code = partial(queue.jobs.search, limit=5, cursor=None)
        assert (await by_code(Wanted(code="INVALID_MEDIA"))).total == 1
        await queue.jobs.retry(job.id)
        assert (await by_code(Wanted(code="INVALID_MEDIA"))).total == 0
        assert await ids_of(queue, "invalid_media cancelled") == [job.id]  # by its own words still
        await queue.jobs.cancel(job.id)
        assert (await by_code(Wanted(code="CANCELLED"))).total == 1
        assert await ids_of(queue, "cancel", JobState.ERROR) == [job.id]

    async def test_exactly_a_project_and_exactly_a_code(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        for project in ("p", "P", "p 1", None):
            await add(queue, project)
            await end(queue, "DISK_FULL")
        for wanted, total in (
            (Wanted(project="p"), 1),
            (Wanted(project="P"), 1),
            (Wanted(project="p "), 0),
            (Wanted(project="p 1", code="DISK_FULL"), 1),
            (Wanted(code="DISK_FULL"), 4),
            (Wanted(code="DISK"), 0),
            (Wanted(code="disk_full"), 0),
        ):
            assert (await queue.jobs.search(wanted, 10, None)).total == total, wanted

    async def test_states_are_told_apart(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        jobs = [await add(queue, "p") for _ in range(5)]
        await end(queue, None)
        await end(queue, "INVALID_MEDIA")
        queue.work.fail(fetch(queue), a_failure())
        fetch(queue)
        states = (JobState.DONE, JobState.ERROR, JobState.DELAYED, JobState.RUNNING, JobState.QUEUED)
        for job, state in zip(jobs, states, strict=True):
            assert await ids_of(queue, "p", state) == await ids_of(queue, "", state) == [job.id]
        standing = await queue.jobs.standing()
        assert standing == Standing(1, 1, {jobs[3].id: "worker-1"})

    async def test_pages_go_on_where_the_last_one_ended(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        jobs = [await add(queue, "even" if number % 2 == 0 else "odd") for number in range(10)]
        even = [job.id for job in reversed(jobs[::2])]
        seen, cursor = [], None
        for left in (2, 2, 1):
            page = await queue.jobs.search(Wanted(words=("even",)), 2, cursor)
            assert (len(page.jobs), page.total) == (left, 5)
            seen += [job.id for job in page.jobs]
            cursor = page.next_cursor
            if left == 2:
                await queue.jobs.enqueue(a_job(project_id="odd"))  # newer ones disturb no page that follows
        assert (seen, cursor) == (even, None)
        for bad in ("", "x", even[0] + "\n"):
            with pytest.raises(InvalidOptions):
                await queue.jobs.search(Wanted(), 2, bad)

    async def test_every_question_is_answered_as_by_looking_at_every_job(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        chance = random.Random(8)
        words = ("a", "ab", "abc", "b", "ba", "disk", "full-hd", "übung", "x_y")
        for number in range(90):
            project, label = (" ".join(chance.sample(words, chance.randrange(3))) or None for _ in range(2))
            job = await add(queue, project, label)
            if number % 3 == 0:
                await end(queue, chance.choice((None, "DISK_FULL", "ABC")))
            elif number % 3 == 1:
                queue.work.fail(fetch(queue), a_failure("ABC"))
            if number % 10 == 9:
                await queue.jobs.remove(job.id)
        jobs = list((await queue.jobs.list(None, 200, None)).jobs)
        assert len(jobs) > 50
        for _ in range(150):
            question = " ".join(word[: chance.randrange(1, 5)] for word in chance.sample(words, chance.randrange(3)))
            state = chance.choice((None, *JobState))
            expected = naively_found(jobs, question, state)
            limit = chance.randrange(1, 60)
            cursor = chance.choice((None, chance.choice(jobs).id))
            found = await queue.jobs.search(Wanted(state=state, words=read_question(question)), limit, cursor)
            older = [job_id for job_id in expected if cursor is None or job_id < cursor]
            assert [job.id for job in found.jobs] == older[:limit], (question, state)
            assert found.total == len(expected), (question, state)
            assert found.next_cursor == (older[limit - 1] if len(older) > limit else None)


class FrontSuite:
    async def test_it_runs_before_all_that_wait(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        (urgent,) = await enqueue(queue, 1, Priority.HIGH)
        low = await enqueue(queue, 3, Priority.LOW)
        moved = await queue.jobs.move_to_front(low[1].id)
        assert (moved.state, moved.priority) == (JobState.QUEUED, Priority.HIGH)
        assert await queue.jobs.get(low[1].id) == moved
        assert await queue.jobs.position(low[1].id) == 1
        assert (await queue.jobs.depth()).waiting == 4
        assert fetch_all(queue) == [low[1].id, urgent.id, low[0].id, low[2].id]

    async def test_the_one_moved_last_is_first(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        jobs = await enqueue(queue, 3)
        for job in (jobs[1], jobs[2], jobs[2]):
            await queue.jobs.move_to_front(job.id)
        assert [await queue.jobs.position(job.id) for job in jobs] == [3, 2, 1]
        assert fetch_all(queue) == [jobs[2].id, jobs[1].id, jobs[0].id]

    async def test_a_delayed_job_waits_for_its_back_off_no_more(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        delayed = queue.work.fail(await start_one(queue), a_failure())
        await enqueue(queue)
        moved = await queue.jobs.move_to_front(delayed.id)
        assert (moved.state, moved.due_ms, moved.failures) == (JobState.QUEUED, None, 1)
        assert await queue.jobs.depth() == Depth(waiting=2, delayed=0, running=0)
        assert fetch(queue).job.id == delayed.id
        harness.advance(60_000)
        assert delayed.id not in queue.work.tend().promoted

    async def test_it_wakes_a_worker_that_waits_for_a_delayed_job(self, harness: QueueHarness) -> None:
        queue = await harness.open(retries(base_delay_ms=3_600_000), real_time=True)
        delayed = queue.work.fail(await start_one(queue), a_failure())
        fetching = asyncio.create_task(in_threads([partial(queue.work.fetch, "worker-1", 600.0)]))
        await asyncio.sleep(0)
        await queue.jobs.move_to_front(delayed.id)
        (execution,) = await soon(fetching)
        assert execution is not None
        assert execution.job.id == delayed.id

    async def test_it_keeps_its_place_when_it_is_given_back_and_its_priority_when_retried(
        self, harness: QueueHarness
    ) -> None:
        queue = await harness.open()
        jobs = await enqueue(queue, 2, Priority.LOW)
        (urgent,) = await enqueue(queue, 1, Priority.HIGH)
        await queue.jobs.move_to_front(jobs[1].id)
        queue.work.release(fetch(queue))
        execution = fetch(queue)
        assert execution.job.id == jobs[1].id
        queue.work.lose(execution)
        await queue.jobs.cancel(jobs[1].id)
        await queue.jobs.retry(jobs[1].id)
        assert fetch_all(queue) == [urgent.id, jobs[1].id, jobs[0].id]

    async def test_the_turn_of_the_longest_wait_stays(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        (patient,) = await enqueue(queue, 1, Priority.LOW)
        others = await enqueue(queue, FAIRNESS_EVERY)
        for job in others:
            await queue.jobs.move_to_front(job.id)
        assert fetch_all(queue).index(patient.id) == FAIRNESS_EVERY - 1

    async def test_only_a_job_that_waits_can_be_moved(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        running, done = await start_one(queue), await start_one(queue)
        queue.work.commit(done, an_output(done))
        for job_id in (running.job.id, done.job.id):
            before = await queue.jobs.get(job_id)
            with pytest.raises(Conflict):
                await queue.jobs.move_to_front(job_id)
            assert await queue.jobs.get(job_id) == before
        with pytest.raises(JobNotFound):
            await queue.jobs.move_to_front(UNKNOWN)

    async def test_a_move_and_a_fetch_never_make_two_of_a_job(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        jobs = await enqueue(queue, 60)

        def work(worker: str) -> list[str]:
            return fetch_all(queue, worker)

        working = asyncio.create_task(in_threads([partial(work, f"worker-{number}") for number in range(4)]))
        for job in reversed(jobs):
            try:
                await queue.jobs.move_to_front(job.id)
            except Conflict:
                await asyncio.sleep(0)  # it runs
        taken = [job_id for ids in await working for job_id in ids] + fetch_all(queue)
        assert sorted(taken) == [job.id for job in jobs]
        assert await queue.jobs.depth() == Depth(waiting=0, delayed=0, running=60)


class RemovalSuite:
    async def test_nothing_is_left_of_a_job_in_any_state_but_running(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        done, failed = await start_one(queue), await start_one(queue)
        queue.work.progress(done, 5, ["line"])
        queue.work.describe(done, FACTS)
        queue.work.commit(done, an_output(done))
        queue.work.fail(failed, a_failure(retryable=False))
        delayed = queue.work.fail(await start_one(queue), a_failure())
        (waiting, stays) = await enqueue(queue, 2)
        counted = (await queue.jobs.figures()).counts
        gone = [done.job.id, failed.job.id, delayed.id, waiting.id]
        for job_id in gone:
            last = await queue.jobs.get(job_id)
            assert await queue.jobs.remove(job_id) == last
            with pytest.raises(JobNotFound):
                await queue.jobs.get(job_id)
            with pytest.raises(JobNotFound):
                await queue.jobs.events(job_id, 0, 0)
            with pytest.raises(JobNotFound):
                await queue.jobs.remove(job_id)
            assert await queue.jobs.told(job_id) == Told()
        assert await ids_of(queue, "") == [stays.id]
        assert await ids_of(queue, "ffmpeg_exit") == []
        assert await queue.jobs.depth() == Depth(waiting=1, delayed=0, running=0)
        assert await queue.jobs.standing() == Standing(0, 0, {})
        ended = (await queue.jobs.figures()).counts
        added = {name: count - counted.get(name, 0) for name, count in ended.items()}
        # The delayed and the waiting one ended by it; the delayed one had begun.
        assert added.pop("ended:error") == added.pop("failed:CANCELLED") == 2
        assert {name for name, count in added.items() if count} <= {"took:10", "took:count", "took:ms"}
        harness.advance(POLICY.retention_ms)
        queue.work.tend()
        assert fetch_all(queue) == [stays.id]

    async def test_whoever_is_told_of_its_end_hears_of_a_job_that_was_removed_while_it_waited(
        self, harness: QueueHarness
    ) -> None:
        queue = await harness.open()
        endpoint = own_target("https://hooks.example/")
        waiting, ended = [(await queue.jobs.enqueue(a_job(webhooks=(endpoint,)))).job for _ in range(2)]
        await queue.jobs.cancel(ended.id)
        for job in (waiting, ended):
            await queue.jobs.remove(job.id)
        claims = await queue.jobs.claim(endpoint.name, 5)
        assert sorted(claim.delivery.ended.job_id for claim in claims) == sorted([waiting.id, ended.id])
        assert {claim.delivery.ended.failure for claim in claims} == {CANCELLED}

    async def test_its_outputs_are_noted_until_they_are_cleared(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        jobs = await enqueue(queue, 3)
        for job in jobs:
            await queue.jobs.remove(job.id)
            harness.advance(1)
        assert list(await queue.jobs.removed()) == [job.id for job in jobs]
        for _ in range(2):
            await queue.jobs.cleared(jobs[1].id)
        assert list(await queue.jobs.removed()) == [jobs[0].id, jobs[2].id]

    async def test_so_many_are_told_at_once(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        for job in await enqueue(queue, REMOVED_AT_ONCE + 1):
            await queue.jobs.remove(job.id)
        assert len(await queue.jobs.removed()) == REMOVED_AT_ONCE

    async def test_a_running_job_stays(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        with pytest.raises(Conflict, match="cancel it"):
            await queue.jobs.remove(execution.job.id)
        assert await queue.jobs.removed() in ((), [])
        assert queue.work.commit(execution, an_output(execution)).state is JobState.DONE

    async def test_an_execution_of_a_removed_job_is_fenced(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        queue.work.release(execution)
        await queue.jobs.remove(execution.job.id)
        for call in (
            partial(queue.work.renew, execution),
            partial(queue.work.commit, execution, an_output(execution)),
            partial(queue.work.describe, execution, FACTS),
            partial(queue.work.lose, execution),
        ):
            with pytest.raises(LeaseLost):
                call()

    async def test_its_idempotency_key_makes_a_new_job(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        first = await queue.jobs.enqueue(a_job(), Idempotency("key", "body"))
        await queue.jobs.remove(first.job.id)
        again = await queue.jobs.enqueue(a_job(), Idempotency("key", "body"))
        assert again.created

    async def test_a_reader_of_its_events_is_told(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        (job,) = await enqueue(queue)
        reading = asyncio.create_task(queue.jobs.events(job.id, 1, 600.0))
        await asyncio.sleep(0)
        await queue.jobs.remove(job.id)
        with pytest.raises(JobNotFound):
            await soon(reading)

    async def test_a_removal_and_a_fetch_never_both_get_the_job(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        jobs = await enqueue(queue, 60)
        working = asyncio.create_task(
            in_threads([partial(fetch_all, queue, f"worker-{number}") for number in range(4)])
        )
        removed = []
        for job in reversed(jobs):
            try:
                removed.append((await queue.jobs.remove(job.id)).id)
            except Conflict:
                await asyncio.sleep(0)  # it runs
        taken = [job_id for ids in await working for job_id in ids]
        assert sorted([*taken, *removed]) == [job.id for job in jobs]
        assert await queue.jobs.depth() == Depth(waiting=0, delayed=0, running=len(taken))


class TellingSuite:
    async def test_what_an_execution_tells_is_kept_beside_its_job(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        execution = await start_one(queue)
        assert await queue.jobs.told(execution.job.id) == await queue.jobs.told(UNKNOWN) == Told()
        queue.work.describe(execution, Facts(FACTS.sources))
        queue.work.describe(execution, FACTS)
        assert await queue.jobs.told(execution.job.id) == Told(FACTS)
        queue.work.commit(execution, an_output(execution))
        with pytest.raises(LeaseLost):
            queue.work.describe(execution, Facts())
        assert await queue.jobs.told(execution.job.id) == Told(FACTS)

    async def test_each_attempt_has_its_own_last_lines(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        first = await start_one(queue)
        queue.work.progress(first, 1, [f"first {number}" for number in range(TAIL_LINES + 5)])
        queue.work.release(first)  # no attempt: its lines are nobody's
        second = fetch(queue)
        queue.work.progress(second, None, ["a", "ü {b}"])
        queue.work.lose(second)
        silent = fetch(queue)
        queue.work.lose(silent)
        third = fetch(queue)
        queue.work.progress(third, 2, [f"line {number}" for number in range(TAIL_LINES + 5)])
        queue.work.commit(third, an_output(third))
        tails = (await queue.jobs.told(first.job.id)).tails
        assert tails == {1: ("a", "ü {b}"), 3: tuple(f"line {number}" for number in range(5, TAIL_LINES + 5))}

    async def test_lines_of_the_last_attempts_are_kept(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        (job,) = await enqueue(queue)
        for number in range(1, TAILS_KEPT + 3):
            execution = fetch(queue)
            queue.work.progress(execution, None, [f"attempt {number}"])
            queue.work.fail(execution, a_failure(retryable=False))
            await queue.jobs.retry(job.id)
        tails = (await queue.jobs.told(job.id)).tails
        assert tails == {number: (f"attempt {number}",) for number in range(3, TAILS_KEPT + 3)}


class HistorySuite:
    async def test_minutes_tell_what_happened_in_them(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        queue.work.tend()
        before = await queue.jobs.history()
        assert len(before) == POINTS
        await enqueue(queue, 5)
        await end(queue, None)
        await end(queue, "INVALID_MEDIA")
        harness.advance(STEP_MS)
        for _ in range(3):
            queue.work.tend()
        await enqueue(queue, 1)
        fetch(queue)
        points = await queue.jobs.history()
        assert [point.at_ms for point in points] == [
            points[-1].at_ms - STEP_MS * ago for ago in range(POINTS - 1, -1, -1)
        ]
        whole, current = points[-2:]
        assert (whole.enqueued, whole.done, whole.error, whole.waiting, whole.running) == (5, 1, 1, 0, 0)
        assert (current.enqueued, current.done, current.waiting, current.running) == (1, 0, 3, 1)
        assert points[-3].enqueued is None

    async def test_minutes_in_which_nobody_tended_are_not_known(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        queue.work.tend()
        await enqueue(queue, 1)
        harness.advance(3 * STEP_MS)
        queue.work.tend()
        points = await queue.jobs.history()
        assert [point.enqueued for point in points[-4:]] == [None, None, None, 0]
        harness.advance(POINTS * STEP_MS)
        assert {point.enqueued for point in await queue.jobs.history()} == {None}

    async def test_many_who_tend_take_one_sample(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        queue.work.tend()
        harness.advance(STEP_MS)
        await in_threads([queue.work.tend] * 8)
        await enqueue(queue, 2)
        harness.advance(STEP_MS)
        await in_threads([queue.work.tend] * 8)
        assert [point.enqueued for point in (await queue.jobs.history())[-3:]] == [0, 2, 0]


class AuditSuite:
    async def test_entries_come_back_newest_first_in_pages(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        entries = [
            AuditEntry(
                1_700_000_000_000 + number, f"ü {number}", "remove", f"job {number}" if number % 2 else None, "ok", "r"
            )
            for number in range(5)
        ]
        for entry in entries:
            await queue.jobs.add_audit(entry)
        seen: list[AuditEntry] = []
        cursor = None
        for expected in (2, 2, 1):
            page = await queue.jobs.audit(2, cursor)
            assert len(page.entries) == expected
            seen += page.entries
            cursor = page.next_cursor
        assert (seen, cursor) == (entries[::-1], None)
        for bad in ("x", "-", "1-1 ", "", "0-0", f"{2**64}-0", f"1-{2**64}", f"{10**20}"):
            with pytest.raises(InvalidOptions):
                await queue.jobs.audit(2, bad)

    async def test_the_server_says_what_it_is(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        reading = await queue.jobs.server()
        assert reading == ServerReading("memory") or (reading.kind == "redis" and (reading.memory_bytes or 0) > 0)


class AdminSuite(SearchSuite, FrontSuite, RemovalSuite, TellingSuite, HistorySuite, AuditSuite):
    """All of it."""

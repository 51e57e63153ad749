"""What every backend owes of webhooks: one message for each end of a job and each of its endpoints, however it ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from contract.queue_harness import POLICY, OpenQueue, QueueHarness, fetch, in_threads
from flowscale.errors import JobNotFound, LeaseLost, NotFound
from flowscale.jobs import Failure, Job, Target
from flowscale.queues.outbox import CLAIM_MS, KEPT_MS, DueTarget
from flowscale.testing import a_failure, a_job, an_output
from flowscale.webhooks.deliveries import (
    Claim,
    Delivery,
    DeliveryState,
    Ended,
    Outcome,
    delivery_id,
    own_target,
    url_target,
)

OWN = own_target("https://hooks.example/flowscale")
THEIRS = url_target("https://client.example:8443/jobs?key=1")
BOTH = (OWN, THEIRS)

DELIVERED = Outcome(DeliveryState.DELIVERED, status=204)
REFUSED = Outcome(DeliveryState.FAILED, status=410, fault="it answered 410, which is for good", answer="go away")


def again(ms: int) -> Outcome:
    return Outcome(DeliveryState.PENDING, ms, 500, "it answered 500", "oh")


async def accepted(queue: OpenQueue, *targets: Target, project: str | None = None) -> Job:
    return (await queue.jobs.enqueue(a_job(webhooks=targets or (OWN,), project_id=project))).job


async def ended(queue: OpenQueue, *targets: Target) -> Job:
    job = await accepted(queue, *targets)
    execution = fetch(queue)
    return queue.work.commit(execution, an_output(execution)) if execution.job.id == job.id else job


async def claim_one(queue: OpenQueue, target: Target = OWN) -> Claim:
    (claim,) = await queue.jobs.claim(target.name, 1)
    return claim


End = Callable[[OpenQueue, QueueHarness, Job], Awaitable[None]]


async def by_commit(queue: OpenQueue, _: QueueHarness, job: Job) -> None:
    execution = fetch(queue)
    queue.work.commit(execution, an_output(execution))
    queue.work.commit(execution, an_output(execution))  # its answer was lost, and it is asked again


async def by_failure(queue: OpenQueue, _: QueueHarness, job: Job) -> None:
    queue.work.fail(fetch(queue), a_failure(retryable=False))


async def by_last_attempt(queue: OpenQueue, harness: QueueHarness, job: Job) -> None:
    for _ in range(POLICY.retry.max_attempts):
        queue.work.fail(fetch(queue), a_failure())
        harness.advance(60_000)


async def by_cancel_of_a_waiting_one(queue: OpenQueue, _: QueueHarness, job: Job) -> None:
    await queue.jobs.cancel(job.id)
    await queue.jobs.cancel(job.id)


async def by_cancel_of_a_delayed_one(queue: OpenQueue, _: QueueHarness, job: Job) -> None:
    queue.work.fail(fetch(queue), a_failure())
    await queue.jobs.cancel(job.id)


async def by_failure_of_a_cancelled_one(queue: OpenQueue, _: QueueHarness, job: Job) -> None:
    execution = fetch(queue)
    await queue.jobs.cancel(job.id)
    queue.work.fail(execution, a_failure())


async def by_release_of_a_cancelled_one(queue: OpenQueue, _: QueueHarness, job: Job) -> None:
    execution = fetch(queue)
    await queue.jobs.cancel(job.id)
    queue.work.release(execution)


async def by_loss_of_a_cancelled_one(queue: OpenQueue, _: QueueHarness, job: Job) -> None:
    execution = fetch(queue)
    await queue.jobs.cancel(job.id)
    queue.work.lose(execution)


async def by_stalls(queue: OpenQueue, harness: QueueHarness, job: Job) -> None:
    for _ in range(POLICY.retry.max_stalls + 1):
        fetch(queue)
        harness.advance(POLICY.lease_ms)
        queue.work.tend()


ENDS: tuple[tuple[End, str | None], ...] = (
    (by_commit, None),
    (by_failure, "FFMPEG_EXIT_ERROR"),
    (by_last_attempt, "FFMPEG_EXIT_ERROR"),
    (by_cancel_of_a_waiting_one, "CANCELLED"),
    (by_cancel_of_a_delayed_one, "CANCELLED"),
    (by_failure_of_a_cancelled_one, "CANCELLED"),
    (by_release_of_a_cancelled_one, "CANCELLED"),
    (by_loss_of_a_cancelled_one, "CANCELLED"),
    (by_stalls, "WORKER_LOST"),
)


class WebhooksSuite:
    """The outbox."""

    @pytest.mark.parametrize(("end", "code"), ENDS, ids=lambda each: getattr(each, "__name__", ""))
    async def test_every_end_makes_one_message_for_each_endpoint(
        self, harness: QueueHarness, end: End, code: str | None
    ) -> None:
        queue = await harness.open()
        job = await accepted(queue, *BOTH, project="spring")
        assert await queue.jobs.deliveries(job.id) == ()
        await end(queue, harness, job)
        now = await queue.jobs.get(job.id)
        assert now.state.is_final
        assert now.completed_ms is not None
        assert (now.failure.code if now.failure else None) == code
        told = Ended(job.id, now.completed_ms, "spring", now.output, now.duration_ms, _bare(now.failure))
        assert await queue.jobs.deliveries(job.id) == tuple(
            Delivery(delivery_id(job.id, 1, target.name), target, told, now.completed_ms, next_ms=now.completed_ms)
            for target in BOTH
        )
        assert {due.name for due in await queue.jobs.due_targets(10)} == {OWN.name, THEIRS.name}

    async def test_a_job_that_has_not_ended_or_tells_nobody_makes_none(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        job = await accepted(queue)
        queue.work.fail(fetch(queue), a_failure())
        harness.advance(5_000)
        execution = fetch(queue)
        queue.work.release(execution)
        fetch(queue)
        harness.advance(POLICY.lease_ms)
        queue.work.tend()
        assert await queue.jobs.deliveries(job.id) == ()
        silent = (await queue.jobs.enqueue(a_job())).job
        await queue.jobs.cancel(silent.id)
        assert await queue.jobs.deliveries(silent.id) == ()
        assert await queue.jobs.due_targets(10) == ()

    async def test_a_job_ended_again_after_a_retry_makes_another(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        job = await accepted(queue)
        await queue.jobs.cancel(job.id)
        await queue.jobs.retry(job.id)
        execution = fetch(queue)
        queue.work.commit(execution, an_output(execution))
        first, second = await queue.jobs.deliveries(job.id)
        assert [first.id, second.id] == [delivery_id(job.id, number, OWN.name) for number in (1, 2)]
        assert [first.ended.status, second.ended.status] == ["error", "done"]
        assert first.ended.failure is not None
        assert second.ended.output == an_output(execution)

    async def test_an_end_that_was_refused_makes_none(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        job = await accepted(queue)
        lost = fetch(queue)
        harness.advance(POLICY.lease_ms)
        queue.work.tend()
        with pytest.raises(LeaseLost):
            queue.work.commit(lost, an_output(lost))
        with pytest.raises(LeaseLost):
            queue.work.fail(lost, a_failure(retryable=False))
        assert await queue.jobs.deliveries(job.id) == ()

    async def test_of_many_ends_at_once_one_makes_a_message(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        job = await accepted(queue)
        execution = fetch(queue)

        def end(which: int) -> bool:
            try:
                if which % 2:
                    queue.work.commit(execution, an_output(execution, size=which))
                else:
                    queue.work.fail(execution, a_failure(retryable=False))
            except LeaseLost:
                return False
            return True

        ended_it = await in_threads([lambda which=which: end(which) for which in range(12)])  # type: ignore[misc]  # a default argument binds the number
        assert sum(ended_it) == 1
        assert len(await queue.jobs.deliveries(job.id)) == 1

    async def test_a_message_is_claimed_by_one_and_by_another_only_after_a_while(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        await ended(queue)
        claim = await claim_one(queue)
        assert (claim.delivery.tries, claim.delivery.state) == (1, DeliveryState.PENDING)
        assert await queue.jobs.claim(OWN.name, 5) == ()
        assert await queue.jobs.due_targets(5) == ()
        harness.advance(CLAIM_MS)
        later = await claim_one(queue)
        assert (later.delivery.id, later.delivery.tries) == (claim.delivery.id, 2)
        assert not await queue.jobs.settle(claim, DELIVERED)
        assert await queue.jobs.settle(later, DELIVERED)
        assert not await queue.jobs.settle(later, REFUSED)
        (delivery,) = await queue.jobs.deliveries(claim.delivery.ended.job_id)
        assert (delivery.state, delivery.status, delivery.next_ms) == (DeliveryState.DELIVERED, 204, None)

    async def test_a_failed_try_is_due_again_after_its_wait(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        job = await ended(queue)
        claim = await claim_one(queue)
        assert await queue.jobs.settle(claim, again(30_000))
        (delivery,) = await queue.jobs.deliveries(job.id)
        assert (delivery.state, delivery.tries, delivery.status, delivery.answer) == (
            *(DeliveryState.PENDING, 1),
            *(500, "oh"),
        )
        assert delivery.next_ms == claim.now_ms + 30_000
        harness.advance(29_999)
        assert await queue.jobs.claim(OWN.name, 1) == ()
        harness.advance(1)
        assert (await claim_one(queue)).delivery.tries == 2

    async def test_a_try_that_was_not_made_does_not_count(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        await ended(queue)
        claim = await claim_one(queue)
        assert await queue.jobs.settle(claim, Outcome(DeliveryState.PENDING, counts=False))
        assert (await claim_one(queue)).delivery.tries == 1

    async def test_those_longest_due_come_first_and_an_endpoint_is_known_by_its_first(
        self, harness: QueueHarness
    ) -> None:
        queue = await harness.open()
        jobs = []
        for _ in range(3):
            jobs.append(await ended(queue, *BOTH))
            harness.advance(1_000)
        at = [job.completed_ms or 0 for job in jobs]
        now = at[2] + 1_000
        assert sorted(await queue.jobs.due_targets(5), key=lambda due: due.name) == [
            DueTarget(OWN.name, at[0], now),
            DueTarget(THEIRS.name, at[0], now),
        ]
        first, second = await queue.jobs.claim(OWN.name, 2)
        assert [first.delivery.ended.job_id, second.delivery.ended.job_id] == [jobs[0].id, jobs[1].id]
        assert DueTarget(OWN.name, at[2], now) in await queue.jobs.due_targets(5)
        await queue.jobs.settle(first, again(0))
        assert DueTarget(OWN.name, at[2], now) in await queue.jobs.due_targets(5)
        assert await queue.jobs.due_targets(1) == (DueTarget(THEIRS.name, at[0], now),)

    @pytest.mark.parametrize("outcome", [DELIVERED, REFUSED])
    async def test_a_replay_begins_anew_under_the_same_id(self, harness: QueueHarness, outcome: Outcome) -> None:
        queue = await harness.open()
        await ended(queue)
        claim = await claim_one(queue)
        await queue.jobs.settle(claim, outcome)
        harness.leap(3_600_000)
        replayed = await queue.jobs.replay(claim.delivery.id)
        assert (replayed.id, replayed.tries, replayed.state) == (claim.delivery.id, 0, DeliveryState.PENDING)
        assert replayed.since_ms == claim.now_ms + 3_600_000
        assert replayed.ended == claim.delivery.ended
        harness.leap(KEPT_MS)
        queue.work.tend()
        again_claimed = await claim_one(queue)
        assert again_claimed.delivery.tries == 1
        assert await queue.jobs.settle(again_claimed, DELIVERED)

    async def test_a_replay_while_it_is_tried_takes_the_claim_away(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        await ended(queue)
        claim = await claim_one(queue)
        await queue.jobs.replay(claim.delivery.id)
        assert not await queue.jobs.settle(claim, REFUSED)
        assert await queue.jobs.settle(await claim_one(queue), DELIVERED)

    @pytest.mark.parametrize(
        "name", ["", "msg_1", "../..", delivery_id("job_1700000000000_" + "0" * 32, 1, OWN.name), "msg_" + "x" * 5_000]
    )
    async def test_a_delivery_that_is_not_there_is_not_replayed(self, harness: QueueHarness, name: str) -> None:
        queue = await harness.open()
        await ended(queue)
        with pytest.raises(NotFound):
            await queue.jobs.replay(name)

    async def test_deliveries_of_a_job_that_is_not_there(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        with pytest.raises(JobNotFound):
            await queue.jobs.deliveries(a_job().id)

    async def test_settled_ones_are_forgotten_after_a_day_and_waiting_ones_are_not(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        delivered, given_up, waiting = [await ended(queue) for _ in range(3)]
        for outcome in (DELIVERED, REFUSED, again(0)):
            await queue.jobs.settle(await claim_one(queue), outcome)
        harness.leap(KEPT_MS - 1)
        queue.work.tend()
        kept = [len(await queue.jobs.deliveries(job.id)) for job in (delivered, given_up, waiting)]
        assert kept == [1, 1, 1]
        harness.advance(1)
        queue.work.tend()
        kept = [len(await queue.jobs.deliveries(job.id)) for job in (delivered, given_up, waiting)]
        assert kept == [0, 0, 1]

    async def test_a_message_that_waits_outlives_its_job(self, harness: QueueHarness) -> None:
        policy = replace(POLICY, keep_done=0, retention_ms=0)
        queue = await harness.open(policy)
        job = await ended(queue)
        queue.work.tend()
        with pytest.raises(JobNotFound):
            await queue.jobs.get(job.id)
        claim = await claim_one(queue)
        assert claim.delivery.ended.job_id == job.id
        assert await queue.jobs.settle(claim, DELIVERED)

    async def test_tries_and_ends_are_counted(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        await ended(queue)
        await ended(queue)
        await queue.jobs.settle(await claim_one(queue), again(0))
        await queue.jobs.settle(await claim_one(queue), DELIVERED)
        await queue.jobs.settle(await claim_one(queue), REFUSED)
        counts = (await queue.jobs.figures()).counts
        assert [counts.get(f"webhook:{what}", 0) for what in ("tried", "delivered", "failed")] == [3, 1, 1]

    async def test_texts_come_through_whole(self, harness: QueueHarness) -> None:
        queue = await harness.open()
        job = await accepted(queue, THEIRS, project='"Frühling" \\ {}')
        failure = Failure("INVALID_MEDIA", 'no "video" \\n in it: 漢字 \U0001f3ac / {}', retryable=False)
        queue.work.fail(fetch(queue), failure)
        claim = await claim_one(queue, THEIRS)
        assert claim.delivery.ended.failure == _bare(failure)
        assert claim.delivery.ended.project_id == job.project_id
        assert claim.delivery.target == THEIRS
        await queue.jobs.settle(claim, Outcome(DeliveryState.FAILED, 0, None, "ü\\", "漢 [] \x7f"))
        (delivery,) = await queue.jobs.deliveries(job.id)
        assert (delivery.status, delivery.fault, delivery.answer) == (None, "ü\\", "漢 [] \x7f")


def _bare(failure: Failure | None) -> Failure | None:
    """As it is told: whether it could have been tried again is no matter of theirs."""
    return None if failure is None else replace(failure, retryable=False)

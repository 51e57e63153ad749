"""Deliveries: the gateway's courier over both queues, whose time the test owns, to real receivers."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from contract.queue_harness import OpenQueue, QueueHarness, fetch
from contract.test_memory_queue import MemoryHarness
from contract.test_redis_queue import RedisHarness
from flowscale.clocks import Clock, SystemClock
from flowscale.jobs import Job, Target
from flowscale.outbound.dialling import Resolve, system_resolve
from flowscale.settings import WebhookSettings
from flowscale.testing import FakeClock, a_failure, a_job, an_output
from flowscale.webhooks.deliveries import Delivery, DeliveryState, own_target, url_target
from flowscale.webhooks.retrying import GIVE_UP_MS, LONGEST_WAIT_SECONDS, WAITS_SECONDS
from flowscale.webhooks.sending import BODY_BYTES, BODY_CHARACTERS, TRY_SECONDS
from flowscale_api.webhooks.courier import HOST_AT_ONCE, OWN_AT_ONCE, TARGETS_AT_ONCE, UNKNOWN_MS, Courier
from webhook_receiver import HOST, Receiver, Reply

SECRETS = ["whsec_" + base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2)]

LOOPBACK = f"{HOST}/32"

SOON_S = 60.0
"""What a test waits at most for something that must happen."""


@pytest.fixture(params=[MemoryHarness, RedisHarness], ids=["memory", "redis"])
async def harness(request: pytest.FixtureRequest) -> AsyncIterator[QueueHarness]:
    opened: QueueHarness = request.param()
    yield opened
    await opened.close()


async def address_of(key: str) -> str:
    return f"https://video.example/{key}"


class Site:
    """A queue, couriers and receivers, all ended with the test."""

    def __init__(self, harness: QueueHarness, queue: OpenQueue) -> None:
        self.harness = harness
        self.queue = queue
        self.stack = ExitStack()
        self.couriers: list[Courier] = []

    def receiver(self, *replies: Reply) -> Receiver:
        return self.stack.enter_context(Receiver(*replies))

    def courier(
        self,
        *receivers: Receiver,
        networks: str | None = LOOPBACK,
        clock: Clock | None = None,
        resolve: Resolve = system_resolve,
        secrets: Sequence[str] = SECRETS[:1],
    ) -> Courier:
        facts: dict[str, Any] = {"urls": tuple(receiver.url for receiver in receivers), "secret": " ".join(secrets)}
        settings = WebhookSettings(**facts, **({"allow_networks": networks} if networks else {}))
        courier = Courier(
            self.queue.jobs,
            settings,
            address_of,
            clock or SystemClock(),
            chance=lambda: 0.5,  # no jitter
            resolve=resolve,
        )
        self.couriers.append(courier)
        return courier

    async def ended(self, *targets: Target) -> Job:
        job = (await self.queue.jobs.enqueue(a_job(webhooks=targets, project_id="spring"))).job
        execution = fetch(self.queue)
        return self.queue.work.commit(execution, an_output(execution)) if execution.job.id == job.id else job

    async def delivered_by(self, courier: Courier) -> None:
        """One round, and all that comes of it."""
        await courier.round()
        await asyncio.wait_for(courier.settled(), SOON_S)

    async def delivery(self, job: Job) -> Delivery:
        (delivery,) = await self.queue.jobs.deliveries(job.id)
        return delivery

    async def close(self) -> None:
        for courier in self.couriers:
            await courier.close()
        self.stack.close()


@pytest.fixture
async def site(harness: QueueHarness) -> AsyncIterator[Site]:
    made = Site(harness, await harness.open())
    yield made
    await made.close()


async def until(check: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SOON_S
    while not check():
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        await asyncio.sleep(0.01)


async def test_a_receiver_of_another_s_making_verifies_what_it_is_told(site: Site) -> None:
    receiver = site.receiver()
    courier = site.courier(receiver, secrets=SECRETS)
    job = await site.ended(own_target(receiver.url))
    await site.delivered_by(courier)
    (request,) = receiver.received
    for secret in SECRETS:
        told = Webhook(secret).verify(request.body, request.headers)
    assert job.output is not None
    assert told == {
        "type": "job.done",
        "timestamp": "2023-11-14T22:13:20.000Z",
        "data": {
            "jobId": job.id,
            "status": "done",
            "projectId": "spring",
            "outputUrl": f"https://video.example/{job.output.key}",
            "outputSize": 1000,
            "outputDurationMs": 10_000,
            "durationMs": 0,
        },
    }
    assert request.headers["content-type"] == "application/json"
    assert request.path == "/hooks?token=do-not-show"
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRETS[0]).verify(request.body + b" ", request.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + base64.b64encode(b"x" * 32).decode()).verify(request.body, request.headers)
    delivery = await site.delivery(job)
    assert (delivery.state, delivery.status, delivery.tries) == (DeliveryState.DELIVERED, 204, 1)


async def test_an_end_in_error_says_why(site: Site) -> None:
    receiver = site.receiver()
    courier = site.courier(receiver)
    job = (await site.queue.jobs.enqueue(a_job(webhooks=(own_target(receiver.url),)))).job
    site.queue.work.fail(fetch(site.queue), a_failure("INVALID_MEDIA", retryable=False))
    await site.delivered_by(courier)
    (request,) = receiver.received
    told = json.loads(request.body)
    assert told["type"] == "job.error"
    assert told["data"] == {
        "jobId": job.id,
        "status": "error",
        "durationMs": 0,
        "error": {"code": "INVALID_MEDIA", "message": "ended with INVALID_MEDIA"},
    }


async def test_a_receiver_that_fails_is_tried_by_the_table_and_then_given_up(site: Site) -> None:
    receiver = site.receiver(Reply(500, body=b"out of order\n\x00"))
    courier = site.courier(receiver)
    job = await site.ended(own_target(receiver.url))
    waits = []
    for wait_s in (*WAITS_SECONDS, None):
        await site.delivered_by(courier)
        delivery = await site.delivery(job)
        if wait_s is None:
            break
        assert (delivery.state, delivery.status, delivery.answer) == (DeliveryState.PENDING, 500, "out of order")
        waits.append(((delivery.next_ms or 0) - (delivery.tried_ms or 0)) // 1000)
        site.harness.leap(wait_s * 1000 - 1)
        await site.delivered_by(courier)
        assert len(receiver.received) == len(waits), "tried before its time"
        site.harness.advance(1)
    assert tuple(waits) == WAITS_SECONDS
    assert (delivery.state, delivery.tries, delivery.next_ms) == (DeliveryState.FAILED, 11, None)
    assert delivery.fault == "it answered 500"
    assert set(receiver.ids()) == {delivery.id}
    assert len({request.body for request in receiver.received}) == 1
    site.harness.leap(LONGEST_WAIT_SECONDS * 1000)
    await site.delivered_by(courier)
    assert len(receiver.received) == 11


async def test_a_replay_after_it_was_given_up_is_delivered(site: Site) -> None:
    receiver = site.receiver(Reply(410), Reply(200))
    courier = site.courier(receiver)
    job = await site.ended(own_target(receiver.url))
    await site.delivered_by(courier)
    assert (await site.delivery(job)).state is DeliveryState.FAILED
    await site.queue.jobs.replay((await site.delivery(job)).id)
    await site.delivered_by(courier)
    assert (await site.delivery(job)).state is DeliveryState.DELIVERED
    first, second = receiver.received
    assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)


async def test_410_is_for_good(site: Site) -> None:
    receiver = site.receiver(Reply(410))
    courier = site.courier(receiver)
    job = await site.ended(own_target(receiver.url))
    await site.delivered_by(courier)
    delivery = await site.delivery(job)
    assert (delivery.state, delivery.status, delivery.tries) == (DeliveryState.FAILED, 410, 1)


AGES_AWAY = "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"


@pytest.mark.parametrize(
    ("asked", "wait_s"),
    [("1", 5), ("60", 60), ("99999999", LONGEST_WAIT_SECONDS), ("soon", 5), ("-7", 5), (AGES_AWAY, 5)],
)
async def test_retry_after_is_honoured_within_bounds(site: Site, asked: str, wait_s: int) -> None:
    receiver = site.receiver(Reply(503, {"Retry-After": asked}))
    courier = site.courier(receiver)
    job = await site.ended(own_target(receiver.url))
    await site.delivered_by(courier)
    delivery = await site.delivery(job)
    assert ((delivery.next_ms or 0) - (delivery.tried_ms or 0)) // 1000 == wait_s


async def test_retry_after_does_not_keep_it_for_ever(site: Site) -> None:
    receiver = site.receiver(Reply(429, {"Retry-After": str(LONGEST_WAIT_SECONDS)}))
    courier = site.courier(receiver)
    job = await site.ended(own_target(receiver.url))
    for _ in range(GIVE_UP_MS // (LONGEST_WAIT_SECONDS * 1000) + 1):
        await site.delivered_by(courier)
        site.harness.leap(LONGEST_WAIT_SECONDS * 1000)
    assert (await site.delivery(job)).state is DeliveryState.FAILED


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(site: Site, status: int) -> None:
    elsewhere = site.receiver()
    inside = site.receiver(Reply(status, {"Location": "http://169.254.169.254/latest/meta-data/"}))
    to_another = site.receiver(Reply(status, {"Location": elsewhere.url}))
    courier = site.courier(inside, to_another)
    jobs = [await site.ended(own_target(receiver.url)) for receiver in (inside, to_another)]
    await site.delivered_by(courier)
    for job in jobs:
        delivery = await site.delivery(job)
        assert (delivery.state, delivery.status) == (DeliveryState.PENDING, status)
    assert elsewhere.received == []


def at(*addresses: str) -> tuple[Resolve, list[str]]:
    """A resolver that gives these addresses, each time the next (the last again); and what it was asked."""
    asked: list[str] = []

    def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return addresses[min(len(asked), len(addresses)) - 1].split()

    return resolve, asked


@pytest.mark.parametrize(
    "addresses",
    [HOST, "169.254.169.254", "10.0.0.7", "::1", "::ffff:127.0.0.1", f"93.184.216.34 {HOST}", "64:ff9b::7f00:1"],
)
async def test_a_job_s_url_that_leads_inside_is_not_called(site: Site, addresses: str) -> None:
    receiver = site.receiver()
    resolve, asked = at(addresses)
    courier = site.courier(networks=None, resolve=resolve)
    job = await site.ended(url_target(f"https://hooks.example:{receiver.port}/secret?key=do-not-show"))
    await site.delivered_by(courier)
    delivery = await site.delivery(job)
    assert (delivery.state, delivery.status, delivery.tries) == (DeliveryState.PENDING, None, 1)
    assert delivery.fault is not None
    assert "hooks.example leads nowhere on the public internet" in delivery.fault
    assert "do-not-show" not in delivery.fault
    assert asked == ["hooks.example"]
    assert receiver.received == []


async def test_a_name_is_resolved_once_and_the_connection_goes_where_it_was_judged(site: Site) -> None:
    receiver = site.receiver(Reply(500), Reply(204))
    resolve, asked = at(HOST, "169.254.169.254")
    courier = site.courier(networks=LOOPBACK, resolve=resolve)
    job = await site.ended(url_target(f"http://rebinding.example:{receiver.port}/"))
    await site.delivered_by(courier)
    assert asked == ["rebinding.example"]
    (request,) = receiver.received
    assert request.headers["host"] == f"rebinding.example:{receiver.port}"
    site.harness.advance(5_000)
    await site.delivered_by(courier)
    assert len(receiver.received) == 1
    delivery = await site.delivery(job)
    assert (delivery.tries, delivery.status) == (2, None)


async def test_http_goes_to_named_networks_only(site: Site) -> None:
    receiver = site.receiver()
    resolve, _ = at("93.184.216.34")
    courier = site.courier(networks=LOOPBACK, resolve=resolve)
    job = await site.ended(url_target(f"http://outside.example:{receiver.port}/"))
    await site.delivered_by(courier)
    fault = (await site.delivery(job)).fault or ""
    assert "needs https://" in fault
    assert receiver.received == []


async def test_a_receiver_that_hangs_holds_up_no_other(site: Site) -> None:
    hanging, fine = site.receiver(Reply(held=True)), site.receiver()
    clock = FakeClock(SystemClock().now_ms())
    courier = site.courier(hanging, fine, clock=clock)
    stuck = [await site.ended(own_target(hanging.url)) for _ in range(3 * OWN_AT_ONCE)]
    jobs = [await site.ended(own_target(fine.url)) for _ in range(12)]
    while (await site.queue.jobs.figures()).counts.get("webhook:delivered", 0) < len(jobs):
        await courier.round()
        await asyncio.sleep(0)
    assert len(hanging.received) <= OWN_AT_ONCE
    await until(lambda: len(hanging.received) == OWN_AT_ONCE, "the hanging receiver's share")
    clock.advance(TRY_SECONDS + 1)
    await asyncio.wait_for(courier.settled(), SOON_S)
    states = [await site.delivery(job) for job in stuck]
    tried = [delivery for delivery in states if delivery.tries]
    assert len(tried) == OWN_AT_ONCE
    assert {delivery.status for delivery in tried} == {None}
    assert all("did not answer" in (delivery.fault or "") for delivery in tried)
    assert {(await site.delivery(job)).state for job in jobs} == {DeliveryState.DELIVERED}


async def test_hosts_that_jobs_name_share_what_is_theirs(site: Site) -> None:
    hanging, fine, own = site.receiver(Reply(held=True)), site.receiver(), site.receiver()
    courier = site.courier(own, clock=FakeClock(SystemClock().now_ms()))
    for _ in range(20):
        await site.ended(url_target(hanging.url))
    theirs = [await site.ended(url_target(fine.url), own_target(own.url)) for _ in range(3)]
    while len(fine.received) < len(theirs) or len(own.received) < len(theirs):
        await courier.round()
        await asyncio.sleep(0)
    assert len(hanging.received) <= HOST_AT_ONCE


async def test_a_courier_that_stops_gives_back_what_is_on_its_way(site: Site) -> None:
    receiver = site.receiver(Reply(held=True), Reply(204))
    courier = site.courier(receiver)
    job = await site.ended(own_target(receiver.url))
    await courier.round()
    await until(lambda: receiver.received, "the first try")
    await asyncio.wait_for(courier.close(), SOON_S)
    assert (await site.delivery(job)).tries == 0
    await site.delivered_by(site.courier(receiver))
    delivery = await site.delivery(job)
    assert (delivery.state, delivery.tries) == (DeliveryState.DELIVERED, 1)
    assert receiver.ids() == [delivery.id] * 2


async def test_of_an_answer_a_little_is_read_and_less_is_kept(site: Site) -> None:
    receiver = site.receiver(Reply(500, body=b"x" * 4_000, dripping=True))
    courier = site.courier(receiver)
    job = await site.ended(own_target(receiver.url))
    await site.delivered_by(courier)
    delivery = await site.delivery(job)
    assert (delivery.status, delivery.answer) == (500, "x" * BODY_CHARACTERS)
    assert BODY_BYTES > BODY_CHARACTERS


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_is_success(site: Site, status: int) -> None:
    receiver = site.receiver(Reply(status))
    job = await site.ended(own_target(receiver.url))
    await site.delivered_by(site.courier(receiver))
    assert (await site.delivery(job)).state is DeliveryState.DELIVERED


async def test_a_receiver_that_is_not_there_is_tried_again(site: Site) -> None:
    with Receiver() as gone:
        url = gone.url
    courier = site.courier(gone)
    job = await site.ended(own_target(url))
    await site.delivered_by(courier)
    delivery = await site.delivery(job)
    assert (delivery.state, delivery.tries) == (DeliveryState.PENDING, 1)
    assert "cannot be reached (Connection refused)" in (delivery.fault or "")
    assert "do-not-show" not in (delivery.fault or "")


async def test_an_endpoint_that_no_settings_name_waits_for_others_and_is_given_up_after_a_day(site: Site) -> None:
    known, removed = site.receiver(), site.receiver()
    job = await site.ended(own_target(removed.url))
    await site.delivered_by(site.courier(known))
    assert (await site.delivery(job)).tries == 0
    site.harness.leap(UNKNOWN_MS)
    await site.delivered_by(site.courier(known))
    delivery = await site.delivery(job)
    assert (delivery.state, removed.received) == (DeliveryState.FAILED, [])
    assert delivery.fault == "the settings name its endpoint no longer"


async def test_without_a_secret_nothing_is_sent(site: Site) -> None:
    receiver = site.receiver()
    await site.ended(own_target(receiver.url))
    courier = Courier(site.queue.jobs, WebhookSettings(), address_of, SystemClock())
    site.couriers.append(courier)
    await site.delivered_by(courier)
    assert receiver.received == []


async def test_two_couriers_deliver_each_message_once(site: Site) -> None:
    receiver = site.receiver()
    couriers = [site.courier(receiver) for _ in range(2)]
    jobs = [await site.ended(own_target(receiver.url)) for _ in range(40)]
    while len(receiver.received) < len(jobs):
        await asyncio.gather(*(courier.round() for courier in couriers))
        await asyncio.sleep(0)
    for courier in couriers:
        await asyncio.wait_for(courier.settled(), SOON_S)
    assert len(set(receiver.ids())) == len(receiver.ids()) == len(jobs)


def test_the_table_grows_over_about_a_day() -> None:
    assert 23 * 3600 < sum(WAITS_SECONDS) < 24 * 3600
    assert list(WAITS_SECONDS) == sorted(WAITS_SECONDS)


async def test_hosts_that_jobs_name_do_not_hold_up_the_installations_own(site: Site) -> None:
    receiver = site.receiver(Reply(204))
    courier = site.courier(receiver, resolve=refused_if_named)
    for number in range(TARGETS_AT_ONCE + 1):
        await site.ended(url_target(f"https://host-{number}.example/"))
    job = await site.ended(own_target(receiver.url))
    await site.delivered_by(courier)
    assert (await site.delivery(job)).state is DeliveryState.DELIVERED


def refused_if_named(host: str, port: int) -> Sequence[str]:
    """Hosts that jobs name lie where no webhook goes; the receiver is where it is."""
    return ["169.254.169.254"] if host.endswith(".example") else system_resolve(host, port)

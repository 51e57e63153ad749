"""Webhooks of real gateways: two over one Redis, killed and restarted in the middle; and one over memory, from an
upload to the message."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest
from standardwebhooks import Webhook

from contract.gateway_calls import PLAN
from flowscale.clocks import SystemClock
from flowscale.jobs import Job, Target
from flowscale.queues.base import JobQueue, QueuePolicy
from flowscale.queues.outbox import CLAIM_MS
from flowscale.queues.redis import open_job_queue
from flowscale.testing import a_job
from flowscale.webhooks.deliveries import Delivery, DeliveryState, own_target
from integration.frontend import Frontend
from integration.processes import PATIENCE_SECONDS, until
from integration.program import Program
from redis_server import RedisServer
from webhook_receiver import Receiver, Reply

SECRET = "whsec_" + base64.b64encode(b"one secret of these tests, 32 by").decode()

ADMIN_KEY = "a key of no less than thirty-two characters"

WEBHOOKS = {
    "FLOWSCALE_WEBHOOK_SECRET": SECRET,
    "FLOWSCALE_WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8",
    "FLOWSCALE_PUBLIC_URL": "https://video.example",
}

Start = Callable[..., Program]

Answer = TypeVar("Answer")


def over(server: RedisServer, receiver: Receiver) -> dict[str, str]:
    """The environment of a gateway."""
    return {
        "QUEUE_MODE": "redis",
        "REDIS_PORT": str(server.port),
        "FLOWSCALE_WEBHOOK_URL": receiver.url,
        **WEBHOOKS,
    }


def ask(server: RedisServer, call: Callable[[JobQueue], Awaitable[Answer]]) -> Answer:
    async def run() -> Answer:
        queue = open_job_queue(server.settings(), QueuePolicy(), SystemClock())
        try:
            return await call(queue)
        finally:
            await queue.close()

    return asyncio.run(run())


def cancelled(server: RedisServer, *targets: Target) -> Job:
    """A job that has ended."""

    async def make(queue: JobQueue) -> Job:
        job = (await queue.enqueue(a_job(created_ms=SystemClock().now_ms(), webhooks=targets))).job
        return await queue.cancel(job.id)

    return ask(server, make)


def delivery(server: RedisServer, job: Job) -> Delivery:
    (found,) = ask(server, lambda queue: queue.deliveries(job.id))
    return found


def delivered(server: RedisServer, job: Job) -> Delivery:
    def look() -> Delivery | None:
        now = delivery(server, job)
        return now if now.state is DeliveryState.DELIVERED else None

    return until(look, "the delivery")


def test_what_a_killed_gateway_was_delivering_another_delivers(own_redis: RedisServer, start: Start) -> None:
    assert CLAIM_MS / 1000 < PATIENCE_SECONDS
    with Receiver(Reply(held=True), Reply(204)) as receiver:
        first = start("api", **over(own_redis, receiver))
        job = cancelled(own_redis, own_target(receiver.url))
        until(lambda: receiver.received, "the first try")
        start("api", **over(own_redis, receiver))
        first.process.kill()
        first.process.wait()
        end = delivered(own_redis, job)
        assert receiver.ids() == [end.id, end.id]
        assert end.tries == 2
        assert receiver.received[0].body == receiver.received[1].body


def test_two_gateways_deliver_each_message_once_and_both_verify(own_redis: RedisServer, start: Start) -> None:
    with Receiver() as receiver:
        for _ in range(2):
            start("api", **over(own_redis, receiver))
        jobs = [cancelled(own_redis, own_target(receiver.url)) for _ in range(12)]
        for job in jobs:
            delivered(own_redis, job)
        assert sorted(receiver.ids()) == sorted(delivery(own_redis, job).id for job in jobs)
        for request in receiver.received:
            assert Webhook(SECRET).verify(request.body, request.headers)["type"] == "job.error"


def test_a_restart_of_the_queue_s_server_loses_no_message(own_redis: RedisServer, start: Start) -> None:
    with Receiver(Reply(500), Reply(204)) as receiver:
        start("api", **over(own_redis, receiver))
        job = cancelled(own_redis, own_target(receiver.url))
        until(lambda: delivery(own_redis, job).status == 500, "the first try")
        own_redis.restart()
        assert delivered(own_redis, job).tries == 2
        assert len(set(receiver.ids())) == 1


def test_a_gateway_that_stops_gives_back_what_it_was_delivering(own_redis: RedisServer, start: Start) -> None:
    with Receiver(Reply(held=True)) as receiver:
        gateway = start("api", **over(own_redis, receiver))
        job = cancelled(own_redis, own_target(receiver.url))
        until(lambda: receiver.received, "the first try")
        gateway.process.terminate()
        assert gateway.process.wait(PATIENCE_SECONDS) == 0
        now = delivery(own_redis, job)
        assert (now.state, now.tries) == (DeliveryState.PENDING, 0)


def test_a_replay_over_http(own_redis: RedisServer, start: Start) -> None:
    with Receiver(Reply(410), Reply(204)) as receiver:
        gateway = start("api", FLOWSCALE_ADMIN_KEY=ADMIN_KEY, **over(own_redis, receiver))
        job = cancelled(own_redis, own_target(receiver.url))
        until(lambda: delivery(own_redis, job).state is DeliveryState.FAILED, "the end of its tries")
        name = delivery(own_redis, job).id
        bearer = {"Authorization": f"Bearer {ADMIN_KEY}"}
        answer = httpx2.post(f"{gateway.url}/api/admin/webhooks/{name}/replay", headers=bearer)
        assert answer.status_code == 200, answer.text
        replayed = answer.json()
        assert replayed["ok"] is True
        assert (replayed["delivery"]["id"], replayed["delivery"]["state"]) == (name, "pending")
        assert delivered(own_redis, job).id == name
        nothing = httpx2.post(f"{gateway.url}/api/admin/webhooks/{name}0/replay", headers=bearer)
        assert (nothing.status_code, nothing.json()["error"]["code"]) == (404, "NOT_FOUND")


def test_from_an_upload_to_the_message_in_one_process(
    start: Start, connect: Callable[[str], Frontend], clips: Path
) -> None:
    with Receiver() as own, Receiver() as theirs:
        program = start("dev", FLOWSCALE_WEBHOOK_URL=own.url, **WEBHOOKS)
        frontend = connect(program.url)
        source = frontend.upload(clips / "bigbuckbunny.mp4")
        job_id = frontend.execute(source, trim={"start": 0, "end": 0.4}, webhookUrl=theirs.url, projectId="spring")
        job = frontend.wait(job_id)
        assert job["status"] == "done"
        for receiver in (own, theirs):
            until(lambda receiver=receiver: receiver.received, "the message")  # type: ignore[misc]  # a default binds it
            (request,) = receiver.received
            told: dict[str, Any] = Webhook(SECRET).verify(request.body, request.headers)
            assert (told["type"], told["data"]["jobId"], told["data"]["projectId"]) == ("job.done", job_id, "spring")
            path = told["data"]["outputUrl"].removeprefix("https://video.example/")
            assert job["outputUrl"].endswith(path)
            assert len(frontend.http.get(f"/{path}").raise_for_status().content) == told["data"]["outputSize"]
        assert "webhookUrl" not in json.dumps(job)
        counted = "flowscale_webhooks_delivered_total 2.0"
        until(lambda: counted in frontend.http.get("/metrics").text, "both deliveries counted")
        log = program.log.read_text()
        assert log.count("[webhook.delivered]") == 2
        for secret in (SECRET, SECRET.removeprefix("whsec_"), "do-not-show"):
            assert secret not in log


@pytest.mark.parametrize("route", ["execute", "execute-plan"])
def test_without_a_secret_a_webhook_url_is_refused_and_says_so(dev_server: Program, route: str) -> None:
    body = {"sourcePath": "0" * 32} if route == "execute" else {"sourceVideoUrl": "0" * 32, "plan": PLAN}
    refused = httpx2.post(f"{dev_server.url}/api/{route}", json={**body, "webhookUrl": "https://hooks.example/"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "INVALID_OPTIONS")
    assert "FLOWSCALE_WEBHOOK_SECRET" in refused.json()["error"]["message"]

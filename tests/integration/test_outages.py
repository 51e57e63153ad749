"""The queue's server away, slow, full, killed; gateways beside each other. Every call is answered, every job ends.

Scenes are played at the same time, as those of test_leased_faults.py. What must be quick is tested alone, before them.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from contract.gateway_calls import PLAN
from fault_proxy import FaultProxy
from flowscale import names
from flowscale.clocks import SystemClock
from flowscale.errors import QueueUnavailable
from flowscale.jobs import Job, JobState, Priority
from flowscale.queues.base import Idempotency, QueuePolicy
from flowscale.queues.redis import open_job_queue
from flowscale.queues.redis.faults import FULL
from flowscale.queues.redis.scripts import script
from integration.frontend import Frontend
from integration.leased import HALTING_WORKER, Fleet, Played, Scene, Site, Stage, frozen, gone, make_clip, played
from integration.processes import until
from redis_server import RedisServer

__all__ = ["played"]

AWAY_SECONDS = 8.0
"""An outage of less than a lease."""

ANSWER_SECONDS = 10.0
"""By when a gateway without a queue must have answered, on a machine that is busy with other things too; 2 s are
promised, and what it took is printed."""

CANCEL_SECONDS = 20.0
"""By when a cancelled FFmpeg must be gone, likewise; 2 s are promised."""

READINESS_KEPT_SECONDS = 5.2
"""After this a gateway looks anew whether it is ready."""

AT_ONCE = 50


# Gateways.


class TwoGateways:
    """Two gateways that reach their server through one proxy, and a fleet that reaches it directly."""

    def __init__(self, site: Site, proxy: FaultProxy) -> None:
        self.site = site
        self.proxy = proxy
        self.first, self.second = site.gateway(), site.gateway()
        self.fleet = site.fleet(REDIS_PORT=str(site.server.port))
        until(lambda: site.ask(lambda queue: queue.workers()), "the fleet's report")

    def execute(self, seconds: float, gateway: Frontend, **headers: str) -> httpx2.Response:
        body = {"sourcePath": self.site.source, "trim": {"start": 0, "end": seconds}}
        return gateway.http.post("/api/execute", json=body, headers=headers)

    def accepted_again(self, gateway: Frontend) -> str:
        """A job of a gateway whose queue has just come back."""

        def post() -> httpx2.Response | None:
            answer = self.execute(0.4, gateway)
            return answer if answer.status_code == 202 else None

        job_id: str = until(post, "a gateway that takes jobs again").json()["jobId"]
        return job_id

    def running(self) -> tuple[str, psutil.Process]:
        """A long render, accepted by the first gateway, and its FFmpeg."""
        job_id: str = self.execute(300, self.first).json()["jobId"]
        return job_id, self.fleet.rendering()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoGateways]:
    with ExitStack() as stack:
        server = stack.enter_context(RedisServer())
        proxy = stack.enter_context(FaultProxy(server.port))
        folder = tmp_path_factory.mktemp("two")
        site = stack.enter_context(Site(folder / "site", server, make_clip(folder), port=proxy.port))
        yield TwoGateways(site, proxy)


def test_fifty_posts_with_one_key_over_two_gateways_make_one_job(two: TwoGateways) -> None:
    before = two.site.ask(lambda queue: queue.figures()).counts.get("enqueued", 0)
    key = {"Idempotency-Key": uuid.uuid4().hex}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        posts = [
            pool.submit(two.execute, 0.4, gateway, **key)
            for _ in range(AT_ONCE // 2)
            for gateway in (two.first, two.second)
        ]
        answers = [post.result() for post in posts]
    assert {answer.status_code for answer in answers} == {202}
    (job_id,) = {answer.json()["jobId"] for answer in answers}
    assert two.site.ask(lambda queue: queue.figures()).counts["enqueued"] == before + 1
    two.site.one_output(job_id)
    assert len(two.site.starts(job_id)) == 1


def every_call(gateway: Frontend, job_id: str, source: str) -> dict[str, Callable[[], httpx2.Response]]:
    """Each call of the contract that needs the queue."""
    http, body = gateway.http, {"sourcePath": source}
    plan = {"sourceVideoUrl": f"{http.base_url}/{source}", "plan": PLAN}
    return {
        "execute": lambda: http.post("/api/execute", json=body),
        "execute with a key": lambda: http.post("/api/execute", json=body, headers={"Idempotency-Key": "away"}),
        "execute-plan": lambda: http.post("/api/execute-plan", json=plan),
        "jobs": lambda: http.get("/api/jobs"),
        "job": lambda: http.get(f"/api/jobs/{job_id}"),
        "events": lambda: http.get(f"/api/jobs/{job_id}/events"),
        "cancel": lambda: http.post(f"/api/jobs/{job_id}/cancel"),
        "retry": lambda: http.post(f"/api/jobs/{job_id}/retry"),
        "health": lambda: http.get("/api/health"),
        "ready": lambda: http.get("/readyz"),
    }


@contextmanager
def refusing(two: TwoGateways) -> Iterator[None]:
    two.proxy.refuse()
    try:
        yield
    finally:
        two.proxy.pass_through()


@contextmanager
def swallowing(two: TwoGateways) -> Iterator[None]:
    two.proxy.black_hole()
    try:
        yield
    finally:
        two.proxy.pass_through()


@contextmanager
def standing_still(two: TwoGateways) -> Iterator[None]:
    two.site.server.freeze()
    try:
        yield
    finally:
        two.site.server.thaw()


@pytest.mark.parametrize("away", [refusing, swallowing, standing_still], ids=lambda away: away.__name__)
def test_without_the_queue_every_call_is_answered_in_time_and_it_comes_back(
    two: TwoGateways, away: Callable[[TwoGateways], Any]
) -> None:
    job_id: str = two.execute(0.4, two.first).json()["jobId"]
    two.site.ended(job_id)
    took: dict[str, float] = {}

    def timed(name: str, call: Callable[[], httpx2.Response]) -> httpx2.Response:
        began = time.monotonic()
        answer = call()
        took[name] = time.monotonic() - began
        return answer

    with away(two), ThreadPoolExecutor(20) as pool:
        for gateway in (two.first, two.second):
            assert gateway.http.get("/livez").status_code == 200
            assert gateway.http.get("/metrics").status_code == 200
        time.sleep(READINESS_KEPT_SECONDS)
        calls = every_call(two.first, job_id, two.site.source)
        answers = {name: pool.submit(timed, name, call) for name, call in calls.items()}
        for name, coming in answers.items():
            answer = coming.result()
            assert answer.status_code == 503, f"{name}: {answer.text}"
            assert answer.json()["error"]["code"] == "QUEUE_UNAVAILABLE", name
            assert int(answer.headers["Retry-After"]) > 0, name
            assert not re.search("127.0.0.1:[0-9]+/[0-9]|redis://|REDIS", answer.text), f"{name}: {answer.text}"
    print(f"{away.__name__}: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in took.items()))
    for gateway in (two.first, two.second):
        two.site.one_output(two.accepted_again(gateway))
    late = {name: seconds for name, seconds in took.items() if seconds > ANSWER_SECONDS}
    assert not late


def test_what_one_gateway_took_another_shows_and_streams(two: TwoGateways) -> None:
    job_id: str = two.execute(2, two.first).json()["jobId"]
    assert two.second.job(job_id)["status"] in ("queued", "running")
    with two.second.http.stream("GET", f"/api/jobs/{job_id}/events") as events:
        text = "".join(events.iter_text())
    states = [json.loads(line[6:]) for line in text.splitlines() if line.startswith('data: {"status"')]
    assert [state["status"] for state in states] == ["queued", "running", "done"]
    assert [job["jobId"] for job in two.second.http.get("/api/jobs?limit=1").json()["jobs"]] == [job_id]
    job = two.second.job(job_id)
    assert two.second.http.get(job["outputUrl"]).status_code == 200


@pytest.mark.parametrize("news", ["heard", "cut"])
def test_a_cancel_at_another_gateway_ends_ffmpeg(two: TwoGateways, news: str) -> None:
    job_id, ffmpeg = two.running()
    over = threading.Event()

    def cut() -> None:
        """Whoever listens is cut off, again and again."""
        with two.site.server.admin() as admin:
            while not over.wait(0.05):
                admin.execute_command("CLIENT", "KILL", "TYPE", "pubsub")

    cutter = threading.Thread(target=cut)
    if news == "cut":
        cutter.start()
    try:
        began = time.monotonic()
        assert two.second.http.post(f"/api/jobs/{job_id}/cancel").status_code == 200
        psutil.wait_procs([ffmpeg], CANCEL_SECONDS)
        assert gone(ffmpeg)
        print(f"cancelled, news {news}: FFmpeg gone after {time.monotonic() - began:.2f} s")
        job = two.first.wait(job_id)
        assert (job["status"], job["error"]["code"]) == ("error", "CANCELLED")
        assert two.site.outputs(job_id) == []
    finally:
        over.set()
        if news == "cut":
            cutter.join()


# Outages while workers work.


@contextmanager
def down(server: RedisServer) -> Iterator[None]:
    server.kill()
    try:
        yield
    finally:
        server.start()


@contextmanager
def still(server: RedisServer) -> Iterator[None]:
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


def outlasted(stage: Stage, away: Callable[[RedisServer], Any], seconds: float = AWAY_SECONDS) -> None:
    """One render goes on during the outage and beyond it, another ends within it; neither is begun again."""
    with RedisServer() as server, stage.site(server) as site:
        fleet = site.fleet(2)
        longer, shorter = site.submit(seconds + 4), site.submit(4)
        until(lambda: len(fleet.ffmpegs()) == 2, "two renders")
        with away(server):
            time.sleep(seconds)
        for job_id in (shorter, longer):
            job = site.one_output(job_id)
            assert (job.failures, job.stalls) == (0, 0)
            assert [attempt.code for attempt in job.attempts] == [None]
            assert len(site.starts(job_id)) == 1
        assert len(fleet.workers()) == 2
        site.one_output(site.submit())


def the_server_down_for_a_while(stage: Stage) -> None:
    outlasted(stage, down)


def the_server_frozen_for_a_while(stage: Stage) -> None:
    outlasted(stage, still)


def a_stop_while_the_server_is_away(stage: Stage) -> None:
    """Nobody can be told, so the job runs again once its lease is over."""
    with RedisServer() as server, stage.site(server) as site:
        fleet = site.fleet(grace=14)
        job_id = site.submit(8)
        fleet.rendering()
        with down(server):
            fleet.stop()
        site.fleet()
        job = site.one_output(job_id)
        assert (job.failures, job.stalls) == (0, 1)


async def load(site: Site, acknowledged: list[str], over: threading.Event, rate: int = 200) -> None:
    """Jobs without a source, so many a second; the ids of those that were acknowledged."""
    queue = open_job_queue(site.settings, QueuePolicy(), SystemClock())
    source = {"key": names.upload_key(uuid.uuid4().hex, "gone.mp4")}

    async def one() -> None:
        now_ms = SystemClock().now_ms()
        job = Job(id=names.job_id(now_ms, uuid.uuid4().hex), spec={"sources": [source]}, created_ms=now_ms)
        try:
            acknowledged.append((await queue.enqueue(job)).job.id)
        except QueueUnavailable:
            return  # not acknowledged: it may be there or not

    async with asyncio.TaskGroup() as tasks:
        while not over.is_set():
            tasks.create_task(one())
            await asyncio.sleep(1 / rate)
    await queue.close()


def all_ended(site: Site, job_ids: list[str]) -> None:
    def idle() -> bool:
        depth = site.ask(lambda queue: queue.depth())
        return depth.waiting + depth.delayed + depth.due + depth.running == 0

    until(idle, "the end of all jobs")

    async def states(queue: Any) -> set[tuple[JobState, str]]:
        jobs = [await queue.get(job_id) for job_id in job_ids]
        return {(job.state, job.failure.code if job.failure else "") for job in jobs}

    assert site.ask(states) <= {(JobState.ERROR, "INVALID_MEDIA"), (JobState.DONE, "")}


def killed_under_load(stage: Stage) -> None:
    with RedisServer() as server, stage.site(server) as site:
        fleet = site.fleet(3).ready(3)
        acknowledged: list[str] = []
        over = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            loading = pool.submit(lambda: asyncio.run(load(site, acknowledged, over)))
            until(lambda: len(acknowledged) > 150, "jobs")
            before = len(acknowledged)
            with down(server):
                pass
            until(lambda: len(acknowledged) > before + 150, "jobs after the restart")
            over.set()
            loading.result()
        all_ended(site, acknowledged)
        print(f"killed under load: {len(acknowledged)} acknowledged jobs, all there and ended")
        assert len(fleet.workers()) == 3


def the_last_writes_lost(stage: Stage) -> None:
    """As by a loss of power: what was acknowledged last is gone, and what is left goes on."""
    with RedisServer() as server, stage.site(server) as site:
        site.fleet(2).ready(2)
        acknowledged: list[str] = []
        over = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            loading = pool.submit(lambda: asyncio.run(load(site, acknowledged, over)))
            long = site.submit(5, priority=Priority.HIGH)
            until(lambda: len(acknowledged) > 100, "jobs")
            server.kill()
            over.set()
            loading.result()
        server.cut_aof_tail(1_500)
        server.start()

        async def there(queue: Any) -> list[str]:
            page = await queue.list(None, 10_000, None)
            return [job.id for job in page.jobs]

        left = site.ask(there)
        assert long in left
        assert len(set(acknowledged) - set(left)) < 10
        all_ended(site, left)
        site.one_output(long)
        site.one_output(site.submit())


def a_full_server(stage: Stage) -> None:
    with RedisServer() as server, stage.site(server) as site, server.admin() as admin:
        gateway, fleet = site.gateway(), site.fleet()
        job_id, waiting = site.submit(5), site.submit()
        fleet.rendering()
        admin.config_set("maxmemory", "1mb")  # less than it has
        answer = gateway.http.post("/api/execute", json={"sourcePath": site.source})
        assert answer.status_code == 503
        body = answer.json()
        assert (body["ok"], body["error"]["code"]) == (False, "QUEUE_FULL")
        assert set(body) == {"ok", "error"}
        assert int(answer.headers["Retry-After"]) > 0
        assert body["error"]["message"] == FULL
        (log,) = site.folder.glob("gateway-*/*.log")
        assert "raise its maxmemory" in log.read_text()  # for whoever runs the service
        for each in (job_id, waiting):
            job = site.one_output(each)
            assert len(site.starts(each)) == 1
            assert (job.failures, job.stalls) == (0, 0)
        admin.config_set("maxmemory", "0")
        accepted = gateway.http.post("/api/execute", json={"sourcePath": site.source, "trim": {"start": 0, "end": 0.4}})
        assert accepted.status_code == 202
        site.one_output(accepted.json()["jobId"])


# Answers that are lost on their way.


def know_scripts(server: RedisServer) -> None:
    """A server that does not know a script refuses it, and that answer would be the one that is lost."""
    with server.admin() as admin:
        for name in ("enqueue", "start", "commit", "fail"):
            admin.script_load(script(name).text)


class Waiting:
    """A worker behind a proxy, which waits at a step until it is told to go on."""

    def __init__(self, stage: Stage, stack: ExitStack, step: str) -> None:
        know_scripts(stage.server)
        self.proxy = stack.enter_context(FaultProxy(stage.server.port))
        self.site = stack.enter_context(stage.site(port=self.proxy.port))
        self.notes: Path = self.site.folder / "notes"
        self.notes.mkdir()
        plan = json.dumps([[(step, "wait")]])
        self.fleet: Fleet = self.site.fleet(command=(sys.executable, HALTING_WORKER, self.notes, plan))

    def lose_its_answer(self, took_effect: Callable[[], bool]) -> None:
        until((self.notes / "0-0").exists, "the worker to come to its step")
        self.proxy.drop_answers()
        (self.notes / "0-0.go").touch()
        until(took_effect, "what it sent to take effect")
        lost = self.proxy.answers_lost
        until(lambda: self.proxy.answers_lost > lost, "further answers to be lost")
        self.proxy.pass_through()


def the_answer_of_a_start_lost(stage: Stage) -> None:
    with ExitStack() as stack:
        waiting = Waiting(stage, stack, "before start")
        job_id = waiting.site.submit(2)
        waiting.lose_its_answer(lambda: bool(waiting.site.starts(job_id)))
        job = waiting.site.one_output(job_id)
        assert (job.failures, job.stalls) == (0, 0)
        assert len(waiting.site.starts(job_id)) == 1


def the_answer_of_a_commit_lost(stage: Stage) -> None:
    with ExitStack() as stack:
        waiting = Waiting(stage, stack, "before commit")
        job_id = waiting.site.submit()
        waiting.lose_its_answer(lambda: waiting.site.job(job_id).state is JobState.DONE)
        next_one = waiting.site.submit()
        for each in (job_id, next_one):
            job = waiting.site.one_output(each)
            assert (job.failures, job.stalls, len(job.attempts)) == (0, 0, 1)
        assert waiting.site.ask(lambda queue: queue.figures()).counts["ended:done"] == 2


def the_answer_of_a_failure_lost(stage: Stage) -> None:
    with ExitStack() as stack:
        waiting = Waiting(stage, stack, "before fail")
        job_id = waiting.site.submit(source=names.upload_key(uuid.uuid4().hex, "gone.mp4"))
        waiting.lose_its_answer(lambda: waiting.site.job(job_id).state is JobState.ERROR)
        waiting.site.one_output(waiting.site.submit())
        job = waiting.site.job(job_id)
        assert (job.failures, job.stalls, len(job.attempts)) == (1, 0, 1)
        assert waiting.site.ask(lambda queue: queue.figures()).counts["ended:error"] == 1


def the_answer_of_an_enqueue_lost(stage: Stage) -> None:
    with FaultProxy(stage.server.port) as proxy, stage.site(port=proxy.port) as site:
        key = Idempotency("key", "fingerprint")

        def job() -> Job:
            now_ms = SystemClock().now_ms()
            spec = {"sources": [{"key": site.source}], "trim": {"start": 0, "end": 0.4}}
            return Job(id=names.job_id(now_ms, uuid.uuid4().hex), spec=spec, created_ms=now_ms)

        first, again = job(), job()

        async def lose() -> None:
            queue = open_job_queue(site.settings.model_copy(update={"port": proxy.port}), QueuePolicy(), SystemClock())
            know_scripts(stage.server)
            await queue.depth()
            proxy.drop_answers()
            with pytest.raises(QueueUnavailable):
                await queue.enqueue(first, key)
            proxy.pass_through()
            known = await queue.enqueue(again, key)
            assert (known.job.id, known.created) == (first.id, False)
            await queue.close()

        asyncio.run(lose())
        site.fleet()
        site.one_output(first.id)
        assert site.ask(lambda queue: queue.figures()).counts["enqueued"] == 1


# Pause, priorities, retries.


def a_pause_and_priorities(stage: Stage) -> None:
    with stage.site() as site:
        fleet = site.fleet()
        running = site.submit(3)
        fleet.rendering()
        site.ask(lambda queue: queue.pause())
        order = (Priority.LOW, Priority.NORMAL, Priority.HIGH, Priority.LOW, Priority.HIGH)
        jobs = [site.submit(priority=priority) for priority in order]
        site.one_output(running)  # what runs goes on
        time.sleep(3)  # a worker looks once a second
        assert all(site.job(job_id).state is JobState.QUEUED for job_id in jobs)
        site.ask(lambda queue: queue.resume())
        for job_id in jobs:
            site.one_output(job_id)
        started = sorted(jobs, key=lambda job_id: site.starts(job_id)[0])
        assert started == [jobs[2], jobs[4], jobs[1], jobs[0], jobs[3]]


def a_retry_that_only_a_fetching_worker_can_start(stage: Stage) -> None:
    """No gateway runs, and the fleet's own process, which else looks after the queue, is frozen."""
    with stage.site() as site:
        fleet = site.fleet()
        job_id = site.submit(2)
        ffmpeg = fleet.rendering()
        with frozen(psutil.Process(fleet.process.pid)):
            ffmpeg.kill()
            job = site.one_output(job_id)
        assert [attempt.code for attempt in job.attempts] == ["OUT_OF_MEMORY", None]
        assert (job.failures, job.stalls) == (1, 0)


SCENES: tuple[Scene, ...] = (
    killed_under_load,
    the_last_writes_lost,
    the_server_down_for_a_while,
    the_server_frozen_for_a_while,
    a_stop_while_the_server_is_away,
    a_full_server,
    the_answer_of_a_start_lost,
    the_answer_of_a_commit_lost,
    the_answer_of_a_failure_lost,
    the_answer_of_an_enqueue_lost,
    a_pause_and_priorities,
    a_retry_that_only_a_fetching_worker_can_start,
)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_every_accepted_job_ends(scene: Scene, played: Played) -> None:
    played.result(scene)

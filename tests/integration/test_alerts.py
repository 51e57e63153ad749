"""Every alert under the fault it names: real programs are hurt, and a real Prometheus that reads them raises it, and
ends it when the fault is mended.

The rules are the chart's, with every duration divided by TIMES (chart/rules.py: nothing else is changed), and
Prometheus looks once a second where a cluster's looks twice a minute. Thresholds in seconds stay: a worker falls silent
for 90 real seconds. The one figure that is played is the kubelet's, of how full a volume is: there is no kubelet here.

Scenes mostly wait, so they are played at the same time, each with programs of its own.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import psutil

from chart.rules import CLAIMS, GATEWAY, OPERATOR, alerts, hastened, rule_file
from flowscale.jobs import JobState
from flowscale.webhooks.deliveries import own_target
from integration import operator_site
from integration.bucket_site import bucket_site
from integration.frontend import SLOW
from integration.leased import Site, frozen, make_clip
from integration.program import Program, running
from integration.test_webhook_gateways import WEBHOOKS
from prometheus_server import Prometheus, Target
from redis_server import RedisServer
from webhook_receiver import Receiver, Reply

TIMES = 60

MAX_WAITING = 10
CHOSEN: Mapping[str, Any] = {
    "queue": {"maxWaiting": MAX_WAITING},
    "metrics": {"prometheusRule": {"oldestWaitSeconds": 5}},
}
"""Values of the chart with which a few jobs are many."""

MAX_CONNECTIONS = 20

HANGING = """
import asyncio, os, sys
sys.modules["kubernetes"] = None
from pathlib import Path
from flowscale_operator.main import run
from flowscale_operator.rivals import Rivals
go_on = Rivals.round
async def round(self):
    while Path(os.environ["HANGS"]).exists():
        await asyncio.sleep(0.1)  # a defect: it waits for something without a limit
    await go_on(self)
Rivals.round = round
run()
"""
"""An operator with a defect: a loop that hangs for as long as a file is there."""

NOT_A_FILM = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp41" + bytes(4096)
"""Begins as an MP4 file does, and holds nothing."""

Raised = frozenset[str]


def watching(*targets: Target) -> Prometheus:
    return Prometheus(hastened(rule_file(CHOSEN), TIMES), targets)


@contextmanager
def gateway(site: Site, **more: str) -> Iterator[Program]:
    folder = site.folder / "gateway"
    folder.mkdir()
    with running("api", folder, **{**site.environment, **more}) as program:
        yield program


def waiting_jobs(folder: Path) -> Raised:
    """No worker, then too few of them, a silent one, a paused queue, a server that saves nothing, a full gateway; and
    a receiver of webhooks that wants none any more."""
    with ExitStack() as stack:
        server = stack.enter_context(RedisServer())
        site = stack.enter_context(Site(folder / "site", server, make_clip(folder)))
        receiver = stack.enter_context(Receiver(Reply(410)))
        told = {**WEBHOOKS, "FLOWSCALE_WEBHOOK_URL": receiver.url}
        program = stack.enter_context(gateway(site, FLOWSCALE_MAX_CONNECTIONS=str(MAX_CONNECTIONS), **told))
        prometheus = stack.enter_context(watching(Target(program.url, GATEWAY)))

        jobs = [site.submit() for _ in range(MAX_WAITING)]
        waiting = ("FlowScaleQueueFull", "FlowScaleQueueOld", "FlowScaleNoWorkers")
        prometheus.until_firing(*waiting)

        def tell() -> None:
            """A job ends, of which the receiver does not want to hear."""
            job_id = site.submit(webhooks=(own_target(receiver.url),))
            site.ask(lambda queue: queue.cancel(job_id))

        prometheus.until_firing("FlowScaleWebhooksFailing", while_=tell)
        fleet = site.fleet(2)
        prometheus.until_quiet(*waiting, "FlowScaleWebhooksFailing")
        assert {site.ended(job_id).state for job_id in jobs} == {JobState.DONE}

        with frozen(psutil.Process(fleet.process.pid)):
            site.ask(lambda queue: queue.pause())
            with held_connections(program.url, MAX_CONNECTIONS - 1):
                prometheus.until_firing("FlowScaleGatewayFull")
            prometheus.until_quiet("FlowScaleGatewayFull")
            with server.admin() as admin:
                admin.config_set("appendonly", "no")
                prometheus.until_firing("FlowScaleQueueAtRisk")
                admin.config_set("appendonly", "yes")
            prometheus.until_quiet("FlowScaleQueueAtRisk")
            prometheus.until_firing("FlowScaleQueuePaused")
            site.ask(lambda queue: queue.resume())
            prometheus.until_quiet("FlowScaleQueuePaused")
            prometheus.until_firing("FlowScaleWorkersSilent")
        prometheus.until_quiet("FlowScaleWorkersSilent")
    return frozenset(
        {
            *waiting,
            "FlowScaleWebhooksFailing",
            "FlowScaleGatewayFull",
            "FlowScaleQueueAtRisk",
            "FlowScaleQueuePaused",
            "FlowScaleWorkersSilent",
        }
    )


def lost_server(folder: Path) -> Raised:
    """The gateway hangs; its server is killed; its server throws keys away."""
    with ExitStack() as stack:
        server = stack.enter_context(RedisServer())
        site = stack.enter_context(Site(folder / "site", server, make_clip(folder)))
        program = stack.enter_context(gateway(site))
        prometheus = stack.enter_context(watching(Target(program.url, GATEWAY)))
        prometheus.until_read("flowscale_queue_up == 1")

        with frozen(psutil.Process(program.process.pid)):
            prometheus.until_firing("FlowScaleDown")
        prometheus.until_quiet("FlowScaleDown")

        server.kill()
        prometheus.until_firing("FlowScaleQueueUnreachable")
        server.start()
        prometheus.until_quiet("FlowScaleQueueUnreachable")

        with server.admin() as admin:
            admin.config_set("maxmemory-policy", "allkeys-lru")
            admin.config_set("maxmemory", int(admin.info("memory")["used_memory"]) + 2 * 1024**2)

            def crowd() -> None:
                """Somebody keeps his things in our server."""
                with admin.pipeline(transaction=False) as pipeline:
                    for number in range(100):
                        pipeline.set(f"crowd:{admin.incr('crowds')}:{number}", bytes(20_000))
                    pipeline.execute()

            prometheus.until_firing("FlowScaleQueueEvicting", while_=crowd)
            admin.config_set("maxmemory-policy", "noeviction")
            admin.config_set("maxmemory", 0)
            server.forget("crowd")
        prometheus.until_quiet("FlowScaleQueueEvicting")
    return frozenset({"FlowScaleDown", "FlowScaleQueueUnreachable", "FlowScaleQueueEvicting"})


def failing_jobs(folder: Path) -> Raised:
    """Renders are killed, files are broken, FFmpeg goes, and the bucket goes."""
    with bucket_site(folder, slow=True) as site:
        frontend, fleet = site.gateway(), site.fleet(2)
        address = str(frontend.http.base_url)
        with watching(Target(address, GATEWAY)) as prometheus:
            clip = frontend.upload(make_clip(folder))
            prometheus.until_read("flowscale_queue_up == 1", "flowscale_job_stalls_total")

            jobs = [frontend.execute(clip, **SLOW) for _ in range(5)]

            def kill() -> None:
                for horse in fleet.horses():
                    horse.kill()

            prometheus.until_firing("FlowScaleWorkersLost", while_=kill)
            for job_id in jobs:
                frontend.http.post(f"/api/jobs/{job_id}/cancel")

            broken = folder / "broken.mp4"
            broken.write_bytes(NOT_A_FILM)
            source = frontend.upload(broken)
            prometheus.until_firing("FlowScaleJobsFailing", while_=lambda: frontend.execute(source))
            prometheus.until_quiet("FlowScaleWorkersLost")

            ffmpeg = Path(site.environment["FLOWSCALE_FFMPEG"])
            ffmpeg.rename(folder / "elsewhere")
            prometheus.until_firing("FlowScaleWorkerUnable")
            (folder / "elsewhere").rename(ffmpeg)
            prometheus.until_quiet("FlowScaleWorkerUnable", "FlowScaleJobsFailing")

            frontend.execute(clip, trim={"start": 0, "end": 4})
            fleet.rendering()  # it has its source, and will have nowhere to store its output
            client = site.server.client()
            site.server.empty(site.bucket)
            client.delete_bucket(Bucket=site.bucket)

            def ask() -> None:
                """Clients go on uploading."""
                with broken.open("rb") as file:
                    frontend.http.post("/api/upload", files={"file": ("clip.mp4", file)})

            prometheus.until_firing("FlowScaleStorageUnreachable", "FlowScaleStorageFailing", while_=ask)
            client.create_bucket(Bucket=site.bucket)
            client.close()
            prometheus.until_quiet("FlowScaleStorageUnreachable", "FlowScaleStorageFailing")
    return frozenset(
        {
            "FlowScaleWorkersLost",
            "FlowScaleJobsFailing",
            "FlowScaleWorkerUnable",
            "FlowScaleStorageUnreachable",
            "FlowScaleStorageFailing",
        }
    )


def hurt_operator(folder: Path) -> Raised:
    """A loop hangs, the target goes, the queue goes, the whole operator hangs; and a volume fills."""
    hangs = folder / "hangs"
    with RedisServer() as redis, operator_site.site(redis, folder) as site, Kubelet() as kubelet:
        operator = site.leading(OPERATOR["pod"], program=HANGING, HANGS=str(hangs))
        address = f"http://127.0.0.1:{operator.until('operator.started')['port']}"
        with watching(
            Target(address, OPERATOR), Target(kubelet.url, {"namespace": OPERATOR["namespace"]})
        ) as prometheus:
            prometheus.until_read("flowscale_operator_leader == 1", "flowscale_scaler_ready == 1")
            hangs.touch()
            kubelet.available = 9
            site.api.delete("deployments", "worker")
            prometheus.until_firing("FlowScaleScalerNotReady", "FlowScaleVolumeFull")
            kubelet.available = 10
            redis.kill()
            prometheus.until_firing("FlowScaleOperatorBlind")
            redis.start()
            prometheus.until_quiet("FlowScaleOperatorBlind", "FlowScaleVolumeFull")
            prometheus.until_firing("FlowScaleOperatorStale")
            hangs.unlink()
            site.cluster.deploy("worker", 0)
            prometheus.until_quiet("FlowScaleOperatorStale", "FlowScaleScalerNotReady")
            operator.freeze()
            prometheus.until_firing("FlowScaleOperatorDown")
            operator.thaw()
            prometheus.until_quiet("FlowScaleOperatorDown")
    return frozenset(
        {
            "FlowScaleScalerNotReady",
            "FlowScaleVolumeFull",
            "FlowScaleOperatorBlind",
            "FlowScaleOperatorStale",
            "FlowScaleOperatorDown",
        }
    )


SCENES: Sequence[Callable[[Path], Raised]] = (waiting_jobs, lost_server, failing_jobs, hurt_operator)


def test_every_alert_is_raised_by_the_fault_it_names_and_ends_with_it(tmp_path: Path) -> None:
    with ThreadPoolExecutor(len(SCENES)) as pool:
        played = []
        for scene in SCENES:
            folder = tmp_path / scene.__name__
            folder.mkdir()
            played.append(pool.submit(scene, folder))
        faults = [fault for each in played if (fault := each.exception()) is not None]
    if faults:
        raise BaseExceptionGroup("scenes that failed", faults)
    assert frozenset().union(*(each.result() for each in played)) == frozenset(alerts(rule_file(CHOSEN)))


@contextmanager
def held_connections(url: str, count: int) -> Iterator[None]:
    """So many connections, each of which was served once and is kept."""
    address = urlsplit(url)
    with ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection((address.hostname or "", address.port or 0), 60))
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: held\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        yield


class Kubelet:
    """Its figures of two volumes of 100 bytes, played."""

    def __init__(self) -> None:
        self.available = 10
        kubelet = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                lines = [
                    f'kubelet_volume_stats_{what}_bytes{{persistentvolumeclaim="{claim}"}} {value}\n'
                    for claim in CLAIMS
                    for what, value in (("available", kubelet.available), ("capacity", 100))
                ]
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write("".join(lines).encode())

            def log_message(self, *_: object) -> None:
                """Not into the tests' output."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Kubelet:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

"""An operator outside of the cluster, behind a proxy that cuts its watches, forgets, and asks it to wait. One process
lives through all of it; after each, one more job has one more replica."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from e2e.api_relay import EXPIRED, EXPIRED_IN_STREAM, ApiRelay, busy
from e2e.cluster import Cluster
from e2e.held_fleets import Fleet, fleet
from e2e.outages import QUEUE_PORT
from e2e.tables import Figures
from e2e.waiting import until

FAULT_SECONDS = 10.0
MOST = 10


@pytest.fixture(scope="module")
def held(cluster: Cluster, clips: Path) -> Iterator[Fleet]:
    """A fleet whose own operator is gone."""
    with fleet(cluster, "watch", clips, most=MOST, idle_seconds=5) as made:
        scale = ("scale", f"deployment/{made.scaler.release.component('operator')}")
        cluster.kubectl("--namespace", made.scaler.namespace, *scale, "--replicas", "0")
        until(lambda: not made.scaler.operators(), "the operator to be gone")
        yield made


@contextmanager
def kubectl_proxy(cluster: Cluster) -> Iterator[int]:
    """Its port."""
    command = ["kubectl", "--kubeconfig", cluster.kubeconfig, "proxy", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "127.0.0.1:" in line, line
        yield int(line.rpartition(":")[2])
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def relay(cluster: Cluster) -> Iterator[ApiRelay]:
    with kubectl_proxy(cluster) as port, ApiRelay(port) as made:
        yield made


@pytest.fixture(scope="module")
def operator(
    cluster: Cluster, held: Fleet, relay: ApiRelay, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[subprocess.Popen[bytes]]:
    folder = tmp_path_factory.mktemp("operator")
    scaler = held.scaler
    kubeconfig = folder / "kubeconfig"
    there = {"cluster": {"server": f"http://127.0.0.1:{relay.port}"}, "name": "relay"}
    context = {"context": {"cluster": "relay", "user": "nobody"}, "name": "relay"}
    kubeconfig.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [there],
                "users": [{"name": "nobody", "user": {}}],
                "contexts": [context],
                "current-context": "relay",
            }
        )
    )
    name = scaler.release.component("redis")
    password = base64.b64decode(cluster.secret(scaler.namespace, name)["redis-password"]).decode()
    with ExitStack() as kept:
        url = kept.enter_context(cluster.forwarded(scaler.namespace, f"svc/{name}", QUEUE_PORT))
        environment = {
            **{key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "PYTHONPATH")},
            "KUBECONFIG": str(kubeconfig),
            "QUEUE_MODE": "redis",
            "REDIS_URL": f"redis://flowscale:{password}@127.0.0.1:{urlsplit(url).port}/0",
            "FLOWSCALE_OPERATOR_NAMESPACE": scaler.namespace,
            "FLOWSCALE_OPERATOR_PORT": "0",
            "POD_NAME": "outside",
        }
        log = kept.enter_context((folder / "operator.log").open("wb"))
        command = [sys.executable, "-m", "flowscale_operator.main"]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            until(lambda: process.poll() is not None or scaler.holder() == "outside", "the operator to lead")
            assert process.poll() is None, (folder / "operator.log").read_text()
            yield process
            assert process.poll() is None, (folder / "operator.log").read_text()
        finally:
            process.terminate()
            process.wait()


def one_more(held: Fleet, operator: subprocess.Popen[bytes], what: str, figures: Figures) -> None:
    """After the fault: that another job has another replica, and that the same process saw to it."""
    before = held.scaler.replicas()
    over = time.time()
    held.hold(1)
    change = held.scaler.wait_for_change(over, before + 1)
    figures.note(f"{what}: from its end to the replica of a job since", f"{change.at - over:.2f} s")
    assert operator.poll() is None
    assert held.scaler.changes(over) == [change]


def test_scales_at_all(held: Fleet, operator: subprocess.Popen[bytes], figures: Figures) -> None:
    one_more(held, operator, "operator behind a proxy", figures)


def test_watches_are_cut_again_and_again(
    held: Fleet, operator: subprocess.Popen[bytes], relay: ApiRelay, figures: Figures
) -> None:
    over = time.monotonic() + FAULT_SECONDS
    while time.monotonic() < over:
        relay.cut()
        time.sleep(0.5)
    one_more(held, operator, f"all connections cut twice a second for {FAULT_SECONDS:.0f} s", figures)


@pytest.mark.parametrize("answer", [EXPIRED, EXPIRED_IN_STREAM], ids=["as answer", "in the stream"])
def test_what_a_watch_asks_for_is_gone(
    held: Fleet, operator: subprocess.Popen[bytes], relay: ApiRelay, answer: object, figures: Figures
) -> None:
    before = relay.refused
    relay.for_watches = EXPIRED if answer is EXPIRED else EXPIRED_IN_STREAM
    relay.cut()
    until(lambda: relay.refused > before + 2, "watches to be refused")
    time.sleep(FAULT_SECONDS)
    relay.for_watches = None
    how = "as answer" if answer is EXPIRED else "in the stream"
    one_more(held, operator, f"410 to every watch, {how}, for {FAULT_SECONDS:.0f} s", figures)


def test_the_server_asks_for_a_pause(
    held: Fleet, operator: subprocess.Popen[bytes], relay: ApiRelay, figures: Figures
) -> None:
    before = relay.refused
    relay.for_all = busy(2)
    relay.cut()
    time.sleep(FAULT_SECONDS)
    asked = relay.refused - before
    relay.for_all = None
    one_more(held, operator, f"429 to everything for {FAULT_SECONDS:.0f} s", figures)
    figures.note("  requests in that time, each answered with a pause of 2 s", str(asked))
    assert asked > 0


def test_all_workers_go(held: Fleet, operator: subprocess.Popen[bytes]) -> None:
    """Removing needs the pods as they are: so what the watches had missed is known again."""
    held.finish()
    held.scaler.wait_for_replicas(0)
    assert operator.poll() is None

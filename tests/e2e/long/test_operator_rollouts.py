"""A rollout of the workers and the drain of a node while all of them render: each render ends where it began."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from e2e.cluster import COMPONENT, Cluster, names
from e2e.followers import Follower
from e2e.held_fleets import Fleet
from e2e.neighbours import Gate
from e2e.production import Site
from e2e.programs import run
from e2e.renders import Service
from e2e.scalers import scaler_of
from e2e.tables import Figures
from e2e.verdicts import begun_again
from e2e.waiting import until

RENDERS = 4


@pytest.fixture
def spread(cluster: Cluster, safe_node: str, clips: Path, tmp_path: Path) -> Iterator[Fleet]:
    """A fleet on two nodes, with its files in a bucket. What it needs stands on one, and the other can be drained."""
    with ExitStack() as kept:
        namespace = kept.enter_context(cluster.namespace("rollouts"))
        made = Site(cluster, namespace, helm=3, node=safe_node)
        made.start_neighbours(tmp_path)
        anyway = {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {COMPONENT: "worker"}},
        }
        values = made.values(
            autoscaling={"mode": "operator", "minReplicas": 0, "maxReplicas": 2 * RENDERS, "idleSeconds": 5},
            worker={"topologySpreadConstraints": [anyway]},
            ingress={"enabled": False},
            gatewayApi={"enabled": False},
        )
        made.release.install(values)
        kept.callback(made.release.uninstall)
        scaler = kept.enter_context(scaler_of(cluster, made.release))
        gate = Gate(cluster, namespace, safe_node)
        gate.start(clips / "bikes.mp4")
        service = kept.enter_context(Service(cluster.node_port(namespace, made.release.component("api"), 80)))
        service.wait_until_well()
        pods = f"/api/v1/namespaces/{namespace}/pods"
        workers = kept.enter_context(Follower(cluster, pods, f"{COMPONENT}=worker"))
        fleet = Fleet(scaler, service, gate, workers)
        fleet.hold(RENDERS)
        fleet.wait_for_pods(RENDERS)
        yield fleet


def test_a_rollout_under_renders(cluster: Cluster, spread: Fleet, figures: Figures) -> None:
    namespace, deployment = spread.scaler.namespace, f"deployment/{spread.scaler.release.component('worker')}"
    old = names(spread.wait_for_pods(RENDERS))
    with figures.timed(f"workers rolled under {RENDERS} renders, until the new ones are ready"):
        cluster.kubectl("--namespace", namespace, "rollout", "restart", deployment)
        cluster.rolled_out(namespace, deployment)
    ending = [pod.metadata.name for pod in cluster.pods(namespace, "worker") if pod.metadata.deletion_timestamp]
    assert sorted(ending) == sorted(old), "the old workers render on"
    _finish(spread, old, figures)


def test_a_drain_under_renders(cluster: Cluster, spread: Fleet, safe_node: str, figures: Figures) -> None:
    pods = spread.wait_for_pods(RENDERS)
    (drained,) = [node for node in cluster.workers() if node != safe_node]
    there = [pod.metadata.name for pod in pods if pod.spec.node_name == drained]
    assert there, "some workers are on the node"
    kubectl = ["kubectl", "--kubeconfig", cluster.kubeconfig]
    words = ["--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout", "15m"]
    drain = subprocess.Popen([*kubectl, "drain", drained, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:

        def told() -> bool:
            pods = cluster.pods(spread.scaler.namespace, "worker")
            return set(there) <= {pod.metadata.name for pod in pods if pod.metadata.deletion_timestamp}

        until(told, "the drain to tell the workers of the node to end")
        assert drain.poll() is None, "the drain waits for renders"
        _finish(spread, there, figures)
        said, _ = drain.communicate(timeout=300)
        assert drain.returncode == 0, said.decode()
    finally:
        drain.kill()
        drain.communicate()
        run([*kubectl, "uncordon", drained])
    figures.note(f"node drained under {RENDERS} renders, {len(there)} of them there: begun again", "0")


def _finish(spread: Fleet, leaving: list[str], figures: Figures) -> None:
    """All renders end; each was done by the worker that had begun it, those that were told to leave among them."""
    spread.gate.open()
    jobs = spread.service.wait_for_all(spread.jobs)
    assert begun_again(jobs) == []
    hands = {job["attempts"][0]["worker"] for job in jobs}
    assert all(any(pod in hand for hand in hands) for pod in leaving), (leaving, hands)
    figures.note(f"  of {len(jobs)} renders ended by workers that had been told to leave", f"{len(leaving)}")
    spread.scaler.wait_for_replicas(0)
    until(lambda: not spread.cluster.pods(spread.scaler.namespace, "worker"), "all workers to be gone")

"""The queue's server, or the API server, away for a while. Each ends with its block: what was away is back then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kubernetes.client.rest import ApiException
from urllib3.exceptions import HTTPError

from e2e.cluster import Cluster
from e2e.held_fleets import Fleet
from e2e.partitions import API_SERVER_PORT, cut_off, unserved
from e2e.pod_processes import PodProcesses
from e2e.programs import run
from e2e.waiting import until

QUEUE_PORT = 6379


@contextmanager
def queue_killed(fleet: Fleet) -> Iterator[None]:
    """SIGKILL, and nothing takes its place. It is back when the gateways can use it."""
    namespace, name = fleet.scaler.namespace, fleet.scaler.release.component("redis")
    pod = fleet.server()
    with PodProcesses(pod).ready_to("KILL") as kill:
        kill()
    fleet.cluster.apps.patch_namespaced_stateful_set_scale(name, namespace, {"spec": {"replicas": 0}})
    until(lambda: not fleet.cluster.pods(namespace, "redis"), "the queue's server to be gone")
    try:
        yield
    finally:
        fleet.cluster.apps.patch_namespaced_stateful_set_scale(name, namespace, {"spec": {"replicas": 1}})
        fleet.server()


@contextmanager
def queue_frozen(fleet: Fleet) -> Iterator[None]:
    """SIGSTOP: it takes connections, and answers nothing."""
    with PodProcesses(fleet.server()).frozen():
        yield


@contextmanager
def queue_unreachable(fleet: Fleet) -> Iterator[None]:
    """Behind a network that swallows."""
    with unserved(fleet.server(), QUEUE_PORT):
        yield


@contextmanager
def api_server_frozen(cluster: Cluster) -> Iterator[None]:
    """SIGSTOP to the API server of kind. It is back when it answers."""
    (node,) = [
        node.metadata.name
        for node in cluster.nodes()
        if "node-role.kubernetes.io/control-plane" in node.metadata.labels
    ]
    signal = "kill -{} $(pidof kube-apiserver)"
    run(["docker", "exec", node, "sh", "-c", signal.format("STOP")])
    try:
        yield
    finally:
        run(["docker", "exec", node, "sh", "-c", signal.format("CONT")])
        until(lambda: _answers(cluster), "the API server to answer")


@contextmanager
def api_server_unreachable(fleet: Fleet) -> Iterator[None]:
    """For the operator alone."""
    with cut_off(fleet.scaler.leader(), API_SERVER_PORT):
        yield


def _answers(cluster: Cluster) -> bool:
    try:
        cluster.core.read_namespace("default", _request_timeout=5)
    except (ApiException, HTTPError):
        return False
    return True

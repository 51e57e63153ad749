"""What goes wrong on clusters, done for real."""

from __future__ import annotations

from typing import Any

from e2e.cluster import Cluster
from e2e.programs import run
from e2e.waiting import until


def lose_node(name: str) -> None:
    """The machine of a node of kind is gone, from one instant to the next."""
    run(["docker", "kill", name])


def bring_back_node(cluster: Cluster, name: str) -> None:
    """Returns when the node takes pods again."""
    run(["docker", "start", name])
    until(lambda: _is_ready(cluster, name), f"node {name} to be Ready")


def wait_for_loss(cluster: Cluster, name: str) -> None:
    """Until the control plane has noticed that a node is gone (it takes 40 to 50 s by default)."""
    until(lambda: not _is_ready(cluster, name), f"node {name} to be NotReady")


def _is_ready(cluster: Cluster, name: str) -> bool:
    node: Any = cluster.core.read_node(name)
    return any(each.type == "Ready" and each.status == "True" for each in node.status.conditions)


def kill_program(pod: Any, name: str) -> None:
    """SIGKILL to every process of this name in a pod, from its node of kind: process 1 takes none from inside."""
    group = pod.metadata.uid.replace("-", "_")
    script = (
        'killed=; for folder in /proc/[0-9]*; do [ "$(cat "$folder/comm" 2>/dev/null)" = "$0" ] || continue; '
        'tr - _ <"$folder/cgroup" | grep -q "$1" || continue; kill -KILL "${folder#/proc/}" && killed=1; done; '
        '[ -n "$killed" ]'
    )
    run(["docker", "exec", pod.spec.node_name, "sh", "-c", script, name, group])

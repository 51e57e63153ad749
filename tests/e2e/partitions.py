"""Networks that swallow: packets of a pod dropped on its node of kind, from one instant to the next and without a word.

Connections that are there go silent, new ones are not answered. What the kubelet does is not touched: it does not pass
the chain that forwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from e2e.programs import run

API_SERVER_PORT = 6443
"""On which kind's API server listens on its node, behind the Service `kubernetes`."""


@contextmanager
def unserved(pod: Any, port: int) -> Iterator[None]:
    """Nobody reaches this port of the pod."""
    address = pod.status.pod_ip
    with (
        _dropped(pod.spec.node_name, ["-d", address, "-p", "tcp", "--dport", str(port)]),
        _dropped(pod.spec.node_name, ["-s", address, "-p", "tcp", "--sport", str(port)]),
    ):
        yield


@contextmanager
def cut_off(pod: Any, port: int) -> Iterator[None]:
    """The pod reaches this port of nobody."""
    address = pod.status.pod_ip
    with (
        _dropped(pod.spec.node_name, ["-s", address, "-p", "tcp", "--dport", str(port)]),
        _dropped(pod.spec.node_name, ["-d", address, "-p", "tcp", "--sport", str(port)]),
    ):
        yield


@contextmanager
def silenced(pod: Any, ports: Sequence[int]) -> Iterator[None]:
    """Connections from these ports of others to the pod go silent, both ways."""
    address = pod.status.pod_ip
    listed = ",".join(map(str, ports))
    with (
        _dropped(pod.spec.node_name, ["-d", address, "-p", "tcp", "-m", "multiport", "--sports", listed]),
        _dropped(pod.spec.node_name, ["-s", address, "-p", "tcp", "-m", "multiport", "--dports", listed]),
    ):
        yield


@contextmanager
def _dropped(node: str, what: Sequence[str]) -> Iterator[None]:
    rule = ["FORWARD", *what, "-j", "DROP"]
    run(["docker", "exec", node, "iptables", "-I", *rule])
    try:
        yield
    finally:
        run(["docker", "exec", node, "iptables", "-D", *rule])

"""Releases of the chart: Helm, with values small enough for a cluster on one machine."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from e2e.cluster import Cluster
from e2e.programs import run

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "flowscale"
HELM = {3: ROOT / ".tools" / "helm" / "helm3", 4: ROOT / ".tools" / "helm" / "helm4"}

REGISTRY = os.environ.get("REGISTRY", "")
TAG = os.environ.get("TAG") or "0.1.0"
NEXT_TAG = f"{TAG}-next"
"""A second worker image, the same but for one label: what an upgrade upgrades to."""

LITTLE = {"requests": {"cpu": "20m", "memory": "64Mi"}}
"""What a pod asks for: all nodes of a cluster on one machine claim the same processors. Limits stay the chart's."""

SMALL: Mapping[str, Any] = {
    "image": {"registry": REGISTRY, "tag": TAG},
    "api": {"resources": LITTLE, "service": {"type": "NodePort"}},
    "worker": {
        "resources": {"requests": {"cpu": "20m", "memory": "64Mi", "ephemeral-storage": "64Mi"}},
        "download": {"allowNetworks": ["10.0.0.0/8"]},  # the pods and Services of kind, where the gate stands
    },
    "operator": {"resources": LITTLE},
    "redis": {"bundled": {"resources": LITTLE}},
    "test": {"resources": LITTLE},
    "autoscaling": {"mode": "none"},
}
"""The defaults, but for what a small cluster needs."""


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Values as Helm puts two files together: maps key by key, anything else replaced."""
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


LEFT_BY_NO_RELEASE = (
    "pods,services,deployments,replicasets,statefulsets,jobs,configmaps,secrets,serviceaccounts,ingresses,"
    "networkpolicies,poddisruptionbudgets,roles,rolebindings"
)
"""Kinds of objects of which none may be left after an uninstall."""


PATIENCE = "10m"
"""For Helm to see everything ready, or gone: on any machine, so that only a hang ends it."""


class Release:
    """One release of the chart in one namespace."""

    def __init__(self, cluster: Cluster, namespace: str, name: str = "flowscale", helm: int = 3) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.name = name
        self.helm = HELM[helm]
        self.fullname = name if "flowscale" in name else f"{name}-flowscale"

    def _helm(self, *words: str, given: str | None = None) -> str:
        place = ["--kubeconfig", self.cluster.kubeconfig, "--namespace", self.namespace]
        return run([str(self.helm), *words, *place], given=given)

    def install(self, values: Mapping[str, Any]) -> str:
        """Returns when everything is ready; what Helm printed (the chart's notes among it)."""
        return self._apply("install", values)

    def upgrade(self, values: Mapping[str, Any]) -> str:
        return self._apply("upgrade", values)

    def _apply(self, verb: str, values: Mapping[str, Any]) -> str:
        words = [verb, self.name, str(CHART), "--wait", "--timeout", PATIENCE, "--values", "-"]
        return self._helm(*words, given=json.dumps(values))

    def rollback(self) -> None:
        self._helm("rollback", self.name, "--wait", "--timeout", PATIENCE)

    def test(self) -> str:
        return self._helm("test", self.name, "--timeout", PATIENCE)

    def uninstall(self) -> None:
        self._helm("uninstall", self.name, "--wait", "--timeout", PATIENCE)

    def stored_outputs(self) -> frozenset[str]:
        """The keys of all outputs, where files lie on a volume. Files under way, which have hidden names, are none."""
        pod = self.cluster.ready_pods(self.namespace, "api")[0].metadata.name
        script = "mkdir -p /data/outputs && find /data/outputs -type f ! -name '.*'"
        found = self.cluster.execute(self.namespace, pod, "sh", "-c", script)
        return frozenset(line.removeprefix("/data/") for line in found.split())

    def objects(self, kinds: str) -> list[str]:
        """The names of all objects of these kinds that the release has made."""
        words = ("--namespace", self.namespace, "--selector", f"app.kubernetes.io/instance={self.name}")
        return self.cluster.kubectl(*words, "get", kinds, "--output", "name").split()

    def component(self, name: str) -> str:
        """The name of the objects of a part: api, worker, operator, redis."""
        return f"{self.fullname}-{name}"

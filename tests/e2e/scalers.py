"""Releases whose workers the operator scales: what it was asked, what it did, and what it says of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from e2e.cluster import Cluster, is_ready
from e2e.followers import Change, Follower
from e2e.releases import SMALL, Release, merged
from e2e.rest import get, in_pod, merge, rest, text
from e2e.waiting import until

OPERATOR_PORT = 8080
GATEWAY_PORT = 3000


FIRST = {"requests": {"cpu": "250m", "memory": "64Mi"}}


def scaled(*, least: int = 0, most: int = 6, idle_seconds: int = 5, **changes: Any) -> dict[str, Any]:
    """Values of a release with an operator."""
    own = {
        "autoscaling": {"mode": "operator", "minReplicas": least, "maxReplicas": most, "idleSeconds": idle_seconds},
        # Many workers begin at once on the processors of one machine: that must not look like a source that hangs.
        "worker": {"probeTimeoutSeconds": 300},
        # Nor must it look like a queue that is down, or an operator that hangs: those two go first.
        "redis": {"bundled": {"resources": FIRST}},
        "operator": {"resources": FIRST},
    }
    return merged(merged(SMALL, own), changes)


class Scaler:
    """The WorkerScaler of a release, its target and its operators. Follows the target from when it is made."""

    def __init__(self, cluster: Cluster, release: Release, client: httpx2.Client, target: Follower) -> None:
        self.cluster = cluster
        self.release = release
        self.namespace = release.namespace
        self.client = client
        self.target = target
        self.name = release.fullname
        self.path = f"/apis/flowscale.dev/v1alpha1/namespaces/{self.namespace}/workerscalers/{self.name}"

    # --- what it is asked, and says

    def ask(self, **spec: Any) -> int:
        """Change the spec; its generation since."""
        generation: int = merge(self.client, self.path, {"spec": spec})["metadata"]["generation"]
        return generation

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = get(self.client, self.path).get("status") or {}
        return status

    def condition(self, kind: str) -> Mapping[str, Any]:
        """Empty while it says nothing of it."""
        return next((each for each in self.status().get("conditions", ()) if each["type"] == kind), {})

    def wait_for(self, kind: str, holds: str, reason: str) -> Mapping[str, Any]:
        """The condition when it is that."""

        def look() -> Mapping[str, Any] | None:
            found = self.condition(kind)
            return found if (found.get("status"), found.get("reason")) == (holds, reason) else None

        return until(look, f"{kind} of {self.name} to be {holds} for {reason}")

    def wait_until_heard(self, generation: int) -> None:
        """Until a status tells of this generation of the spec."""
        until(lambda: self.status().get("observedGeneration", 0) >= generation, f"generation {generation} to be heard")

    def events(self) -> list[dict[str, Any]]:
        """Of the WorkerScaler."""
        about = f"involvedObject.kind=WorkerScaler,involvedObject.name={self.name}"
        found = get(self.client, f"/api/v1/namespaces/{self.namespace}/events", fieldSelector=about)
        items: list[dict[str, Any]] = found["items"]
        return items

    # --- what it did

    def replicas(self) -> int:
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{self.release.component('worker')}/scale"
        return int(get(self.client, path)["spec"].get("replicas", 0))

    def wait_for_replicas(self, count: int) -> None:
        until(lambda: self.replicas() == count, f"{self.name} to have {count} replicas")

    def changes(self, since: float = 0.0) -> list[Change]:
        return self.target.sizes(self.release.component("worker"), since)

    def wait_for_change(self, since: float, after: int) -> Change:
        """The first change since then that leads to `after` replicas."""
        return until(
            lambda: next((change for change in self.changes(since) if change.after == after), None),
            f"a change of {self.name} to {after} replicas",
        )

    # --- its operators

    def operators(self) -> list[Any]:
        return self.cluster.pods(self.namespace, "operator")

    def holder(self) -> str:
        """The pod that holds the Lease."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases"
        name = self.release.component("operator")
        found = [each for each in get(self.client, path)["items"] if each["metadata"]["name"] == name]
        return next((str(each["spec"].get("holderIdentity") or "").rpartition("/")[0] for each in found), "")

    def leader(self) -> Any:
        """The pod of the operator that leads."""
        return until(
            lambda: next(
                (pod for pod in self.operators() if pod.metadata.name == self.holder() and is_ready(pod)), None
            ),
            "an operator to hold the Lease",
        )

    def metrics(self, pod: Any) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """What /metrics of an operator shows: by name and sorted labels."""
        shown = text(self.client, in_pod(self.namespace, pod.metadata.name, OPERATOR_PORT, "/metrics"))
        families = text_string_to_metric_families(shown)
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
        }

    def total(self, pod: Any, name: str, **labels: str) -> float:
        """The sum over all samples of a metric with these labels."""
        wanted = set(labels.items())
        return sum(value for (found, have), value in self.metrics(pod).items() if found == name and wanted <= set(have))

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The lines of the operators' logs with this event."""
        lines = [
            line
            for pod in self.operators()
            for line in self.cluster.log(self.namespace, pod.metadata.name).splitlines()
        ]
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [line for line in found if line.get("event") == event]

    # --- its queue

    def execute(self, key: str, **request: Any) -> str:
        """The id of one job, as soon as any gateway accepts it, ready or not. `key`: this job's own."""

        def send() -> str | None:
            for pod in self.cluster.pods(self.namespace, "api"):
                path = in_pod(self.namespace, pod.metadata.name, GATEWAY_PORT, "/api/execute")
                try:
                    answer = self.client.post(path, json=request, headers={"Idempotency-Key": key})
                except httpx2.TransportError:
                    continue
                if answer.status_code == 202:
                    return str(answer.json()["jobId"])
            return None

        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            if found := send():
                return found
            time.sleep(0.05)
        raise AssertionError("no gateway accepted a job for 300 s")


@contextmanager
def scaler_of(cluster: Cluster, release: Release) -> Iterator[Scaler]:
    """Of a release that is installed, or about to be."""
    path = f"/apis/apps/v1/namespaces/{release.namespace}/deployments"
    with rest(cluster) as client, Follower(cluster, path) as target:
        yield Scaler(cluster, release, client, target)


@contextmanager
def installed(cluster: Cluster, purpose: str, values: Mapping[str, Any]) -> Iterator[Scaler]:
    """A release in a namespace of its own, at rest: as many workers as the least. Uninstalled in the end."""
    with cluster.namespace(purpose) as namespace:
        release = Release(cluster, namespace)
        with scaler_of(cluster, release) as scaler:
            release.install(values)
            scaler.wait_for("Ready", "True", "Scaling")
            scaler.wait_for_replicas(values["autoscaling"]["minReplicas"])
            yield scaler
        release.uninstall()

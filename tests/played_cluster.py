"""What a cluster does beside its API: a Deployment gets its pods, and loses them in the order of the real controller.

    with ApiServer() as api, PlayedCluster(api) as cluster:
        cluster.deploy("worker", replicas=0)

One thread plays the Deployment's and the ReplicaSet's controllers and the kubelet. Which of several equal pods goes is
drawn by lot: the real controller's ages are rounded.
"""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Callable
from typing import Any, Self

from api_server import PATIENCE_SECONDS, ApiServer, Object

LABELS = {"app.kubernetes.io/component": "worker"}

POD_NAME = {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}

_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


class PlayedCluster:
    """`removing` is called with the name of each pod at the moment in which the controller deletes it."""

    def __init__(self, api: ApiServer, *, removing: Callable[[str], None] = lambda name: None, seed: int = 1) -> None:
        self.removed: list[str] = []
        self.sizes: dict[str, list[int]] = {}  # of each Deployment, the replicas of each change, in order
        self.starts = True  # pods are started when they are made
        self.ends = True  # pods that are deleted go at once
        self.most = 10**6  # pods that can exist at once: a quota
        self.works = threading.Event()  # cleared: the controllers are away, and do nothing until they are back
        self.works.set()
        self._api = api
        self._removing = removing
        self._random = random.Random(seed)
        self._todo: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._live, name="cluster", daemon=True)
        self._made = 0
        self.fault: BaseException | None = None

    def __enter__(self) -> Self:
        self._api.listen(self._changed)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._todo.put(None)
        self._thread.join(PATIENCE_SECONDS)
        assert self.fault is None, repr(self.fault)

    def deploy(self, name: str, replicas: int, labels: Object | None = None) -> Object:
        """A Deployment of one version, whose pods carry its labels."""
        chosen = labels or {**LABELS, "app": name}
        template = {"metadata": {"labels": chosen}, "spec": {"containers": [{"name": "worker", "env": [POD_NAME]}]}}
        spec = {"replicas": replicas, "selector": {"matchLabels": chosen}, "template": template}
        return self._api.put("deployments", {"metadata": {"name": name}, "spec": spec})

    def pods(self, deployment: str) -> list[Object]:
        labels = self._api.get("deployments", deployment)["spec"]["selector"]["matchLabels"]
        return [
            pod
            for pod in self._api.all("pods")
            if all(pod["metadata"]["labels"].get(name) == value for name, value in labels.items())
        ]

    def run(self, name: str) -> None:
        """The kubelet has started the pod."""
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        self._api.change(
            "pods", name, {"spec": {"nodeName": "node-1"}, "status": {"phase": "Running", "conditions": [ready]}}
        )

    def _changed(self, resource: str, kind: str, body: Object) -> None:
        if resource == "deployments" and kind != "DELETED":
            size, sizes = body["spec"]["replicas"], self.sizes.setdefault(body["metadata"]["name"], [])
            if not sizes or sizes[-1] != size:
                sizes.append(size)
            if body["metadata"]["generation"] != (body.get("status") or {}).get("observedGeneration"):
                self._todo.put(body["metadata"]["name"])

    def _live(self) -> None:
        try:
            while (name := self._todo.get()) is not None:
                assert self.works.wait(PATIENCE_SECONDS), "the controllers never came back"
                if self._exists(name):
                    self._sync_unless_deleted(name)
        except BaseException as fault:  # noqa: BLE001 - raised in the test's own thread, by __exit__
            self.fault = fault

    def _exists(self, name: str) -> bool:
        return any(each["metadata"]["name"] == name for each in self._api.all("deployments"))

    def _sync_unless_deleted(self, name: str) -> None:
        try:
            self._sync(name)
        except KeyError:
            if self._exists(name):
                raise

    def _sync(self, name: str) -> None:
        deployment = self._api.get("deployments", name)
        wanted = deployment["spec"]["replicas"]
        active = [pod for pod in self.pods(name) if "deletionTimestamp" not in pod["metadata"]]
        for _ in range(min(wanted, self.most) - len(active)):
            self._make(deployment)
        for pod in sorted(active, key=self._order)[: max(0, len(active) - wanted)]:
            self._delete(pod["metadata"]["name"])
        status = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": min(wanted, self.most),
            "updatedReplicas": min(wanted, self.most),
        }
        self._api.change("deployments", name, {"status": status})

    def _order(self, pod: Object) -> tuple[Any, ...]:
        status = pod.get("status") or {}
        ready = any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", ()))
        annotations = pod["metadata"].get("annotations") or {}
        cost = int(annotations.get("controller.kubernetes.io/pod-deletion-cost", "0"))
        assigned = bool((pod.get("spec") or {}).get("nodeName"))
        return assigned, _PHASES[status.get("phase", "Pending")], ready, cost, self._random.random()

    def _make(self, deployment: Object) -> None:
        self._made += 1
        name = f"{deployment['metadata']['name']}-7d4b9-{self._made:05d}"
        owner = {"kind": "ReplicaSet", "name": "rs", "uid": f"rs-{deployment['metadata']['uid']}", "controller": True}
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        metadata = {"name": name, "labels": labels, "ownerReferences": [owner]}
        self._api.put("pods", {"metadata": metadata, "spec": {}, "status": {"phase": "Pending"}})
        if self.starts:
            self.run(name)

    def _delete(self, name: str) -> None:
        self._removing(name)
        self.removed.append(name)
        self._api.change("pods", name, {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})
        if self.ends:
            self._api.delete("pods", name)

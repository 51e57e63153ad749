"""The pods of a namespace, as the last events of a watch left them, sorted into fleets by what Deployments select."""

from __future__ import annotations

from collections.abc import Iterable

from flowscale_operator.facts import DeploymentFacts, PodFacts


class Fleet:
    """The pods that one Deployment selects, by name."""

    def __init__(self, deployment: DeploymentFacts) -> None:
        self.deployment = deployment
        self.pods: dict[str, PodFacts] = {}


class PodStore:
    """Written by the watch (pod_watch.py) and by whoever was answered with a pod; read by the WorkerScalers' rounds."""

    def __init__(self) -> None:
        self.read_ms = 0  # when the last whole list was asked for (steady_ms); 0: never
        self._pods: dict[str, PodFacts] = {}
        self._fleets: dict[str, Fleet] = {}

    def replace(self, pods: Iterable[PodFacts], read_ms: int) -> None:
        """All there are, as a list says."""
        listed = {pod.name: pod for pod in pods}
        for name in self._pods.keys() - listed.keys():
            self.remove(name)
        for pod in listed.values():
            self.put(pod)
        self.read_ms = read_ms

    def put(self, pod: PodFacts) -> None:
        """A pod as it is now; an older reading of the same pod is ignored."""
        known = self._pods.get(pod.name)
        if known is not None and known.uid == pod.uid and known.version > pod.version:
            return
        self._pods[pod.name] = pod
        for fleet in self._fleets.values():
            _sort(fleet, pod)

    def remove(self, name: str) -> None:
        self._pods.pop(name, None)
        for fleet in self._fleets.values():
            fleet.pods.pop(name, None)

    def knows(self, name: str) -> bool:
        return name in self._pods

    def of(self, deployment: DeploymentFacts) -> dict[str, PodFacts]:
        """Its pods, by name; to be read only."""
        fleet = self._fleets.get(deployment.name)
        if fleet is None or _selection(fleet.deployment) != _selection(deployment):
            fleet = self._fleets[deployment.name] = Fleet(deployment)
            for pod in self._pods.values():
                _sort(fleet, pod)
        return fleet.pods

    def forget(self, deployment: str) -> None:
        """Nobody asks for its pods any more."""
        self._fleets.pop(deployment, None)


def _sort(fleet: Fleet, pod: PodFacts) -> None:
    if pod.replica_set is not None and fleet.deployment.selects(pod.labels):
        fleet.pods[pod.name] = pod
    else:
        fleet.pods.pop(pod.name, None)


def _selection(deployment: DeploymentFacts) -> tuple[object, ...]:
    return deployment.uid, deployment.match_labels, deployment.match_expressions

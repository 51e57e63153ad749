"""What the operator keeps of Kubernetes objects: a few facts each, so that thousands of pods cost little. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

COST = "controller.kubernetes.io/pod-deletion-cost"
SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"
DO_NOT_DISRUPT = "karpenter.sh/do-not-disrupt"
MARKS = (COST, SAFE_TO_EVICT, DO_NOT_DISRUPT)
"""The only annotations that the operator writes to pods."""

_ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class PodFacts:
    """A pod, as far as it matters who goes first. Times are Unix seconds."""

    name: str
    uid: str
    version: int  # of the object; comparable between readings of one pod
    labels: Mapping[str, str]
    replica_set: str | None  # uid of the ReplicaSet that controls it
    node: str  # empty while it is not assigned
    phase: str
    ready: bool
    ready_since: float
    created: float
    restarts: int
    terminating: bool
    marks: Mapping[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> bool:
        """Whether its ReplicaSet counts it as one of its replicas."""
        return not self.terminating and self.phase not in _ENDED

    @property
    def cost(self) -> int:
        """As the ReplicaSet controller reads it: what is no number counts as 0."""
        try:
            return int(self.marks.get(COST, "0"))
        except ValueError:
            return 0


@dataclass(frozen=True, slots=True)
class DeploymentFacts:
    """A Deployment, as far as scaling goes. `read_ms` is when the reading was asked for (steady_ms)."""

    name: str
    uid: str
    version: str  # of the object: the precondition of a patch
    replicas: int
    match_labels: Mapping[str, str]
    match_expressions: Sequence[Mapping[str, Any]]
    names_pods: bool  # its pods are told their names: only then do grants to a pod reach the workers in it
    rolling: str  # why pods of several versions may be about; empty: they are not
    read_ms: int

    def selects(self, labels: Mapping[str, str]) -> bool:
        return all(labels.get(key) == value for key, value in self.match_labels.items()) and all(
            _expression_holds(expression, labels) for expression in self.match_expressions
        )

    @property
    def selector(self) -> str:
        """As a query of the API takes it."""
        words = [f"{key}={value}" for key, value in sorted(self.match_labels.items())]
        for expression in self.match_expressions:
            key, operator, values = expression["key"], expression["operator"], ",".join(expression.get("values") or ())
            words.append(
                {
                    "In": f"{key} in ({values})",
                    "NotIn": f"{key} notin ({values})",
                    "Exists": key,
                    "DoesNotExist": f"!{key}",
                }[operator]
            )
        return ",".join(words)


def read_pod(pod: Mapping[str, Any]) -> PodFacts:
    """Of a pod as the API gives it."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    conditions: Sequence[Mapping[str, Any]] = status.get("conditions") or ()
    ready = next((each for each in conditions if each.get("type") == "Ready"), {})
    annotations = metadata.get("annotations") or {}
    return PodFacts(
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        version=int(metadata.get("resourceVersion") or 0),
        labels=metadata.get("labels") or {},
        replica_set=_controller(metadata),
        node=(pod.get("spec") or {}).get("nodeName") or "",
        phase=status.get("phase") or "Pending",
        ready=ready.get("status") == "True",
        ready_since=read_time(ready.get("lastTransitionTime")),
        created=read_time(metadata.get("creationTimestamp")),
        restarts=max((each.get("restartCount", 0) for each in status.get("containerStatuses") or ()), default=0),
        terminating="deletionTimestamp" in metadata,
        marks={name: annotations[name] for name in MARKS if name in annotations},
    )


def read_deployment(deployment: Mapping[str, Any], read_ms: int) -> DeploymentFacts:
    """Of a Deployment as the API gives it."""
    metadata, spec, status = deployment["metadata"], deployment["spec"], deployment.get("status") or {}
    selector = spec.get("selector") or {}
    rolling = ""
    if status.get("observedGeneration", 0) < metadata.get("generation", 0):
        rolling = "the Deployment has just been changed"
    elif status.get("updatedReplicas", 0) != status.get("replicas", 0):
        rolling = "a rollout is under way"
    return DeploymentFacts(
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        version=metadata["resourceVersion"],
        replicas=spec.get("replicas", 1),
        match_labels=selector.get("matchLabels") or {},
        match_expressions=selector.get("matchExpressions") or (),
        names_pods=_names_pods(spec),
        rolling=rolling,
        read_ms=read_ms,
    )


def read_time(text: str | None) -> float:
    """Unix seconds of an API's time; 0 for none."""
    return datetime.fromisoformat(text).astimezone(UTC).timestamp() if text else 0.0


def _names_pods(spec: Mapping[str, Any]) -> bool:
    pod = (spec.get("template") or {}).get("spec") or {}
    return any(
        variable.get("name") == "POD_NAME"
        and ((variable.get("valueFrom") or {}).get("fieldRef") or {}).get("fieldPath") == "metadata.name"
        for container in pod.get("containers") or ()
        for variable in container.get("env") or ()
    )


def _controller(metadata: Mapping[str, Any]) -> str | None:
    for owner in metadata.get("ownerReferences") or ():
        if owner.get("controller") and owner.get("kind") == "ReplicaSet":
            return str(owner["uid"])
    return None


def _expression_holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    return {
        "In": labels.get(key) in values,
        "NotIn": labels.get(key) not in values,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }[expression["operator"]]

"""A WorkerScaler, as the operator understands it. Pure; the schema is manifests/crds/workerscalers.yaml."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from flowscale.scaling import Policy
from flowscale_operator.facts import read_time

GROUP, VERSION, PLURAL, KIND = "flowscale.dev", "v1alpha1", "workerscalers", "WorkerScaler"

QUEUE = "flowscale-render"
"""The one queue there is."""


class Mode(StrEnum):
    AUTO = "Auto"
    DRY_RUN = "DryRun"  # decides and explains, and changes nothing but the WorkerScaler's status
    PAUSED = "Paused"  # does nothing


@dataclass(frozen=True, slots=True)
class ScalerSpec:
    """What a person asked for. `fault` says why it cannot be done, where it cannot: then `policy` means nothing."""

    name: str
    namespace: str
    uid: str
    generation: int
    created: float  # Unix seconds
    target: str  # name of the Deployment
    mode: Mode
    policy: Policy
    status: Mapping[str, Any] = field(default_factory=dict)  # as it was written last
    fault: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Who it is, as long as it lives."""
        return self.name, self.uid


def read_spec(body: Mapping[str, Any]) -> ScalerSpec:
    """Of a WorkerScaler as the API gives it. What the schema rules out is a `fault`: the CRD may be an older one."""
    metadata, spec = body["metadata"], body.get("spec") or {}
    fault, policy, mode = "", Policy(minimum=0, maximum=1), Mode.PAUSED
    try:
        mode = Mode(spec.get("mode", Mode.AUTO))
        policy = _policy(spec)
        queues = [queue.get("name") for queue in spec.get("queues") or [{"name": QUEUE}]]
        if queues != [QUEUE]:
            raise ValueError(f"spec.queues must name {QUEUE} and nothing else")
    except (ValueError, TypeError, AttributeError) as error:
        fault = str(error)
    return ScalerSpec(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        generation=int(metadata.get("generation", 0)),
        created=read_time(metadata.get("creationTimestamp")),
        target=str((spec.get("targetRef") or {}).get("name", "")),
        mode=mode,
        policy=policy,
        status=body.get("status") or {},
        fault=fault,
    )


def _policy(spec: Mapping[str, Any]) -> Policy:
    replicas, target = spec.get("replicas") or {}, spec.get("target") or {}
    up, down = spec.get("scaleUp") or {}, spec.get("scaleDown") or {}
    if len(target) > 1:
        raise ValueError("spec.target must have one of jobsPerReplica and maxWaitSeconds")
    return Policy(
        minimum=replicas.get("min", 0),
        maximum=replicas.get("max", 4),
        jobs_per_worker=target.get("jobsPerReplica"),
        max_step_up=up.get("maxStep", 100),
        idle_ms=down.get("idleSeconds", 60) * 1000,
        max_step_down_percent=down.get("maxStepPercent", 100),
        max_wait_ms=target["maxWaitSeconds"] * 1000 if "maxWaitSeconds" in target else None,
    )


def owners(specs: Iterable[ScalerSpec]) -> dict[str, ScalerSpec]:
    """Which WorkerScaler each target obeys: of several the oldest, whatever its mode, and of one age the first by name.
    The others keep their hands off."""
    found: dict[str, ScalerSpec] = {}
    for spec in sorted(specs, key=lambda each: (each.created, each.name)):
        found.setdefault(spec.target, spec)
    return found

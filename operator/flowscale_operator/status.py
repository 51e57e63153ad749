"""What a WorkerScaler's status says. Pure: builds it, and says whether it is worth a write.

Conditions are Kubernetes' own kind (metav1.Condition). Their messages hold no figure that moves by itself, so that a
status is written when something has happened, and not because time has passed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """The types of conditions, each with what it answers."""

    READY = "Ready"  # can this WorkerScaler do its work?
    ACTIVE = "Active"  # is there work, or are there workers?
    SOURCE_HEALTHY = "SourceHealthy"  # is what is known of queue and cluster fresh?
    SCALING_LIMITED = "ScalingLimited"  # does something keep the size away from the demand?
    DRAINING = "Draining"  # are workers on their way out?
    PAUSED = "Paused"  # did a person say to keep off?


@dataclass(frozen=True, slots=True)
class Condition:
    """`holds` is None for Unknown."""

    holds: bool | None
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the number of replicas that was made; in DryRun, that would have been."""

    moment: str  # ISO 8601, UTC
    before: int
    after: int
    reason: str
    message: str
    limited_by: str


@dataclass(frozen=True, slots=True)
class Report:
    """All that a status tells, at one time. A count that is not known is None."""

    generation: int
    current: int | None
    desired: int | None
    busy: int | None
    draining: int
    queued: int | None
    oldest_wait_ms: int | None
    conditions: Mapping[Kind, Condition] = field(default_factory=dict)
    change: Change | None = None


WRITE_SECONDS = 5.0
"""Between two writes of one status."""

AGE_SECONDS = 30.0
"""Between two writes that only say how long the oldest job has waited by now."""


def build(report: Report, before: Mapping[str, Any], moment: str) -> dict[str, Any]:
    """The status to write over `before`; what is not known is taken away. `moment` is now (ISO 8601, UTC)."""
    change = report.change
    status: dict[str, Any] = {
        "observedGeneration": report.generation,
        "current": report.current,
        "desired": report.desired,
        "busy": report.busy,
        "draining": report.draining,
        "queued": report.queued,
        "oldestWaitSeconds": None if report.oldest_wait_ms is None else report.oldest_wait_ms // 1000,
        "lastDecision": before.get("lastDecision"),
        "conditions": _conditions(report, before.get("conditions") or (), moment),
    }
    if change is not None:
        status["lastDecision"] = {
            "time": change.moment,
            "from": change.before,
            "to": change.after,
            "reason": change.reason,
            "message": change.message,
            "limitedBy": change.limited_by,
        }
    return {name: value for name, value in status.items() if value is not None}


def patch(status: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch that makes `status` of `before`."""
    gone: dict[str, Any] = {name: None for name in before if name not in status}
    return gone | {name: value for name, value in status.items() if before.get(name) != value}


def worth_writing(status: Mapping[str, Any], before: Mapping[str, Any], seconds: float) -> bool:
    """Whether to write now, `seconds` after the last write."""
    changed = {name for name in status.keys() | before.keys() if status.get(name) != before.get(name)}
    if not changed or seconds < WRITE_SECONDS:
        return False
    return changed != {"oldestWaitSeconds"} or seconds >= AGE_SECONDS


def _conditions(report: Report, before: Sequence[Mapping[str, Any]], moment: str) -> list[dict[str, Any]]:
    known = {each.get("type"): each for each in before}
    return [
        _condition(kind, report.conditions[kind], report.generation, known.get(kind.value), moment)
        for kind in Kind
        if kind in report.conditions
    ]


def _condition(
    kind: Kind, condition: Condition, generation: int, before: Mapping[str, Any] | None, moment: str
) -> dict[str, Any]:
    status = "Unknown" if condition.holds is None else str(condition.holds)
    since = before.get("lastTransitionTime") if before is not None and before.get("status") == status else None
    return {
        "type": kind.value,
        "status": status,
        "reason": condition.reason,
        "message": condition.message,
        "observedGeneration": generation,
        "lastTransitionTime": since or f"{moment[:19]}Z",
    }

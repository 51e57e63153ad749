"""What holds of a WorkerScaler in this round, in the words of its conditions. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from flowscale.scaling import Decision, Limit, Snapshot
from flowscale_operator.source import Reading
from flowscale_operator.spec import Mode, ScalerSpec
from flowscale_operator.status import Condition, Kind

_LIMITS = {
    Limit.MINIMUM: "There are never to be fewer replicas than spec.replicas.min",
    Limit.MAXIMUM: "There are never to be more replicas than spec.replicas.max",
    Limit.STEP_UP: "spec.scaleUp.maxStep allows no more at once",
    Limit.STEP_DOWN: "spec.scaleDown.maxStepPercent allows no more at once",
    Limit.IDLE_TIME: "Fewer would do, once that has been so for spec.scaleDown.idleSeconds",
    Limit.GATHERING: "Fewer would do, and more workers are about to leave together",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether this WorkerScaler may act on its target, and if not, why: the Ready condition."""

    may_act: bool
    ready: Condition


def stand(spec: ScalerSpec, owner: ScalerSpec, rival: str | None, target_fault: str, missing: bool) -> Standing:
    """`owner` is the WorkerScaler that the target obeys, `rival` what else scales it (None: not known yet), and
    `target_fault` why the target could not be read (`missing`: because there is none)."""
    no = False
    if spec.fault:
        return Standing(no, Condition(False, "InvalidSpec", f"It asks for what cannot be: {spec.fault}"))
    if owner.key != spec.key:
        message = f"The WorkerScaler {owner.name} is older and scales {spec.target} too; delete one of them"
        return Standing(no, Condition(False, "ConflictingScaler", message))
    if missing:
        message = f"There is no Deployment {spec.target} in this namespace; it is looked for again"
        return Standing(no, Condition(False, "TargetNotFound", message))
    if target_fault:
        return Standing(no, Condition(None, "TargetUnknown", target_fault))
    if rival is None:
        message = "It is not known yet whether something else scales the target"
        return Standing(no, Condition(None, "LookingForAutoscalers", message))
    if rival:
        message = f"{rival} scales {spec.target} too; delete it, or this WorkerScaler"
        return Standing(no, Condition(False, "ConflictingAutoscaler", message[0].upper() + message[1:]))
    words = {
        Mode.AUTO: "It scales its target",
        Mode.DRY_RUN: "It says what it would do, and changes nothing",
        Mode.PAUSED: "It does nothing until spec.mode says otherwise",
    }
    return Standing(spec.mode is Mode.AUTO, Condition(True, _REASONS[spec.mode], words[spec.mode]))


_REASONS = {Mode.AUTO: "Scaling", Mode.DRY_RUN: "DryRun", Mode.PAUSED: "Paused"}


def source_healthy(reading: Reading, snapshot: Snapshot, stale_ms: int, now_ms: int) -> Condition:
    """Of what the decision rests on."""
    if reading.demand is None:
        return Condition(False, "QueueUnavailable", f"The number of replicas is held: {reading.fault}")
    if snapshot.workers is None or snapshot.busy is None:
        return Condition(False, "ClusterUnknown", "The number of replicas is held until the cluster has been read")
    if abs(now_ms - snapshot.at_ms) > stale_ms:
        message = f"The number of replicas is held: the cluster was read more than {stale_ms // 1000} s ago"
        return Condition(False, "ClusterStale", message)
    return Condition(True, "Fresh", "Queue and cluster were read within the last seconds")


def active(snapshot: Snapshot) -> Condition:
    """Whether there is anything to do."""
    if snapshot.waiting is None or snapshot.due is None or snapshot.busy is None or snapshot.delayed is None:
        return Condition(None, "Unknown", "It is not known whether there are jobs")
    if snapshot.waiting + snapshot.due + snapshot.busy + snapshot.delayed:
        return Condition(True, "Jobs", "Jobs wait or run")
    return Condition(False, "QueueEmpty", "No job waits or runs")


def limited(decision: Decision | None, held_by: str) -> Condition:
    """`held_by` is what the last scale-down met."""
    if held_by:
        return Condition(True, "ScaleDownHeld", f"Fewer replicas are wanted, but {held_by}")
    if decision is None or decision.limited_by is Limit.NONE:
        return Condition(False, "NotLimited", "The number of replicas is what the demand asks for")
    message = _LIMITS.get(decision.limited_by, str(decision.limited_by))
    return Condition(True, str(decision.limited_by), message)


def conditions(
    spec: ScalerSpec,
    standing: Standing,
    healthy: Condition,
    reading: Snapshot,
    decision: Decision | None,
    held_by: str,
    draining: int,
) -> dict[Kind, Condition]:
    """All of them."""
    paused = spec.mode is Mode.PAUSED
    return {
        Kind.READY: standing.ready,
        Kind.ACTIVE: active(reading),
        Kind.SOURCE_HEALTHY: healthy,
        Kind.SCALING_LIMITED: limited(decision, held_by),
        Kind.DRAINING: Condition(True, "WorkersLeave", "Idle workers are on their way out")
        if draining
        else Condition(False, "NobodyLeaves", "No worker is on its way out"),
        Kind.PAUSED: Condition(paused, "ModePaused" if paused else f"Mode{spec.mode}", f"spec.mode is {spec.mode}"),
    }

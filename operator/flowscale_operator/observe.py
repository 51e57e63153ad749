"""Puts together what was read of the queue, the Deployment and its pods: one view for one decision. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from flowscale.queues.scaling_view import snapshot_of
from flowscale.scaling import Snapshot
from flowscale_operator.facts import DeploymentFacts, PodFacts
from flowscale_operator.source import Reading


@dataclass(frozen=True, slots=True)
class View:
    """`snapshot` is for the decision; the rest says which workers it is about, by the names of their pods."""

    snapshot: Snapshot
    busy: Mapping[str, int] = field(default_factory=dict)  # of pods that count: the executions they hold
    draining: frozenset[str] = frozenset()  # of pods that count
    slots: int = 1  # renders that one pod does at once, as far as they said


def put_together(reading: Reading, seen: DeploymentFacts | None, pods: Mapping[str, PodFacts] | None) -> View:
    """`seen` and `pods` are None when they are not known. A pod that is on its way out is no worker any more: what it
    renders, it will finish, and nobody need be started for it."""
    workers = None if seen is None else seen.replicas
    at_ms = reading.asked_ms if seen is None else min(reading.asked_ms, seen.read_ms)
    demand = reading.demand
    if demand is None:
        return View(Snapshot(at_ms, None, None, None, None, None, None, workers))
    known = pods or {}
    busy = {
        name: group.busy for name, group in demand.groups.items() if group.busy and name in known and known[name].counts
    }
    snapshot = replace(snapshot_of(demand, busy, at_ms=reading.asked_ms, workers=workers), at_ms=at_ms)
    if pods is None:
        snapshot = replace(snapshot, busy=None, renders=None)
    slots = max((group.slots for name, group in demand.groups.items() if name in known), default=1)
    return View(
        snapshot,
        busy,
        frozenset(
            name for name, group in demand.groups.items() if group.draining and name in known and known[name].counts
        ),
        max(1, slots),
    )

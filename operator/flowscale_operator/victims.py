"""Who goes when a ReplicaSet gets smaller, and whom to ask before it does. Pure.

The ReplicaSet controller (kubernetes/pkg/controller, ActivePodsWithRanks) deletes first, among its active pods, those
that are not assigned to a node, then Pending, then not Ready, then of the lowest deletion cost; then more co-located,
Ready for less time, restarted more often, younger. Only the first four can be relied upon: the rest changes by itself,
or by the controller's own rounding of ages. So a pod goes *surely before* another when the first four say so.

A cost cannot bring a Ready pod before one that is not. So whoever is not Ready has to be asked before anyone who is;
and once one of them is busy, no more can go than were granted up to there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

from flowscale_operator.facts import PodFacts

_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}

Class: TypeAlias = tuple[bool, int, bool]
"""Assigned, phase, Ready: what no cost outweighs. Lower goes first."""


def class_of(pod: PodFacts) -> Class:
    return bool(pod.node), _PHASES.get(pod.phase, 1), pod.ready


def in_order(pods: Sequence[PodFacts]) -> list[PodFacts]:
    """All that count, in the controller's order as far as it can be known from outside."""
    counted = [pod for pod in pods if pod.counts]
    crowd = Counter(pod.node for pod in counted)
    return sorted(
        counted,
        key=lambda pod: (*class_of(pod), pod.cost, -crowd[pod.node], -pod.ready_since, -pod.restarts, -pod.created),
    )


def next_to_ask(
    pods: Sequence[PodFacts],
    number: int,
    granted: Collection[str],
    refused: Collection[str],
    busy: Mapping[str, int],
) -> list[str]:
    """Whom to ask next so that `number` can go; empty when enough are granted, or no more can be.

    `busy` tells which are known to render: they are asked last, since asking costs nothing and knowledge ages.
    """
    missing = number - len(granted)
    if missing <= 0:
        return []
    ordered = in_order(pods)
    for each in sorted({class_of(pod) for pod in ordered}):
        members = [pod.name for pod in ordered if class_of(pod) == each]
        if all(name in granted for name in members):
            continue
        open_names = [name for name in members if name not in granted and name not in refused]
        open_names.sort(key=lambda name: bool(busy.get(name, 0)))  # stable: otherwise in the controller's order
        return open_names[:missing]
    return []


def surely_first(pods: Sequence[PodFacts], number: int, granted: Collection[str]) -> bool:
    """Whether none but granted pods can be among the first `number` to go."""
    counted = [pod for pod in pods if pod.counts]
    ours = [(*class_of(pod), pod.cost) for pod in counted if pod.name in granted]
    for pod in counted:
        if pod.name not in granted:
            key = (*class_of(pod), pod.cost)
            if sum(each < key for each in ours) < number:
                return False
    return len(counted) >= number


def several_versions(pods: Sequence[PodFacts]) -> bool:
    """Whether pods of more than one ReplicaSet count: in a rollout nobody can say whose go."""
    return len({pod.replica_set for pod in pods if pod.counts}) > 1

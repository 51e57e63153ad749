"""What is written on pods for those who remove pods: the ReplicaSet controller and the autoscalers of nodes. Pure.

granted   the lowest deletion cost there is
busy      the highest, and two annotations that keep node autoscalers away
neither   nothing
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from flowscale_operator.facts import COST, DO_NOT_DISRUPT, MARKS, SAFE_TO_EVICT, PodFacts

LOWEST_COST = -(2**31) + 1
HIGHEST_COST = 2**31 - 1
"""Costs are 32-bit numbers."""

GRANTED: Mapping[str, str] = {COST: str(LOWEST_COST)}
BUSY: Mapping[str, str] = {COST: str(HIGHEST_COST), SAFE_TO_EVICT: "false", DO_NOT_DISRUPT: "true"}
NONE: Mapping[str, str] = {}

REST_SECONDS = 15.0
"""How long a pod must have been idle before its marks go: most get their next job sooner, and a mark is a write."""


def wanted_marks(
    pods: Sequence[PodFacts], granted: Collection[str], busy: Collection[str], resting: Collection[str]
) -> dict[str, Mapping[str, str]]:
    """What each pod that counts should carry, by name; `resting` were busy within REST_SECONDS and keep theirs."""
    wanted: dict[str, Mapping[str, str]] = {}
    for pod in pods:
        if not pod.counts:
            continue
        if pod.name in granted:
            wanted[pod.name] = GRANTED
        elif pod.name in busy:
            wanted[pod.name] = BUSY
        elif pod.name not in resting or pod.cost == LOWEST_COST:
            wanted[pod.name] = NONE
    return wanted


def changes(pod: PodFacts, wanted: Mapping[str, str]) -> dict[str, str | None]:
    """The annotations to patch; None takes one away. A mark that a person gave an unmarked pod is left alone."""
    if not wanted and pod.cost not in (LOWEST_COST, HIGHEST_COST):
        return {}
    return {name: wanted.get(name) for name in MARKS if pod.marks.get(name) != wanted.get(name)}

"""Groups of workers in the memory backend: which may not fetch, and what is told of each.

Pure bookkeeping without a lock; `now` is in ms of the monotonic clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from flowscale.queues.base import WorkerReport
from flowscale.queues.scaling_view import GroupState


class Drains:
    """The grants of `drain`."""

    def __init__(self) -> None:
        self._until: dict[str, int] = {}

    def grant(self, group: str, until: int) -> None:
        self._until[group] = until

    def take_back(self, groups: Iterable[str]) -> bool:
        """Whether any of them had a grant."""
        return sum(self._until.pop(group, None) is not None for group in groups) > 0

    def holds(self, group: str, now: int) -> bool:
        return self._until.get(group, now) > now

    def next_end(self, group: str, now: int) -> int | None:
        """When the grant of a group that is draining ends by itself."""
        return self._until[group] if self.holds(group, now) else None

    def forget_old(self, now: int) -> None:
        self._until = {group: until for group, until in self._until.items() if until > now}

    def groups(self, now: int) -> set[str]:
        return {group for group in self._until if self.holds(group, now)}


def group_states(
    holding: Iterable[str], draining: set[str], reports: Mapping[str, tuple[int, WorkerReport]], now: int
) -> dict[str, GroupState]:
    """By group. `holding`: the group of each execution that is held; `reports`: when each came, and what it says."""
    busy = Counter(holding)
    slots: Counter[str] = Counter()
    seen: dict[str, int] = {}
    for came, report in reports.values():
        group = report.worker if report.group is None else report.group
        slots[group] += report.slots if report.problem is None else 0
        seen[group] = min(now - came, seen.get(group, now - came))
    return {
        group: GroupState(busy[group], slots[group], group in draining, seen.get(group))
        for group in sorted({*busy, *draining, *seen})
    }

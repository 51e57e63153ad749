"""The queue protocol's third half: what an operator asks before it starts or removes workers (async).

The words:
- a *group* is all workers that come and go together: those of one pod, named by POD_NAME (a fleet without one has a
  group of its own, by its own name);
- a group is *busy* while it holds an execution. An execution whose start was never answered is held, and so is one
  whose lease ran out, until `tend` gives its job away;
- a group is *draining* from the grant of `drain` until `undrain` or until the time of the grant is over. A fetch of a
  draining group gets nothing.

The queue orders starts and drains: either the group has started a job, then it is not granted, or it is granted, then
it starts none. So whoever was granted a group may remove it without looking again.

Every backend passes tests/contract/queue_suite_scaling.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from flowscale.predictions import LINE_READ, Expected
from flowscale.scaling.terms import Snapshot

__all__ = ["LINE_READ", "Demand", "GroupState", "ScalingQueue", "snapshot_of"]


@dataclass(frozen=True, slots=True)
class GroupState:
    """One group that holds an execution, is draining, or reported within REPORT_KEPT_MS."""

    busy: int  # executions it holds
    slots: int  # renders its workers do at once, as far as they said; 0: never reported
    draining: bool
    seen_ms: int | None  # age of its last report; None: never reported


@dataclass(frozen=True, slots=True)
class Demand:
    """One reading of the queue, of one instant of its clock. Times in ms, counts in jobs."""

    at_ms: int  # by the queue's clock (Unix)
    waiting: int  # in the lines
    delayed: int  # retries whose time has not come
    due: int  # retries whose time has come, and which nobody has queued yet
    next_due_ms: int | None  # when the first of the delayed is due (Unix); None: nothing is delayed
    oldest_wait_ms: int | None  # how long the head of a line that waits longest has waited; None: nothing waits
    paused: bool  # nothing is handed out
    groups: Mapping[str, GroupState] = field(default_factory=dict)
    line: tuple[Expected, ...] = ()  # the first LINE_READ waiting jobs, in the order in which they are taken
    running: tuple[Expected, ...] = ()  # at most LINE_READ executions that are held, in no order


def snapshot_of(demand: Demand, members: Collection[str], *, at_ms: int, workers: int | None) -> Snapshot:
    """The reading as `decide` takes it, for the size of what these groups are the workers of.

    `at_ms` is when it was asked for, by the clock that tells `decide` the time; what the queue's own clock says is
    moved to that one. `workers` are counted by who knows which exist; None where nobody does.
    """
    next_due = None if demand.next_due_ms is None else at_ms + demand.next_due_ms - demand.at_ms
    renders = [state.busy for name, state in demand.groups.items() if name in members and state.busy]
    return Snapshot(
        at_ms=at_ms,
        waiting=demand.waiting,
        delayed=demand.delayed,
        due=demand.due,
        next_due_ms=next_due,
        busy=len(renders),
        oldest_wait_ms=demand.oldest_wait_ms,
        workers=workers,
        renders=sum(renders),
        line=demand.line,
        running=demand.running,
    )


class ScalingQueue(Protocol):
    """The operator's half, for one event loop. Every method raises QueueUnavailable when the facts cannot be reached;
    a reading that failed is never a zero. A call ends, one way or the other, within 2 s."""

    async def demand(self) -> Demand:
        """How much there is to do and who does it: one instant, and nothing is changed by it."""

    async def drain(self, groups: Sequence[str], ttl_ms: int) -> frozenset[str]:
        """Mark those of the groups as draining that hold no execution in this instant; their names.

        Exactly those are granted: none that is busy, and all that are not, those never heard of too. The grant ends
        by itself `ttl_ms` from now, by the queue's clock; asking again renews it. An answer that was lost may have
        granted: `undrain` what is not wanted, or let its time run out.
        """

    async def undrain(self, groups: Sequence[str]) -> None:
        """Take the grants back: these groups fetch again, at once. Unknown names are no error."""

    def wakes(self) -> AsyncIterator[None]:
        """An item whenever a job may have become fetchable, a retry was delayed, or a group may have become free.

        For `async for`; the first item comes as soon as it listens, so that what happened before is looked at once.
        Several happenings may come as one item. Raises QueueUnavailable when contact is lost. A wake may be lost
        without a word all the same: whoever waits for it also looks now and then.
        """

    async def check(self) -> None:
        """Raises QueueUnavailable when the queue cannot be used now."""

    async def close(self) -> None:
        """Let go of connections. What waits in `wakes` must have gone."""

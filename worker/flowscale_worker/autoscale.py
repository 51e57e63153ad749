"""How many workers one machine runs: the decision of flowscale.scaling, fed from the queue and the fleet."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from flowscale import logs
from flowscale.errors import QueueUnavailable
from flowscale.queues.base import Depth
from flowscale.scaling import History, Policy, Reason, Snapshot, decide
from flowscale_worker.seats import Census

_log = logs.get("worker")


class Autoscale:
    """Between `least` and `most` workers, by the queue's depth. An unknown depth changes nothing."""

    def __init__(self, depth: Callable[[], Depth], least: int, most: int) -> None:
        self._depth = depth
        self._policy = Policy(minimum=least, maximum=max(least, most))
        self._history = History()

    def wanted(self, census: Census) -> int:
        """The number of seats to keep."""
        decision = decide(self._snapshot(census), self._policy, self._history, census.now_ms)
        self._history = decision.history
        if decision.reason not in (Reason.STEADY, Reason.UNKNOWN):
            _log.info("workers.scaled", decision.message, reason=decision.reason, limited_by=decision.limited_by)
        return decision.size(census.seats, self._policy)

    def _snapshot(self, census: Census) -> Snapshot:
        depth: Depth | None = None
        with suppress(QueueUnavailable):  # the fleet's chores say so; what is not known is None
            depth = self._depth()
        return Snapshot(
            at_ms=census.now_ms,
            waiting=depth.waiting if depth else None,
            delayed=depth.delayed if depth else None,
            due=depth.due if depth else None,
            next_due_ms=census.now_ms if depth and depth.delayed else None,  # back-offs are short: one worker stays
            busy=census.busy,
            oldest_wait_ms=None,
            workers=census.seats,
        )

"""The workers that were granted to one WorkerScaler: those that fetch nothing until they are gone, or released.

    asked ──> held ──(the patch that removes them)──> leaving ──> gone
                └──(it does not come)──> released

A grant ends by itself after TTL_SECONDS, so that an operator that dies leaves no idle worker idle for ever. It is
renewed while the pod still exists: a terminating worker must not start a job that its end would cut short.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from flowscale import logs
from flowscale.clocks import Clock
from flowscale.errors import QueueUnavailable
from flowscale.queues.scaling_view import ScalingQueue
from flowscale_operator.facts import PodFacts

TTL_SECONDS = 60.0
"""Beyond any step between a grant and the removal."""

RENEW_SECONDS = 15.0

LEAVE_SECONDS = 20.0
"""By when a pod that was to be removed is being removed; otherwise another went in its place."""

UNSURE_SECONDS = 30.0
"""How long the queue may still hear of a release that it did not answer. Within it, nobody else is asked: it would take
back the new grant too."""

_log = logs.get("operator")


class Grants:
    """Pods are named; a name is never used again by a ReplicaSet."""

    def __init__(self, queue: ScalingQueue, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self.held: set[str] = set()
        self._leaving: dict[str, float] = {}  # since when
        self._renewed_at = float("-inf")
        self.guarded: frozenset[str] = frozenset()
        """Granted by an operator before this one, which may still remove them."""
        self._unsure_at = float("-inf")

    @property
    def leaving(self) -> Collection[str]:
        return self._leaving.keys()

    @property
    def all(self) -> set[str]:
        return self.held | self._leaving.keys()

    @property
    def unsure(self) -> bool:
        """Whether a release may still arrive at the queue."""
        return self._clock.monotonic() - self._unsure_at < UNSURE_SECONDS

    async def ask(self, names: Sequence[str]) -> frozenset[str]:
        """Those of them that are granted now, and held. Raises QueueUnavailable: then any of them may have been, until
        `release` or the end of their time."""
        self.held.update(names)  # until the answer says otherwise
        granted = await self._queue.drain(names, int(TTL_SECONDS * 1000))
        self.held.difference_update(set(names) - granted)
        return granted

    async def still_hold(self) -> bool:
        """Whether all that are held still are; renews them. Raises QueueUnavailable."""
        held = sorted(self.held)
        return await self._queue.drain(held, int(TTL_SECONDS * 1000)) == frozenset(held)

    def removed(self) -> None:
        """The patch that removes the held ones was carried out."""
        now = self._clock.monotonic()
        if not self._leaving:
            self._renewed_at = now  # of those that left before, who may be about for long, it was earlier
        self._leaving |= dict.fromkeys(self.held, now)
        self.held.clear()

    async def release(self, names: Collection[str]) -> None:
        """Let them work again; when the queue does not answer, the end of their time does."""
        given = sorted(names)
        self.held.difference_update(given)
        for name in given:
            self._leaving.pop(name, None)
        if not given:
            return
        try:
            await self._queue.undrain(given)
        except QueueUnavailable as error:
            self._unsure_at = self._clock.monotonic()
            _log.warning(
                "grants.release_failed",
                f"{len(given)} workers stay idle for up to {TTL_SECONDS:.0f} s: {error.message}",
                workers=given,
            )

    def overdue(self, pods: Mapping[str, PodFacts]) -> list[str]:
        """Those that should be leaving, and do not."""
        now = self._clock.monotonic()
        return [
            name
            for name, since in self._leaving.items()
            if name in pods and pods[name].counts and now - since > LEAVE_SECONDS
        ]

    def forget_gone(self, pods: Mapping[str, PodFacts]) -> None:
        """Drop those that no longer exist. A pod that was removed is given a moment to be seen as such."""
        now = self._clock.monotonic()
        for name, since in list(self._leaving.items()):
            if name not in pods and now - since > 1.0:
                del self._leaving[name]

    def adopt(self, names: Collection[str]) -> None:
        """Workers whose removal is under way, whoever asked them, or nobody did: they are renewed at once."""
        now = self._clock.monotonic()
        if fresh := set(names) - self.all:
            self._leaving |= dict.fromkeys(fresh, now)
            self._renewed_at = float("-inf")

    def renewal_due(self, in_doubt: bool) -> bool:
        """Whether those that leave, and those that may, want another TTL_SECONDS."""
        due = self._clock.monotonic() - self._renewed_at >= RENEW_SECONDS
        return due and bool(self._leaving or self.guarded or (in_doubt and self.held))

    async def renew(self, in_doubt: bool) -> None:
        """Raises QueueUnavailable."""
        self._renewed_at = self._clock.monotonic()
        names = self.guarded | (self.all if in_doubt else self._leaving.keys())
        await self._queue.drain(sorted(names), int(TTL_SECONDS * 1000))

    def drop_held(self) -> None:
        """Who was asked is left to the end of the grant's time."""
        self.held.clear()

    def drop(self) -> None:
        """Another operator leads: what was granted is its to know."""
        self.held.clear()
        self._leaving.clear()
        self.guarded = frozenset()

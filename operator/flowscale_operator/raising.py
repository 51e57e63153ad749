"""Scaling up: one patch, on the condition that the Deployment is as it was seen.

An answer that was lost leaves open whether the patch was carried out. More may be sent on the same condition meanwhile,
to other sizes: one of them at most is carried out, and the next reading that shows another version tells which.
"""

from __future__ import annotations

from flowscale.clocks import Clock, steady_ms
from flowscale.scaling import Decision
from flowscale_operator.api_errors import ApiError, ApiUnavailable, Conflict
from flowscale_operator.apply import Target
from flowscale_operator.drain import UNFENCED_SECONDS
from flowscale_operator.facts import DeploymentFacts


class ScaleUp:
    """Of one Deployment. One run at a time."""

    def __init__(self, target: Target, clock: Clock) -> None:
        self._target = target
        self._clock = clock
        self._sent: dict[int, Decision] = {}  # what no answer has come for, by the size that it would set
        self._on, self._from, self._at_ms = "", 0, 0  # from which version and size, and when the last

    @property
    def in_doubt(self) -> bool:
        """Whether a patch may still arrive at the API."""
        return bool(self._sent) and steady_ms(self._clock) - self._at_ms < UNFENCED_SECONDS * 1000

    def drop(self) -> None:
        """Another operator leads."""
        self._sent = {}

    def arrived(self, seen: DeploymentFacts) -> tuple[int, Decision] | None:
        """From which size a patch has brought the Deployment to the one `seen`, and what it was sent for; None when
        none did, or that was told before."""
        if not self._sent or seen.read_ms <= self._at_ms or seen.version == self._on:
            return None
        decision, self._sent = self._sent.get(seen.replicas), {}
        return None if decision is None else (self._from, decision)

    async def run(self, seen: DeploymentFacts, wanted: int, decision: Decision) -> bool:
        """To `wanted` replicas; whether that is news, and not told by `arrived` before the answer came.

        Raises ApiError: nothing was changed, or there is a doubt. Conflict: the Deployment has changed, perhaps by an
        earlier patch.
        """
        if self._on != seen.version:
            self._sent = {}
        self._sent[wanted] = decision
        self._on, self._from, self._at_ms = seen.version, seen.replicas, steady_ms(self._clock)
        try:
            await self._target.scale(seen, wanted)
        except Conflict:
            raise
        except ApiUnavailable as error:
            if error.carried_out is False:
                self._sent.pop(wanted, None)
            raise
        except ApiError:
            self._sent.pop(wanted, None)
            raise
        news, self._sent = wanted in self._sent, {}
        return news

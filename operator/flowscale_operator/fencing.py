"""What the operator that led before has sent, and may still arrive: nobody is removed or released before it cannot.

Every patch rests on the version of the Deployment that was read before it. So one change of that version after this
replica began to lead, its own or anybody's, has all earlier ones refused.
"""

from __future__ import annotations

from flowscale import logs
from flowscale.clocks import steady_ms
from flowscale_operator.api_errors import Refused
from flowscale_operator.apply import Target
from flowscale_operator.drain import UNFENCED_SECONDS
from flowscale_operator.facts import DeploymentFacts
from flowscale_operator.world import World

FENCE_SECONDS = 5.0
"""Between two tries."""

_log = logs.get("operator")


class Fence:
    """Around one Deployment. `name` is that of its WorkerScaler."""

    def __init__(self, target: Target, world: World, name: str) -> None:
        self._target = target
        self._world = world
        self._name = name
        self.reset()

    def reset(self) -> None:
        """This replica begins to lead."""
        self._tried_at, self._refused = float("-inf"), False
        self._version: str | None = None  # of the Deployment as first read since; empty: it has moved

    def saw(self, seen: DeploymentFacts) -> None:
        if self._version is None and seen.read_ms >= self._world.since_ms:
            self._version = seen.version

    def moved(self) -> None:
        """The Deployment was changed, by this replica."""
        self._version = ""

    def open(self, seen: DeploymentFacts | None) -> bool:
        """Whether a patch of the operator that led before may still arrive."""
        if self._refused and steady_ms(self._world.clock) - self._world.since_ms > UNFENCED_SECONDS * 1000:
            return False
        return seen is not None and self._version in (None, seen.version)

    @property
    def rested(self) -> bool:
        """Whether it may be tried again."""
        return self._world.clock.monotonic() - self._tried_at > FENCE_SECONDS

    def trying(self) -> None:
        self._tried_at = self._world.clock.monotonic()

    async def close(self, seen: DeploymentFacts) -> None:
        """Move the version. Raises ApiError; Conflict when it has moved already. Where the API refuses it, the fence
        closes by itself after UNFENCED_SECONDS."""
        try:
            await self._target.fence(seen)
            self._version = ""
        except Refused as error:
            if not self._refused:
                _log.warning(
                    "fence.refused",
                    f"Nobody is removed for {UNFENCED_SECONDS:.0f} s after another operator led: {error.message}",
                    scaler=self._name,
                )
            self._refused = True

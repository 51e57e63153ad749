"""Whether each loop still comes round: what the kubelet asks. A loop that only waits comes round too.

An outage of Redis or of the API does not make it fail: the loops go on, and find that they know nothing. Being started
again would not help, and would cost what was learned of the demand.
"""

from __future__ import annotations

from dataclasses import dataclass

from flowscale.clocks import Clock

ROUND_SECONDS = 60.0
"""Far beyond a round whose every call runs into its deadline."""


@dataclass(slots=True)
class _Loop:
    done_at: float
    limit: float


class Health:
    """The age of each loop's last completed round."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._loops: dict[str, _Loop] = {}

    def expect(self, name: str, limit: float = ROUND_SECONDS) -> None:
        """From now on this loop comes round at least every `limit` seconds."""
        self._loops[name] = _Loop(self._clock.monotonic(), limit)

    def done(self, name: str) -> None:
        """It came round."""
        self._loops[name].done_at = self._clock.monotonic()

    def ages(self) -> dict[str, float]:
        """Seconds since each loop came round last."""
        now = self._clock.monotonic()
        return {name: now - loop.done_at for name, loop in self._loops.items()}

    def limits(self) -> dict[str, float]:
        """Seconds within which each loop must come round."""
        return {name: loop.limit for name, loop in self._loops.items()}

    def faults(self) -> list[str]:
        """A sentence for each loop that hangs."""
        return [
            f"The loop {name} has not come round for {age:.0f} s; at most {self._loops[name].limit:.0f} s are allowed"
            for name, age in self.ages().items()
            if age > self._loops[name].limit
        ]

"""How long the end of a process waits for its collector: a moment, and not at all soon after another did in vain."""

from __future__ import annotations

import mmap
import struct

WAIT_SECONDS = 2.0
"""A batch of spans takes milliseconds to send; beyond this the collector is away, and its spans are lost."""

AWAY_SECONDS = 60.0
"""So long nobody waits again. With the wait above: an absent collector takes at most 1/30 of a worker's time."""

_NUMBER = struct.Struct("d")


class Patience:
    """Shared by all processes that descend from the one that made it: one of them waits for all. `now`: monotonic s."""

    def __init__(self) -> None:
        self._away_until = mmap.mmap(-1, _NUMBER.size)

    def seconds(self, now: float) -> float:
        (until,) = _NUMBER.unpack_from(self._away_until)
        return 0.0 if now < until else WAIT_SECONDS

    def learn(self, now: float, waited: float, took: bool) -> None:
        """What came of it: whether the collector took the spans."""
        if took or waited > 0:
            _NUMBER.pack_into(self._away_until, 0, 0.0 if took else now + AWAY_SECONDS)

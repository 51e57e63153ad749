"""How fast bytes came lately; pure. The clock is the caller's: only time in which the other side could have acted."""

from __future__ import annotations

from collections import deque

SLOTS = 20
"""What a window is counted in: bytes leave it a twentieth of the window late at most."""


class Pace:
    """Bytes within a window that slides, so that having been fast once does not excuse dripping later."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._slot_s = window_s / SLOTS
        self._waited = 0.0
        self._bytes = 0  # in the slots
        self._slots: deque[tuple[int, int]] = deque()  # number, bytes; at most SLOTS and one more

    def add(self, size: int, seconds: float) -> None:
        """`seconds` were waited, at whose end `size` bytes came."""
        self._waited += seconds
        slot = int(self._waited / self._slot_s)
        while self._slots and self._slots[0][0] < slot - SLOTS:
            self._bytes -= self._slots.popleft()[1]
        if not size:
            return
        self._bytes += size
        if self._slots and self._slots[-1][0] == slot:
            size += self._slots.pop()[1]
        self._slots.append((slot, size))

    def below(self, slowest: int) -> bool:
        """Whether less than `slowest` bytes a second came over the last window; never before one has passed."""
        return self._waited >= self._window_s and self._bytes < slowest * self._window_s

    def next_look(self) -> float:
        """Seconds of waiting after which a verdict may have changed."""
        return max(self._window_s - self._waited, self._slot_s)

"""The only reader of the machine's clocks. Everything else takes a Clock, so that tests can own time."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Two readings: `now_ms` is Unix time in ms (for records), `monotonic` is seconds that never step back."""

    def now_ms(self) -> int: ...

    def monotonic(self) -> float: ...


class SystemClock:
    """The machine's own clocks."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()


def steady_ms(clock: Clock) -> int:
    """Milliseconds since some moment: for what must not go wrong when somebody sets the machine's clock."""
    return int(clock.monotonic() * 1000)


def iso_utc(milliseconds: int) -> str:
    """Unix time in ms as ISO 8601 UTC with milliseconds and `Z`, the only time format of the HTTP contract."""
    moment = datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03d}Z"

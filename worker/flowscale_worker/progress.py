"""From FFmpeg's `-progress` lines to a percentage of the whole job; pure.

A job's 0..100: 0-5 fetching the source, 5-95 encoding, 95-99 publishing, 100 at the commit. Where the output's
length is not known there is no percentage: None, never an invented number.
"""

from __future__ import annotations

from dataclasses import dataclass

FETCH_ENDS = 5
ENCODE_ENDS = 95
PUBLISH_ENDS = 99


@dataclass(slots=True)
class EncodeProgress:
    """Fed with lines; remembers the furthest point reached. `length_us` is the output's length, 0 if unknown.

    An output made in parts has one of these for each, with what lies `before_us`.
    """

    length_us: int
    before_us: int = 0
    reached_us: int = 0
    speed: float | None = None  # output seconds per second, as FFmpeg says

    def feed(self, line: str) -> bool:
        """True when the line ends one of FFmpeg's reports, so that there is something new to tell."""
        name, _, value = line.strip().partition("=")
        value = value.strip()
        if name == "out_time_us" and value.lstrip("-").isdigit():  # N/A until the first packet is written
            self.reached_us = max(self.reached_us, int(value))
        elif name == "speed" and value.endswith("x"):
            self.speed = _positive(value[:-1])
        return name == "progress"

    @property
    def percent(self) -> int | None:
        if self.length_us <= 0:
            return None
        share = min(1.0, (self.before_us + self.reached_us) / self.length_us)
        return FETCH_ENDS + int(share * (ENCODE_ENDS - FETCH_ENDS))


def _positive(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None

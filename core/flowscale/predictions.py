"""How long renders take, learned from those that finished: what a limit on waiting is decided by. Pure.

What a render costs depends on what is made far more than on what it is made of, so a *profile* is the format, the
quality, the class of the output's size and the class of its length, each as far as the request says. Of each profile
the mean of about the last SAMPLES_KEPT renders is kept, and it predicts once SAMPLES_NEEDED have been seen. Renders
that failed teach nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SAMPLES_NEEDED = 5
"""Renders of a profile before it predicts: one may have been of any kind."""

SAMPLES_KEPT = 50
"""A new render counts in the mean as much as one of that many: what took longer a week ago is forgotten."""

LINE_READ = 500
"""Waiting jobs that a reading carries one by one, and running ones likewise; the rest is only counted."""

PROFILES_KEPT = 2_000
"""A guard against forged records: `profile_of` has fewer names (3 formats, 4 qualities, 5 sizes, 19 lengths)."""

_SIZES = ((640 * 480, "sd"), (1280 * 720, "hd"), (1920 * 1080, "fhd"))
"""Classes of the output's size by its pixels; what is larger is `uhd`, what the source decides is `source`."""

_LONGEST = 17
"""The class of 2**16 s and more: 18 h; an option may name 24 h."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A job that waits or runs. `predicted_ms` is how long its render takes; None while too little is known."""

    for_ms: int  # how long it has waited in its line, or run
    predicted_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Learned:
    """What the renders of one profile have taught. lua/shared.lua does the same sum."""

    seen: int = 0  # renders, up to SAMPLES_KEPT
    mean_ms: float = 0.0

    def after(self, took_ms: int) -> Learned:
        """With one more."""
        seen = min(self.seen + 1, SAMPLES_KEPT)
        return Learned(seen, self.mean_ms + (took_ms - self.mean_ms) / seen)

    @property
    def predicted_ms(self) -> int | None:
        return round(self.mean_ms) if self.seen >= SAMPLES_NEEDED else None


class Lessons:
    """What was learned of every profile, in one process."""

    def __init__(self) -> None:
        self._learned: dict[str, Learned] = {}

    def add(self, profile: str, took_ms: int) -> None:
        if profile in self._learned or len(self._learned) < PROFILES_KEPT:
            self._learned[profile] = self._learned.get(profile, Learned()).after(took_ms)

    def predicted_ms(self, profile: str) -> int | None:
        return self._learned.get(profile, Learned()).predicted_ms


def profile_of(spec: Mapping[str, Any]) -> str:
    """The profile of a render, by its spec in its JSON form. A word: letters, digits, `-` and `~`.

    What the spec does not say (the size or the length of its sources) is a class of its own. Any mapping has a
    profile: a spec is checked elsewhere.
    """
    return "-".join(
        (_word(spec.get("format"), "mp4"), _word(spec.get("quality"), "medium"), _size(spec), f"{_length(spec)}s")
    )


def _word(value: Any, otherwise: str) -> str:
    text = str(value) if isinstance(value, str) else otherwise
    return text if text.isascii() and text.isalnum() and len(text) <= 10 else "other"


def _size(spec: Mapping[str, Any]) -> str:
    resize = spec.get("resize")
    if not isinstance(resize, Mapping):
        return "source"
    pixels = _number(resize.get("width")) * _number(resize.get("height"))
    return next((name for most, name in _SIZES if pixels <= most), "uhd")


def _length(spec: Mapping[str, Any]) -> str:
    """The class of the output's seconds: 0 is less than one, n is from 2**(n-1) to less than 2**n; `~`: not known."""
    seconds = _seconds(spec)
    return "~" if seconds is None else str(min(int(max(0.0, seconds)).bit_length(), _LONGEST))


def _seconds(spec: Mapping[str, Any]) -> float | None:
    timeline, trim = spec.get("timeline"), spec.get("trim")
    if isinstance(timeline, list | tuple) and timeline:
        cuts = [cut for cut in timeline if isinstance(cut, Mapping)]
        return sum((_number(cut.get("endUs")) - _number(cut.get("startUs"))) / 1e6 / _speed(cut) for cut in cuts)
    if not isinstance(trim, Mapping):
        return None
    return (_number(trim.get("end")) - _number(trim.get("start"))) / _speed(spec)


def _speed(cut: Mapping[str, Any]) -> float:
    return _number(cut.get("speed")) or 1.0


def _number(value: Any) -> float:
    """0 for what is none, and for what no option may name."""
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1e12 else 0.0

"""The last hour of the queue, minute by minute. Pure.

Whoever tends the queue takes one sample at the beginning of each minute: what was counted so far, and how many jobs
wait and run. What happened in a minute is the difference between its sample and the next; where one of them is missing
nobody was there, and it is not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

STEP_MS = 60_000
"""Length of a minute."""

POINTS = 60
"""Minutes that are told."""

SAMPLES_KEPT = POINTS + 2
"""Samples that are kept, newest last."""

COUNTED = ("enqueued", "ended:done", "ended:error")
"""The counters of a sample (figures.py), in its order."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading. `minute`: Unix time in whole minutes."""

    minute: int
    enqueued: int  # of all time, as the two that follow
    done: int
    error: int
    waiting: int  # in a line, due or delayed
    running: int


@dataclass(frozen=True, slots=True)
class Point:
    """One minute, from `at_ms` on. None: not known."""

    at_ms: int
    enqueued: int | None = None
    done: int | None = None
    error: int | None = None
    waiting: int | None = None
    running: int | None = None


def points(samples: Sequence[Sample], now: Sample) -> tuple[Point, ...]:
    """POINTS points, oldest first; the last is the minute that `now`, read just now, lies in, as it is now."""
    by_minute = {sample.minute: sample for sample in samples}
    first = now.minute - POINTS + 1
    whole = (_point(minute, by_minute.get(minute), by_minute.get(minute + 1)) for minute in range(first, now.minute))
    last = _point(now.minute, by_minute.get(now.minute), now)
    return (*whole, replace(last, waiting=now.waiting, running=now.running))


def _point(minute: int, begin: Sample | None, end: Sample | None) -> Point:
    at_ms = minute * STEP_MS
    if begin is None:
        return Point(at_ms)
    if end is None or end.enqueued < begin.enqueued or end.done < begin.done or end.error < begin.error:
        return Point(at_ms, waiting=begin.waiting, running=begin.running)  # counted anew: the server lost what it knew
    return Point(
        at_ms,
        enqueued=end.enqueued - begin.enqueued,
        done=end.done - begin.done,
        error=end.error - begin.error,
        waiting=begin.waiting,
        running=begin.running,
    )

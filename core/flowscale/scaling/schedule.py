"""How many workers let no waiting job start too late: list scheduling of predicted renders. Pure.

Each waiting job, in its order, is given to whoever is free first: a worker that renders, once its render is over; one
that is idle, now; a new one, once it has started. A number of workers is enough when no job starts later than
`max_wait_ms` after it joined its line, or, where that cannot be, later than a new worker could start it.

What cannot be predicted is counted: a waiting job without a prediction is given a place of its own, and a running one
without a prediction never ends. A render that takes longer than predicted is taken to go on for another tenth of it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flowscale.predictions import Expected

OVERDUE_SHARE = 10
"""A render that is overdue is expected to last another tenth of its prediction."""


@dataclass(frozen=True, slots=True)
class Load:
    """What there is to do. `waiting` and `renders` count all; `line` and `running` tell of some of them, the first."""

    waiting: int
    line: Sequence[Expected]
    renders: int
    running: Sequence[Expected]


def fewest_workers(
    load: Load, *, busy: int, workers: int, renders_per_worker: int, max_wait_ms: int, start_ms: int
) -> int:
    """At least `busy`. `workers`: that there are; `start_ms`: how long a new one takes to start."""
    predicted = [(job.for_ms, job.predicted_ms) for job in load.line if job.predicted_ms is not None]
    rest = max(0, load.waiting - len(load.line))
    mean_ms = max(1, sum(ms for _, ms in predicted) // len(predicted)) if predicted else 1
    counted = load.waiting - len(predicted) - (rest if predicted else 0)
    places = _Places(load, workers * renders_per_worker, start_ms)

    def is_enough(number: int) -> bool:
        free = places.free(number * renders_per_worker)
        for waited_ms, ms in predicted:
            if not free or free[0] > max(max_wait_ms - waited_ms, start_ms):
                return False
            heapq.heapreplace(free, free[0] + ms)
        if not rest or not predicted:
            return True
        # Those that are not told one by one are as long as the others on average, and joined after the last of them.
        latest = max(max_wait_ms - predicted[-1][0], start_ms)
        return sum((latest - at) // mean_ms + 1 for at in free if at <= latest) >= rest

    number = _smallest(busy, busy + load.waiting, is_enough)
    return number + -(-counted // renders_per_worker)


def _smallest(low: int, high: int, is_enough: Callable[[int], bool]) -> int:
    """From `low` to `high`, which is taken to be enough. It is near `low` more often than not."""
    step = 1
    while low + step < high and not is_enough(low + step):
        low, step = low + step + 1, 2 * step
    high = min(high, low + step)
    while low < high:
        middle = (low + high) // 2
        if is_enough(middle):
            high = middle
        else:
            low = middle + 1
    return low


class _Places:
    """Where renders are done, and from when on each is free (ms from now)."""

    def __init__(self, load: Load, existing: int, start_ms: int) -> None:
        told = sorted(_left_ms(render) for render in load.running[: load.renders])
        self._rendering = told + [float("inf")] * (load.renders - len(told))
        self._idle = max(0, existing - load.renders)
        self._start_ms = float(start_ms)

    def free(self, number: int) -> list[float]:
        """Of so many places, as a heap. The ones that render are there in any case."""
        others = max(0, number - len(self._rendering))
        idle = min(self._idle, others)
        free = [*self._rendering, *[0.0] * idle, *[self._start_ms] * (others - idle)]
        heapq.heapify(free)
        return free


def _left_ms(render: Expected) -> float:
    if render.predicted_ms is None:
        return float("inf")
    left_ms = render.predicted_ms - render.for_ms
    return float(left_ms if left_ms > 0 else render.predicted_ms // OVERDUE_SHARE)

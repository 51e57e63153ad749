"""Numbers over time as text. Pure."""

from __future__ import annotations

from collections.abc import Sequence

_EIGHTHS = " ▁▂▃▄▅▆▇█"


def columns(steps: Sequence[tuple[int, int]], end: int, width: int) -> list[int]:
    """The highest value within each of `width` equal parts of the time from 0 to `end`. `steps`: from when on it is
    what, in order."""
    highest = [0] * width
    part = max(1, -(-end // width))
    for at, (since, value) in enumerate(steps):
        until = steps[at + 1][0] if at + 1 < len(steps) else end
        for column in range(since // part, max(since, until - 1) // part + 1):
            if column < width:
                highest[column] = max(highest[column], value)
    return highest


def chart(title: str, values: Sequence[int], height: int) -> list[str]:
    """Lines of bars, the highest value at the top, with their scale on the left."""
    top = max([1, *values])
    label = max(len(str(top)), 1)
    lines = [title]
    for row in range(height, 0, -1):
        filled = [min(8, max(0, round(8 * (value * height / top - (row - 1))))) for value in values]
        # The lowest row shows that there is something, however little.
        bars = "".join(
            _EIGHTHS[max(eighths, int(row == 1 and value > 0))] for eighths, value in zip(filled, values, strict=True)
        )
        scale = str(top) if row == height else ""
        lines.append(f"{scale:>{label}} │{bars}".rstrip())
    return [*lines, f"{0:>{label}} └{'─' * len(values)}"]

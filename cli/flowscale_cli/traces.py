"""Traces of jobs for `flowscale simulate`: when each came, and how long its render takes.

CSV with a heading, or JSON objects one a line, by these names, in any order:

    at_seconds       when it came: from any moment on, Unix time will do; the first to come is the beginning
    render_seconds   how long its render takes
    kind             a word for jobs that are alike, by which renders are predicted; may be left out
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from flowscale.errors import InvalidOptions
from flowscale.scaling.simulation import Arrival

MOST = 1_000_000
"""Jobs of a trace: a simulation of so many takes minutes."""

LONGEST_SECONDS = 366 * 24 * 3600
"""Of a trace from its first job to its last, and of a render."""


def read_trace(path: Path) -> list[Arrival]:
    """The jobs, in the order of the file. Raises InvalidOptions for a line that is none; OSError."""
    jobs: list[tuple[float, float, str]] = []
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as lines:
        for number, row in _rows(lines, path):
            at, render = _seconds(row, "at_seconds", path, number), _seconds(row, "render_seconds", path, number)
            if render > LONGEST_SECONDS:
                raise _wrong(path, number, f"render_seconds is more than {LONGEST_SECONDS} (a year)")
            jobs.append((at, render, str(row.get("kind") or "")))
            if len(jobs) > MOST:
                raise InvalidOptions(f"{path} holds more than {MOST} jobs; give a part of it.")
    if not jobs:
        raise InvalidOptions(f"{path} holds no job; each line is to say at_seconds and render_seconds.")
    first, last = min(at for at, _, _ in jobs), max(at for at, _, _ in jobs)
    if last - first > LONGEST_SECONDS:
        raise InvalidOptions(f"The jobs of {path} come within {last - first:g} s, which is more than a year.")
    return [Arrival(round((at - first) * 1000), round(render * 1000), kind) for at, render, kind in jobs]


def _rows(lines: Iterable[str], path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Each row with the number of its line."""
    numbered = enumerate(lines, start=1)
    first = next(((number, line) for number, line in numbered if line.strip()), None)
    if first is None:
        return
    number, line = first
    if line.lstrip().startswith("{"):
        yield number, _object(line, path, number)
        for number, line in numbered:
            if line.strip():
                yield number, _object(line, path, number)
        return
    names = [name.strip() for name in next(csv.reader([line]))]
    for number, line in numbered:
        if line.strip():
            yield number, dict(zip(names, next(csv.reader([line])), strict=False))


def _object(line: str, path: Path, number: int) -> Mapping[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise _wrong(path, number, "it is no JSON object")
    return value


def _seconds(row: Mapping[str, Any], name: str, path: Path, number: int) -> float:
    value = row.get(name)
    try:
        seconds = float(value)  # type: ignore[arg-type]  # None and whatever JSON holds are refused below
    except (TypeError, ValueError):
        raise _wrong(path, number, f"{name} is to be a number of seconds, not {value!r}") from None
    if not math.isfinite(seconds) or seconds < 0:
        raise _wrong(path, number, f"{name} is to be a number of seconds from 0, not {value!r}")
    return seconds


def _wrong(path: Path, number: int, what: str) -> InvalidOptions:
    return InvalidOptions(f"{path}, line {number}: {what}.")

"""What people see: standard output for results, standard error for progress and faults."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from flowscale.errors import FlowScaleError

_out = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    _out.print(text, markup=False)


def say_json(value: Any) -> None:
    _out.print(json.dumps(value, indent=2), markup=False)


def fail(error: FlowScaleError) -> None:
    """An error as a person should meet it: its sentence, its faults one a line where there are several, its code."""
    errors.print(f"error: {error.message} [{error.code}]", markup=False)
    faults = error.details.get("faults", [])
    for fault in faults if len(faults) > 1 else []:
        errors.print(f"  {fault['path']}: {fault['message']}", markup=False)


def facts(rows: Mapping[str, str]) -> None:
    """Names and values, aligned."""
    width = max(map(len, rows)) + 2
    for name, value in rows.items():
        say(f"{name:<{width}}{value}")


def table(rows: Sequence[Sequence[str]]) -> None:
    """Rows under a first row of headings, aligned and never cut: a job's id must survive a pipe."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


class Bar:
    """Progress of one thing: a live bar on a terminal, a line every STEP percent elsewhere (a log, a pipe)."""

    STEP = 25

    def __init__(self, what: str, total: int = 100) -> None:
        self._what = what
        self._total = max(1, total)
        self._said = -1
        self._live: Progress | None = None
        if errors.is_terminal:
            note = TextColumn("{task.fields[note]}")
            bar = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), note, TimeRemainingColumn())
            self._live = Progress(*bar, console=errors)
            self._task = self._live.add_task(what, total=self._total, note="")

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def to(self, done: int | None, what: str | None = None, note: str | None = None) -> None:
        """`done` of the total (None: unchanged)."""
        if self._live:
            self._live.update(self._task, completed=done, description=what)
            if note is not None:
                self._live.update(self._task, note=note)
        elif done is not None:
            step = done * 100 // self._total // self.STEP
            if step > self._said and what != "error":
                self._said = step
                errors.print(f"{what or self._what}: {done * 100 // self._total} %")


def size_text(size: int) -> str:
    """Bytes for people."""
    value = float(size)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.2f} GiB"

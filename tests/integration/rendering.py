"""Render a file with the worker's own pipeline, without queue or storage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from flowscale.clocks import SystemClock
from flowscale.settings import WorkerSettings
from flowscale.specs import RenderSpec, Source
from flowscale_worker.failures import Stopped
from flowscale_worker.ffmpeg import find_tools
from flowscale_worker.kit import Kit, Tell
from flowscale_worker.pipeline import Rendered, render


def silent(percent: int | None, lines: Sequence[str] = ()) -> None:
    """Progress nobody watches."""


def make_kit(
    settings: WorkerSettings | None = None,
    should_stop: Callable[[], Stopped | None] = lambda: None,
    tell: Tell = silent,
) -> Kit:
    return Kit(find_tools("ffmpeg", "ffprobe"), settings or WorkerSettings(), SystemClock(), should_stop, tell)


class Renderer:
    """Renders into new folders under one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count()

    def __call__(self, *files: Path, kit: Kit | None = None, **options: Any) -> Rendered:
        folder = self._folder / f"render-{next(self._numbers)}"
        folder.mkdir()
        sources = tuple(Source(key=f"source-{index}") for index in range(len(files)))
        spec = RenderSpec.model_validate({"sources": sources, **options})
        return render(spec, files, folder, kit or make_kit())

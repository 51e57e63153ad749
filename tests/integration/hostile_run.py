"""Run a hostile file through the real pipeline, in a process of its own that is killed if it hangs.

The process is forked, so that it starts at once; what it says is a JSON file. After the hostile file it may
render a good clip: whatever the first did must not harm the second.
"""

from __future__ import annotations

import json
import os
import resource
import select
import shutil
import signal
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flowscale.errors import RenderError
from flowscale.settings import WorkerSettings
from flowscale.specs import RenderSpec, Source
from flowscale_worker.kit import Kit
from flowscale_worker.pipeline import render
from flowscale_worker.scratch import Scratch
from integration.canary import Canary, Touched
from integration.hostile_cases import DONE, Case
from integration.processes import ffmpegs

HARD_LIMIT_SECONDS = 90.0
"""A process that takes longer, good clip included, has hung: it is killed, and the outcome is HUNG. More than what the
budgets below allow for together, on a machine that does other things as well."""

SETTINGS = WorkerSettings(probe_timeout_seconds=20.0, render_timeout_seconds=25.0)
"""Budgets as shipped, but for time: a film that is merely long may take an hour there. Several times what a file needs
that is expected to end otherwise than by them."""

IMPATIENT = {"probe_timeout_seconds": 5.0, "render_timeout_seconds": 6.0}
"""Budgets for a file that may end by them."""

HUNG = "HUNG"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a hostile file, and what it left behind."""

    code: str  # DONE, an error's code, HUNG, or the name of an exception that should not have come out
    message: str
    lines: tuple[str, ...]  # of the job's log
    seconds: float  # of the hostile render alone
    peak_mib: float  # most resident memory of any FFmpeg process
    output: Path | None
    good: str  # DONE (or not tried), or why the good clip failed afterwards
    open_files: int  # file descriptors that were not open before
    left_in_scratch: tuple[str, ...]
    left_running: tuple[str, ...]
    touched: Touched


def run_case(case: Case, source: Path, good: Path | None, folder: Path, kit: Kit, canary: Canary) -> Outcome:
    """Render `source` as the case says, then the good clip if there is one. `folder` is new, and keeps the output."""
    folder.mkdir()
    impatient = IMPATIENT if "TIMEOUT_ERROR" in case.outcomes else {}
    settings = SETTINGS.model_copy(update=impatient | case.settings)
    canary.look()
    child = os.fork()
    if child == 0:
        try:
            _live(case, source, good, folder, replace(kit, settings=settings))
        except BaseException:  # noqa: BLE001 - a child must not unwind into the test runner; the parent reads this
            (folder / "crash").write_text(traceback.format_exc())
        finally:
            os._exit(0)
    hung = not _ended_within(child, HARD_LIMIT_SECONDS)
    if hung:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    said = _read(folder, hung=hung)
    running = tuple(" ".join(process.cmdline()[:3]) for process in ffmpegs(folder))
    left = [] if hung else [str(path) for path in (folder / "scratch").rglob("*")]
    return Outcome(**said, left_in_scratch=tuple(left), left_running=running, touched=canary.look())


def _ended_within(child: int, seconds: float) -> bool:
    handle = os.pidfd_open(child)
    try:
        return bool(select.select([handle], [], [], seconds)[0])
    finally:
        os.close(handle)


def _read(folder: Path, *, hung: bool) -> dict[str, Any]:
    crash, result = folder / "crash", folder / "result.json"
    if result.exists():
        said: dict[str, Any] = json.loads(result.read_text())
        said["lines"] = tuple(said["lines"])
        said["output"] = Path(said["output"]) if said["output"] else None
        return said
    reason = crash.read_text() if crash.exists() else "no answer"
    nothing = {"peak_mib": 0.0, "open_files": 0, "seconds": HARD_LIMIT_SECONDS, "lines": (), "output": None}
    return nothing | {"code": HUNG if hung else "CRASHED", "message": reason, "good": "not tried"}


def _live(case: Case, source: Path, good: Path | None, folder: Path, kit: Kit) -> None:
    """In the child: the hostile file, then the good one, then say how it went."""
    told: list[str] = []

    def tell(percent: int | None, lines: Sequence[str] = ()) -> None:
        told.extend(lines)

    scratch = Scratch(folder / "scratch")
    before = len(os.listdir("/proc/self/fd"))
    began = time.monotonic()
    code, message, output = _attempt(scratch, source, folder / "output", replace(kit, tell=tell), case.spec)
    seconds = time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    opened = len(os.listdir("/proc/self/fd")) - before
    good_code, good_message = DONE, ""
    if good is not None:
        good_code, good_message, _ = _attempt(scratch, good, folder / "good", replace(kit, settings=SETTINGS), {})
    scratch.close()
    said = {
        "code": code,
        "message": message,
        "lines": told,
        "seconds": seconds,
        "peak_mib": peak,
        "output": str(output) if output else None,
        "open_files": opened,
        "good": good_code if good_code == DONE else f"{good_code}: {good_message}",
    }
    partial = folder / "result.part"
    partial.write_text(json.dumps(said))
    partial.rename(folder / "result.json")


def _attempt(
    scratch: Scratch, source: Path, kept: Path, kit: Kit, options: dict[str, Any]
) -> tuple[str, str, Path | None]:
    """One execution, as the worker does it: scratch folder, link, render; the output is kept as `kept`."""
    spec = RenderSpec.model_validate({"sources": (Source(key="source"),), **options})
    with scratch.folder("execution") as here:
        file = here / "source-0"
        os.link(source, file)
        try:
            rendered = render(spec, [file], here, kit)
        except RenderError as error:
            return error.code, error.message, None
        shutil.move(rendered.path, kept)
    return DONE, "", kept

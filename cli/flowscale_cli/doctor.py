"""`flowscale doctor`: whether this installation can work, a row for each thing tried, and what to do about the rest.

It reads the settings that `flowscale api` and `flowscale worker` read, so it is to be run where they run, as they run.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from types import FrameType

from rich.console import Console
from rich.text import Text

from flowscale import logs
from flowscale.errors import SettingsError
from flowscale.settings import Settings
from flowscale_cli.checks import Finding, Part, Verdict
from flowscale_cli.screen import errors, fail, say_json

FAILED, UNUSABLE = 1, 2
"""Exit codes: something failed; settings (or words) with which nothing could be tried."""

_NAME_WIDTH = 20
_VERDICT_WIDTH = 9
_STYLES = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red", Verdict.SKIPPED: "dim"}

_Check = Callable[[Settings], Generator[Finding, None, None]]


def run_doctor(part: Part, *, as_json: bool) -> int:
    """Try everything and print what came of it; the exit code."""
    try:
        settings = Settings.load()
    except SettingsError as error:
        fail(error)
        return UNUSABLE
    logs.configure("error", "text")
    found = []
    with _terminable(), closing(_findings(settings, part)) as findings:
        for finding in findings:
            found.append(finding)
            if not as_json:
                _show(finding)
    if as_json:
        say_json([asdict(finding) for finding in found])
    failed = sum(finding.verdict is Verdict.FAIL for finding in found)
    warned = sum(finding.verdict is Verdict.WARN for finding in found)
    if failed:
        errors.print(f"{failed} failed, {warned} to be warned of: this installation cannot work as it is.")
        return FAILED
    errors.print(f"Nothing failed, {warned} to be warned of.")
    return 0


def _findings(settings: Settings, part: Part) -> Generator[Finding, None, None]:
    for check in _checks(part):
        with closing(check(settings)) as findings:
            yield from findings


def _checks(part: Part) -> Iterator[_Check]:
    from flowscale_cli.checks import clock, queue, storage

    yield storage.check
    yield queue.check
    if part is not Part.GATEWAY:
        from flowscale_cli.checks import tools

        yield tools.check
    yield clock.check


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM is heard as Ctrl-C is: what was tried is removed before the program ends."""

    def hear(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, hear)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


_out = Console(highlight=False, soft_wrap=True)  # with colours on a terminal alone


def _show(finding: Finding) -> None:
    row = Text(f"{finding.check:<{_NAME_WIDTH}}")
    row.append(f"{finding.verdict:<{_VERDICT_WIDTH}}", style=_STYLES[finding.verdict])
    row.append(finding.seen)
    _out.print(row)
    if finding.remedy:
        _out.print(Text(f"{'':<{_NAME_WIDTH + _VERDICT_WIDTH}}{finding.remedy}"))

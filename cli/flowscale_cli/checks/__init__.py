"""What `flowscale doctor` looks at, one concept a module, and what all of them share.

Each module's `check` yields a Finding for each thing it tried, as soon as it knows. Nothing of what is tried stays:
every check removes what it made, also when it fails or is interrupted.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from flowscale.errors import FlowScaleError

CALL_SECONDS = 30.0
"""One call of a storage or a queue ends by then, or is given up: nothing that hangs holds up the doctor."""

LAST_SECONDS = 10.0
"""What is under way at a Ctrl-C may end within these, so that it is known what is to be removed."""

_Answer = TypeVar("_Answer")


class Part(StrEnum):
    """Which part of an installation this machine is to be."""

    ALL = "all"
    GATEWAY = "gateway"
    WORKER = "worker"


class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One row. `seen` is a figure or what happened; `remedy` what to do about it, for WARN and FAIL."""

    check: str  # as in `storage.put`
    verdict: Verdict
    seen: str
    remedy: str = ""


class OutOfTime(Exception):
    """A call did not end in the time it had."""


def fault(check: str, error: FlowScaleError, remedy: str) -> Finding:
    """An error as a row: what happened, and what it says is to be done about it (`remedy` if it says nothing)."""
    ends = [at for at in (error.message.find("; "), error.message.find(". ")) if at >= 0]
    happened = error.message[: min(ends)] if ends else error.message.rstrip(".")
    advice = error.message[min(ends) + 2 :] if ends else remedy
    return Finding(check, Verdict.FAIL, f"{happened} [{error.code}]", advice[:1].upper() + advice[1:])


def skipped(names: tuple[str, ...], reason: str) -> Iterator[Finding]:
    for name in names:
        yield Finding(name, Verdict.SKIPPED, reason)


def within(seconds: float, call: Callable[[], _Answer]) -> _Answer:
    """`call`, in a thread that is left behind when it does not end. Raises what it raises, and OutOfTime.

    An interrupt waits a while for what is under way.
    """
    answers: list[_Answer] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(call())
        except BaseException as error:  # noqa: BLE001 - raised again by who waits
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        thread.join(seconds)
    except BaseException:
        thread.join(LAST_SECONDS)
        raise
    if errors:
        raise errors[0]
    if not answers:
        raise OutOfTime
    return answers[0]


@contextmanager
def folders_as_found(*folders: Path) -> Iterator[None]:
    """Afterwards, those that were not there are gone again, unless something is in them.

    A folder left by a doctor that ran as root could not be written to by the service. Raises OutOfTime.
    """
    made = within(CALL_SECONDS, lambda: [folder for each in folders for folder in _absent(each.absolute())])
    try:
        yield
    finally:
        for folder in sorted(set(made), key=lambda path: len(path.parts), reverse=True):
            with suppress(OSError):  # never made, or in use
                folder.rmdir()


def _absent(folder: Path) -> list[Path]:
    return [each for each in (folder, *folder.parents) if not os.path.lexists(each)]

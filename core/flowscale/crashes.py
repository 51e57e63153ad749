"""What is told of an exception that nobody caught: as Python does, but without secrets."""

from __future__ import annotations

import sys
import threading
import traceback
from types import TracebackType

from flowscale.redaction import redact


def redact_crashes() -> None:
    """For the main thread and all others. Call once, at the very start of a program."""
    sys.excepthook = _tell
    threading.excepthook = _tell_of_thread


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))


def _tell_of_thread(fault: threading.ExceptHookArgs) -> None:
    if fault.exc_type is not SystemExit:
        _tell(fault.exc_type, fault.exc_value or fault.exc_type(), fault.exc_traceback)

"""Waiting for a condition. Nothing here sleeps and hopes; the limits are far beyond what a slow machine takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

PATIENCE_SECONDS = 300.0
"""For what must happen, so that only a hang ends it."""

LOOK_SECONDS = 0.25


def until(look: Callable[[], Found | None], what: str, seconds: float = PATIENCE_SECONDS) -> Found:
    """The first true answer of `look`. AssertionError, with what was waited for, when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        if found := look():
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s in vain for: {what}")
        time.sleep(LOOK_SECONDS)

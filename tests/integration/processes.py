"""Processes as the kernel shows them: which FFmpeg runs for whom, and how it is fenced in."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil

Found = TypeVar("Found")

PATIENCE_SECONDS = 60.0
"""When waiting for something that must happen: far beyond what it takes, so that only a hang ends it."""


def ffmpegs(folder: Path) -> list[psutil.Process]:
    """Every living process, whoever's child it is, that has a file below `folder` among its arguments."""
    found = []
    for process in psutil.process_iter():
        try:
            arguments = process.cmdline()
            if any(f"file:{folder}/" in argument for argument in arguments) and process.status() != "zombie":
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def until(check: Callable[[], Found | None], what: str) -> Found:
    """The first true answer of `check`. Fails when there is none for as long as only a hang takes."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if found := check():
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited in vain for: {what}")

"""The program itself, started as a user would, and FFmpeg's own account of a file."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FLOWSCALE = Path(sys.executable).with_name("flowscale")


@dataclass(frozen=True)
class Program:
    """A running `flowscale dev` or `flowscale api`."""

    url: str
    process: subprocess.Popen[str]
    data: Path
    log: Path


@contextmanager
def running(command: str, folder: Path, wrapper: Sequence[str] = (), **environment: str) -> Iterator[Program]:
    """`flowscale <command>` on a free port, with its data in `folder`; ended by SIGTERM and waited for.

    `wrapper` is a command that becomes the program given after it.
    """
    data, log = folder / "data", folder / f"{command}.log"
    variables = {
        "PATH": os.environ["PATH"],
        "PORT": "0",
        "STORAGE_DIR": str(data),
        "FLOWSCALE_LOG_FORMAT": "json",
        **environment,
    }
    with log.open("w") as out:
        process = subprocess.Popen(
            [*wrapper, FLOWSCALE, command], env=variables, cwd=folder, stdout=out, stderr=subprocess.STDOUT, text=True
        )
    try:
        yield Program(_wait_for_url(process, log), process, data, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def _wait_for_url(process: subprocess.Popen[str], log: Path) -> str:
    """The address in the program's own words; the wait ends with the process, or by the test's own limit."""
    with log.open() as lines:
        while process.poll() is None:
            for line in lines:
                if found := re.search(r"listens on (http://[^\s\"\[]+)", line):
                    return found[1]
            try:
                process.wait(timeout=0.05)
            except subprocess.TimeoutExpired:
                continue
    raise AssertionError(f"the program ended with {process.returncode}: {log.read_text()}")


def probe(file: Path) -> dict[str, Any]:
    """What ffprobe says of a file, frames counted by decoding; outside the project's own code on purpose."""
    answer = subprocess.run(
        ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-show_format", "-of", "json", file],
        capture_output=True,
        check=True,
        text=True,
    )
    report: dict[str, Any] = json.loads(answer.stdout)
    streams = {stream["codec_type"]: stream for stream in report["streams"]}
    return {"video": streams.get("video"), "audio": streams.get("audio"), **report["format"]}

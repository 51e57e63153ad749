"""Real parts for integration tests: the program itself, real clips, FFmpeg's own account of a file."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CLIPS = Path(__file__).parents[2] / ".cache" / "clips"
FLOWSCALE = Path(sys.executable).with_name("flowscale")


@dataclass(frozen=True)
class Program:
    """A running `flowscale dev` or `flowscale api`."""

    url: str
    process: subprocess.Popen[str]
    data: Path
    log: Path


@pytest.fixture(scope="session")
def clips() -> Path:
    """Folder with bigbuckbunny.mp4 (1280x720, 25/s, 5.3 s, sound), bikes.mp4 (640x272, 10 s), carphone_pristine.mp4."""
    assert (CLIPS / "bigbuckbunny.mp4").is_file(), "the real clips are missing: `scripts/bootstrap clips` brings them"
    return CLIPS


@contextmanager
def running(command: str, folder: Path, **environment: str) -> Iterator[Program]:
    """`flowscale <command>` on a free port, with its data in `folder`; ended by SIGTERM and waited for."""
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
            [FLOWSCALE, command], env=variables, cwd=folder, stdout=out, stderr=subprocess.STDOUT, text=True
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


@pytest.fixture(scope="module")
def dev_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """`flowscale dev` for a module's tests."""
    with running("dev", tmp_path_factory.mktemp("dev")) as program:
        yield program


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Start `flowscale <command>` with settings of the test's own, as often as it likes."""
    with ExitStack() as stack:
        yield lambda command, **environment: stack.enter_context(running(command, tmp_path, **environment))


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

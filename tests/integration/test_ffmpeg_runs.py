"""flowscale_worker.ffmpeg with real processes: limits, a chain that breaks, and processes that do not end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from flowscale.clocks import Clock, SystemClock
from flowscale.errors import FFmpegSpawn
from flowscale.testing import FakeClock
from flowscale_worker import ffmpeg
from flowscale_worker.failures import Stopped
from flowscale_worker.ffmpeg import Ended, Limits
from integration.processes import until

MIB = 1024**2
ROOM = Limits(seconds=60, cpu_seconds=60, memory_bytes=1024 * MIB, file_bytes=64 * MIB)
SHELL = "/bin/sh"


def run(
    program: str,
    *arguments: str,
    limits: Limits = ROOM,
    clock: Clock | None = None,
    on_line: Callable[[str], object] = lambda _: None,
    should_stop: Callable[[], Stopped | None] = lambda: None,
) -> Ended:
    return ffmpeg.run(
        program, arguments, limits, clock=clock or SystemClock(), on_line=on_line, should_stop=should_stop
    )


SPINNING = Limits(seconds=60, cpu_seconds=1, memory_bytes=1024 * MIB, file_bytes=MIB)


def test_a_process_that_uses_up_its_processor_time_ends_by_sigxcpu() -> None:
    assert run(SHELL, "-c", "while :; do :; done", limits=SPINNING).returncode == -signal.SIGXCPU


def test_so_does_ffmpeg_though_it_catches_the_signal() -> None:
    endless = ("-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=1280x720", "-f", "null", "-")
    assert run("/usr/bin/ffmpeg", *endless, limits=SPINNING).returncode == -signal.SIGXCPU


def test_a_process_that_ignores_the_signal_is_killed_and_told_as_the_same() -> None:
    ended = run(SHELL, "-c", "trap : XCPU; while :; do :; done", limits=SPINNING)
    assert ended.returncode == -signal.SIGXCPU


MAPPINGS = """
import mmap
big = {size} * 1024**2
def tried(make):
    try:
        make()
        return "had"
    except (MemoryError, OSError):
        return "refused"
print(tried(lambda: bytearray(big)), tried(lambda: mmap.mmap(-1, big, mmap.MAP_SHARED)))
"""


@pytest.mark.parametrize(("size", "answer"), [(100, "had had"), (400, "refused had"), (2000, "refused refused")])
def test_private_memory_is_limited_as_asked_and_address_space_more_widely(size: int, answer: str) -> None:
    lines: list[str] = []
    limits = Limits(seconds=60, cpu_seconds=60, memory_bytes=200 * MIB, file_bytes=MIB)
    run(sys.executable, "-c", MAPPINGS.format(size=size), limits=limits, on_line=lines.append)
    assert lines == [answer]


def test_a_program_that_has_vanished_was_not_started(tmp_path: Path) -> None:
    with pytest.raises(FFmpegSpawn, match="not where it was"):
        run(str(tmp_path / "ffmpeg"))


def test_a_program_that_may_not_be_executed_was_not_started(tmp_path: Path) -> None:
    (tmp_path / "ffmpeg").write_text("plain text")
    with pytest.raises(FFmpegSpawn, match="may not be executed"):
        run(str(tmp_path / "ffmpeg"))


def test_limits_that_cannot_be_set_are_no_fault_of_the_file() -> None:
    impossible = Limits(seconds=60, cpu_seconds=60, memory_bytes=1024 * MIB, file_bytes=10**40)
    with pytest.raises(FFmpegSpawn, match="limits it runs under could not be set"):
        run(SHELL, "-c", "exit 0", limits=impossible)


def test_a_run_we_ended_is_no_failed_start() -> None:
    ended = run(SHELL, "-c", 'echo "prlimit: words" >&2; sleep 60', should_stop=lambda: Stopped.CANCELLED)
    assert (ended.returncode, ended.stopped) == (-signal.SIGKILL, Stopped.CANCELLED)


WITHOUT_PRLIMIT = """
from integration.test_ffmpeg_runs import run
from flowscale.errors import FFmpegSpawn
try:
    run("/bin/true")
except FFmpegSpawn as error:
    print(error.message)
"""


def test_without_util_linux_the_error_says_what_to_install() -> None:
    namespace = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    # Only this program sees the file that covers prlimit.
    covered = 'mount --bind /dev/null /usr/bin/prlimit && exec "$@"'
    answer = subprocess.run(
        [*namespace, "sh", "-c", covered, "sh", sys.executable, "-c", WITHOUT_PRLIMIT],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "apt-get install util-linux" in answer.stdout


HELD = """
import ctypes, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(0x59616d61, ctypes.c_ulong(-1), 0, 0, 0)
held = os.getpid()
ready, tell = os.pipe()
holder = os.fork()
if holder == 0:
    os.setsid()
    for pipe in (0, 1, 2, ready):
        os.close(pipe)
    seized = libc.ptrace(0x4206, held, None, None)
    os.write(tell, b"y" if seized == 0 else b"n")
    os.close(tell)
    time.sleep(600)
    os._exit(0)
answer = os.read(ready, 1)
print(holder, answer.decode(), flush=True)
time.sleep(600)
"""
"""A process that is killed but does not go away: another one traces it and never takes note of its end."""


@pytest.mark.parametrize("reason", [Stopped.TIMEOUT, Stopped.SHUTDOWN])
def test_a_killed_process_that_does_not_go_away_is_left_behind(reason: Stopped) -> None:
    told: list[str] = []

    def stop() -> Stopped | None:
        return reason if told else None

    try:
        if reason is Stopped.TIMEOUT:
            with pytest.raises(FFmpegSpawn, match="does not go away"):
                run(sys.executable, "-c", HELD, on_line=told.append, should_stop=stop)
        else:
            assert run(sys.executable, "-c", HELD, on_line=told.append, should_stop=stop).stopped is reason
        assert told[0].endswith("y")
        assert len(ffmpeg._stuck) == 1
    finally:
        with suppress(ProcessLookupError):
            os.kill(int(told[0].split()[0]), signal.SIGKILL)

    def buried() -> bool:
        run("/bin/true")
        return not ffmpeg._stuck

    until(buried, "a later run to take note of its end")


def test_whether_to_stop_is_asked_by_the_clock_and_not_by_the_line() -> None:
    lines: list[str] = []
    asked: list[None] = []

    def ask() -> Stopped | None:
        asked.append(None)
        return None

    run(SHELL, "-c", "seq 20000", clock=FakeClock(), on_line=lines.append, should_stop=ask)
    assert (len(lines), len(asked)) == (20000, 1)

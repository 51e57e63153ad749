"""The only place that starts a process: finding FFmpeg, and running it fenced in.

Every run goes through a short chain of util-linux programs that exec one another, so that one process remains:

    unshare    a network namespace of its own, where the kernel lets us: no connection can be made
    setpriv    no new privileges, and SIGKILL when the thread that started it ends (PR_SET_PDEATHSIG)
    prlimit    address space, processor time, file size, open files, no core dump
    sh         ends at once if the worker died before setpriv took effect, else becomes FFmpeg

unshare stands before setpriv because entering a user namespace clears the parent-death signal. The process is
in a group of its own, has an empty environment and no standard input, and is always ended as a group.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from flowscale import logs
from flowscale.clocks import Clock
from flowscale.errors import FFmpegSpawn, FFmpegUnavailable
from flowscale_worker.failures import Stopped

INSTALL_ADVICE = (
    "Install it (Debian, Ubuntu: sudo apt-get install ffmpeg), or set FLOWSCALE_FFMPEG and FLOWSCALE_FFPROBE to where "
    "it is."
)
POLL_SECONDS = 0.1
"""How often a run looks whether it should stop: well below the 2 s in which a cancel must take effect."""

STDERR_LINES = 60
LINE_BYTES = 64 * 1024
"""Longest line taken from a pipe; the rest of a longer one is dropped."""

OPEN_FILES = 256
"""RLIMIT_NOFILE: 100 inputs of a plan, the libraries, and room."""

KILL_WAIT_SECONDS = 5.0
"""A killed process that has not gone by then is stuck in the kernel (a dead network file system)."""

_log = logs.get("ffmpeg")


@dataclass(frozen=True, slots=True)
class Tools:
    """FFmpeg as found on this machine: absolute paths, and the version for people."""

    ffmpeg: str
    ffprobe: str
    version: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What one process may use."""

    seconds: float  # wall time
    cpu_seconds: int
    memory_bytes: int  # address space
    file_bytes: int  # each file it writes


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended. `stopped` says that we ended it, and why."""

    returncode: int
    stderr: tuple[str, ...]  # the last lines
    seconds: float
    stopped: Stopped | None


def find_tools(ffmpeg: str, ffprobe: str) -> Tools:
    """Raises FFmpegUnavailable, saying what to install."""
    paths = {}
    for name in (ffmpeg, ffprobe):
        path = shutil.which(name)
        if path is None:
            raise FFmpegUnavailable(f"The program {name} was not found, so nothing can be rendered. {INSTALL_ADVICE}")
        paths[name] = os.path.realpath(path)
    _launcher()
    try:
        answer = subprocess.run(  # noqa: S603 - an absolute path from our own settings
            [paths[ffmpeg], "-version"], capture_output=True, text=True, timeout=20, check=True, env=_ENVIRONMENT
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise FFmpegUnavailable(f"{paths[ffmpeg]} does not run ({error}). {INSTALL_ADVICE}") from error
    words = answer.stdout.split()
    return Tools(paths[ffmpeg], paths[ffprobe], words[2] if len(words) > 2 else "unknown")


def run(
    program: str,
    arguments: Sequence[str],
    limits: Limits,
    *,
    clock: Clock,
    on_line: Callable[[str], object],
    should_stop: Callable[[], Stopped | None],
) -> Ended:
    """Run to the end, handing each line of standard output to `on_line`; an exception from it ends the process too.

    Raises FFmpegSpawn when the process cannot be started. When this returns or raises, the process is gone.
    """
    started = clock.monotonic()
    try:
        process = subprocess.Popen(  # noqa: S603 - absolute programs, arguments built by flowscale_worker.command
            [*_launcher(), *_prlimit(limits), *_parent_check(), program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise FFmpegSpawn(f"FFmpeg could not be started: {error.strerror or error}.") from error
    stopped: Stopped | None = None
    ended_by_itself = False
    with process:
        try:
            stderr = _Lines(keep=STDERR_LINES)
            for line in _lines_until_end(process, stderr):
                if line is not None:
                    on_line(line)
                stopped = should_stop()
                if stopped is None and clock.monotonic() - started > limits.seconds:
                    stopped = Stopped.TIMEOUT
                if stopped:
                    break
            else:
                ended_by_itself = True
        finally:
            _end_group(process, let_finish=ended_by_itself)
    return Ended(process.returncode, tuple(stderr.kept), clock.monotonic() - started, stopped)


class _Lines:
    """Splits a byte stream into lines of bounded length, keeping the last ones."""

    def __init__(self, keep: int) -> None:
        self.kept: deque[str] = deque(maxlen=keep)
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        *whole, rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        self._rest = rest[:LINE_BYTES]
        lines = [line.decode("utf-8", "replace") for line in whole if line]
        self.kept.extend(lines)
        return lines


def _lines_until_end(process: subprocess.Popen[bytes], stderr: _Lines) -> Iterator[str | None]:
    """Lines of standard output, and None whenever there was none for a while; ends when both pipes are closed."""
    stdout = _Lines(keep=1)
    with selectors.DefaultSelector() as selector:
        for pipe in (process.stdout, process.stderr):
            if pipe is None:
                raise RuntimeError("both pipes were asked for")
            os.set_blocking(pipe.fileno(), False)
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(POLL_SECONDS)
            for key, _ in ready:
                data = os.read(key.fd, 64 * 1024)
                if not data:
                    selector.unregister(key.fileobj)
                elif key.fileobj is process.stderr:
                    stderr.feed(data)
                else:
                    yield from stdout.feed(data)
            yield None


def _end_group(process: subprocess.Popen[bytes], *, let_finish: bool) -> None:
    """Nothing of the process's group survives this. A process that closed its pipes by itself may still be exiting."""
    if let_finish:
        try:
            process.wait(timeout=KILL_WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            _log.warning("ffmpeg.lingers", "FFmpeg closed its output but did not end; killing it", pid=process.pid)
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # the whole group is gone already
    except PermissionError:
        process.kill()
    try:
        process.wait(timeout=KILL_WAIT_SECONDS)
    except subprocess.TimeoutExpired:
        _log.error(
            "ffmpeg.stuck", "A killed FFmpeg does not go away; is a network file system hanging?", pid=process.pid
        )


_ENVIRONMENT = {"LC_ALL": "C", "AV_LOG_FORCE_NOCOLOR": "1"}


@lru_cache(maxsize=1)
def _launcher() -> tuple[str, ...]:
    """The part of the chain that is the same for every run. Raises FFmpegUnavailable when util-linux is missing."""
    chain: list[str] = []
    for network in (("unshare", "--net"), ("unshare", "--user", "--map-current-user", "--net")):
        if _works(*network):
            chain += [_program(network[0]), *network[1:]]
            break
    else:
        _log.warning(
            "ffmpeg.network",
            "The kernel allows no network namespace here; FFmpeg is held back by its protocol list alone",
        )
    return (*chain, _program("setpriv"), "--pdeathsig", "KILL", "--no-new-privs")


def _prlimit(limits: Limits) -> list[str]:
    return [
        _program("prlimit"),
        f"--as={limits.memory_bytes}",
        f"--cpu={limits.cpu_seconds}",
        f"--fsize={limits.file_bytes}",
        f"--nofile={OPEN_FILES}",
        "--core=0",
    ]


def _parent_check() -> list[str]:
    return [_program("sh"), "-c", '[ "$PPID" = "$0" ] && exec "$@"', str(os.getpid())]


def _works(*command: str) -> bool:
    try:
        trial = subprocess.run(  # noqa: S603 - fixed words
            [_program(command[0]), *command[1:], _program("true")], capture_output=True, timeout=10, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return trial.returncode == 0


def _program(name: str) -> str:
    path = shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin")
    if path is None:
        raise FFmpegUnavailable(
            f"The program {name} (from util-linux) was not found; renders are fenced in with it. "
            "Install it (Debian, Ubuntu: sudo apt-get install util-linux)."
        )
    return path

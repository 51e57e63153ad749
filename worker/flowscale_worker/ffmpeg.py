"""The only place that starts a process: finding FFmpeg, and running it fenced in.

Every run goes through a short chain of util-linux programs that exec one another, so that one process remains:

    unshare    a network namespace of its own, where the kernel lets us: no connection can be made
    setpriv    no new privileges, and SIGKILL when the thread that started it ends (PR_SET_PDEATHSIG)
    prlimit    private memory, address space, stacks, processor time, file size, open files, no core dump
    sh         ends at once if the worker died before setpriv took effect, else becomes FFmpeg

unshare stands before setpriv because entering a user namespace clears the parent-death signal. The process is
in a group of its own, has an empty environment and no standard input, and is always ended as a group. When a link
of the chain fails, FFmpeg never began: that is FFmpegSpawn, and says nothing of the file.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
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

GIB = 1024**3
THREAD_STACK_BYTES = 2 * 1024**2
"""RLIMIT_STACK, which is also the stack of each thread: at the usual 8 MiB, 100 inputs' threads would take 800 MB."""

KILL_WAIT_SECONDS = 5.0
"""A killed process that has not gone by then is stuck in the kernel (a dead network file system)."""

CPU_GRACE_SECONDS = 5
"""Processor time from SIGXCPU to the kernel's SIGKILL. Without any, the kernel would send SIGKILL alone."""

_CPU_NEARLY = 0.95
_CPU_TICKS_SECONDS = 0.3
"""The kernel enforces the limit on processor time by counted ticks, which differ a little from what it accounts: by a
share of long times, and on a busy machine by this much of short ones."""

_NOT_FFMPEGS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""A service manager may send these to every process of the service. What they mean for a render its worker decides,
which ends FFmpeg with SIGKILL; FFmpeg itself would end with 255, as after a failure."""

_NOT_EXECUTABLE, _NOT_FOUND = 126, 127  # POSIX, of a shell whose exec failed; the dynamic loader ends with 127 too
_CHAIN_SPEAKS = ("unshare:", "setpriv:", "prlimit:", "sh:")

_log = logs.get("ffmpeg")

_stuck: list[subprocess.Popen[bytes]] = []
"""Killed processes that did not go away. Each run looks whether one has gone since, so that none stays a zombie."""


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
    memory_bytes: int  # private writable memory
    file_bytes: int  # each file it writes


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended. `stopped` says that we ended it, and why."""

    returncode: int  # negative: by that signal; -SIGXCPU whenever it used up its processor time
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

    `should_stop` is asked at most once in POLL_SECONDS. Raises FFmpegSpawn when the program cannot be started, or was
    killed and does not go away (then it is abandoned). Otherwise the process is gone when this returns or raises.
    """
    started = next_look = clock.monotonic()
    process = _start(program, arguments, limits)
    stderr = _Lines(keep=STDERR_LINES)
    stopped: Stopped | None = None
    ended_by_itself = False
    try:
        for line in _lines_until_end(process, stderr):
            if line is not None:
                on_line(line)
            now = clock.monotonic()
            if now < next_look:
                continue
            next_look = now + POLL_SECONDS
            stopped = should_stop()
            if stopped is None and now - started > limits.seconds:
                stopped = Stopped.TIMEOUT
            if stopped:
                break
        else:
            ended_by_itself = True
    finally:
        cpu_seconds = _end_group(process, let_finish=ended_by_itself)
    seconds = clock.monotonic() - started
    if cpu_seconds is None:
        if stopped in (None, Stopped.TIMEOUT):
            raise FFmpegSpawn("FFmpeg was killed but does not go away: the worker's disk or file system hangs.")
        # Whoever asked for the stop gets it: a worker that shuts down must not use up an attempt.
        return Ended(-signal.SIGKILL, tuple(stderr.kept), seconds, stopped)
    returncode = process.returncode
    nearly = min(limits.cpu_seconds * _CPU_NEARLY, limits.cpu_seconds - _CPU_TICKS_SECONDS)
    if returncode != 0 and cpu_seconds >= nearly:
        # FFmpeg catches SIGXCPU and ends with 255 or 123, as after any signal: its own code does not tell.
        returncode = -signal.SIGXCPU
    if stopped is None:
        _require_begun(returncode, stderr.kept)
    return Ended(returncode, tuple(stderr.kept), seconds, stopped)


def _start(program: str, arguments: Sequence[str], limits: Limits) -> subprocess.Popen[bytes]:
    """Raises FFmpegSpawn."""
    _bury_stuck()
    # What this thread blocks FFmpeg blocks too, and nothing in the chain undoes it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _NOT_FFMPEGS)
    try:
        return subprocess.Popen(  # noqa: S603 - absolute programs, arguments built by flowscale_worker.command
            [*_launcher(), *_prlimit(limits), *_parent_check(), program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
    except FFmpegUnavailable as error:
        raise FFmpegSpawn(f"FFmpeg could not be started: {error.message}") from error
    except OSError as error:
        raise FFmpegSpawn(f"FFmpeg could not be started: {error.strerror or error}.") from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _require_begun(returncode: int, stderr: Sequence[str]) -> None:
    """Raises FFmpegSpawn when the chain ended before the program had begun."""
    last = stderr[-1] if stderr else ""
    if returncode == _NOT_FOUND:
        reason = "the program, or a library it needs, is not where it was. Install FFmpeg on the worker again."
    elif returncode == _NOT_EXECUTABLE:
        reason = "the program may not be executed. Mend its permissions on the worker."
    elif returncode > 0 and last.startswith(_CHAIN_SPEAKS):
        reason = "the limits it runs under could not be set. The worker's log has the system's words."
    else:
        return
    _log.error("ffmpeg.not_begun", f"FFmpeg could not be started: {reason}", returncode=returncode, said=last)
    raise FFmpegSpawn(f"FFmpeg could not be started: {reason}")


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


def _end_group(process: subprocess.Popen[bytes], *, let_finish: bool) -> float | None:
    """Nothing of the process's group survives this; the processor time it used, in s. None: it does not go away.

    A process that closed its pipes by itself may still be exiting. Not Popen's own end: that waits without limit.
    """
    cpu_seconds = _reap(process) if let_finish else None
    if let_finish and cpu_seconds is None:
        _log.warning("ffmpeg.lingers", "FFmpeg closed its output but did not end; killing it", pid=process.pid)
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # the whole group is gone already
    except PermissionError:
        process.kill()
    if cpu_seconds is None:
        cpu_seconds = _reap(process)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    if cpu_seconds is None:
        _stuck.append(process)
        _log.error(
            "ffmpeg.stuck", "A killed FFmpeg does not go away; is a network file system hanging?", pid=process.pid
        )
    return cpu_seconds


def _reap(process: subprocess.Popen[bytes]) -> float | None:
    """The processor time in s of the process, once it has ended; None if it has not within KILL_WAIT_SECONDS."""
    waited, pause = 0.0, 0.001
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)  # Popen's own wait does not tell the usage
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return usage.ru_utime + usage.ru_stime
        if waited >= KILL_WAIT_SECONDS:
            return None
        time.sleep(pause)
        waited += pause
        pause = min(2 * pause, 0.05)


def _bury_stuck() -> None:
    for process in tuple(_stuck):
        if process.poll() is not None:
            with suppress(ValueError):  # another slot was faster
                _stuck.remove(process)


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
        # RLIMIT_DATA counts private writable memory, close to what becomes resident; RLIMIT_AS is the wider net for
        # what that leaves out: libraries, read-only and shared mappings, the reserves of malloc's arenas.
        f"--data={limits.memory_bytes}",
        f"--as={limits.memory_bytes * 2 + GIB}",
        f"--stack={THREAD_STACK_BYTES}",
        f"--cpu={limits.cpu_seconds}:{limits.cpu_seconds + CPU_GRACE_SECONDS}",
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

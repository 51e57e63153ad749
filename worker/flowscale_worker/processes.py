"""Forked processes: begun clean, ended with their parent, and told apart by how they ended.

The fleet forks workers, and a worker forks a work horse for each job. Fork copies one thread and all memory, so it is
safe only where no other thread can hold a lock at that moment: **the fleet and the worker are single-threaded
processes**, and whatever needs threads (a render) begins them in the child. The main thread must be the one that
forks, too: the parent-death signal follows the thread that forked, not its process.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from flowscale import logs

PARENT_GONE = 70
"""Exit code of a process whose parent had gone before it could be bound to it; nobody is left to read it."""

CRASHED = 1
"""Exit code of a child that ended by an exception, as of any Python program."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_prctl = ctypes.CDLL(None, use_errno=True).prctl
_prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)

_log = logs.get("processes")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended: with an exit code, or by a signal."""

    pid: int
    code: int | None
    signal: int | None = None

    @classmethod
    def of(cls, pid: int, status: int) -> Ended:
        """From what wait(2) tells."""
        code = os.waitstatus_to_exitcode(status)
        return cls(pid, code) if code >= 0 else cls(pid, None, -code)

    def __str__(self) -> str:
        if self.signal is None:
            return f"exit code {self.code}"
        try:
            return f"signal {signal.Signals(self.signal).name}"
        except ValueError:  # a real-time signal has no name
            return f"signal {self.signal}"


def end_with_parent(signal_number: int, expected_parent: int) -> None:
    """Have the kernel send this process `signal_number` when the thread that forked it ends.

    Call it in the child straight after the fork, with the process id that the parent knew itself by. When that
    parent has gone already, the process ends here and now. A child of this process does not inherit it. Raises
    OSError where the kernel refuses.
    """
    if _prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"the signal for the parent's death could not be set: {os.strerror(number)}")
    if os.getppid() != expected_parent:
        os._exit(PARENT_GONE)


def fork(child: Callable[[], int], *, hold: Iterable[int] = ()) -> int:
    """Run `child` in a new process, which ends with the code it returns; the id of that process.

    The child begins with default signal handlers and no signal blocked but those it is to `hold`, which wait until it
    is ready for them and unblocks them. What it raises is logged and ends it with
    CRASHED; it never returns into the caller's stack, and runs no exit handlers of the parent's. A signal that comes
    in between waits, and meets either the parent with its own handlers or the child with default ones.
    Raises OSError when no process can be had, RuntimeError outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("only the main thread may fork: a child would end with the thread that forked it")
    _flush()  # what is buffered now would be written twice
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _live(child, hold)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def reap() -> list[Ended]:
    """Every child that has ended since the last call, without waiting; orphans too that came to process 1."""
    ended = []
    with suppress(ChildProcessError):  # none is left
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            ended.append(Ended.of(pid, status))
    return ended


def reap_one(pid: int, *, wait: bool = False) -> Ended | None:
    """How the child `pid` ended; None while it runs, unless told to wait. Raises ChildProcessError: no such child."""
    found, status = os.waitpid(pid, 0 if wait else os.WNOHANG)
    return Ended.of(found, status) if found else None


def _live(child: Callable[[], int], hold: Iterable[int]) -> None:
    """The child's whole life. Never returns."""
    code = CRASHED
    try:
        try:
            _default_signals(hold)
            code = int(child())
        except BaseException as error:  # noqa: BLE001 - above this lies the parent's stack, which is not ours
            _log.exception("process.crashed", "A fault ended the process", error, pid=os.getpid())
        finally:
            _flush()
    finally:
        os._exit(code if 0 <= code <= 255 else CRASHED)


def _default_signals(hold: Iterable[int]) -> None:
    """Undo what the parent had set; the signals in `hold` stay blocked.

    What the parent ignores is ignored here too (SIGPIPE, as Python does; SIGHUP, as nohup does), but for the signals
    that ask a process to end.
    """
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, hold)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(OSError, ValueError):  # a log that nobody reads any more must not keep workers from starting
                stream.flush()

"""A fleet as a program, steered by files: the real thing to be killed by tests.

    python fleet_program.py FOLDER GRACE_SECONDS

What it does is told by files in FOLDER, read again and again:

    wanted        how many workers
    busy-N        the worker of seat N has a job until the file goes away
    deaf-N        the worker of seat N leaves for nobody
    dies          workers end at once, with exit code 7; `raises`: by an exception
    queue-away    what the fleet asks the queue raises QueueUnavailable; `fault`: another exception
    poor          at start: the program may not have processes, until the file goes away
    fast          at start: the program's clock runs a hundred times as fast
    late          the program holds signals, and waits before it runs the fleet until the file goes away

What it did is written there: `lives-N` and `horses-N` (process ids), `asked-N` (one line for each SIGTERM),
`census` (lines of JSON), `chores` (a line for each), `held`. Its log is on stderr.
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

from flowscale import logs
from flowscale.clocks import SystemClock
from flowscale.errors import QueueUnavailable
from flowscale_worker.chores import Chore
from flowscale_worker.fleet import Fleet, hold_signals
from flowscale_worker.processes import end_with_parent, fork
from flowscale_worker.seats import Census, Seat

LOOK_SECONDS = 0.02
NOBODY = 65534
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h: orphans come to us, as to process 1 of a container


class Program:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def said(self, name: str) -> bool:
        return (self.folder / name).exists()

    def note(self, name: str, line: str) -> None:
        with (self.folder / name).open("a") as file:
            file.write(line + "\n")

    def work(self, seat: Seat) -> int:
        """A worker with a work horse, as the real one has while it renders."""
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        self.note(f"lives-{seat.number}", str(os.getpid()))
        if self.said("dies"):
            return 7
        if self.said("raises"):
            raise ValueError("raised on purpose")
        parent = os.getpid()
        stopping = False
        while not stopping or seat.busy or self.said(f"deaf-{seat.number}"):
            busy = self.said(f"busy-{seat.number}")
            if busy and not seat.busy:
                self.note(f"horses-{seat.number}", str(fork(lambda: horse(parent))))
            seat.busy = busy
            if signal.sigtimedwait([signal.SIGTERM], LOOK_SECONDS):
                self.note(f"asked-{seat.number}", str(os.getpid()))
                stopping = True
        return 0

    def wanted(self, census: Census) -> int:
        self.fail_if_told()
        self.note("census", json.dumps(dataclasses.asdict(census)))
        return int((self.folder / "wanted").read_text())

    def chore(self) -> None:
        self.fail_if_told()
        if not self.said("poor"):
            limit_processes(None)
        self.note("chores", "done")

    def fail_if_told(self) -> None:
        if self.said("queue-away"):
            raise QueueUnavailable("The queue is away, for a test.")
        if self.said("fault"):
            raise ValueError("a fault, for a test")


def horse(parent: int) -> int:
    end_with_parent(signal.SIGKILL, parent)
    while True:
        time.sleep(60)


def limit_processes(count: int | None) -> None:
    """None: as many as we may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    resource.setrlimit(resource.RLIMIT_NPROC, (hard if count is None else count, hard))


class FastClock:
    """A hundred times as fast as the machine's."""

    def now_ms(self) -> int:
        return SystemClock().now_ms() * 100

    def monotonic(self) -> float:
        return SystemClock().monotonic() * 100


def main() -> int:
    hold_signals()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.chdir(sys.argv[1])
    program = Program(Path())
    logs.configure("info", "json")
    program.note("held", str(os.getpid()))
    if program.said("poor"):
        if os.getuid() == 0:
            os.setuid(NOBODY)  # the kernel does not count root's
        limit_processes(0)
    while program.said("late"):
        time.sleep(LOOK_SECONDS)
    chores = [Chore("tidy", 0.1, program.chore)]
    clock = FastClock() if program.said("fast") else SystemClock()
    return Fleet(program.work, program.wanted, chores, clock, grace_seconds=float(sys.argv[2])).run()


if __name__ == "__main__":
    sys.exit(main())

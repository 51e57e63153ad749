"""The fleet: one process that keeps as many worker processes alive as are wanted, and ends them well.

    Fleet(work, wanted, chores, SystemClock(), grace_seconds=30).run()

The loop waits for signals instead of handling them: SIGTERM, SIGINT and SIGCHLD are blocked from `hold_signals` on,
so that none is lost and none interrupts anything, and `sigtimedwait` takes them one after the other, or wakes when
something is to be done. A signal that comes while a chore runs is taken after it: chores have time-outs of their own.

Each worker holds a *seat*: a number and a name that outlive the process. A seat whose process died gets another one.
Seats are in process groups of their own, so that Ctrl-C in a terminal reaches the fleet alone, which then asks each
to stop, once. When the fleet itself is killed, the kernel kills its workers.

The fleet is single-threaded (see flowscale_worker.processes) and does no work that could fail for a job's sake.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flowscale import logs
from flowscale.clocks import Clock
from flowscale_worker.chores import Chore, Round
from flowscale_worker.processes import Ended, end_with_parent, fork, reap
from flowscale_worker.seats import Census, Seat

WANTED_SECONDS = 1.0
"""How often the number of workers is decided anew, and the longest sleep."""

BACK_OFF_SECONDS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Wait before the next process of a seat, by how many have died young in a row before this one."""

OLD_SECONDS = 60.0
"""A process that lived this long did not die young."""

KILL_WAIT_SECONDS = 5.0
"""A killed process that has not gone by then is stuck in the kernel (a dead network file system)."""

_ITS_JOB = "If it had a job, another worker gets it once the lease has run out."
_ROOM = "Look at the machine's limits of processes and memory."
_STOP = (signal.SIGTERM, signal.SIGINT)

_log = logs.get("fleet")


@dataclass(slots=True)
class _Holder:
    """What the fleet knows of a seat's process. Times by the monotonic clock."""

    seat: Seat
    pid: int | None = None
    started: float = 0.0
    died_young: int = 0  # processes in a row
    not_before: float = 0.0  # when the next one may start
    asked: float | None = None  # when it was told to leave
    killed: bool = False


def hold_signals() -> None:
    """From here on SIGTERM, SIGINT and SIGCHLD wait for the fleet. Call it first of all, in the main thread."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (*_STOP, signal.SIGCHLD))


class Fleet:
    """Keeps `wanted` workers. `work` is a worker's whole life, in its own process; it returns the exit code.

    `work` begins with default signal handlers. At SIGTERM it is to finish and leave; before it looks for a job it
    must be ready for that. It sets `seat.busy` around each job. It opens its own connections: those of the fleet
    are not to be shared. What `wanted` returns holds until the next time; where it raises, all stays as it is.
    """

    def __init__(
        self,
        work: Callable[[Seat], int],
        wanted: Callable[[Census], int],
        chores: Sequence[Chore],
        clock: Clock,
        grace_seconds: float,
        name: str | None = None,
    ) -> None:
        self._work = work
        self._wanted = wanted
        self._chores = chores
        self._clock = clock
        self._grace_seconds = grace_seconds
        self._pid = 0
        self._name = name or f"{os.uname().nodename}-{os.getpid()}"
        self._holders: list[_Holder] = []
        self._stopping: float | None = None  # since when

    def run(self) -> int:
        """Until SIGTERM or SIGINT, then until all workers left: at most the grace and KILL_WAIT_SECONDS. Returns 0.

        To be called once, in the main thread. Afterwards SIGTERM and SIGINT are ignored for good: nothing is left
        that they could end well, and the interpreter's own end would give them back their power to kill.
        """
        hold_signals()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where it is ignored, the kernel reaps and tells nothing
        self._pid = os.getpid()
        rounds = [Round(chore, self._clock.monotonic()) for chore in self._chores]
        sizing = Round(Chore("wanted", WANTED_SECONDS, self._resize), self._clock.monotonic())
        _log.info("fleet.started", "The fleet keeps workers from now on", pid=self._pid)
        while not self._gone():
            self._start_due()
            for each in (sizing, *rounds):
                if self._clock.monotonic() >= each.next:
                    each.caller.call(each.chore.call)
                    each.next = self._clock.monotonic() + each.chore.every_seconds
                    self._hear(0)
                    self._start_due()
            self._kill_overdue()
            self._hear(self._until_next(min(each.next for each in (sizing, *rounds))))
        for number in _STOP:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (*_STOP, signal.SIGCHLD))
        stuck = [holder.pid for holder in self._holders]
        if stuck:
            _log.error("worker.stuck", "Killed workers do not go away; does a network file system hang?", pids=stuck)
        _log.info("fleet.stopped", "The fleet ends", workers=len(stuck))
        return 0

    def _until_next(self, due: float) -> float:
        """Seconds until something is to be done."""
        if self._gone():
            return 0.0
        moments = [due, *(holder.not_before for holder in self._kept() if holder.pid is None)]
        if self._stopping is not None and not all(holder.killed for holder in self._holders):
            moments.append(self._stopping + self._grace_seconds)
        return min(WANTED_SECONDS, max(0.0, min(moments) - self._clock.monotonic()))

    def _hear(self, seconds: float) -> None:
        """Take every signal that has come, after waiting up to `seconds` for the first, and do what it says."""
        heard = signal.sigtimedwait((*_STOP, signal.SIGCHLD), seconds)
        while heard is not None:
            if heard.si_signo in _STOP:
                self._stop(signal.Signals(heard.si_signo).name)
            heard = signal.sigtimedwait((*_STOP, signal.SIGCHLD), 0)
        for ended in reap():
            for holder in self._holders:
                if holder.pid == ended.pid:
                    self._bury(holder, ended)
                    break

    def _stop(self, name: str) -> None:
        left = sum(holder.pid is not None for holder in self._holders)
        if self._stopping is not None:
            _log.info("fleet.stopping", f"{name} again: the fleet is stopping already", workers=left)
            return
        self._stopping = self._clock.monotonic()
        seconds = f"{self._grace_seconds:g} s"
        _log.info(
            "fleet.stopping", f"{name}: each worker finishes or gives back its job, within {seconds}", workers=left
        )
        for holder in self._kept():
            self._ask(holder)

    def _gone(self) -> bool:
        """Whether the fleet is stopping and nobody is left, or nobody who could be got rid of."""
        if self._stopping is None:
            return False
        if not self._holders:
            return True
        return self._clock.monotonic() >= self._stopping + self._grace_seconds + KILL_WAIT_SECONDS

    def _kept(self) -> list[_Holder]:
        """All that were not told to leave."""
        return [holder for holder in self._holders if holder.asked is None]

    def _census(self) -> Census:
        kept = self._kept()
        return Census(
            now_ms=self._clock.now_ms(),
            seats=len(kept),
            alive=sum(holder.pid is not None for holder in kept),
            busy=sum(holder.seat.busy for holder in kept),
            draining=len(self._holders) - len(kept),
        )

    def _resize(self) -> None:
        """As many seats as wanted. New ones get their process from `_start_due`."""
        if self._stopping is not None:
            return
        census = self._census()
        wanted = max(0, self._wanted(census))
        if wanted != census.seats:
            _log.info("fleet.resized", f"From {census.seats} to {wanted} workers", busy=census.busy)
        for _ in range(census.seats, wanted):
            taken = {holder.seat.number for holder in self._holders}
            number = next(number for number in range(len(taken) + 1) if number not in taken)
            self._holders.append(_Holder(Seat(number, f"{self._name}-{number}")))
        leaving = sorted(self._kept(), key=_value)[: max(0, census.seats - wanted)]
        for holder in leaving:
            self._ask(holder)

    def _ask(self, holder: _Holder) -> None:
        """Tell a worker to leave when its job is done."""
        if holder.pid is None:
            self._holders.remove(holder)
            return
        holder.asked = self._clock.monotonic()
        os.kill(holder.pid, signal.SIGTERM)  # not reaped yet, so the id is still its own

    def _start_due(self) -> None:
        now = self._clock.monotonic()
        for holder in self._kept():
            if self._stopping is None and holder.pid is None and now >= holder.not_before:
                self._start(holder)

    def _start(self, holder: _Holder) -> None:
        holder.started = self._clock.monotonic()
        try:
            holder.pid = fork(lambda: self._live(holder.seat))
        except OSError as error:
            holder.died_young = max(1, holder.died_young)  # at once it would fail again
            again = f"trying again in {self._back_off(holder):g} s"
            sentence = f"No process for a worker can be had ({error.strerror}); {again}. {_ROOM}"
            _log.error("worker.not_started", sentence, seat=holder.seat.name)
            return
        _log.info("worker.started", "Started a worker", seat=holder.seat.name, worker_pid=holder.pid)

    def _live(self, seat: Seat) -> int:
        end_with_parent(signal.SIGKILL, self._pid)
        os.setpgid(0, 0)
        return self._work(seat)

    def _bury(self, holder: _Holder, ended: Ended) -> None:
        holder.pid = None
        was_busy, holder.seat.busy = holder.seat.busy, False
        fields = {"seat": holder.seat.name, "worker_pid": ended.pid, "code": ended.code, "signal": ended.signal}
        if holder.asked is not None:
            self._holders.remove(holder)
            if ended.code == 0 or (ended.signal == signal.SIGTERM and not was_busy):
                _log.info("worker.left", "A worker left, as it was told", **fields)
            elif not holder.killed:  # else it was told already
                _log.error("worker.lost", f"A worker that was leaving ended with {ended}. {_advice(ended)}", **fields)
            return
        seconds = self._back_off(holder)
        when = f"in {seconds:g} s" if seconds else "now"
        if ended.code == 0:
            _log.info("worker.left", f"A worker left by itself; another takes its seat {when}", **fields)
        else:
            sentence = f"A worker ended with {ended}; another takes its seat {when}. {_advice(ended)}"
            _log.error("worker.lost", sentence, was_busy=was_busy, **fields)

    def _back_off(self, holder: _Holder) -> float:
        """Seconds until the seat's next process, after this one has ended."""
        now = self._clock.monotonic()
        if now - holder.started >= OLD_SECONDS:
            holder.died_young = 0
        seconds = BACK_OFF_SECONDS[min(holder.died_young, len(BACK_OFF_SECONDS) - 1)]
        holder.died_young += 1
        holder.not_before = now + seconds
        return seconds

    def _kill_overdue(self) -> None:
        """SIGKILL for all when the grace of a stop is over; before, only for a worker without a job that hangs."""
        now = self._clock.monotonic()
        over = self._stopping is not None and now >= self._stopping + self._grace_seconds
        for holder in self._holders:
            if holder.pid is None or holder.asked is None or holder.killed:
                continue
            if over or (not holder.seat.busy and now >= holder.asked + self._grace_seconds):
                holder.killed = True
                sentence = f"A worker did not leave within {self._grace_seconds:g} s and is killed. {_ITS_JOB}"
                _log.warning("worker.killed", sentence, seat=holder.seat.name, worker_pid=holder.pid)
                os.kill(holder.pid, signal.SIGKILL)


def _value(holder: _Holder) -> tuple[bool, bool, float]:
    """Who is worth least goes first: no process, then idle, then busy; of each kind the youngest."""
    return holder.seat.busy, holder.pid is not None, -holder.started


def _advice(ended: Ended) -> str:
    """What becomes of it, and what a person can do about it."""
    if ended.signal == signal.SIGKILL:
        return (
            f"{_ITS_JOB} Unless somebody killed it, memory ran out: see the kernel's log, and lower "
            "WORKER_CONCURRENCY or give the machine more."
        )
    if ended.signal is not None:
        return f"{_ITS_JOB} Unless somebody sent that signal, it is a fault of ours or of a library: please report it."
    return f"{_ITS_JOB} The lines it logged before say why it ended."

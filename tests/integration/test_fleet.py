"""The fleet with real processes and signals: who dies is replaced, who works is left alone, none stays behind."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from flowscale_worker.fleet import BACK_OFF_SECONDS
from flowscale_worker.processes import PARENT_GONE, Ended, end_with_parent, fork, reap_one
from integration.processes import until

PROGRAM = Path(__file__).with_name("fleet_program.py")
LONG_GRACE = 600.0
"""Longer than any test waits: who gets SIGKILL within it got it too early."""


class Ship:
    """A running fleet program, and the folder that steers it."""

    def __init__(self, folder: Path, grace_seconds: float, wanted: int, *told: str) -> None:
        self.folder = folder
        self.want(wanted)
        folder.chmod(0o777)  # a poor program is nobody
        for name in told:
            self.tell(name)
        with (folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, PROGRAM, folder, str(grace_seconds)],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def want(self, count: int) -> None:
        new = self.folder / "wanted.new"
        new.write_text(str(count))
        new.replace(self.folder / "wanted")

    def tell(self, name: str) -> None:
        (self.folder / name).touch()

    def untell(self, name: str) -> None:
        (self.folder / name).unlink()

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().split() if path.exists() else []

    def pids(self, name: str) -> list[int]:
        return [int(line) for line in self.lines(name)]

    def events(self, name: str) -> list[dict[str, Any]]:
        whole = (self.folder / "log").read_text().split("\n")[:-1]
        found = [json.loads(line) for line in whole]
        return [event for event in found if event["event"] == name]

    def census(self) -> dict[str, int]:
        whole = (self.folder / "census").read_text().split("\n")[:-1] if (self.folder / "census").exists() else []
        answer: dict[str, int] = json.loads(whole[-1]) if whole else {}
        return answer

    def counts(self, **expected: int) -> bool:
        """Whether the fleet saw just that when it last looked."""
        census = self.census()
        return bool(census) and all(census[name] == count for name, count in expected.items())

    def all_there(self, count: int) -> None:
        until(lambda: self.counts(seats=count, alive=count, draining=0), f"{count} workers")
        for number in range(count):
            self.at_work(number)

    def at_work(self, number: int, times: int = 1) -> None:
        until(lambda: len(self.lines(f"lives-{number}")) == times, f"process {times} of seat {number} at work")

    def heard(self, event: str, times: int, **fields: str) -> list[dict[str, Any]]:
        """The log lines of that event with these fields, once there are so many."""

        def found() -> list[dict[str, Any]]:
            lines = [line for line in self.events(event) if fields.items() <= line.items()]
            return lines if len(lines) >= times else []

        return until(found, f"{event} ({times})")

    def two_minutes(self) -> None:
        """Of the fleet's clock."""
        now_ms = self.census()["now_ms"]
        until(lambda: self.census()["now_ms"] > now_ms + 120_000, "two minutes")

    def held(self) -> None:
        until(lambda: self.lines("held"), "a program that holds its signals")

    def empty(self) -> None:
        until(lambda: not self.family(), "the end of all processes")

    def make_busy(self, number: int) -> int:
        """Give the worker of that seat a job; its horse's process id."""
        before = len(self.lines(f"horses-{number}"))
        self.tell(f"busy-{number}")
        return until(lambda: self.pids(f"horses-{number}")[before:], f"a horse in seat {number}")[0]

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        return self.process.wait(timeout=60)

    def family(self) -> list[psutil.Process]:
        """Every process of this program, zombies too: all are copies of one, or children of such."""
        found = []
        for process in psutil.process_iter():
            try:
                of_us = str(self.folder) in process.cmdline() or process.ppid() == self.process.pid
                if of_us and process.pid != self.process.pid:
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Ship]]:
    """Start a fleet. At the end of the test no process of it may be left, however it ended."""
    ships: list[Ship] = []

    def begin(wanted: int, *told: str, grace_seconds: float = LONG_GRACE) -> Ship:
        folder = tmp_path / f"ship-{len(ships)}"
        folder.mkdir()
        ships.append(Ship(folder, grace_seconds, wanted, *told))
        return ships[-1]

    yield begin
    for ship in ships:
        if ship.process.poll() is None:
            ship.process.kill()
            ship.process.wait()
        ship.empty()


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid)


# Replacement


def test_a_killed_worker_is_replaced_in_its_seat_and_leaves_nothing_behind(launch: Callable[..., Ship]) -> None:
    ship = launch(2)
    ship.all_there(2)
    horse = ship.make_busy(1)
    other = ship.pids("lives-0")
    os.kill(ship.pids("lives-1")[0], signal.SIGKILL)
    until(lambda: gone(horse), "the end of the dead worker's horse, reaped")
    ship.at_work(1, times=2)
    (lost,) = ship.events("worker.lost")
    assert lost["signal"] == signal.SIGKILL
    assert lost["was_busy"] is True
    assert lost["message"].startswith(
        "A worker ended with signal SIGKILL; another takes its seat now. If it had a job,"
    )
    names = [event["seat"] for event in ship.events("worker.started")]
    host = os.uname().nodename
    assert names == [f"{host}-{ship.process.pid}-{number}" for number in (0, 1, 1)]
    assert ship.pids("lives-0") == other
    ship.untell("busy-1")
    ship.signal()
    assert ship.end() == 0


def test_a_dead_workers_seat_is_not_busy(launch: Callable[..., Ship]) -> None:
    ship = launch(1)
    ship.all_there(1)
    ship.make_busy(0)
    until(lambda: ship.counts(busy=1), "a busy worker")
    ship.tell("dies")
    os.kill(ship.pids("lives-0")[0], signal.SIGKILL)
    until(lambda: ship.counts(seats=1, alive=0, busy=0), "an empty seat that is not busy")


@pytest.mark.parametrize(("how", "code"), [("dies", 7), ("raises", 1)])
def test_workers_that_die_again_and_again_are_replaced_ever_more_slowly(
    launch: Callable[..., Ship], how: str, code: int
) -> None:
    ship = launch(1, how)
    lost = ship.heard("worker.lost", 4)
    assert [event["code"] for event in lost] == [code] * 4
    waits = ["now", "in 1 s", "in 2 s", "in 4 s"]
    expected = [f"A worker ended with exit code {code}; another takes its seat {wait}." for wait in waits]
    assert [event["message"].split(". ")[0] + "." for event in lost] == expected
    assert BACK_OFF_SECONDS[1:4] == (1, 2, 4)
    crashes = ship.events("process.crashed")
    assert len(crashes) == (4 if how == "raises" else 0)
    assert all("raised on purpose" in crash["exception"] for crash in crashes)
    ship.untell(how)
    until(lambda: ship.counts(alive=1), "a worker that lives")
    ship.signal()
    assert ship.end() == 0


def test_workers_that_had_lived_for_a_minute_are_replaced_at_once_however_often(launch: Callable[..., Ship]) -> None:
    ship = launch(1, "fast")
    for times in range(1, 5):
        ship.at_work(0, times)
        ship.two_minutes()
        os.kill(ship.pids("lives-0")[-1], signal.SIGKILL)
    lost = ship.heard("worker.lost", 4)
    assert all("another takes its seat now." in event["message"] for event in lost)


def test_a_stop_does_not_wait_for_a_seat_that_backs_off(launch: Callable[..., Ship]) -> None:
    ship = launch(1, "dies")
    until(lambda: ship.counts(seats=1, alive=0), "a seat without a process")
    ship.signal()
    assert ship.end() == 0


# More and fewer


def test_fewer_are_wanted_the_idle_leave_the_busy_stay(launch: Callable[..., Ship]) -> None:
    ship = launch(4)
    ship.all_there(4)
    horses = [ship.make_busy(number) for number in (1, 3)]
    until(lambda: ship.counts(busy=2), "two busy workers")
    ship.want(2)
    until(lambda: ship.counts(seats=2, alive=2, busy=2, draining=0), "two workers")
    assert all(ship.lines(f"asked-{number}") for number in (0, 2))
    assert not any(ship.lines(f"asked-{number}") for number in (1, 3))
    assert not any(gone(horse) for horse in horses)
    # Of the two, the younger is told; it has a job, finishes it, and is not counted meanwhile.
    ship.want(1)
    until(lambda: ship.counts(seats=1, alive=1, busy=1, draining=1), "one worker, and one that leaves")
    assert ship.lines("asked-3")
    assert not gone(horses[1])
    # A seat that is free goes to the new one; that of the leaving one is not free.
    ship.want(3)
    until(lambda: ship.counts(seats=3, alive=3, draining=1), "three workers, and one that leaves")
    assert [len(ship.lines(f"lives-{number}")) for number in range(4)] == [2, 1, 2, 1]
    assert not ship.lines("asked-1")
    assert not gone(horses[1])
    ship.untell("busy-3")
    until(lambda: ship.counts(seats=3, draining=0), "the leaving one's end")
    assert not ship.events("worker.lost")
    ship.untell("busy-1")
    ship.signal()
    assert ship.end() == 0


def test_of_the_idle_the_youngest_leaves(launch: Callable[..., Ship]) -> None:
    ship = launch(3)
    ship.all_there(3)
    os.kill(ship.pids("lives-0")[0], signal.SIGKILL)  # so the youngest is the one in seat 0
    ship.at_work(0, times=2)
    ship.want(2)
    until(lambda: ship.counts(seats=2, alive=2, draining=0), "two workers")
    assert [len(ship.lines(f"asked-{number}")) for number in range(3)] == [1, 0, 0]
    ship.want(0)
    until(lambda: ship.counts(seats=0, draining=0), "no workers")
    assert ship.family() == []  # no zombies either
    ship.want(1)
    until(lambda: ship.counts(alive=1), "a worker again")


def test_an_idle_worker_that_does_not_leave_is_killed_after_the_grace(launch: Callable[..., Ship]) -> None:
    ship = launch(2, "deaf-1", grace_seconds=2)
    ship.all_there(2)
    ship.want(1)
    until(lambda: ship.events("worker.killed"), "its end by force")
    until(lambda: ship.counts(seats=1, alive=1, draining=0), "one worker")
    assert ship.lines("asked-1")
    assert not ship.lines("asked-0")


def test_a_leaving_worker_with_a_job_is_not_killed_however_long_it_takes(launch: Callable[..., Ship]) -> None:
    ship = launch(1, grace_seconds=0.1)
    ship.all_there(1)
    ship.make_busy(0)
    until(lambda: ship.counts(busy=1), "a busy worker")
    ship.want(0)
    until(lambda: ship.counts(seats=0, draining=1), "a leaving worker")
    before = len(ship.lines("chores"))
    until(lambda: len(ship.lines("chores")) > before + 20, "many rounds beyond the grace")
    assert not ship.events("worker.killed")
    assert ship.counts(draining=1)
    ship.untell("busy-0")
    until(lambda: ship.counts(draining=0), "its end")
    (left,) = ship.events("worker.left")
    assert left["code"] == 0


# The end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_the_busy_finish_and_a_second_one_changes_nothing(
    launch: Callable[..., Ship], number: signal.Signals
) -> None:
    ship = launch(3)
    ship.all_there(3)
    horse = ship.make_busy(1)
    until(lambda: ship.counts(busy=1), "a busy worker")
    ship.signal(number)
    until(lambda: len(ship.events("worker.left")) == 2, "the end of the idle")
    for _ in range(2):
        heard = len(ship.events("fleet.stopping"))
        ship.signal()
        ship.heard("fleet.stopping", heard + 1)
    before = len(ship.lines("chores"))
    until(lambda: len(ship.lines("chores")) > before, "chores that go on")
    assert not gone(horse)
    assert ship.process.poll() is None
    ship.untell("busy-1")
    assert ship.end() == 0
    assert [len(ship.lines(f"asked-{seat}")) for seat in range(3)] == [1, 1, 1]
    assert not ship.events("worker.lost")
    assert not ship.events("worker.killed")
    assert ship.events("fleet.stopped")


def test_ctrl_c_in_a_terminal_reaches_the_workers_by_the_fleet_alone(launch: Callable[..., Ship]) -> None:
    ship = launch(1)
    ship.all_there(1)
    horse = ship.make_busy(0)
    until(lambda: ship.counts(busy=1), "a busy worker")
    os.killpg(ship.process.pid, signal.SIGINT)  # what a terminal does: to every process of the foreground group
    until(lambda: ship.lines("asked-0"), "the fleet's word to the worker")
    assert not gone(horse)
    ship.untell("busy-0")
    assert ship.end() == 0
    assert not ship.events("worker.lost")


def test_whoever_is_left_when_the_grace_is_over_is_killed(launch: Callable[..., Ship]) -> None:
    ship = launch(2, grace_seconds=1)
    ship.all_there(2)
    horse = ship.make_busy(0)
    until(lambda: ship.counts(busy=1), "a busy worker")
    ship.signal()
    assert ship.end() == 0
    (killed,) = ship.events("worker.killed")
    assert killed["worker_pid"] == ship.pids("lives-0")[0]
    assert "did not leave within 1 s" in killed["message"]
    until(lambda: gone(horse), "the end of its horse")


def test_a_killed_fleet_takes_all_its_processes_along(launch: Callable[..., Ship]) -> None:
    ship = launch(3)
    ship.all_there(3)
    ship.make_busy(0)
    ship.make_busy(2)
    assert len(ship.family()) == 5
    ship.signal(signal.SIGKILL)
    assert ship.end() == -signal.SIGKILL
    ship.empty()


def test_a_signal_before_the_fleet_runs_is_not_lost(launch: Callable[..., Ship]) -> None:
    ship = launch(2, "late")
    ship.held()
    ship.signal()
    ship.untell("late")
    assert ship.end() == 0
    assert ship.events("fleet.stopped")


def test_a_signal_at_any_moment_of_start_and_end_leads_to_a_good_end(launch: Callable[..., Ship]) -> None:
    chance = random.Random(20)
    for _ in range(12):
        ship = launch(3)
        ship.held()
        for _ in range(20):  # the first finds the start, the later ones the end
            time.sleep(chance.uniform(0, 0.03))
            if ship.process.poll() is None:
                ship.signal()
        assert ship.end() == 0
        assert not ship.events("worker.killed")
        assert ship.family() == []


# Beside the workers


@pytest.mark.parametrize(
    ("fault", "event", "times"), [("queue-away", "chore.unreachable", 1), ("fault", "chore.fault", 3)]
)
def test_workers_and_chores_outlive_what_fails_beside_them(
    launch: Callable[..., Ship], fault: str, event: str, times: int
) -> None:
    ship = launch(2)
    ship.all_there(2)
    until(lambda: ship.lines("chores"), "chores")
    ship.tell(fault)
    for name in ("tidy", "wanted"):
        ship.heard(event, times, chore=name)
    ship.want(0)  # and nobody can ask
    os.kill(ship.pids("lives-0")[0], signal.SIGKILL)
    ship.at_work(0, times=2)
    assert not ship.lines("asked-1")
    done = len(ship.lines("chores"))
    ship.untell(fault)
    until(lambda: len(ship.lines("chores")) > done, "chores again")
    until(lambda: ship.counts(seats=0, draining=0), "what is wanted, once it can be asked again")
    away = [found for found in ship.events(event) if found["chore"] == "tidy"]
    if times == 1:
        assert len(away) == 1
        assert {found["chore"] for found in ship.events("chore.reachable")} == {"tidy", "wanted"}
        assert away[0]["level"] == "warning"
    else:
        assert "a fault, for a test" in away[0]["exception"]
    ship.signal()
    assert ship.end() == 0


def test_the_fleet_sleeps_when_there_is_nothing_to_do(launch: Callable[..., Ship]) -> None:
    ship = launch(1)
    ship.all_there(1)
    fleet = psutil.Process(ship.process.pid)
    rounds, switches = len(ship.lines("chores")), fleet.num_ctx_switches().voluntary
    until(lambda: len(ship.lines("chores")) >= rounds + 30, "thirty chores")
    slept = fleet.num_ctx_switches().voluntary - switches
    # A loop that polls sleeps much more often than it has chores, one that spins never sleeps.
    assert 30 <= slept < 20 * (len(ship.lines("chores")) - rounds + 1)


def test_a_machine_without_room_for_a_process_is_tried_again(launch: Callable[..., Ship]) -> None:
    ship = launch(1, "poor")
    first, second, *_ = ship.heard("worker.not_started", 2)
    assert "trying again in 1 s." in first["message"]
    assert "trying again in 2 s." in second["message"]
    ship.untell("poor")
    ship.all_there(1)
    ship.signal()
    assert ship.end() == 0


# Processes


def test_a_fork_begins_clean_and_ends_by_its_code() -> None:
    ready, tell = os.pipe()

    def child() -> int:
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)]
        clean = not blocked and handlers == [signal.SIG_DFL] * 3
        still_ignored = signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN
        os.write(tell, json.dumps([clean, still_ignored]).encode())
        return 5

    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    try:
        pid = fork(child)
        assert signal.SIGUSR2 in signal.pthread_sigmask(signal.SIG_BLOCK, ())
        assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)
        signal.signal(signal.SIGUSR1, before)
    assert json.loads(os.read(ready, 100)) == [True, True]
    assert reap_one(pid, wait=True) == Ended(pid, 5)
    os.close(ready)
    os.close(tell)
    with pytest.raises(ChildProcessError):
        reap_one(pid)


def test_a_signal_straight_after_a_fork_never_meets_the_parents_handler() -> None:
    def child() -> int:
        time.sleep(5)  # the signal ends it long before
        return 3

    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        for _ in range(30):
            pid = fork(child)
            os.kill(pid, signal.SIGUSR1)
            assert reap_one(pid, wait=True) == Ended(pid, None, signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("error", [SystemExit(0), KeyboardInterrupt(), RuntimeError("on purpose")])
def test_no_exception_leaves_a_fork(error: BaseException) -> None:
    def child() -> int:
        raise error

    ended = reap_one(fork(child), wait=True)
    assert ended is not None
    assert str(ended) == "exit code 1"


def test_a_code_that_would_wrap_around_to_success_is_none() -> None:
    ended = reap_one(fork(lambda: 256), wait=True)
    assert ended is not None
    assert ended.code == 1


def test_a_running_child_is_not_waited_for_and_a_killed_one_tells_its_signal() -> None:
    def child() -> int:
        while True:
            time.sleep(60)

    pid = fork(child)
    assert reap_one(pid) is None
    os.kill(pid, signal.SIGKILL)
    ended = reap_one(pid, wait=True)
    assert ended == Ended(pid, None, signal.SIGKILL)
    assert str(ended) == "signal SIGKILL"


def test_a_child_whose_parent_is_not_the_expected_one_ends_at_once() -> None:
    def child() -> int:
        end_with_parent(signal.SIGKILL, os.getppid() + 1)
        return 0

    ended = reap_one(fork(child), wait=True)
    assert ended is not None
    assert ended.code == PARENT_GONE


def test_a_thread_may_not_fork() -> None:
    met: list[Exception] = []

    def elsewhere() -> None:
        try:
            fork(lambda: 0)
        except RuntimeError as error:
            met.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert "main thread" in str(met[0])

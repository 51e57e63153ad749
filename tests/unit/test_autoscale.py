"""What a fleet makes of the queue's depth."""

from __future__ import annotations

from flowscale.errors import QueueUnavailable
from flowscale.queues.base import Depth
from flowscale.testing import START_MS
from flowscale_worker.autoscale import Autoscale
from flowscale_worker.seats import Census


class Machine:
    """A fleet that does at once what is wanted, a round a second."""

    def __init__(self, least: int, most: int) -> None:
        self.depth: Depth | None = Depth(0, 0, 0)
        self.seats = 0
        self.second = 0
        self._autoscale = Autoscale(self.read, least, most)

    def read(self) -> Depth:
        if self.depth is None:
            raise QueueUnavailable("the queue is away")
        return self.depth

    def run(self, seconds: int = 1, *, busy: int = 0) -> int:
        for _ in range(seconds):
            self.second += 1
            census = Census(START_MS + 1_000 * self.second, self.seats, self.seats, busy, 0)
            self.seats = self._autoscale.wanted(census)
        return self.seats


def test_it_begins_with_the_least_though_the_queue_is_away() -> None:
    machine = Machine(2, 4)
    machine.depth = None
    assert machine.run() == 2


def test_it_grows_to_the_most_at_once_and_shrinks_after_a_minute() -> None:
    machine = Machine(1, 4)
    machine.run()
    machine.depth = Depth(waiting=9, delayed=0, running=1)
    assert machine.run(busy=1) == 4
    machine.depth = Depth(0, 0, 0)
    assert machine.run(58) == 4
    assert machine.run(4) == 1


def test_it_keeps_what_is_busy_and_what_a_delayed_retry_needs() -> None:
    machine = Machine(1, 4)
    machine.run()
    machine.depth = Depth(waiting=3, delayed=0, running=1)
    assert machine.run(busy=1) == 4
    machine.depth = Depth(0, 1, 3)
    assert machine.run(120, busy=3) == 3


def test_an_outage_changes_nothing_however_long() -> None:
    machine = Machine(1, 4)
    machine.run()
    machine.depth = Depth(waiting=3, delayed=0, running=0)
    machine.run()
    machine.depth = None
    assert machine.run(600) == 3


def test_a_most_below_the_least_is_the_least() -> None:
    machine = Machine(3, 1)
    machine.depth = Depth(waiting=9, delayed=0, running=0)
    assert machine.run(5) == 3

"""A worker's place in a fleet, and the count of them."""

from __future__ import annotations

import mmap
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Census:
    """The workers there are. Who was told to leave is counted in `draining` alone."""

    now_ms: int
    seats: int  # that are kept: with a process, or waiting for the next
    alive: int  # of these, with a process
    busy: int  # of these, at a job
    draining: int  # told to leave, and still there


class Seat:
    """A worker's place. `busy` is seen by the fleet and by all that descends from the worker, through shared memory."""

    def __init__(self, number: int, name: str) -> None:
        self.number = number  # from 0; the lowest free one is given first
        self.name = name
        self._shared = mmap.mmap(-1, 1)

    @property
    def busy(self) -> bool:
        return self._shared[0] != 0

    @busy.setter
    def busy(self, busy: bool) -> None:
        self._shared[0] = int(busy)

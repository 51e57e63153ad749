"""The order of waiting in the memory backend: three lines by priority, and the delayed jobs by due time.

Pure bookkeeping without a lock or a clock; the queue around it owns both. Every question, positions included,
is answered in O(log n), so that a gateway's event loop is never held up by a long queue.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass, replace

from flowscale.jobs import Priority
from flowscale.queues.base import FAIRNESS_EVERY, PRIORITY_ORDER


@dataclass(frozen=True, slots=True)
class Place:
    """A job's turn. `since` counts the jobs that joined before it; a job given back keeps its own."""

    job_id: str
    priority: Priority
    since: int
    since_ms: int  # when it joined or was given back, by the queue's own clock


class Line:
    """First in, first out, with a way back to the head. Ranks are sorted but need not be contiguous."""

    def __init__(self) -> None:
        self._ranks: list[int] = []
        self._places: dict[int, Place] = {}
        self._rank_of: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._ranks)

    def head(self) -> Place | None:
        return self._places[self._ranks[0]] if self._ranks else None

    def append(self, place: Place) -> None:
        rank = self._ranks[-1] + 1 if self._ranks else 0
        self._ranks.append(rank)
        self._note(rank, place)

    def prepend(self, place: Place) -> None:
        rank = self._ranks[0] - 1 if self._ranks else 0
        self._ranks.insert(0, rank)
        self._note(rank, place)

    def remove(self, job_id: str) -> Place:
        rank = self._rank_of.pop(job_id)
        del self._ranks[bisect_left(self._ranks, rank)]
        return self._places.pop(rank)

    def ahead_of(self, job_id: str) -> int:
        return bisect_left(self._ranks, self._rank_of[job_id])

    def first(self, most: int) -> list[Place]:
        return [self._places[rank] for rank in self._ranks[:most]]

    def _note(self, rank: int, place: Place) -> None:
        self._places[rank] = place
        self._rank_of[place.job_id] = rank


class Lines:
    """The jobs that may run now. Strict priorities, but every FAIRNESS_EVERY-th turn is the longest wait's."""

    def __init__(self) -> None:
        self._lines = {priority: Line() for priority in PRIORITY_ORDER}
        self._joined = 0
        self._taken = 0

    def __len__(self) -> int:
        return sum(len(line) for line in self._lines.values())

    def join(self, job_id: str, priority: Priority, now: int) -> None:
        """To the tail of its line."""
        self._joined += 1
        self._lines[priority].append(Place(job_id, priority, self._joined, now))

    def oldest_ms(self) -> int | None:
        """When the head that has waited longest joined its line; None when nobody waits."""
        heads = (line.head() for line in self._lines.values())
        return min((head.since_ms for head in heads if head is not None), default=None)

    def first(self, most: int) -> list[Place]:
        """As many as that, in the order of strict priorities."""
        found: list[Place] = []
        for line in self._lines.values():
            found += line.first(most - len(found))
        return found

    def give_back(self, place: Place, now: int) -> None:
        """To the head of its line; it keeps its turn, but waits from now on."""
        self._lines[place.priority].prepend(replace(place, since_ms=now))

    def move_to_front(self, job_id: str, priority: Priority) -> None:
        """From its line to the head of the first; it keeps its turn, and since when it waits."""
        place = self._lines[priority].remove(job_id)
        first = PRIORITY_ORDER[0]
        self._lines[first].prepend(replace(place, priority=first))

    def join_front(self, job_id: str, now: int) -> None:
        """To the head of the first line."""
        self._joined += 1
        first = PRIORITY_ORDER[0]
        self._lines[first].prepend(Place(job_id, first, self._joined, now))

    def leave(self, job_id: str, priority: Priority) -> None:
        self._lines[priority].remove(job_id)

    def take(self) -> Place | None:
        """Remove and give the next turn; None when nobody waits."""
        heads = [head for line in self._lines.values() if (head := line.head()) is not None]
        if not heads:
            return None
        self._taken += 1
        fair = self._taken % FAIRNESS_EVERY == 0
        place = min(heads, key=lambda head: head.since) if fair else heads[0]
        self.leave(place.job_id, place.priority)
        return place

    def position(self, job_id: str, priority: Priority) -> int:
        """From 1, under strict priorities."""
        higher = PRIORITY_ORDER[: PRIORITY_ORDER.index(priority)]
        return sum(len(self._lines[line]) for line in higher) + self._lines[priority].ahead_of(job_id) + 1


class Delays:
    """The jobs that wait for their back-off to pass, earliest first. Times in ms of the queue's own clock."""

    def __init__(self) -> None:
        self._entries: list[tuple[int, int, str]] = []  # due, order of arrival, job id
        self._entry_of: dict[str, tuple[int, int, str]] = {}
        self._added = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, job_id: str, due: int) -> None:
        self._added += 1
        entry = (due, self._added, job_id)
        insort(self._entries, entry)
        self._entry_of[job_id] = entry

    def remove(self, job_id: str) -> None:
        del self._entries[self.ahead_of(job_id)]
        del self._entry_of[job_id]

    def ahead_of(self, job_id: str) -> int:
        return bisect_left(self._entries, self._entry_of[job_id])

    def next_due(self) -> int | None:
        return self._entries[0][0] if self._entries else None

    def due_count(self, now: int) -> int:
        """How many jobs' time has come."""
        return bisect_left(self._entries, (now + 1,))

    def take_due(self, now: int) -> Sequence[str]:
        """Remove and give the jobs whose time has come, in the order they became due."""
        count = self.due_count(now)
        due = [job_id for _, _, job_id in self._entries[:count]]
        del self._entries[:count]
        for job_id in due:
            del self._entry_of[job_id]
        return due

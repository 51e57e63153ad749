"""Finding jobs among very many, in steps that never hold the server up for long.

Each step looks at STRETCH entries at most, in a few ms. A question is answered over the word that fewest jobs have,
from the index of words (lua/gather.lua); when even that one is common, the jobs themselves are looked through, newest
first (lua/walk.lua), which costs 100,000 jobs about a quarter of a second, in fifty steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flowscale.jobs import JobState, Priority
from flowscale.queues import answers
from flowscale.queues.admin_view import Found
from flowscale.queues.finding import Needle, Wanted, first_card, needles_of
from flowscale.queues.redis.operations.ground import Ground
from flowscale.queues.redis.operations.replies import ids, job_in, mapping
from flowscale.queues.redis.records import task_data
from flowscale.queues.redis.scripts import Operation, command, run_script

STRETCH = 2_000
"""Entries looked at in one step."""

GATHERED_AT_MOST = 30_000
"""Entries of the index that are gathered at most, and no more than a third of the jobs: to look through those in their
order costs a third as much for each (9 against 2.6 µs of the server's processor, measured on a busy machine)."""

FILED_AT_ONCE = 200
"""Jobs of an older version that are given their cards in each round."""

LOOKED_AT = 100
"""Jobs looked at each round for a card they may lack, though there are as many cards as jobs."""

_MEANT: dict[JobState | None, str] = {JobState.QUEUED: "not delayed", JobState.DELAYED: "delayed"}


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Part of a sorted set, in which a needle's jobs are. `key`: the index of words, or a set of ids."""

    key: str
    low: bytes
    high: bytes


class Searching(Ground):
    """See AdminQueue.search."""

    _filed = ""  # the last job that was looked at for its card; "": begin with the oldest
    _swept: bytes | int = 0  # where the look for cards without a job goes on

    def search(self, wanted: Wanted, limit: int, cursor: str | None) -> Operation[Found]:
        older_than = "" if cursor is None else answers.read_cursor(cursor)
        needles = needles_of(wanted)
        stretches = [self._stretches(needle, wanted.state) for needle in needles]
        counts = yield (
            *(command("ZLEXCOUNT", each.key, each.low, each.high) for needle in stretches for each in needle),
            command("ZCARD", self._index(wanted.state)),
            command("ZCARD", self.keys.delayed),
        )
        *entries, jobs, delayed = counts
        sizes = [sum(entries[2 * at : 2 * at + 2]) for at in range(len(stretches))]
        fewest = min(range(len(sizes)), key=sizes.__getitem__, default=None)
        if fewest is not None and sizes[fewest] <= min(GATHERED_AT_MOST, max(jobs // 3, STRETCH)):
            found = sorted((yield from self._gather(stretches[fewest], wanted.state, needles)), reverse=True)
            older = [job_id for job_id in found if job_id < older_than] if older_than else found
            listed, total = older[: limit + 1], len(found)
        elif needles:
            listed, total = yield from self._walk("+", wanted.state, needles, limit + 1, older_than)
        else:
            begin = f"({older_than}" if older_than else "+"
            listed, _ = yield from self._walk(begin, wanted.state, (), limit + 1, "", enough=limit + 1)
            total = jobs if wanted.state not in _MEANT else delayed
            if wanted.state is JobState.QUEUED:
                total = max(0, jobs - delayed)
        page = listed[:limit]
        read = (yield [part for job_id in page for part in self._read(job_id)]) if page else ()
        records = (job_in(job_id, *read[2 * at : 2 * at + 2]) for at, job_id in enumerate(page))
        return Found(tuple(job for job in records if job is not None), page[-1] if len(listed) > limit else None, total)

    def _gather(
        self, stretches: Sequence[_Stretch], state: JobState | None, needles: Sequence[Needle]
    ) -> Operation[set[str]]:
        found: set[str] = set()
        for stretch in stretches:
            low = stretch.low
            while True:
                keys = (stretch.key, self.keys.cards, self._index(state), self.keys.delayed)
                words = (low, stretch.high, STRETCH, _MEANT.get(state, "all"))
                ((last, matching),) = yield (run_script("gather", keys, *words, *(needle.text for needle in needles)),)
                found.update(matching.decode(errors="surrogateescape").split("\n")[:-1])
                if not last:
                    break
                low = b"(" + last
        return found

    def _walk(
        self,
        begin: str,
        state: JobState | None,
        needles: Sequence[Needle],
        most: int,
        older_than: str,
        enough: int | None = None,
    ) -> Operation[tuple[list[str], int]]:
        """The first matching jobs and how many match; not looked for any further once there are `enough`."""
        listed: list[str] = []
        total = 0
        meant = _MEANT.get(state, "all")
        while True:
            stretch = STRETCH if enough is None else min(STRETCH, enough - len(listed))
            words = (begin, stretch, meant, most - len(listed), older_than)
            keys = (self._index(state), self.keys.cards, self.keys.delayed)
            ((count, last, first),) = yield (run_script("walk", keys, *words, *(needle.text for needle in needles)),)
            total += count
            listed += ids(first)
            if not last or (enough is not None and len(listed) >= enough):
                return listed, total
            begin = f"({last.decode(errors='surrogateescape')}"

    def _stretches(self, needle: Needle, state: JobState | None) -> tuple[_Stretch, _Stretch]:
        """Where the jobs are that have the word, and where those are whose id begins with it."""
        text = needle.text.encode(errors="surrogateescape")
        if text.endswith(b"\n"):
            words = _Stretch(self.keys.find, b"[" + text[:-1] + b"\0", b"(" + text[:-1] + b"\1")
        else:
            words = _Stretch(self.keys.find, b"[" + text, b"(" + text + b"\xff")
        return words, _Stretch(self._index(state), b"[" + text, b"(" + text + b"\xff")

    def _index(self, state: JobState | None) -> str:
        return self.keys.every_job if state is None else self.keys.in_state(state.public)

    def _file(self) -> Operation[None]:
        """Give jobs their cards that a version without accepted, and take cards away whose job such a version forgot:
        both while a queue is upgraded. Looks at a few jobs each round, and at many while there must be some."""
        jobs, cards = yield (command("ZCARD", self.keys.every_job), command("HLEN", self.keys.cards))
        newer = f"({self._filed}" if self._filed else "-"
        stretch = STRETCH if jobs > cards else LOOKED_AT
        (found,) = yield (command("ZRANGEBYLEX", self.keys.every_job, newer, "+", "LIMIT", 0, stretch),)
        known = (yield (command("HMGET", self.keys.cards, *found),))[0] if found else ()
        lacking = [job_id for job_id, card in zip(ids(found), known, strict=True) if card is None][:FILED_AT_ONCE]
        if len(lacking) == FILED_AT_ONCE:
            self._filed = lacking[-1]
        else:
            self._filed = ids(found)[-1] if len(found) == stretch else ""
        for job_id in lacking:
            job = yield from self.find(job_id)
            if job is not None:
                keys = self.keys.job_keys(job_id, job.priority)
                yield (self._script("file", keys, job_id, first_card(job)[1:]),)
        if cards > jobs:
            yield from self._unfile()

    def _unfile(self) -> Operation[None]:
        ((cursor, found),) = yield (command("HSCAN", self.keys.cards, self._swept, "COUNT", STRETCH),)
        self._swept = cursor
        filed = ids(list(mapping(found)))
        kept = (yield [command("ZSCORE", self.keys.every_job, job_id) for job_id in filed]) if filed else ()
        gone = [job_id for job_id, score in zip(filed, kept, strict=True) if score is None]
        if gone:
            yield [
                self._script(
                    "adopt",
                    (*self.keys.job_keys(job_id, Priority.NORMAL), self.keys.every_job),
                    job_id,
                    task_data(job_id),
                )
                for job_id in gone
            ]

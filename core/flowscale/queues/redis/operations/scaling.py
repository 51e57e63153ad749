"""What an operator asks and grants. See ScalingQueue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flowscale.predictions import Expected, Learned
from flowscale.queues.base import REPORT_KEPT_MS
from flowscale.queues.redis.operations.ground import Ground
from flowscale.queues.redis.operations.replies import Note, ids, learned, mapping, note, scores, worker_report
from flowscale.queues.redis.scripts import Operation, command, run_script
from flowscale.queues.scaling_view import LINE_READ, Demand, GroupState

LOOKS = 20
"""Of one `drain` for jobs that were started before there were groups; none is started any more."""


class Scaling(Ground):
    """See ScalingQueue."""

    def demand(self) -> Operation[Demand]:
        keys = self.keys
        asked = (keys.suspended, *keys.lines, keys.delayed, keys.leases, keys.live, keys.draining)
        (answer,) = yield (run_script("demand", (*asked, *keys.reports, keys.profiles), self._now(), LINE_READ),)
        now_ms, paused, waiting, due, delayed, next_due, heads, line, leased, running, drains, said, came, taught = (
            answer
        )
        now = int(now_ms)
        profiles = {name: learned(text) for name, text in mapping(taught).items()}
        holds = [note(text) for text in running]
        strangers = [job_id for job_id, held in zip(ids(leased), holds, strict=True) if held is None or not held.group]
        workers = (
            (yield [command("HGET", keys.record(job_id), "worker", forgiving=True) for job_id in strangers])
            if strangers
            else ()
        )
        groups = [held.group for held in holds if held is not None and held.group]
        groups += [worker.decode(errors="surrogateescape") for worker in workers if worker is not None]
        waits = [note(text) for text in heads]
        return Demand(
            at_ms=now,
            waiting=waiting,
            delayed=delayed,
            due=due,
            next_due_ms=int(float(next_due)) if next_due else None,
            oldest_wait_ms=max((now - wait.since_ms for wait in waits if wait is not None), default=None),
            paused=bool(paused),
            groups=_groups(groups, mapping(drains), mapping(said), dict(scores(came)), now),
            line=tuple(_expected(note(text), profiles, now) for text in line.split(b"\n")[:-1]),
            running=tuple(_expected(held, profiles, now) for held in holds[:LINE_READ]),
        )

    def drain(self, groups: Sequence[str], ttl_ms: int) -> Operation[frozenset[str]]:
        if not groups:
            return frozenset()
        asked = list(dict.fromkeys(groups))
        known: tuple[str, ...] = ()
        for _ in range(LOOKS):
            keys = (self.keys.leases, self.keys.live, self.keys.draining, *map(self.keys.record, known))
            ((answer, found),) = yield (run_script("drain", keys, self._now(), ttl_ms, len(asked), *asked, *known),)
            if answer == b"granted":
                return frozenset(ids(found))
            known = ids(found)
        return frozenset()  # what could not be known is not granted

    def undrain(self, groups: Sequence[str]) -> Operation[None]:
        if groups:
            yield (run_script("undrain", (self.keys.draining,), self.keys.wake, *groups),)


def _expected(wait: Note | None, profiles: Mapping[bytes, Learned], now: int) -> Expected:
    if wait is None:
        return Expected(0)  # it is from before there were notes
    return Expected(max(0, now - wait.since_ms), profiles.get(wait.profile, Learned()).predicted_ms)


def _groups(
    holding: Sequence[str],
    drains: Mapping[bytes, bytes],
    said: Mapping[bytes, bytes],
    came: Mapping[bytes, float],
    now: int,
) -> dict[str, GroupState]:
    busy: dict[str, int] = {}
    for group in holding:
        busy[group] = busy.get(group, 0) + 1
    draining = {name.decode(errors="surrogateescape") for name, until in drains.items() if int(until) > now}
    slots: dict[str, int] = {}
    seen: dict[str, int] = {}
    for name, text in said.items():
        age = now - int(came.get(name, 0))
        report = worker_report(text) if age < REPORT_KEPT_MS else None
        if report is not None:
            group = report.worker if report.group is None else report.group
            slots[group] = slots.get(group, 0) + (report.slots if report.problem is None else 0)
            seen[group] = min(age, seen.get(group, age))
    return {
        group: GroupState(busy.get(group, 0), slots.get(group, 0), group in draining, seen.get(group))
        for group in sorted({*busy, *draining, *seen})
    }

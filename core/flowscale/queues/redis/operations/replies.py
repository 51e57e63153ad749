"""Reading what the server answers. Pure, but for a line in the log where an answer is none of ours."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from flowscale import logs
from flowscale.jobs import Job
from flowscale.predictions import Learned
from flowscale.queues.base import (
    Event,
    EventKind,
    WorkerReport,
)
from flowscale.queues.redis.records import (
    Unreadable,
    from_record,
)
from flowscale.queues.told import Facts, Told, from_json

_log = logs.get("queue")


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look found: ids, oldest first. Times in ms of the server's clock."""

    now_ms: int
    paused: bool
    heads: tuple[tuple[str, ...], ...]  # of the lines, most urgent first
    due: tuple[str, ...]
    next_due_ms: int | None
    expired: tuple[str, ...]
    done: tuple[str, ...]  # that may go
    failed: tuple[str, ...]  # that may go
    forgotten_keys: tuple[str, ...]
    silent_workers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """What lua/shared.lua notes of a job that waits or runs."""

    since_ms: int
    profile: bytes
    group: str  # "": it waits


def note(text: bytes | None) -> Note | None:
    """None when there is none, or none of ours."""
    since, _, rest = (text or b"").partition(b" ")
    profile, _, group = rest.partition(b" ")
    return Note(int(since), profile, group.decode(errors="surrogateescape")) if since.isdigit() else None


def learned(text: bytes) -> Learned:
    """Nothing where it is none of ours."""
    try:
        seen, mean = text.split(b" ")
        return Learned(int(seen), float(mean))
    except ValueError as error:
        _log.warning("profile.unreadable", "What was learned of a profile cannot be read", reason=str(error))
        return Learned()


def seen_in(answer: Sequence[Any]) -> Seen:
    now, paused, high, normal, low, due, next_due, expired, done, failed, keys, workers = answer
    return Seen(
        now_ms=int(now),
        paused=bool(paused),
        heads=(ids(high), ids(normal), ids(low)),
        due=ids(due),
        next_due_ms=int(float(next_due)) if next_due else None,
        expired=ids(expired),
        done=ids(done),
        failed=ids(failed),
        forgotten_keys=ids(keys),
        silent_workers=ids(workers),
    )


def job_in(job_id: str, raw: Any, log: Sequence[bytes]) -> Job | None:
    """None when there is no record, or none of ours."""
    fields = mapping(raw)
    if not fields:
        return None
    try:
        return from_record(job_id, fields, log or ())
    except Unreadable as error:
        _log.warning("entry.unreadable", "A record of the queue cannot be read", reason=str(error))
        return None


def ids(found: Sequence[bytes]) -> tuple[str, ...]:
    """As text; bytes that are none stay what they are on the way back (surrogateescape)."""
    return tuple(entry.decode(errors="surrogateescape") for entry in found)


def mapping(flat: Any) -> dict[bytes, bytes]:
    if flat is None:
        return {}
    if isinstance(flat, Mapping):
        return dict(flat)
    return dict(zip(flat[::2], flat[1::2], strict=True))


def scores(flat: Any) -> list[tuple[bytes, float]]:
    pairs = flat if flat and isinstance(flat[0], list | tuple) else zip(flat[::2], flat[1::2], strict=True)
    return [(name, float(score)) for name, score in pairs]


def run_id_in(info: Any) -> str:
    """Of the server's INFO; "" where it is not told, or may not be asked."""
    if info is None:
        return ""
    if isinstance(info, Mapping):
        return str(info.get("run_id", ""))
    for line in info.decode(errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name == "run_id":
            return str(value)
    return ""


def job_id_in(fields: Mapping[bytes, bytes]) -> str:
    """The job id in a record's `data`, which start.lua has compared with what it should be."""
    return str(json.loads(fields[b"data"])[2][0])


def event(number: bytes, raw: Mapping[bytes, bytes]) -> Event:
    return Event(
        id=int(number.partition(b"-")[0]),
        kind=EventKind(raw[b"kind"].decode()),
        at_ms=int(raw[b"at"]),
        data=json.loads(raw[b"data"]),
    )


def told_in(raw: Mapping[bytes, bytes]) -> Told:
    """What is none of ours is left out."""
    facts: Facts | None = None
    tails: dict[int, tuple[str, ...]] = {}
    for name, text in raw.items():
        kind, _, number = name.partition(b":")
        try:
            if kind == b"told":
                facts = from_json(text)
            elif kind == b"tail":
                tails[int(number)] = tuple(str(line) for line in json.loads(text))
        except (ValueError, TypeError, RecursionError) as error:
            _log.warning("facts.unreadable", "What a job's executions told cannot be read", reason=str(error))
    return Told(facts, dict(sorted(tails.items())))


def worker_report(text: bytes) -> WorkerReport | None:
    """A newer worker's may say more than is known here: that is left out."""
    try:
        said = json.loads(text.partition(b" ")[2])
        known = {each.name for each in fields(WorkerReport)}
        return WorkerReport(**{name: value for name, value in said.items() if name in known})
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        _log.warning("report.unreadable", "A worker's report cannot be read", reason=str(error))
        return None

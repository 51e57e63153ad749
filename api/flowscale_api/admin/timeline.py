"""What happened to a job, oldest first: from its record, its attempts, and its changes of state. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from flowscale.clocks import iso_utc
from flowscale.jobs import ATTEMPTS_KEPT, Job, JobState
from flowscale.queues.base import Event, EventKind
from flowscale_api.admin.shapes import TimelineEntry

BEGAN, BROKE_OFF, QUEUED_AGAIN = range(3)
"""What can happen to one execution, and after it."""

LATEST = ATTEMPTS_KEPT + 2
"""Behind every execution that is known."""


def timeline(job: Job, events: Sequence[Event]) -> list[TimelineEntry]:
    """Of what happened in one ms, that stands first which was first: by the execution it belongs to."""
    found: list[tuple[int, int, int, str, str | None]] = [(job.created_ms, 0, BEGAN, "accepted", None)]
    for place, attempt in enumerate(job.attempts, 1):
        number = f"attempt {attempt.number}"
        found.append((attempt.started_ms, place, BEGAN, "started", f"{number} on {attempt.worker}"))
        if attempt.code is not None:
            why = f"{number}: {attempt.code}: {attempt.message}"
            found.append((attempt.ended_ms, place, BROKE_OFF, "failed", why))
    if job.state is JobState.RUNNING and job.execution_started_ms is not None:
        what = f"attempt {job.attempt_number} on {job.worker}"
        found.append((job.execution_started_ms, len(job.attempts) + 1, BEGAN, "runs", what))
    found += [
        (event.at_ms, _begun_before(event, job, events), QUEUED_AGAIN, "queued again", None)
        for event in _queued_again(job, events)
    ]
    if job.state is JobState.DELAYED and job.due_ms is not None:
        found.append((job.due_ms, LATEST, BEGAN, "tried again", "when its back-off has passed"))
    if job.completed_ms is not None:
        if job.failure is not None:
            why = f"{job.failure.code}: {job.failure.message}"
            found.append((job.completed_ms, LATEST, BEGAN, "ended in error", why))
        else:
            found.append((job.completed_ms, LATEST, BEGAN, "done", None))
    return [
        TimelineEntry(at=iso_utc(at), what=what, detail=detail) for at, _, _, what, detail in sorted(found, key=_key)
    ]


def _key(entry: tuple[int, int, int, str, str | None]) -> tuple[int, int, int]:
    return entry[:3]


def _queued_again(job: Job, events: Sequence[Event]) -> list[Event]:
    """Changes to `queued` after the first; those that are kept still."""
    queued = [event for event in events if _status(event) == "queued"]
    return [event for event in queued if event.id > 1 and event.at_ms >= job.created_ms]


def _begun_before(change: Event, job: Job, events: Sequence[Event]) -> int:
    """How many executions that are known had begun when this came: of those of the same ms the events tell."""
    begun = sum(attempt.started_ms < change.at_ms for attempt in job.attempts)
    beside = sum(attempt.started_ms == change.at_ms for attempt in job.attempts)
    told = sum(_status(event) == "running" and event.at_ms == change.at_ms for event in events if event.id < change.id)
    return begun + min(beside, told)


def _status(event: Event) -> str | None:
    return event.data.get("status") if event.kind is EventKind.STATE else None

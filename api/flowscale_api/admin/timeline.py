"""What happened to a job, oldest first: from its record, its attempts, and its changes of state. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from flowscale.clocks import iso_utc
from flowscale.jobs import Job, JobState
from flowscale.queues.base import Event, EventKind
from flowscale_api.admin.shapes import TimelineEntry

_RANK = ("accepted", "started", "failed", "queued again", "runs", "tried again", "ended in error", "done")


def timeline(job: Job, events: Sequence[Event]) -> list[TimelineEntry]:
    """Of what happened in one ms, that stands first which must have been first (`_RANK`)."""
    found: list[tuple[int, str, str | None]] = [(job.created_ms, "accepted", None)]
    for attempt in job.attempts:
        found.append((attempt.started_ms, "started", f"attempt {attempt.number} on {attempt.worker}"))
        if attempt.code is not None:
            found.append((attempt.ended_ms, "failed", f"attempt {attempt.number}: {attempt.code}: {attempt.message}"))
    if job.state is JobState.RUNNING and job.execution_started_ms is not None:
        found.append((job.execution_started_ms, "runs", f"attempt {_next_number(job)} on {job.worker}"))
    found += [(event.at_ms, "queued again", None) for event in _queued_again(job, events)]
    if job.state is JobState.DELAYED and job.due_ms is not None:
        found.append((job.due_ms, "tried again", "when its back-off has passed"))
    if job.completed_ms is not None:
        if job.failure is not None:
            found.append((job.completed_ms, "ended in error", f"{job.failure.code}: {job.failure.message}"))
        else:
            found.append((job.completed_ms, "done", None))
    ordered = sorted(found, key=lambda entry: (entry[0], _RANK.index(entry[1])))
    return [TimelineEntry(at=iso_utc(at), what=what, detail=detail) for at, what, detail in ordered]


def _next_number(job: Job) -> int:
    return job.attempts[-1].number + 1 if job.attempts else 1


def _queued_again(job: Job, events: Sequence[Event]) -> list[Event]:
    """Changes to `queued` after the first; those that are kept still."""
    queued = [event for event in events if event.kind is EventKind.STATE and event.data.get("status") == "queued"]
    return [event for event in queued if event.id > 1 and event.at_ms >= job.created_ms]

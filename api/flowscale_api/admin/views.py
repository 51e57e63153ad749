"""From job records to the admin API's answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from fastapi import Request

from flowscale.clocks import iso_utc
from flowscale.jobs import Job, JobState
from flowscale.queues.admin_view import AuditEntry
from flowscale.queues.base import Event
from flowscale.queues.finding import title_of
from flowscale.queues.history import Point
from flowscale.queues.told import Facts, Told
from flowscale.webhooks.deliveries import Delivery
from flowscale_api.admin.shapes import (
    AttemptView,
    AuditView,
    HistoryPoint,
    JobDetail,
    JobRow,
    SourceView,
    state_of,
)
from flowscale_api.admin.timeline import timeline
from flowscale_api.deps import Gateway
from flowscale_api.jobs.views import job_answer
from flowscale_api.links import public_url
from flowscale_api.schemas import JobError, Status
from flowscale_api.webhooks.views import delivery_facts


async def job_rows(gateway: Gateway, request: Request, jobs: Sequence[Job]) -> list[JobRow]:
    waiting = [job.id for job in jobs if job.state in (JobState.QUEUED, JobState.DELAYED)]
    positions = await gateway.queue.positions(waiting) if waiting else {}
    return [_row(gateway, request, job, positions.get(job.id)) for job in jobs]


async def job_row(gateway: Gateway, request: Request, job: Job) -> JobRow:
    (row,) = await job_rows(gateway, request, [job])
    return row


def _row(gateway: Gateway, request: Request, job: Job, position: int | None) -> JobRow:
    return JobRow(
        job_id=job.id,
        state=state_of(job.state),
        status=Status(job.state.public),
        progress_pct=job.progress,
        project_id=job.project_id,
        label=title_of(job.spec),
        priority=job.priority,
        created_at=iso_utc(job.created_ms),
        started_at=None if job.started_ms is None else iso_utc(job.started_ms),
        completed_at=None if job.completed_ms is None else iso_utc(job.completed_ms),
        worker=job.worker,
        attempts=len(job.attempts),
        error=JobError(code=job.failure.code, message=job.failure.message) if job.failure else None,
        queue_position=position,
        output_url=public_url(gateway, request, job.output.key) if job.output else None,
    )


async def job_detail(
    gateway: Gateway,
    request: Request,
    job: Job,
    told: Told,
    events: Sequence[Event],
    deliveries: Sequence[Delivery],
) -> JobDetail:
    answer = await job_answer(gateway, request, job)
    facts = told.facts or Facts()
    known = {name: getattr(answer, name) for name in type(answer).model_fields if name != "attempts"}
    return JobDetail(
        **known,
        state=state_of(job.state),
        worker=job.worker,
        spec=_shown(dict(job.spec)),
        sources=_sources(job, facts),
        timeline=timeline(job, events),
        attempts=[
            AttemptView(
                number=attempt.number,
                started_at=iso_utc(attempt.started_ms),
                ended_at=iso_utc(attempt.ended_ms),
                worker=attempt.worker,
                code=attempt.code,
                message=attempt.message,
                logs_tail=list(told.tails.get(attempt.number, ())),
            )
            for attempt in job.attempts
        ],
        command=[list(command) for command in facts.commands] or None,
        webhooks=[delivery_facts(delivery, gateway.webhooks) for delivery in deliveries],
        trace_id=job.origin.trace_id,
    )


def _sources(job: Job, facts: Facts) -> list[SourceView]:
    named = job.spec.get("sources")
    found = []
    for at, source in enumerate(named if isinstance(named, list | tuple) else ()):
        key, url = (source.get("key"), source.get("url")) if isinstance(source, dict) else (None, None)
        probe = dict(facts.sources[at]) if at < len(facts.sources) else None
        found.append(SourceView(key=key, url=None if url is None else without_query(str(url)), probe=probe))
    return found


def _shown(value: Any) -> Any:
    """The spec, its addresses without their queries."""
    if isinstance(value, dict):
        return {
            name: without_query(inner) if name == "url" and isinstance(inner, str) else _shown(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_shown(inner) for inner in value]
    return value


def without_query(url: str) -> str:
    """What follows `?` or `#` often holds a signature."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def history_points(points: Sequence[Point]) -> list[HistoryPoint]:
    return [
        HistoryPoint(
            at=iso_utc(point.at_ms),
            enqueued=point.enqueued,
            done=point.done,
            error=point.error,
            waiting=point.waiting,
            running=point.running,
        )
        for point in points
    ]


def audit_view(entry: AuditEntry) -> AuditView:
    return AuditView(
        at=iso_utc(entry.at_ms),
        actor=entry.actor,
        action=entry.action,
        target=entry.target,
        outcome=entry.outcome,
        request_id=entry.request_id,
    )

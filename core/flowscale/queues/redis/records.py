"""Between a Job and its record, the hash that RQ's tools read too. Pure.

The record holds RQ's fields (status, origin, data, created_at, ...) beside ours. `data` is RQ's call, as JSON: the one
function name below with the job's id. Nothing ever executes it: a record whose `data` is anything else is not ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from flowscale.clocks import iso_utc
from flowscale.jobs import Attempt, Failure, Job, JobState, Output, Priority, Target
from flowscale.names import is_job_id
from flowscale.origins import Origin
from flowscale.predictions import profile_of
from flowscale.queues.redis.keys import queue_name

TASK = "flowscale_worker.tasks.render"
"""The only function a record may name. The gateway knows it by this string; a test proves that it resolves."""

VERSION = "1"
"""Of the record's form. A record without one was not written by FlowScale."""

SPEC_BYTES = 2 * 1024**2
"""Largest spec a worker reads: twice what the gateway takes for a body (FLOWSCALE_MAX_BODY_BYTES)."""

RAW = Mapping[bytes, bytes]


class Unreadable(Exception):
    """A record that FlowScale did not write, or not in this form."""


def task_data(job_id: str) -> str:
    """RQ's `data` of a job: function, instance, arguments, keyword arguments."""
    return json.dumps([TASK, None, [job_id], {}])


def to_record(job: Job) -> list[str]:
    """Fields and values, in turn, of a job that is accepted. RQ's `timeout` of -1 means none: ours is the worker's."""
    fields = {
        "v": VERSION,
        "spec": json.dumps(job.spec, ensure_ascii=False, separators=(",", ":")),
        "priority": job.priority.value,
        "profile": profile_of(job.spec),
        "created_ms": str(job.created_ms),
        "progress": str(job.progress),
        "failures": "0",
        "stalls": "0",
        "created_at": iso_utc(job.created_ms),
        "data": task_data(job.id),
        "description": f"render {job.id}",
        "origin": queue_name(job.priority),
        "timeout": "-1",
    }
    if job.project_id is not None:
        fields["project"] = job.project_id
    fields |= {name: value for name, value in asdict(job.origin).items() if value is not None}
    if job.webhooks:
        fields["hooks"] = json.dumps([[target.name, target.url or ""] for target in job.webhooks])
    return [text for field in fields.items() for text in field]


def to_output(output: Output) -> str:
    """One text for one output: commits compare it."""
    return json.dumps(
        {"key": output.key, "size": output.size, "media_type": output.media_type, "duration_ms": output.duration_ms},
        ensure_ascii=False,
        separators=(",", ":"),
        sort_keys=True,
    )


def counts_text(counted: Mapping[str, int]) -> str:
    """What an execution hands in, as scripts read it: names and whole numbers in turn, each a space apart."""
    return " ".join(f"{name} {by}" for name, by in counted.items())


def priority_of(text: bytes | None) -> Priority:
    """A record's priority; a forged one counts as normal."""
    try:
        return Priority((text or b"").decode())
    except ValueError:
        return Priority.NORMAL


def targets_in(hooks: bytes | None) -> tuple[Target, ...]:
    """Who is told of a job's ends. Raises ValueError, TypeError."""
    return tuple(Target(str(name), str(url) or None) for name, url in json.loads(hooks)) if hooks else ()


def from_record(job_id: str, raw: RAW, log: Sequence[bytes]) -> Job:
    """The job of a record. Raises Unreadable for whatever cannot be one of ours; it never executes anything."""
    try:
        return _from_record(job_id, raw, log)
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise Unreadable(f"the record of {job_id!r} cannot be read: {error!r}") from error


def _from_record(job_id: str, raw: RAW, log: Sequence[bytes]) -> Job:
    if not is_job_id(job_id) or raw[b"v"] != VERSION.encode():
        raise ValueError("its id or its version is not ours")
    return Job(
        id=job_id,
        spec=_object(raw[b"spec"], SPEC_BYTES),
        created_ms=int(raw[b"created_ms"]),
        priority=Priority(raw[b"priority"].decode()),
        project_id=_text(raw, b"project"),
        webhooks=targets_in(raw.get(b"hooks")),
        state=JobState(raw[b"state"].decode()),
        progress=int(raw[b"progress"]),
        started_ms=_number(raw, b"started_ms"),
        completed_ms=_number(raw, b"completed_ms"),
        due_ms=_number(raw, b"due_ms"),
        execution_id=_text(raw, b"execution"),
        worker=_text(raw, b"worker"),
        execution_started_ms=_number(raw, b"execution_started_ms"),
        failures=int(raw[b"failures"]),
        stalls=int(raw[b"stalls"]),
        attempts=tuple(Attempt(**attempt) for attempt in json.loads(b"[" + raw.get(b"attempts", b"") + b"]")),
        cancel_requested=b"cancel" in raw,
        output=Output(**_object(raw[b"output"], SPEC_BYTES)) if b"output" in raw else None,
        failure=_failure(raw),
        logs=tuple(line.decode() for line in log),
        origin=Origin.read(*(_legible(raw, name) for name in (b"request_id", b"traceparent", b"tracestate"))),
    )


def joined_ms(raw: RAW) -> int | None:
    """When the job last joined its line."""
    text = raw.get(b"joined_ms", b"")
    return int(text) if text.isdigit() else None


def _object(text: bytes, most: int) -> dict[str, Any]:
    if len(text) > most:
        raise ValueError(f"{len(text)} bytes are more than {most}")
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    return value


def _text(raw: RAW, name: bytes) -> str | None:
    value = raw.get(name)
    return None if value is None else value.decode()


def _legible(raw: RAW, name: bytes) -> str:
    """What only helps people look: whatever stands there, the job can be read."""
    return raw.get(name, b"").decode(errors="replace")


def _number(raw: RAW, name: bytes) -> int | None:
    value = raw.get(name)
    return None if value is None else int(value)


def _failure(raw: RAW) -> Failure | None:
    code = _text(raw, b"failure_code")
    if code is None:
        return None
    return Failure(code, _text(raw, b"failure_message") or "", raw.get(b"failure_retryable") == b"1")

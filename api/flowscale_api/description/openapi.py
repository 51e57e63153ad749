"""What routes say of themselves in OpenAPI, beyond what the framework reads from their signatures.

Bodies are not parsed by the framework (the core's strict validation reads them), so they are described here from
the same classes. document.py puts everything together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Path
from pydantic import BaseModel

from flowscale.errors import FlowScaleError, Internal, ServiceError, TooManyAttempts
from flowscale.queues.base import EventKind
from flowscale_api.schemas import Problem, Shape, Status

Responses = dict[int | str, dict[str, Any]]

JobId = Annotated[
    str,
    Path(
        description="As the 202 gave it.",
        # For readers only: an id of another form is answered JOB_NOT_FOUND, as any other that is not there.
        json_schema_extra={"pattern": "^job_[0-9]{13}_[0-9a-f]{32}$"},
    ),
]


def failures(*errors: type[FlowScaleError]) -> Responses:
    """The failures of an operation by status, each with an example; INTERNAL is one of every operation's."""
    by_status: dict[int, list[type[FlowScaleError]]] = defaultdict(list)
    every: tuple[type[FlowScaleError], ...] = (*errors, Internal)
    for error in every:
        by_status[error.status].append(error)
    return {status: _failure(found) for status, found in sorted(by_status.items())}


def _failure(errors: list[type[FlowScaleError]]) -> dict[str, Any]:
    examples = {error.code: {"value": _example(error)} for error in errors}
    described: dict[str, Any] = {
        "model": Problem,
        "description": " or ".join(f"`{error.code}`" for error in errors),
        "content": {"application/json": {"examples": examples}},
    }
    return described | _retry_after(errors)


def _retry_after(errors: Sequence[type[FlowScaleError]]) -> dict[str, Any]:
    if not any(error is TooManyAttempts or (issubclass(error, ServiceError) and error.retry_after) for error in errors):
        return {}
    seconds = {"description": "Seconds after which it is worth trying again.", "schema": {"type": "integer"}}
    return {"headers": {"Retry-After": seconds}}


def _example(error: type[FlowScaleError]) -> dict[str, Any]:
    return {"ok": False, "error": {"code": error.code, "message": "What happened, why, and what to do next."}}


def same_shape(status: int, shape: type[Shape], *errors: type[FlowScaleError]) -> Responses:
    """A failure that is answered with the success's shape and an `error` in it."""
    codes = " or ".join(f"`{error.code}`" for error in errors)
    return {status: {"model": shape, "description": codes} | _retry_after(errors)} | failures()


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON body of a render request, and its Idempotency-Key."""
    return {
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "The same key and body are answered with the same job for 24 h, however often they are "
                "sent; the same key with another body is refused.",
                "schema": {"type": "string", "pattern": "^[ -~]{1,200}$"},
            }
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}},
        },
    }


def plain_json_body(model: type[BaseModel]) -> dict[str, Any]:
    """A JSON body without more; document.py has the model."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def form_body(max_project_id: int) -> dict[str, Any]:
    """The multipart form of an upload."""
    return {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["file"],
                        "properties": {
                            "file": {"type": "string", "format": "binary", "description": "The file."},
                            "projectId": {"type": "string", "maxLength": max_project_id},
                        },
                    }
                }
            },
        }
    }


def event_stream() -> Responses:
    """`itemSchema` describes one event, as OpenAPI 3.2 has it and the framework writes it into 3.1."""
    event = {
        "type": "object",
        "required": ["id", "event", "data"],
        "properties": {
            "id": {"type": "string", "pattern": "^[0-9]+$"},
            "event": {"enum": [kind.value for kind in EventKind]},
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": {
                    "type": "object",
                    "properties": {
                        "status": {"enum": [status.value for status in Status]},
                        "progressPct": {"type": "integer", "minimum": 0, "maximum": 100},
                        "code": {"type": "string"},
                        "message": {"type": "string"},
                        "line": {"type": "string"},
                    },
                },
            },
        },
    }
    return {
        200: {"description": "The events.", "content": {"text/event-stream": {"itemSchema": event}}},
        204: {"description": "The job has ended, and nothing came after the event named in Last-Event-ID."},
    }


def overview_stream() -> Responses:
    """As `event_stream`, of the overview."""
    document = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"$ref": "#/components/schemas/Overview"},
    }
    event = {
        "type": "object",
        "required": ["event", "data"],
        "properties": {"event": {"const": "overview"}, "data": document},
    }
    return {200: {"description": "The events.", "content": {"text/event-stream": {"itemSchema": event}}}}


def plain_text() -> Responses:
    return {
        200: {"description": "The text exposition format.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    }

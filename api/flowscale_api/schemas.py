"""The shapes of the answers, as the HTTP contract has them. OpenAPI is generated from these classes.

A field that is not there is absent, never null, unless its type says null (health: what is unknown).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.json_schema import SkipJsonSchema
from starlette.responses import Response

from flowscale.jobs import JobState, Priority

JOB_ID = "job_1767225600000_0f8fad5bd9cb469fa16570867728950e"
FILE_ID = "7c9e6679f4c14b0a9d1c1f2f5a3b8e60"
EXAMPLE_KEY = f"uploads/{FILE_ID}/holiday.mp4"
EXAMPLE_ORIGIN = "https://video.example.com"


Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


def absent(description: str | None = None, *, form: str | None = None) -> Any:
    """A field that is left out of the answer, and out of `required`, when it is None. `form`: JSON Schema's format."""

    def finish(schema: dict[str, Any]) -> None:
        schema.pop("default", None)
        if form is not None:
            schema["format"] = form

    return Field(
        default=None, description=description, exclude_if=lambda value: value is None, json_schema_extra=finish
    )


class Shape(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, serialize_by_alias=True, frozen=True)


def json_answer(shape: Shape, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The shape as an HTTP answer. Answers describe a moment, so no cache may keep them."""
    extra = {"Cache-Control": "no-store", **(headers or {})}
    return Response(shape.model_dump_json(), status_code=status, headers=extra, media_type="application/json")


class Status(StrEnum):
    """The contract's four; only the last two are final."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    ERROR = "error"

    @property
    def state(self) -> JobState:
        """The job state to list for it; QUEUED includes DELAYED."""
        return JobState(self.value)


class ErrorBody(Shape):
    code: str = Field(description="One of the codes of the contract; programs go by it.")
    message: str = Field(description="For a person: what happened, why, and what to do.")
    details: dict[str, Any] | SkipJsonSchema[None] = absent()


class Problem(Shape):
    """Every failure."""

    ok: Literal[False] = False
    error: ErrorBody


class Fine(Shape):
    ok: Literal[True] = True


class Uploaded(Fine):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "ok": True,
                "fileId": FILE_ID,
                "filePath": EXAMPLE_KEY,
                "publicUrl": f"{EXAMPLE_ORIGIN}/{EXAMPLE_KEY}",
                "filename": "holiday.mp4",
                "size": 1_048_576,
                "mimetype": "video/mp4",
            }
        }
    )

    file_id: str
    file_path: str = Field(description="The same in every storage mode; what sourcePath takes.")
    public_url: str
    filename: str = Field(description="The name it was stored under.")
    size: int = Field(description="Bytes.")
    mimetype: str = Field(description="Found in the content, not taken from the name.")


class UploadFacts(Fine):
    """An upload in several requests: how far it is, or, when it is complete, all that `Uploaded` says."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"ok": True, "fileId": FILE_ID, "size": 1_048_576, "complete": False, "offset": 524_288}
        }
    )

    file_id: str
    size: int = Field(description="Bytes of the whole file.", ge=1)
    complete: bool
    offset: int | SkipJsonSchema[None] = absent(
        "Until it is complete: bytes that are stored, from the file's start; 0 of a presigned upload."
    )
    file_path: str | SkipJsonSchema[None] = absent("When it is complete, as all that follows.")
    public_url: str | SkipJsonSchema[None] = absent()
    filename: str | SkipJsonSchema[None] = absent()
    mimetype: str | SkipJsonSchema[None] = absent()


class PartUrl(Shape):
    """Where one part of a presigned upload is PUT."""

    number: int = Field(description="From 1, in the order of the file's bytes.", ge=1)
    url: str = Field(description="PUT the part's bytes there, with no header of your own.")
    size: int = Field(description="Bytes this part has.", ge=1)


class PartUrls(Fine):
    urls: list[PartUrl]
    urls_expire_at: Time = Field(description="Until when the addresses can be used; ask for others then.")


class Presigned(PartUrls):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "ok": True,
                "fileId": FILE_ID,
                "partSize": 8_388_608,
                "parts": 1,
                "expiresAt": "2026-01-02T00:00:00.000Z",
                "urls": [{"number": 1, "url": "https://storage.example.com/...", "size": 1_048_576}],
                "urlsExpireAt": "2026-01-01T01:00:00.000Z",
            }
        }
    )

    file_id: str
    part_size: int = Field(description="Bytes of every part but the last.")
    parts: int = Field(description="How many there are; `urls` has the first of them.")
    expires_at: Time = Field(description="When the upload is forgotten if it is not complete.")


class Accepted(Fine):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "ok": True,
                "jobId": JOB_ID,
                "status": "queued",
                "queuePosition": 1,
                "statusUrl": f"/api/jobs/{JOB_ID}",
                "estimatedWaitMs": 0,
            }
        }
    )

    job_id: str
    status: Literal["queued"] = "queued"
    queue_position: int = Field(description="From 1, within what will run before it.", ge=1)
    status_url: str = Field(description="Relative to the gateway.")
    estimated_wait_ms: int | SkipJsonSchema[None] = absent("Absent until a render has ended to go by.")


class WaitsFor(StrEnum):
    """What a queued job waits for beside its turn."""

    RESUME = "resume"  # the queue is paused
    WORKER = "worker"  # no worker that can render has been heard


class JobError(Shape):
    code: str
    message: str


class JobAttempt(Shape):
    number: int
    started_at: Time
    ended_at: Time
    worker: str
    code: str | SkipJsonSchema[None] = absent("Absent when it succeeded.")
    message: str | SkipJsonSchema[None] = absent()


class JobFacts(Shape):
    """A job as clients see it."""

    job_id: str
    label: str | SkipJsonSchema[None] = absent("What it is called: its outputName, else its source's file name.")
    status: Status
    progress_pct: int = Field(description="Never falls; 100 only when the output is published.", ge=0, le=100)
    logs_tail: list[str] = Field(description="The last lines of the job's log, newest last.")
    created_at: Time
    started_at: str | SkipJsonSchema[None] = absent(form="date-time")
    completed_at: str | SkipJsonSchema[None] = absent(form="date-time")
    output_url: str | SkipJsonSchema[None] = absent("A URL a browser can GET, ranges included.")
    output_size: int | SkipJsonSchema[None] = absent("Bytes.")
    output_duration_ms: int | SkipJsonSchema[None] = absent("Length of the rendered media.")
    duration_ms: int | SkipJsonSchema[None] = absent("From the first start of the job to its end.")
    error: JobError | SkipJsonSchema[None] = absent()
    priority: Priority
    project_id: str | SkipJsonSchema[None] = absent()
    cancel_requested: bool
    queue_position: int | SkipJsonSchema[None] = absent("While queued; from 1.")
    waits_for: WaitsFor | SkipJsonSchema[None] = absent(
        "While queued, when its turn alone would not start it: `resume`, the queue is paused; `worker`, none that can "
        "render is there, be it that one is still to start."
    )
    attempts: list[JobAttempt]


class JobAnswer(JobFacts, Fine):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "ok": True,
                "jobId": JOB_ID,
                "status": "running",
                "progressPct": 42,
                "logsTail": ["encoding"],
                "createdAt": "2026-01-01T00:00:00.000Z",
                "startedAt": "2026-01-01T00:00:00.250Z",
                "priority": "normal",
                "cancelRequested": False,
                "attempts": [],
            }
        }
    )


class JobList(Fine):
    jobs: list[JobFacts] = Field(description="Newest first.")
    next_cursor: str | SkipJsonSchema[None] = absent("Give it as `cursor` for the next page; absent on the last.")


class LoggedIn(Fine):
    name: str = Field(description="The key's.")
    scopes: list[str] = Field(description="What the key is good for.")
    expires_at: Time


class SessionFacts(Fine):
    name: str = Field(description="The key's; `local` without one, on a machine of one's own.")
    scopes: list[str]
    csrf_token: str = Field(description="Goes into the header X-CSRF-Token.")
    read_only: bool = Field(description="Whether nothing can be changed here.")
    login_needed: Literal[False] = False


class FFmpeg(Shape):
    available: bool
    path: str | None
    version: str | None


class Health(Shape):
    """`ok` is false, with 503 and an error, when the service cannot work. What is unknown is null."""

    ok: bool
    ffmpeg: FFmpeg
    outputs_dir: str
    uploads_dir: str
    queue_length: int | None = Field(description="Jobs that wait, those that wait for another attempt included.")
    current_job: str | None = Field(description="The job that has been running longest.")
    uptime: float = Field(description="Seconds.")
    time: Time
    error: ErrorBody | SkipJsonSchema[None] = absent()


class Ready(Shape):
    """Per dependency `ok`, or what is wrong with it."""

    ok: bool
    checks: dict[str, str]
    warnings: list[str]  # what may lose jobs one day, though all works
    error: ErrorBody | SkipJsonSchema[None] = absent()


class About(Fine):
    name: str
    version: str
    docs: str

"""The shapes of the admin API's answers. What is not known is null; nothing is left out."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from flowscale.jobs import JobState, Priority
from flowscale_api.schemas import Fine, JobError, JobFacts, Shape, Status, Time
from flowscale_api.webhooks.views import DeliveryFacts


class State(StrEnum):
    """As JobState, in the words of the page: `waiting` is in a line, `delayed` waits for another attempt."""

    WAITING = "waiting"
    DELAYED = "delayed"
    RUNNING = "running"
    DONE = "done"
    ERROR = "error"

    @property
    def job_state(self) -> JobState:
        return JobState.QUEUED if self is State.WAITING else JobState(self.value)


def state_of(state: JobState) -> State:
    return State.WAITING if state is JobState.QUEUED else State(state.value)


class QueueView(Shape):
    waiting: int = Field(description="Jobs in a line.")
    due: int = Field(description="Retries whose time has come, and which nobody has queued yet.")
    delayed: int = Field(description="Retries whose time has not come.")
    running: int
    done: int = Field(description="Jobs that are kept and ended well.")
    error: int = Field(description="Jobs that are kept and ended in error.")
    paused: bool
    oldest_wait_ms: int | None = Field(description="null: nothing waits.")


class WorkerView(Shape):
    worker: str
    group: str | None
    able: bool = Field(description="Whether it can render.")
    problem: str | None
    ffmpeg_version: str | None
    slots: int = Field(description="Renders it does at once.")
    report_age_ms: int
    started_at: Time | None
    jobs: list[str] = Field(description="Ids of the jobs it runs.")


class ServerView(Shape):
    kind: Literal["memory", "redis"]
    version: str | None
    memory_bytes: int | None
    memory_limit_bytes: int | None = Field(description="0: as much as there is.")
    policy: str | None = Field(description="What it does when its memory is full.")
    persistence: str | None = Field(description="`append-only`, `snapshots` or `none`.")


class Overview(Fine):
    now: Time
    version: str
    read_only: bool
    queue: QueueView
    workers: list[WorkerView]
    server: ServerView
    warnings: list[str] = Field(description="What may lose jobs one day, though all works.")


class HistoryPoint(Shape):
    at: Time
    enqueued: int | None
    done: int | None
    error: int | None
    waiting: int | None
    running: int | None


class History(Fine):
    step_seconds: Literal[60] = 60
    points: list[HistoryPoint] = Field(description="60, oldest first; the last is the minute that runs.")


class JobRow(Shape):
    job_id: str
    state: State
    status: Status
    progress_pct: int
    project_id: str | None
    label: str | None
    priority: Priority
    created_at: Time
    started_at: Time | None
    completed_at: Time | None
    worker: str | None
    attempts: int
    error: JobError | None
    queue_position: int | None
    output_url: str | None


class JobRows(Fine):
    jobs: list[JobRow] = Field(description="Newest first.")
    next_cursor: str | None
    total: int = Field(description="How many match.")


class SourceView(Shape):
    key: str | None
    url: str | None = Field(description="Without its query string, which may hold a secret.")
    probe: dict[str, Any] | None = Field(description="What the worker found in it; null: not looked at yet.")


class TimelineEntry(Shape):
    at: Time
    what: str
    detail: str | None


class AttemptView(Shape):
    number: int
    started_at: Time
    ended_at: Time
    worker: str
    code: str | None
    message: str | None
    logs_tail: list[str] = Field(description="Its last log lines, of the last attempts only.")


class JobDetail(JobFacts, Fine):
    state: State
    label: str | None = Field(description="What it is called: its output's name, else its source's.")
    worker: str | None
    trace_id: str | None = Field(description="Of the request that asked for it; null where requests are not traced.")
    spec: dict[str, Any]
    sources: list[SourceView]
    timeline: list[TimelineEntry] = Field(description="Oldest first.")
    attempts: list[AttemptView]  # type: ignore[assignment]  # all that the public shape says, and the lines
    command: list[list[str]] | None = Field(
        description="FFmpeg's command lines in the last execution, program first, without scratch's paths. null: none."
    )
    webhooks: list[DeliveryFacts] = Field(description="Messages of the job's ends, oldest first.")


class Acted(Fine):
    job: JobRow


class Retried(Fine):
    retried: int
    left: int = Field(description="Jobs that match and were not queued: ask again.")


class Paused(Fine):
    paused: bool


class AuditView(Shape):
    at: Time
    actor: str
    action: str
    target: str | None
    outcome: str = Field(description="`ok`, or the code of what refused it.")
    request_id: str


class AuditList(Fine):
    entries: list[AuditView] = Field(description="Newest first.")
    next_cursor: str | None

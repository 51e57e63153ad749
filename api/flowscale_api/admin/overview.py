"""How the whole service stands, as one document, and the one feed of it that all open pages share."""

from __future__ import annotations

from collections.abc import Mapping

from flowscale import __version__
from flowscale.clocks import Clock, iso_utc
from flowscale.queues.admin_view import GatewayQueue, ServerReading, Standing
from flowscale.queues.base import Figures, WorkerReport
from flowscale_api.admin.feed import Feed
from flowscale_api.admin.shapes import Overview, QueueView, ServerView, WorkerView
from flowscale_api.health.readiness import Readiness

SERVER_KEPT_SECONDS = 5.0
"""How long is kept what the queue's server says of itself."""

AGE_STEP_MS = 5_000
"""Ages alone make a new event only when they passed another such step."""


class Overviews:
    """Reads the document. `feed` is watched by pages."""

    def __init__(self, queue: GatewayQueue, readiness: Readiness, clock: Clock, *, read_only: bool) -> None:
        self.feed = Feed()
        self._queue = queue
        self._readiness = readiness
        self._clock = clock
        self._read_only = read_only
        self._server: tuple[float, ServerReading] | None = None

    async def read(self) -> Overview:
        """Raises QueueUnavailable."""
        figures, standing = await self._queue.figures(), await self._queue.standing()
        server = await self._server_reading()
        warnings = (await self._readiness.readings()).warnings
        return Overview(
            now=iso_utc(self._clock.now_ms()),
            version=__version__,
            read_only=self._read_only,
            queue=_queue_view(figures, standing),
            workers=_worker_views(figures.workers, standing.workers),
            server=ServerView(
                kind=server.kind,
                version=server.version,
                memory_bytes=server.memory_bytes,
                memory_limit_bytes=server.memory_limit_bytes,
                policy=server.policy,
                persistence=server.persistence,
            ),
            warnings=list(warnings),
        )

    async def event(self) -> tuple[str, bytes]:
        """What tells whether the document has changed, and the event. Raises QueueUnavailable."""
        document = await self.read()
        return _mark(document), f"event: overview\ndata: {document.model_dump_json()}\n\n".encode()

    async def _server_reading(self) -> ServerReading:
        now = self._clock.monotonic()
        if self._server is None or now - self._server[0] >= SERVER_KEPT_SECONDS:
            self._server = now, await self._queue.server()
        return self._server[1]


def _queue_view(figures: Figures, standing: Standing) -> QueueView:
    depth = figures.depth
    return QueueView(
        waiting=depth.waiting,
        due=depth.due,
        delayed=depth.delayed,
        running=depth.running,
        done=standing.done,
        error=standing.error,
        paused=figures.paused,
        oldest_wait_ms=figures.oldest_wait_ms,
    )


def _worker_views(reports: Mapping[str, tuple[WorkerReport, int]], holders: Mapping[str, str]) -> list[WorkerView]:
    """By name. A job's worker is a process or a thread of the one that reports: `name-0` of `name`."""
    jobs: dict[str, list[str]] = {}
    for job_id, holder in holders.items():
        name, _, number = holder.rpartition("-")
        jobs.setdefault(name if number.isdigit() and holder not in reports else holder, []).append(job_id)
    return [
        WorkerView(
            worker=name,
            group=report.group,
            able=report.problem is None,
            problem=report.problem,
            ffmpeg_version=report.ffmpeg_version,
            slots=report.slots,
            report_age_ms=max(0, age_ms),
            started_at=None if report.started_ms is None else iso_utc(report.started_ms),
            jobs=jobs.get(name, []),
        )
        for name, (report, age_ms) in sorted(reports.items())
    ]


def _mark(document: Overview) -> str:
    """The document without its time, and its ages in whole steps."""
    queue, workers = document.queue, document.workers
    wait = None if queue.oldest_wait_ms is None else queue.oldest_wait_ms // AGE_STEP_MS
    rough = document.model_copy(
        update={
            "now": "",
            "queue": queue.model_copy(update={"oldest_wait_ms": wait}),
            "workers": [
                worker.model_copy(update={"report_age_ms": worker.report_age_ms // AGE_STEP_MS}) for worker in workers
            ],
        }
    )
    return rough.model_dump_json()

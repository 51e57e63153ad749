"""The answers of /api/health and /readyz, read from the parts, each with the fault that makes it a 503."""

from __future__ import annotations

import asyncio

from flowscale.clocks import iso_utc
from flowscale.errors import FlowScaleError, QueueUnavailable
from flowscale.queues.base import JobQueue, WorkerReport
from flowscale_api.deps import Gateway
from flowscale_api.health.availability import best_report, ffmpeg_fault
from flowscale_api.problems import error_body
from flowscale_api.schemas import FFmpeg, Health, Ready


async def ready_now(gateway: Gateway) -> tuple[Ready, FlowScaleError | None]:
    readings = await gateway.readiness.readings()
    checks = {name: fault.public if fault else "ok" for name, fault in readings.faults.items()}
    first = next((fault for fault in readings.faults.values() if fault), None)
    error = error_body(first) if first else None
    return Ready(ok=first is None, checks=checks, warnings=list(readings.warnings), error=error), first


async def _look(queue: JobQueue) -> tuple[WorkerReport | None, int, str | None] | QueueUnavailable:
    """The best report, how many jobs wait, and the job that has run longest."""
    try:
        workers, depth, running = await asyncio.gather(queue.workers(), queue.depth(), queue.running())
    except QueueUnavailable as error:
        return error
    return best_report(workers), depth.waiting + depth.due + depth.delayed, next(iter(running), None)


async def health_now(gateway: Gateway) -> tuple[Health, FlowScaleError | None]:
    # Both at once: a queue that is away takes each as long as a client may be kept waiting.
    readings, seen = await asyncio.gather(gateway.readiness.readings(), _look(gateway.queue))
    faults: list[FlowScaleError | None] = list(readings.faults.values())
    report, waiting, running = None, None, None
    if isinstance(seen, QueueUnavailable):
        faults.insert(0, seen)  # what could not be read stays unknown: null, not 0
    else:
        report, waiting, running = seen
    faults.append(ffmpeg_fault(report))
    first: FlowScaleError | None = next((fault for fault in faults if fault), None)
    health = Health(
        ok=first is None,
        ffmpeg=FFmpeg(
            available=report is not None and report.ffmpeg_path is not None,
            path=report.ffmpeg_path if report else None,
            version=report.ffmpeg_version if report else None,
        ),
        outputs_dir=gateway.storage.describe("outputs"),
        uploads_dir=gateway.storage.describe("uploads"),
        queue_length=waiting,
        current_job=running,
        uptime=round(gateway.clock.monotonic() - gateway.started, 3),
        time=iso_utc(gateway.clock.now_ms()),
        error=error_body(first) if first else None,
    )
    return health, first

"""What the workers last said of their FFmpeg, read for clients.

No report at all is no fault: workers are brought by jobs, and with nothing to do there may be none. So health
stays ok and jobs are taken. Only workers that say they cannot render make the service unable to.
"""

from __future__ import annotations

from collections.abc import Sequence

from flowscale.errors import FFmpegUnavailable
from flowscale.queues.base import WorkerReport


def best_report(reports: Sequence[WorkerReport]) -> WorkerReport | None:
    """The newest report of a worker that has FFmpeg, else the newest of all, None without any."""
    return max(reports, key=lambda report: (report.ffmpeg_path is not None, report.at_ms), default=None)


def ffmpeg_fault(report: WorkerReport | None) -> FFmpegUnavailable | None:
    """What is wrong when this is the best report."""
    if report is None or report.ffmpeg_path is not None:
        return None
    return FFmpegUnavailable(report.problem or f"The worker {report.worker} has found no FFmpeg; install it there.")

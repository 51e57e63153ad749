"""Whether FFmpeg is on this machine, looked at again and again, and the report a worker makes of it."""

from __future__ import annotations

from flowscale import logs
from flowscale.errors import FFmpegUnavailable
from flowscale.queues.base import WorkerReport
from flowscale.settings import WorkerSettings
from flowscale_worker.ffmpeg import Tools, find_tools

LOOKS_BEFORE_GONE = 2
"""FFmpeg that was there is gone when it is missed this often in a row: one look may fail on a busy machine."""

_log = logs.get("worker")


class Examiner:
    """`tools`: FFmpeg as last found, None when it is not there and `problem` says what to do."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._misses = 0
        self.tools: Tools | None = None
        self.problem: str | None = None

    def look(self) -> None:
        try:
            self.tools, self.problem, self._misses = find_tools(self._settings.ffmpeg, self._settings.ffprobe), None, 0
        except FFmpegUnavailable as error:
            self._misses += 1
            _log.error("ffmpeg.unavailable", error.message)
            if self.tools is None or self._misses >= LOOKS_BEFORE_GONE:
                self.tools, self.problem = None, error.message

    def report(
        self, worker: str, now_ms: int, slots: int, group: str | None = None, started_ms: int | None = None
    ) -> WorkerReport:
        return WorkerReport(
            worker=worker,
            at_ms=now_ms,
            ffmpeg_path=self.tools.ffmpeg if self.tools else None,
            ffmpeg_version=self.tools.version if self.tools else None,
            problem=self.problem,
            slots=slots,
            group=group,
            started_ms=started_ms,
        )

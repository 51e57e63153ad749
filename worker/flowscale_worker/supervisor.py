"""A worker: slots that take jobs from the queue and run them, and the housekeeping beside them.

Threads, not processes: the work is FFmpeg's, in processes of its own. Each slot's thread lives as long as the
worker does, which matters: a process that FFmpeg's parent-death signal watches is the *thread* that started it.
"""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Self

from flowscale import logs
from flowscale.clocks import Clock
from flowscale.errors import FFmpegUnavailable, QueueUnavailable
from flowscale.queues.base import WorkerReport, WorkQueue
from flowscale.settings import Settings
from flowscale.storage.base import Storage
from flowscale_worker.execution import Executor
from flowscale_worker.failures import Stopped
from flowscale_worker.ffmpeg import Tools, find_tools
from flowscale_worker.kit import Kit
from flowscale_worker.scratch import Scratch

FETCH_WAIT_SECONDS = 1.0
"""How long a slot waits for a job before it looks whether the worker is stopping."""

HOUSEKEEPING_SECONDS = 1.0
"""Due retries start at most this late."""

FFMPEG_LOOKS_SECONDS = 10.0
"""How often a worker without FFmpeg looks whether it has been installed, and how often any worker reports."""

_log = logs.get("worker")


class Supervisor:
    """`settings.worker.concurrency` slots over one queue and one storage. Use as a context manager.

    Raises OSError when the scratch folder cannot be used. A worker without FFmpeg starts all the same: it takes
    no jobs, and its report says why, until FFmpeg is there.
    """

    def __init__(self, settings: Settings, queue: WorkQueue, storage: Storage, clock: Clock) -> None:
        self.name = f"{socket.gethostname()}-{threading.get_native_id()}"
        self._settings = settings
        self._queue = queue
        self._storage = storage
        self._clock = clock
        self._stopping = threading.Event()
        self._scratch = Scratch(settings.scratch_dir)
        self._tools: Tools | None = None
        self._look_for_ffmpeg()
        self._threads = [threading.Thread(target=self._housekeep, name="housekeeping")]
        for slot in range(settings.worker.concurrency):
            self._threads.append(threading.Thread(target=self._work, args=(slot,), name=f"slot-{slot}"))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Give running jobs back to the queue, end their FFmpeg, and wait for the slots."""
        self._stopping.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        self._scratch.close()

    def _work(self, slot: int) -> None:
        worker = f"{self.name}-{slot}"
        while not self._stopping.is_set():
            tools = self._tools
            if tools is None:
                self._stopping.wait(FETCH_WAIT_SECONDS)
                continue
            try:
                execution = self._queue.fetch(worker, FETCH_WAIT_SECONDS)
            except QueueUnavailable as error:
                _log.warning("queue.unreachable", error.message)
                self._stopping.wait(FETCH_WAIT_SECONDS)
                continue
            if execution:
                self._executor(tools).run(execution)

    def _executor(self, tools: Tools) -> Executor:
        def should_stop() -> Stopped | None:
            return Stopped.SHUTDOWN if self._stopping.is_set() else None

        kit = Kit(tools, self._settings.worker, self._clock, should_stop, tell=lambda _percent, _lines=(): None)
        return Executor(self._queue, self._storage, self._scratch, kit)

    def _housekeep(self) -> None:
        looked = self._clock.monotonic()
        while not self._stopping.wait(HOUSEKEEPING_SECONDS):
            try:
                self._queue.tend()
                if self._clock.monotonic() - looked >= FFMPEG_LOOKS_SECONDS:
                    looked = self._clock.monotonic()
                    self._look_for_ffmpeg()
            except QueueUnavailable as error:
                _log.warning("queue.unreachable", error.message)

    def _look_for_ffmpeg(self) -> None:
        worker = self._settings.worker
        problem = None
        try:
            self._tools = find_tools(worker.ffmpeg, worker.ffprobe)
        except FFmpegUnavailable as error:
            self._tools = None
            problem = error.message
            _log.error("ffmpeg.unavailable", error.message)
        self._queue.report(
            WorkerReport(
                worker=self.name,
                at_ms=self._clock.now_ms(),
                ffmpeg_path=self._tools.ffmpeg if self._tools else None,
                ffmpeg_version=self._tools.version if self._tools else None,
                problem=problem,
                slots=worker.concurrency,
            )
        )

"""A worker: slots that take jobs from the queue and run them, and the housekeeping beside them.

Threads, not processes: the work is FFmpeg's, in processes of its own. Each slot's thread lives as long as the
worker does, which matters: a process that FFmpeg's parent-death signal watches is the *thread* that started it.
So no thread ends before the worker stops, whatever it meets: a queue that is away, or a fault of ours.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from flowscale import logs
from flowscale.clocks import Clock
from flowscale.errors import QueueUnavailable, SettingsError
from flowscale.queues.base import WorkQueue
from flowscale.settings import Settings
from flowscale.storage.base import Storage
from flowscale_worker.examiner import Examiner
from flowscale_worker.execution import Executor
from flowscale_worker.failures import Stopped
from flowscale_worker.kit import Kit
from flowscale_worker.scratch import Scratch

FETCH_WAIT_SECONDS = 1.0
"""How long a slot waits for a job before it looks whether the worker is stopping."""

HOUSEKEEPING_SECONDS = 1.0
"""Due retries start at most this late."""

FFMPEG_LOOKS_SECONDS = 10.0
"""How often a worker looks whether FFmpeg is there, and reports."""

AGAIN_SECONDS = 1.0
"""How long a thread waits after it met a queue that is away, or a fault, before it goes on."""

_log = logs.get("worker")


class Supervisor:
    """`settings.worker.concurrency` slots over one queue and one storage. Use as a context manager, once.

    Entering raises SettingsError when the scratch folder cannot be used. A worker without FFmpeg starts all the
    same: it takes no jobs, and its report says why, until FFmpeg is there. So does one whose queue is away.
    """

    def __init__(self, settings: Settings, queue: WorkQueue, storage: Storage, clock: Clock) -> None:
        self.name = f"{os.uname().nodename}-{os.getpid()}"
        self._settings = settings
        self._queue = queue
        self._storage = storage
        self._clock = clock
        self._stopping = threading.Event()
        self._scratch: Scratch | None = None
        self._examiner = Examiner(settings.worker)
        self._told = False  # whether the queue took the last report
        self._started_ms = clock.now_ms()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        folder = self._settings.scratch_dir
        try:
            scratch = self._scratch = Scratch(folder)
        except OSError as error:
            raise SettingsError(
                f"FLOWSCALE_SCRATCH_DIR: the files of renders cannot be kept in {folder} ({error.strerror}); make it "
                "writable or name another folder"
            ) from error
        try:
            self._examiner.look()
            self._told = self._report()
            self._start("housekeeping", self._housekeep)
            self._start("ffmpeg", self._look_again, self._until_look())
            for slot in range(self._settings.worker.concurrency):
                self._start(f"slot-{slot}", self._slot(f"{self.name}-{slot}", scratch))
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Give running jobs back to the queue, end their FFmpeg, and wait for the slots."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        if self._scratch is not None:
            self._scratch.close()

    def _start(self, name: str, step: Callable[[], float], pause: float = 0) -> None:
        thread = threading.Thread(target=self._repeat, args=(step, pause), name=name)
        thread.start()
        self._threads.append(thread)

    def _repeat(self, step: Callable[[], float], pause: float) -> None:
        """`step`, again and again until the worker stops; it says how many seconds to wait before the next."""
        while not self._stopping.wait(pause):
            try:
                pause = step()
            except QueueUnavailable as error:
                _log.warning("queue.unreachable", error.message)
                pause = AGAIN_SECONDS
            except Exception as error:  # noqa: BLE001 - a thread that ended would be missed only when jobs wait for ever
                _log.exception("worker.fault", "A fault in the worker; its thread goes on", error)
                pause = AGAIN_SECONDS

    def _slot(self, worker: str, scratch: Scratch) -> Callable[[], float]:
        def take_one() -> float:
            tools = self._examiner.tools
            if tools is None:
                return FETCH_WAIT_SECONDS
            execution = self._queue.fetch(worker, FETCH_WAIT_SECONDS, self.name)
            if execution:
                kit = Kit(tools, self._settings.worker, self._clock, self._verdict, lambda _percent, _lines=(): None)
                Executor(self._queue, self._storage, scratch, kit).run(execution)
            return 0

        return take_one

    def _verdict(self) -> Stopped | None:
        return Stopped.SHUTDOWN if self._stopping.is_set() else None

    def _housekeep(self) -> float:
        self._queue.tend()
        return HOUSEKEEPING_SECONDS

    def _look_again(self) -> float:
        """In a thread of its own: an FFmpeg on a hanging disk takes long to look at, and due retries must not wait."""
        if self._told:
            self._examiner.look()
        self._told = self._report()
        return self._until_look()

    def _until_look(self) -> float:
        return FFMPEG_LOOKS_SECONDS if self._told else AGAIN_SECONDS

    def _report(self) -> bool:
        """Say how this worker is; whether the queue took it."""
        report = self._examiner.report(
            self.name, self._clock.now_ms(), self._settings.worker.concurrency, started_ms=self._started_ms
        )
        try:
            self._queue.report(report)
        except QueueUnavailable as error:
            _log.warning("report.unreachable", error.message)
            return False
        return True

"""One execution of one job: fetch, render, publish, commit; and the end of it, whatever happens.

Each execution writes its own storage key, and the commit names it: whoever has lost the job meanwhile deletes
what it stored and nobody has seen it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from flowscale import logs
from flowscale.errors import (
    FileNotFound,
    FlowScaleError,
    InvalidMedia,
    InvalidPath,
    LeaseLost,
    QueueUnavailable,
    RenderError,
    StorageFailed,
)
from flowscale.jobs import Failure, Job, Output
from flowscale.names import output_key
from flowscale.queues.base import Execution, WorkQueue
from flowscale.specs import RenderSpec, Source
from flowscale.storage.base import Storage
from flowscale_worker.download import DownloadLimits, download
from flowscale_worker.failures import Stopped
from flowscale_worker.kit import Kit, ShutDown
from flowscale_worker.pipeline import render
from flowscale_worker.progress import ENCODE_ENDS, PUBLISH_ENDS
from flowscale_worker.scratch import Scratch

RENEW_SECONDS = 1.0
"""How often the lease is renewed and a cancel looked for: a cancel takes effect within 2 s of its request."""

_log = logs.get("execution")


class Heartbeat:
    """Renews an execution's lease from a thread of its own, and hears there of a cancel or of the lease's loss."""

    def __init__(self, queue: WorkQueue, execution: Execution) -> None:
        self._queue = queue
        self._execution = execution
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat-{execution.job.id}", daemon=True)
        self.verdict: Stopped | None = None

    def _beat(self) -> None:
        while not self._over.wait(RENEW_SECONDS):
            try:
                if self._queue.renew(self._execution):
                    self.verdict = Stopped.CANCELLED
            except LeaseLost:
                self.verdict = Stopped.LEASE_LOST
                return
            except QueueUnavailable as error:
                # The render goes on: the lease is taken back when the queue returns, unless another has the job.
                _log.warning("lease.unreachable", error.message, job_id=self._execution.job.id)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()


class Executor:
    """Runs executions with one worker's tools. Safe to use from several threads."""

    def __init__(self, queue: WorkQueue, storage: Storage, scratch: Scratch, kit: Kit) -> None:
        """`kit.should_stop` says whether the whole worker is stopping; `kit.tell` is not used."""
        self._queue = queue
        self._storage = storage
        self._scratch = scratch
        self._kit = kit

    def run(self, execution: Execution) -> None:
        """Bring the execution to its end. Raises nothing that belongs to the job."""
        job = execution.job
        with logs.bind(job_id=job.id, execution_id=execution.id):
            _log.info("execution.started", "Started a job", attempt=len(job.attempts) + 1)
            try:
                with Heartbeat(self._queue, execution) as heartbeat:
                    output = self._render_and_publish(execution, heartbeat)
                self._commit(execution, output)
            except LeaseLost:
                _log.warning("execution.fenced", "Another worker has this job now; nothing was published")
            except ShutDown:
                self._end(execution, lambda: self._queue.release(execution), "execution.released")
            except RenderError as error:
                self._fail(execution, Failure(error.code, error.message, error.retryable))
            except FlowScaleError as error:
                self._fail(execution, Failure(StorageFailed.code, error.message, StorageFailed.retryable))
            except Exception as error:  # noqa: BLE001 - a bug of ours must end the job, not the worker
                _log.exception("execution.crashed", "A fault in the worker ended the execution", error)
                self._fail(execution, Failure("INTERNAL", "A fault in the worker ended the render.", retryable=False))

    def _render_and_publish(self, execution: Execution, heartbeat: Heartbeat) -> Output:
        def tell(percent: int | None, lines: Sequence[str] = ()) -> None:
            try:
                self._queue.progress(execution, percent, [line for line in lines if line])
            except LeaseLost:
                heartbeat.verdict = Stopped.LEASE_LOST

        kit = replace(self._kit, tell=tell, should_stop=lambda: heartbeat.verdict or self._kit.should_stop())
        spec = read_spec(execution.job)
        with self._scratch.folder(execution.id) as folder:
            files = [self._fetch(source, folder / f"source-{index}", kit) for index, source in enumerate(spec.sources)]
            result = render(spec, files, folder, kit)
            kit.go_on()
            kit.tell(ENCODE_ENDS)
            key = output_key(execution.job.id, execution.id, spec.file_name)
            stored = self._storage.put_file(key, result.path)
            kit.tell(PUBLISH_ENDS)
        return Output(key, stored.size, spec.format.media_type, result.duration_ms)

    def _fetch(self, source: Source, target: Path, kit: Kit) -> Path:
        kit.go_on()
        if source.url is not None:
            download(source.url, target, kit, DownloadLimits.of(kit.settings))
            return target
        try:
            self._storage.fetch(source.key or "", target)
        except (FileNotFound, InvalidPath) as error:
            raise InvalidMedia("The source is no longer stored: upload it again.") from error
        return target

    def _commit(self, execution: Execution, output: Output) -> None:
        try:
            job = self._queue.commit(execution, output)
        except LeaseLost:
            self._storage.delete(output.key)
            raise
        _log.info("job.done", "Finished a job", size=output.size, duration_ms=job.duration_ms)

    def _fail(self, execution: Execution, failure: Failure) -> None:
        def fail() -> Job:
            return self._queue.fail(execution, failure)

        self._end(execution, fail, "execution.failed", code=failure.code, reason=failure.message)

    def _end(self, execution: Execution, end: Callable[[], Job], event: str, **fields: str) -> None:
        try:
            job = end()
        except LeaseLost:
            _log.warning("execution.fenced", "Another worker has this job now", **fields)
            return
        _log.info(event, f"The execution ended; the job is {job.state}", **fields)


def read_spec(job: Job) -> RenderSpec:
    """The job's spec. Raises InvalidMedia when the record holds none of ours."""
    try:
        return RenderSpec.from_record(job.spec)
    except ValueError as error:
        raise InvalidMedia("The job's record holds no options this version can read; send it again.") from error

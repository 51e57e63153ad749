"""One execution of one job: fetch, render, publish, commit; and the end of it, whatever happens.

Each execution writes its own storage key, and the commit names it: whoever has lost the job meanwhile deletes
what it stored and nobody has seen it.

A queue that cannot be reached costs a job nothing. The render goes on, its heartbeat takes the lease back when the
queue returns, and whatever ends the execution (commit, fail, release) waits for that within the heartbeat.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from flowscale import logs
from flowscale.errors import (
    FileNotFound,
    FlowScaleError,
    InvalidMedia,
    InvalidPath,
    LeaseLost,
    NoOutput,
    QueueUnavailable,
    RenderError,
    StorageFailed,
    StorageRefused,
    StorageUnavailable,
)
from flowscale.jobs import Failure, Job, Output
from flowscale.names import output_key
from flowscale.queues.base import Execution, WorkQueue
from flowscale.queues.told import Facts
from flowscale.specs import RenderSpec, Source
from flowscale.storage.base import Storage, StoredObject
from flowscale_worker.describing import Describer
from flowscale_worker.download import DownloadLimits, download
from flowscale_worker.failures import Stopped
from flowscale_worker.kit import Kit, ShutDown, Tell
from flowscale_worker.pipeline import render
from flowscale_worker.progress import ENCODE_ENDS, PUBLISH_ENDS
from flowscale_worker.scratch import Scratch

RENEW_SECONDS = 1.0
"""How often the lease is renewed and a cancel looked for: a cancel takes effect within 2 s of its request."""

QUEUE_RETRY_SECONDS = 1.0
"""How long the end of an execution waits for a queue that is away before it tries again."""

STORAGE_RETRY_SECONDS = 1.0
"""How long a storage that is away is left alone at first; each time twice as long, up to STORAGE_PAUSE_SECONDS."""

STORAGE_PAUSE_SECONDS = 15.0

STORAGE_PATIENCE_SECONDS = 3600.0
"""How long a render waits for its storage. Then the attempt ends: the job may have better luck elsewhere."""

STOP_LOOK_SECONDS = 0.1
"""How often a waiting execution looks whether it is to stop."""

STOPPING_TRIES = 3
"""How often a worker that stops tries to end an execution: enough for a blip, within any grace period."""

_Answer = TypeVar("_Answer")

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
            except Exception as error:  # noqa: BLE001 - without renewals a healthy render would lose its lease
                _log.exception(
                    "lease.fault", "A fault in renewing a lease; trying again", error, job_id=self._execution.job.id
                )

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

    def run(self, execution: Execution) -> Job | None:
        """Bring the execution to its end. The job as it is then; None when this execution did not decide it.

        Raises nothing that belongs to the job.
        """
        with logs.bind(job_id=execution.job.id, execution_id=execution.id):
            _log.info("execution.started", "Started a job", attempt=len(execution.job.attempts) + 1)
            with Heartbeat(self._queue, execution) as heartbeat:
                return self._run(execution, heartbeat)

    def _run(self, execution: Execution, heartbeat: Heartbeat) -> Job | None:
        try:
            output = self._render_and_publish(execution, heartbeat)
            return self._commit(execution, output)
        except LeaseLost:
            _log.warning(
                "execution.fenced",
                "The job has ended, was forgotten, or is another worker's now; nothing was published",
            )
            return None
        except ShutDown:
            return self._end(lambda: self._queue.release(execution), "execution.released")
        except RenderError as error:
            return self._fail(execution, Failure(error.code, error.message, error.retryable))
        except StorageRefused as error:
            # Final: the next attempt would render for nothing.
            return self._fail(execution, Failure(StorageFailed.code, error.message, retryable=False))
        except StorageUnavailable as error:
            return self._fail(execution, Failure(StorageFailed.code, error.message, StorageFailed.retryable))
        except Exception as error:  # noqa: BLE001 - a bug of ours must end the job, not the worker
            _log.exception("execution.crashed", "A fault in the worker ended the execution", error)
            # Final: the same bug would meet the next attempt.
            message = "A fault in the worker ended the render; its log tells more."
            return self._fail(execution, Failure(NoOutput.code, message, retryable=False))

    def _render_and_publish(self, execution: Execution, heartbeat: Heartbeat) -> Output:
        describer = Describer(lambda facts: self._describe(execution, facts, heartbeat))
        kit = replace(
            self._kit,
            tell=self._teller(execution, heartbeat),
            examined=describer.examined,
            ran=describer.ran,
            should_stop=lambda: heartbeat.verdict or self._kit.should_stop(),
        )
        spec = read_spec(execution.job)
        key = output_key(execution.job.id, execution.id, spec.file_name)
        with self._scratch.folder(execution.id) as folder:
            describer.within(folder)
            files = [self._fetch(source, folder / f"source-{index}", kit) for index, source in enumerate(spec.sources)]
            describer.fetched(files)
            result = render(spec, files, folder, kit)
            kit.go_on()
            kit.tell(ENCODE_ENDS)
            try:
                stored = self._patiently(lambda: self._storage.put_file(key, result.path), kit, "the output is stored")
                kit.tell(PUBLISH_ENDS)
            except BaseException:
                self._discard(key)
                raise
        return Output(key, stored.size, spec.format.media_type, result.duration_ms)

    def _teller(self, execution: Execution, heartbeat: Heartbeat) -> Tell:
        away = False

        def tell(percent: int | None, lines: Sequence[str] = ()) -> None:
            nonlocal away
            try:
                self._queue.progress(execution, percent, [line for line in lines if line])
            except LeaseLost:
                heartbeat.verdict = Stopped.LEASE_LOST
            except QueueUnavailable as error:
                if not away:  # once: the lease's own warnings go on
                    _log.warning("progress.lost", f"Progress is not recorded: {error.message}")
                away = True

        return tell

    def _describe(self, execution: Execution, facts: Facts, heartbeat: Heartbeat) -> None:
        """For people who look: a render does without."""
        try:
            self._queue.describe(execution, facts)
        except LeaseLost:
            heartbeat.verdict = Stopped.LEASE_LOST
        except QueueUnavailable as error:
            _log.warning("facts.lost", f"What the execution tells of its work is not recorded: {error.message}")

    def _fetch(self, source: Source, target: Path, kit: Kit) -> Path:
        kit.go_on()
        if source.url is not None:
            download(source.url, target, kit, DownloadLimits.of(kit.settings))
            return target
        try:
            self._patiently(lambda: self._storage.fetch(source.key or "", target), kit, "the source is fetched")
        except (FileNotFound, InvalidPath) as error:
            raise InvalidMedia("The source is no longer stored: upload it again.") from error
        return target

    def _patiently(self, call: Callable[[], StoredObject], kit: Kit, until: str) -> StoredObject:
        """What the storage answers, however often it fails on the way: a render is not repeated for that.

        Raises StorageRefused at once; StorageUnavailable after STORAGE_PATIENCE_SECONDS; what ends the execution.
        """
        began = kit.clock.monotonic()
        pause = STORAGE_RETRY_SECONDS
        while True:
            try:
                return call()
            except StorageRefused:
                raise
            except StorageUnavailable as error:
                waited = kit.clock.monotonic() - began
                if waited > STORAGE_PATIENCE_SECONDS:
                    raise
                _log.warning("storage.unreachable", f"{error.message} It is asked again until {until}.")
                if pause == STORAGE_RETRY_SECONDS:  # the first time
                    kit.tell(None, (f"The storage is away; trying again until {until}.",))
            ends = kit.clock.monotonic() + pause
            while kit.clock.monotonic() < ends:
                kit.go_on()
                time.sleep(STOP_LOOK_SECONDS)
            pause = min(2 * pause, STORAGE_PAUSE_SECONDS)

    def _commit(self, execution: Execution, output: Output) -> Job | None:
        """Raises LeaseLost. What the queue may have accepted is kept: a job that is done must have its output."""
        try:
            job = self._insist(lambda: self._queue.commit(execution, output))
        except LeaseLost:
            self._discard(output.key)
            raise
        except Exception as error:
            _log.error(
                "commit.unknown",
                "Whether the output was committed is not known, so it is kept; if its job does not name it, delete it",
                key=output.key,
                reason=str(error),
            )
            if isinstance(error, QueueUnavailable):
                return None  # the worker stops: the job is done, or its lease runs out and another takes it
            raise
        _log.info("job.done", "Finished a job", size=output.size, duration_ms=job.duration_ms)
        return job

    def _fail(self, execution: Execution, failure: Failure) -> Job | None:
        def fail() -> Job:
            return self._queue.fail(execution, failure)

        return self._end(fail, "execution.failed", code=failure.code, reason=failure.message)

    def _end(self, end: Callable[[], Job], event: str, **fields: str) -> Job | None:
        try:
            job = self._insist(end)
        except LeaseLost:
            # Or an earlier try ended it, and its answer was lost on the way.
            _log.warning("execution.fenced", "The job has gone on without this execution", **fields)
            return None
        except QueueUnavailable as error:
            _log.error(
                "execution.abandoned",
                f"The worker stops while the queue is away; the job runs again once its lease ends: {error.message}",
                **fields,
            )
            return None
        _log.info(event, f"The execution ended; the job is {job.state}", **fields)
        return job

    def _insist(self, call: Callable[[], _Answer]) -> _Answer:
        """The queue's answer, however long it is away. Raises QueueUnavailable only when the worker stops meanwhile.

        The heartbeat's verdict does not end this: after a commit whose answer was lost, the lease is lost too.
        """
        tries = tries_stopping = 0
        while True:
            try:
                return call()
            except QueueUnavailable as error:
                tries += 1
                tries_stopping += self._kit.should_stop() is not None
                if tries_stopping >= STOPPING_TRIES:
                    raise
                if tries == 1:
                    _log.warning("execution.waits", f"The end of an execution waits for the queue: {error.message}")
            time.sleep(QUEUE_RETRY_SECONDS)

    def _discard(self, key: str) -> None:
        """Remove an output that no job will name."""
        try:
            self._storage.delete(key)
        except FlowScaleError as error:
            # The execution's own end stands.
            _log.error("output.orphaned", "An output nobody will see cannot be deleted", key=key, reason=error.message)


def read_spec(job: Job) -> RenderSpec:
    """The job's spec. Raises InvalidMedia when the record holds none of ours."""
    try:
        return RenderSpec.from_record(job.spec)
    except ValueError as error:
        raise InvalidMedia("The job's record holds no options this version can read; send it again.") from error

"""One execution with real FFmpeg, queue and storage, while the queue goes away, the lease is lost, the worker stops."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from flowscale import logs
from flowscale.clocks import Clock, SystemClock
from flowscale.errors import QueueUnavailable, StorageFailed
from flowscale.jobs import Failure, Job, JobState, Output
from flowscale.names import upload_key
from flowscale.queues.base import Execution, QueuePolicy, Tended, WorkerReport
from flowscale.queues.memory import MemoryQueue
from flowscale.queues.told import Facts
from flowscale.specs import Quality, RenderSpec, Source, Trim
from flowscale.storage.base import StoredObject
from flowscale.storage.local import LocalStorage
from flowscale.testing import FakeClock, a_job
from flowscale_worker.execution import Executor, Heartbeat
from flowscale_worker.failures import Stopped
from flowscale_worker.scratch import Scratch
from integration.processes import until
from integration.rendering import make_kit

SOURCE = upload_key("a" * 32, "clip.mp4")
FOR_EVER = 10_000


class FaultyQueue:
    """A worker's queue whose calls fail as told.

    `faults[name]` are raised by the next calls of that name, one each, before the queue hears of them; `after` instead
    of the answer to a call that was heard. `before[name]` is called at each call.
    """

    def __init__(self, queue: MemoryQueue) -> None:
        self.queue = queue
        self.faults: dict[str, list[Exception]] = {}
        self.after: dict[str, list[Exception]] = {}
        self.before: dict[str, Callable[[], object]] = {}
        self.calls: Counter[str] = Counter()

    def away(self, name: str, times: int) -> None:
        self.faults[name] = [QueueUnavailable("The queue does not answer.")] * times

    def _call(self, name: str) -> None:
        self.calls[name] += 1
        self.before.get(name, lambda: None)()
        if waiting := self.faults.get(name):
            raise waiting.pop(0)

    def _lose_answer(self, name: str) -> None:
        if waiting := self.after.get(name):
            raise waiting.pop(0)

    def fetch(self, worker: str, wait_s: float, group: str | None = None) -> Execution | None:
        self._call("fetch")
        return self.queue.fetch(worker, wait_s, group)

    def renew(self, execution: Execution) -> bool:
        self._call("renew")
        return self.queue.renew(execution)

    def progress(self, execution: Execution, percent: int | None, lines: Sequence[str] = ()) -> None:
        self._call("progress")
        self.queue.progress(execution, percent, lines)

    def describe(self, execution: Execution, facts: Facts) -> None:
        self._call("describe")
        self.queue.describe(execution, facts)

    def commit(self, execution: Execution, output: Output) -> Job:
        self._call("commit")
        job = self.queue.commit(execution, output)
        self._lose_answer("commit")
        return job

    def leave(self, worker: str) -> None:
        self.queue.leave(worker)

    def lose(self, execution: Execution) -> Job:
        self._call("lose")
        return self.queue.lose(execution)

    def fail(self, execution: Execution, failure: Failure) -> Job:
        self._call("fail")
        return self.queue.fail(execution, failure)

    def release(self, execution: Execution) -> Job:
        self._call("release")
        return self.queue.release(execution)

    def tend(self) -> Tended:
        self._call("tend")
        return self.queue.tend()

    def report(self, report: WorkerReport) -> None:
        self._call("report")
        self.queue.report(report)


class BreaksAfterStoring(LocalStorage):
    """A storage with a fault of ours in it."""

    def put_file(self, key: str, source: Path) -> StoredObject:
        super().put_file(key, source)
        raise RuntimeError("a fault of ours")


@dataclass
class Bench:
    """A worker's parts around one faulty queue, and a stored source."""

    queue: FaultyQueue
    storage: LocalStorage
    scratch: Scratch
    stopping: threading.Event

    async def start(self, source: str = SOURCE) -> Execution:
        spec = RenderSpec.model_validate(
            {"sources": (Source(key=source),), "trim": Trim(end=0.4), "quality": Quality.LOW}
        )
        await self.queue.queue.enqueue(a_job(spec=spec.to_record()))
        execution = self.queue.queue.fetch("worker", 0)
        assert execution is not None
        return execution

    async def run(self, execution: Execution) -> Job:
        """The job as it is once the execution has ended."""
        kit = make_kit(should_stop=lambda: Stopped.SHUTDOWN if self.stopping.is_set() else None)
        Executor(self.queue, self.storage, self.scratch, kit).run(execution)
        return await self.queue.queue.get(execution.job.id)

    @property
    def outputs(self) -> list[str]:
        return [stored.key for stored in self.storage.find("outputs/")]


def make_bench(storage: LocalStorage, folder: Path, clips: Path, clock: Clock | None = None) -> Bench:
    shutil.copy(clips / "bikes.mp4", folder / "clip.mp4")
    LocalStorage.put_file(storage, SOURCE, folder / "clip.mp4")
    queue = FaultyQueue(MemoryQueue(QueuePolicy(), clock or SystemClock()))
    return Bench(queue, storage, Scratch(folder / "scratch"), threading.Event())


@pytest.fixture
def bench(tmp_path: Path, clips: Path) -> Iterator[Bench]:
    storage = LocalStorage(tmp_path / "data")
    bench = make_bench(storage, tmp_path, clips)
    yield bench
    bench.scratch.close()
    storage.close()


async def test_progress_that_cannot_be_told_costs_nothing(bench: Bench) -> None:
    bench.queue.away("progress", FOR_EVER)
    bench.queue.away("renew", FOR_EVER)
    job = await bench.run(await bench.start())
    assert (job.state, len(job.attempts)) == (JobState.DONE, 1)


async def test_a_finished_render_waits_for_the_queue_to_commit(bench: Bench) -> None:
    bench.queue.away("commit", 2)
    job = await bench.run(await bench.start())
    assert (job.state, [attempt.code for attempt in job.attempts]) == (JobState.DONE, [None])
    assert job.output is not None
    assert bench.outputs == [job.output.key]


async def test_a_lease_is_renewed_while_a_commit_waits(bench: Bench) -> None:
    bench.queue.away("commit", 2)
    renewals: list[int] = []
    bench.queue.before["commit"] = lambda: renewals.append(bench.queue.calls["renew"])
    await bench.run(await bench.start())
    assert renewals[-1] > renewals[0]


async def test_a_commit_whose_answer_was_lost_keeps_its_output(bench: Bench) -> None:
    bench.queue.after["commit"] = [QueueUnavailable("The answer was lost.")]
    job = await bench.run(await bench.start())
    assert bench.queue.calls["commit"] == 2
    assert job.state is JobState.DONE
    assert job.output is not None
    assert bench.outputs == [job.output.key]


async def test_a_failure_waits_for_the_queue(bench: Bench) -> None:
    bench.queue.away("fail", 2)
    job = await bench.run(await bench.start(upload_key("b" * 32, "gone.mp4")))
    assert job.state is JobState.ERROR
    assert [attempt.code for attempt in job.attempts] == ["INVALID_MEDIA"]


async def test_a_worker_that_stops_gives_its_job_back_over_a_blip(bench: Bench) -> None:
    bench.queue.away("release", 2)
    bench.stopping.set()
    job = await bench.run(await bench.start())
    assert (job.state, job.attempts) == (JobState.QUEUED, ())


async def test_a_worker_that_stops_does_not_wait_for_ever_to_fail(bench: Bench) -> None:
    bench.queue.away("fail", FOR_EVER)
    bench.queue.before["fail"] = bench.stopping.set
    job = await bench.run(await bench.start(upload_key("b" * 32, "gone.mp4")))
    assert job.state is JobState.RUNNING  # until its lease ends


async def test_a_worker_that_stops_keeps_an_output_that_may_be_committed(bench: Bench) -> None:
    said = StringIO()
    logs.configure(stream=said)
    bench.queue.away("commit", FOR_EVER)
    bench.queue.before["commit"] = bench.stopping.set
    job = await bench.run(await bench.start())
    assert job.state is JobState.RUNNING
    assert len(bench.outputs) == 1
    assert bench.queue.calls["fail"] == 0
    assert bench.outputs[0] in said.getvalue()


async def test_an_output_is_deleted_when_another_has_the_job(tmp_path: Path, clips: Path) -> None:
    clock = FakeClock()
    bench = make_bench(LocalStorage(tmp_path / "data"), tmp_path, clips, clock)

    def lose() -> None:
        clock.advance(3600)
        bench.queue.queue.tend()

    bench.queue.before["commit"] = lose
    job = await bench.run(await bench.start())
    assert job.state is JobState.QUEUED
    assert bench.outputs == []


async def test_a_fault_of_ours_ends_the_job_with_a_code_of_the_contract_and_no_output(
    tmp_path: Path, clips: Path
) -> None:
    bench = make_bench(BreaksAfterStoring(tmp_path / "data"), tmp_path, clips)
    job = await bench.run(await bench.start())
    assert job.state is JobState.ERROR
    assert job.failure is not None
    assert (job.failure.code, job.failure.retryable) == ("NO_OUTPUT", False)
    assert job.failure.message == "A fault in the worker ended the render; its log tells more."
    assert bench.outputs == []


async def test_a_fault_in_a_renewal_does_not_end_the_heartbeat(bench: Bench) -> None:
    bench.queue.faults["renew"] = [RuntimeError("a fault of ours"), OSError("a fault of the system")]
    with Heartbeat(bench.queue, await bench.start()):
        until(lambda: bench.queue.calls["renew"] >= 3, "the renewal after two that failed")


def test_scratch_that_was_removed_is_made_again(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "scratch")
    shutil.rmtree(tmp_path / "scratch")
    for execution in ("first", "second"):
        with scratch.folder(execution) as folder:
            (folder / "file").write_text("content")
    scratch.close()
    assert not list((tmp_path / "scratch").iterdir())


def test_scratch_that_cannot_be_made_again_is_no_full_disk(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "scratch")
    shutil.rmtree(tmp_path / "scratch")
    (tmp_path / "scratch").write_text("a file in its place")
    with pytest.raises(StorageFailed, match="must be there and writable"), scratch.folder("execution"):
        pass


FULL = """
import sys
from pathlib import Path
from flowscale.errors import DiskFull
from flowscale_worker.scratch import Scratch
root = Path(sys.argv[1])
scratch = Scratch(root)
try:
    for number in range(100):
        (root / f"filled-{number}").touch()
except OSError:
    pass
try:
    with scratch.folder("execution"):
        print("there was room")
except DiskFull as error:
    print(error.message)
"""


def test_scratch_without_room_is_a_full_disk(tmp_path: Path) -> None:
    namespace = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    mount = f'mount -t tmpfs -o nr_inodes=20 tmpfs {tmp_path} && exec "$@"'
    answer = subprocess.run(
        [*namespace, "sh", "-c", mount, "sh", sys.executable, "-c", FULL, tmp_path],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "no room for the files of a render" in answer.stdout


async def test_an_execution_tells_what_it_found_and_what_it_ran(bench: Bench, tmp_path: Path) -> None:
    job = await bench.run(await bench.start())
    told = await bench.queue.queue.told(job.id)
    assert told.facts is not None
    (probe,) = told.facts.sources
    assert (probe["container"], probe["size"]) == ("mov", bench.storage.stat(SOURCE).size)
    assert probe["streams"][0]["kind"] == "video"
    (command,) = told.facts.commands
    assert Path(command[0]).name == "ffmpeg"
    assert "source-0" in " ".join(command)
    assert str(tmp_path) not in " ".join(command)
    assert told.tails[1]


async def test_what_cannot_be_told_of_the_work_costs_nothing(bench: Bench) -> None:
    bench.queue.away("describe", FOR_EVER)
    job = await bench.run(await bench.start())
    assert (job.state, len(job.attempts)) == (JobState.DONE, 1)
    assert bench.queue.calls["describe"] >= 2

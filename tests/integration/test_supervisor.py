"""A supervisor with real FFmpeg, queue and storage: its start, and what its threads live through."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowscale.clocks import SystemClock
from flowscale.errors import SettingsError
from flowscale.jobs import JobState
from flowscale.queues.base import QueuePolicy
from flowscale.queues.memory import MemoryQueue
from flowscale.settings import Settings, StorageSettings, WorkerSettings
from flowscale.storage.local import LocalStorage
from flowscale.testing import a_job
from flowscale_worker import supervisor
from flowscale_worker.supervisor import Supervisor
from integration.processes import until
from integration.test_execution import FaultyQueue


@pytest.fixture
def queue() -> FaultyQueue:
    return FaultyQueue(MemoryQueue(QueuePolicy(), SystemClock()))


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[LocalStorage]:
    storage = LocalStorage(tmp_path / "data")
    yield storage
    storage.close()


def make(queue: FaultyQueue, storage: LocalStorage, worker: WorkerSettings | None = None) -> Supervisor:
    settings = Settings(storage=StorageSettings(dir=storage.root), worker=worker or WorkerSettings())
    return Supervisor(settings, queue, storage, SystemClock())


async def job_ends(queue: FaultyQueue) -> None:
    """A job without a readable spec ends at once, whoever takes it."""
    enqueued = await queue.queue.enqueue(a_job(spec={"of": "another version"}))
    log = await queue.queue.events(enqueued.job.id, 0, 0)
    while not any(event.data.get("status") == "error" for event in log):
        log = await queue.queue.events(enqueued.job.id, log[-1].id if log else 0, 30)
        assert log, "the job was not taken"
    assert (await queue.queue.get(enqueued.job.id)).state is JobState.ERROR


async def test_a_queue_that_is_away_at_the_start_is_told_later(queue: FaultyQueue, storage: LocalStorage) -> None:
    queue.away("report", 2)
    with make(queue, storage) as worker:
        until(lambda: queue.calls["report"] == 3, "a report that the queue takes")
        await job_ends(queue)
    reports = await queue.queue.workers()
    assert [report.worker for report in reports] == [worker.name]
    assert worker.name.endswith(f"-{os.getpid()}")


def test_a_start_that_fails_leaves_no_scratch_and_no_thread(queue: FaultyQueue, storage: LocalStorage) -> None:
    queue.faults["report"] = [RuntimeError("a fault of ours")]
    worker = make(queue, storage)
    assert not (storage.root / "scratch").exists()
    with pytest.raises(RuntimeError), worker:
        pass
    assert not list((storage.root / "scratch").iterdir())


def test_scratch_that_cannot_be_used_is_named_by_its_setting(queue: FaultyQueue, storage: LocalStorage) -> None:
    (storage.root / "file").write_text("no folder")
    folder = storage.root / "file" / "scratch"
    with (
        pytest.raises(SettingsError, match=f"FLOWSCALE_SCRATCH_DIR: .*{folder}"),
        make(queue, storage, WorkerSettings(scratch_dir=folder)),
    ):
        pass


async def test_no_fault_ends_a_thread(queue: FaultyQueue, storage: LocalStorage) -> None:
    queue.faults["fetch"] = [RuntimeError("a fault of ours")]
    queue.faults["tend"] = [OSError("a fault of the system")]
    queue.faults["fail"] = [RuntimeError("a fault of ours")]
    with make(queue, storage):
        until(lambda: queue.calls["tend"] >= 2, "the housekeeping after one that failed")
        await queue.queue.enqueue(a_job(spec={"of": "another version"}))
        until(lambda: queue.calls["fail"] == 1, "the end that meets a fault")
        await job_ends(queue)


def test_ffmpeg_is_gone_only_when_two_looks_miss_it(
    queue: FaultyQueue, storage: LocalStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "FFMPEG_LOOKS_SECONDS", 0.2)
    looks, missing = tmp_path / "looks", tmp_path / "missing"
    program = tmp_path / "ffmpeg"
    # Misses at its third look, and whenever the file `missing` is there.
    program.write_text(
        f"#!/bin/sh\necho look >> {looks}\n"
        f'[ -e {missing} ] && exit 1\n[ "$(wc -l < {looks})" -eq 3 ] && exit 1\nexec /usr/bin/ffmpeg "$@"\n'
    )
    program.chmod(0o755)
    problems: list[str | None] = []
    with make(queue, storage, WorkerSettings(ffmpeg=str(program))) as worker:
        queue.before["report"] = lambda: problems.append(worker._examiner.problem)
        until(lambda: len(problems) >= 5, "looks after the one that missed")
        assert problems[:5] == [None] * 5
        assert len(looks.read_text().splitlines()) >= 5
        missing.touch()
        until(lambda: problems[-1] is not None, "FFmpeg to be given up")
        missing.unlink()
        until(lambda: problems[-1] is None, "FFmpeg to be found again")

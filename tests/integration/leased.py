"""A service over Redis to be harmed: fleets and gateways as programs, their processes found in /proc, and its facts.

    with Site(folder, server, clip) as site:
        fleet = site.fleet()
        job_id = site.submit(seconds=5)
        fleet.rendering().kill()
        assert site.ended(job_id).state is JobState.DONE

Each site has a prefix and a storage of its own, so that many share one server. FFmpeg is the real one, made to read its
source no faster than it plays: so a render lasts as long as its clip on any machine, and costs next to nothing.

At the end of the `with` the site looks that nothing is left of it: no process, no key, no file but the outputs.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar

import psutil
import pytest

from flowscale import folders, names
from flowscale.clocks import SystemClock
from flowscale.errors import QueueUnavailable
from flowscale.jobs import Job, JobState
from flowscale.queues.base import EventKind, QueuePolicy
from flowscale.queues.redis import RedisJobQueue, open_job_queue, open_work_queue
from flowscale.settings import RedisSettings
from flowscale.storage.local import LocalStorage
from flowscale_worker.redis_fleet import tidy
from integration.frontend import Frontend
from integration.processes import until
from integration.program import FLOWSCALE, running
from redis_server import RedisServer

HALTING_WORKER = Path(__file__).with_name("halting_worker.py")

END_SECONDS = 60.0
"""For a program to end that was asked to: far beyond what it takes."""

FIXED_KEYS = {
    *("queues", "workers", "counters", "durations", "profiles", "turns", "joined", "aside", "reports", "reports:at"),
    *("idempotency", "idempotency:until", "history", "audit", "keys", "keys:secret"),
    *("webhooks:messages", "webhooks:settled"),  # delivered ones, for a day
}
"""What stays when every job is forgotten, besides RQ's sets of workers by queue."""

_Answer = TypeVar("_Answer")


def make_clip(folder: Path, seconds: int = 600) -> Path:
    """A small H.264 clip, ten frames a second."""
    clip = folder / "clip.mp4"
    source = f"testsrc2=size=160x90:rate=10:duration={seconds}"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-c:v", "libx264", "-preset", "ultrafast"]
    subprocess.run([*command, "-g", "10", clip], check=True)
    return clip


class Fleet:
    """`flowscale worker` as a process, and all that descends from it."""

    def __init__(self, command: Sequence[str | Path], environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("w") as out:
            self.process = subprocess.Popen(
                command,
                env=dict(environment),
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.killed = False

    def workers(self) -> list[psutil.Process]:
        return _copies(self.process.pid)

    def horses(self) -> list[psutil.Process]:
        return [horse for worker in self.workers() for horse in _copies(worker.pid)]

    def ffmpegs(self) -> list[psutil.Process]:
        """FFmpeg and ffprobe, at work for a job."""
        return [child for horse in self.horses() for child in _children(horse.pid) if name_of(child).startswith("ff")]

    def ready(self, workers: int = 1) -> Self:
        until(lambda: len(self.workers()) >= workers, f"{workers} workers in {self.log}")
        return self

    def rendering(self) -> psutil.Process:
        """An FFmpeg that encodes."""
        found = until(lambda: [each for each in self.ffmpegs() if name_of(each) == "ffmpeg"], "FFmpeg to run")
        return found[0]

    def descendants(self) -> list[psutil.Process]:
        return [process for process in psutil.Process(self.process.pid).children(recursive=True) if _lives(process)]

    def kill(self) -> None:
        """SIGKILL, to this one process."""
        self.killed = True
        self.process.kill()
        self.process.wait(END_SECONDS)

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """The exit code."""
        return self.process.wait(END_SECONDS)

    def stop(self) -> None:
        """SIGTERM, and a good end."""
        self.signal()
        assert self.wait() == 0, self.log.read_text()

    def events(self, name: str) -> list[dict[str, Any]]:
        """Lines of its log."""
        whole = self.log.read_text().split("\n")[:-1]
        found = [json.loads(line) for line in whole if line.startswith("{")]
        return [event for event in found if event.get("event") == name]

    def said(self, name: str) -> list[dict[str, Any]]:
        """The same, once there is one."""
        return until(lambda: self.events(name), f"{name} in {self.log}")


class Site:
    """One queue, one storage, and the programs that use both. `port`: of a proxy before the server."""

    def __init__(self, folder: Path, server: RedisServer, clip: Path, *, port: int | None = None) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.data = folder / "data"
        self.server = server
        self.settings: RedisSettings = server.settings(prefix=f"{{test-{uuid.uuid4().hex}}}")
        self.slow_ffmpeg = folder / "ffmpeg"
        self.slow_ffmpeg.write_text(f'#!/bin/sh\nexec {shutil.which("ffmpeg")} -re "$@"\n')
        self.slow_ffmpeg.chmod(0o755)
        self.environment = {
            "PATH": os.environ["PATH"],
            "QUEUE_MODE": "redis",
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(port or server.port),
            "FLOWSCALE_REDIS_PREFIX": self.settings.prefix,
            "STORAGE_DIR": str(self.data),
            "FLOWSCALE_FFMPEG": str(self.slow_ffmpeg),
            "FLOWSCALE_FFMPEG_THREADS": "1",
        }
        self.fleets: list[Fleet] = []
        self._stack = ExitStack()
        self.source = names.upload_key(uuid.uuid4().hex, clip.name)
        with closing(LocalStorage(self.data)) as storage, storage.writer(self.source) as writer:
            writer.write(clip.read_bytes())
            writer.commit()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for fleet in self.fleets:
            if error is not None and fleet.process.poll() is None:
                fleet.kill()
            elif fleet.process.poll() is None:
                fleet.signal()
        for fleet in self.fleets:
            code = fleet.wait()
            assert error or fleet.killed or code == 0, f"{fleet.log} ended with {code}"
        self._stack.close()
        if error is None:
            self.is_clean()

    # Programs.

    def fleet(self, workers: int = 1, *, grace: float = 30, command: Sequence[str | Path] = (), **more: str) -> Fleet:
        log = self.folder / f"fleet-{len(self.fleets)}.log"
        sizes = {"WORKER_CONCURRENCY": str(workers), "FLOWSCALE_SHUTDOWN_GRACE": str(grace)}
        self.fleets.append(Fleet(command or (FLOWSCALE, "worker"), {**self.environment, **sizes, **more}, log))
        return self.fleets[-1]

    def gateway(self, **more: str) -> Frontend:
        folder = self.folder / f"gateway-{uuid.uuid4().hex}"
        folder.mkdir()
        program = self._stack.enter_context(running("api", folder, **{**self.environment, **more}))
        frontend = Frontend(program.url)
        self._stack.callback(frontend.http.close)
        return frontend

    # What the queue says, asked from here.

    def ask(self, question: Callable[[RedisJobQueue], Awaitable[_Answer]]) -> _Answer:
        """Straight at the server, not through a proxy; again when this busy machine was too slow."""

        async def once() -> _Answer:
            queue = open_job_queue(self.settings, QueuePolicy(), SystemClock())
            try:
                return await question(queue)
            finally:
                await queue.close()

        def answer() -> list[_Answer]:
            try:
                return [asyncio.run(once())]
            except QueueUnavailable:
                return []

        return until(answer, "an answer of the queue")[0]

    def submit(self, seconds: float = 0.4, *, source: str | None = None, **fields: Any) -> str:
        """A render of the first seconds of the clip, which takes as long; the job's id."""
        now_ms = SystemClock().now_ms()
        spec = {"sources": [{"key": source or self.source}], "trim": {"start": 0, "end": seconds}}
        job = Job(id=names.job_id(now_ms, uuid.uuid4().hex), spec=spec, created_ms=now_ms, **fields)
        return self.ask(lambda queue: queue.enqueue(job)).job.id

    def job(self, job_id: str) -> Job:
        return self.ask(lambda queue: queue.get(job_id))

    def wait(self, job_id: str, *states: JobState) -> Job:
        def look() -> Job | None:
            job = self.job(job_id)
            return job if job.state in states else None

        return until(look, f"job {job_id} to be {' or '.join(states)}")

    def ended(self, job_id: str) -> Job:
        return self.wait(job_id, JobState.DONE, JobState.ERROR)

    def starts(self, job_id: str) -> list[int]:
        """When each execution of the job began, in ms."""
        events = self.ask(lambda queue: queue.events(job_id, 0, 0))
        return [event.at_ms for event in events if event.kind is EventKind.STATE and event.data["status"] == "running"]

    def restarted(self, job_id: str) -> int:
        """When it was started for the second time, in ms."""
        return until(lambda: self.starts(job_id)[1:], f"the second start of {job_id}")[0]

    def outputs(self, job_id: str) -> list[str]:
        """Keys of all that is stored for the job."""
        with closing(LocalStorage(self.data)) as storage:
            return [stored.key for stored in storage.find(f"outputs/{job_id}/")]

    def one_output(self, job_id: str) -> Job:
        """The job, once it is done: what it names is there, and nothing else is stored for it."""
        job = self.ended(job_id)
        assert job.state is JobState.DONE, f"{job.failure}; {job.attempts}"
        assert job.output is not None
        until(lambda: self.outputs(job_id) == [job.output.key if job.output else ""], f"one output of {job_id}")
        return job

    # The end.

    def family(self) -> list[psutil.Process]:
        """Every living process that was started for this site, whoever's child it is now."""
        marks = (f"STORAGE_DIR={self.data}\0".encode(), f"file:{self.data}/".encode())
        return [each for each in psutil.process_iter() if _mentions(each, marks) and _lives(each)]

    def is_clean(self) -> None:
        until(lambda: not self.family(), f"the end of all processes: {self.family()}")
        for name in ("scratch", "incoming"):
            if (self.data / name).is_dir():
                folders.sweep(self.data / name)  # as the next program to start does
                assert not list((self.data / name).iterdir()), f"files are left in {name}"
        self.forget_jobs()

    def forget_jobs(self) -> None:
        """Retire every job, and look that no key but the fixed ones is left."""
        policy = replace(QueuePolicy(), keep_done=0, keep_failed=0, retention_ms=0)
        queue = open_work_queue(self.settings, policy, SystemClock())
        with closing(queue), closing(LocalStorage(self.data)) as storage, self.server.admin() as admin:
            tidy(queue, storage)  # as the next fleet does

            def left() -> set[str]:
                queue.tend()
                keys = [key.decode() for key in admin.scan_iter(match=f"{self.settings.prefix}:*", count=1000)]
                own = [key.removeprefix(f"{self.settings.prefix}:") for key in keys]
                return {key for key in own if key not in FIXED_KEYS and not _of_a_worker(key) and not _of_a_login(key)}

            until(lambda: not left(), f"no key but the fixed ones: {left()}")


class Stage:
    """Where scenes are played: makes sites, each in a folder of its own."""

    def __init__(self, folder: Path, server: RedisServer) -> None:
        self.folder = folder
        self.server = server
        self.clip = make_clip(folder)

    def site(self, server: RedisServer | None = None, *, port: int | None = None) -> Site:
        return Site(self.folder / uuid.uuid4().hex, server or self.server, self.clip, port=port)


Scene: TypeAlias = Callable[[Stage], None]


class Played:
    """Scenes that mostly wait, played at the same time, each in a thread of its own."""

    def __init__(self, scenes: Sequence[Scene], stage: Stage) -> None:
        self._pool = ThreadPoolExecutor(max(1, len(scenes)))
        self._outcomes = {scene: self._pool.submit(scene, stage) for scene in scenes}

    def result(self, scene: Scene) -> None:
        """Waits for its end, and raises what it met."""
        self._outcomes[scene].result()

    def close(self) -> None:
        self._pool.shutdown()


@pytest.fixture(scope="module")
def played(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer
) -> Iterator[Played]:
    """All scenes of the module whose tests were chosen: those with a parameter `scene`."""
    ours = [item for item in request.session.items if item.path == request.path]
    specs = [item.callspec for item in ours if hasattr(item, "callspec")]
    scenes = [spec.params["scene"] for spec in specs if "scene" in spec.params]
    playing = Played(scenes, Stage(tmp_path_factory.mktemp("stage"), redis_server))
    yield playing
    playing.close()


@contextmanager
def frozen(*processes: psutil.Process) -> Iterator[None]:
    """SIGSTOP for the block, SIGCONT after it to those that are still there."""
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            if _lives(process):
                process.resume()


def gone(process: psutil.Process) -> bool:
    return not _lives(process)


def _copies(pid: int) -> list[psutil.Process]:
    """Children that were forked and run the same program: no FFmpeg, no trial of a tool."""
    try:
        command = psutil.Process(pid).cmdline()
        return [child for child in _children(pid) if _lives(child) and child.cmdline() == command]
    except psutil.NoSuchProcess:
        return []


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children()
    except psutil.NoSuchProcess:
        return []


def name_of(process: psutil.Process) -> str:
    try:
        return process.name() if _lives(process) else ""
    except psutil.NoSuchProcess:
        return ""


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _mentions(process: psutil.Process, marks: Sequence[bytes]) -> bool:
    """In its environment or among its arguments."""
    try:
        said = b"".join(Path(f"/proc/{process.pid}/{name}").read_bytes() for name in ("environ", "cmdline"))
    except OSError:
        return False  # it has gone
    return any(mark in said for mark in marks)


def _of_a_worker(key: str) -> bool:
    """RQ's registry: a killed worker's record is forgotten by Redis itself, and its name by the next worker."""
    return key.startswith(("worker:", "workers:"))


def _of_a_login(key: str) -> bool:
    """Redis itself forgets logins, after their hours."""
    return key.startswith("session:")

"""The Redis queue's figures, beside plain RQ and BullMQ in the same run on the same server.

    PYTHONPATH=tests .venv/bin/python -m bench.redis_queue [--rounds N] [--quick]

Each figure is the median of the rounds, with their least and most; the rounds of the three take turns. A figure is
"met" by its exact median, and is shown rounded against us. Prints a table; asserts nothing. (It is not called queue.py:
run by its path, any program beside it would import it in the place of the standard library's `queue`.)

    enqueue         from before the call until its answer (position and estimate included), by one client
    to FFmpeg       from just before `enqueue` until the first process of FFmpeg's (ffprobe, within its whole fence)
                    runs, which says so through a pipe; idle `flowscale worker`. RQ, BullMQ: until the job's function
                    is entered
    no-op jobs      fetch, fork and commit by one worker whose horse does nothing else (tiny_worker.py)
    killed worker   SIGKILL of the whole fleet while its job runs, until the job's next execution has begun
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import math
import os
import queue as std_queue
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import uvloop
from bench.rivals import BATCH, BullMq, Rq, bullmq_missing

from flowscale.clocks import SystemClock
from flowscale.jobs import Job
from flowscale.names import job_id
from flowscale.queues.base import QueuePolicy
from flowscale.queues.redis import Keys, RedisJobQueue, open_job_queue
from flowscale.specs import RenderSpec, Source, Trim
from flowscale.storage.local import LocalStorage
from flowscale_cli.screen import table
from integration.processes import until
from integration.program import FLOWSCALE, running
from redis_server import RedisServer

HERE = Path(__file__).parent
SOURCE = f"uploads/{'5' * 32}/clip.mp4"
SPEC = RenderSpec(sources=(Source(key=SOURCE),), trim=Trim(start=0, end=0.2)).to_record()
QUEUED = 10_000
POLICY = QueuePolicy(max_waiting=100_000)
STAGGER_SECONDS = 3.37
"""Between two kills: long enough that restarted fleets do not start at the same time, and no multiple of a renewal."""

NOT_RUN = ("not run: 405-810", "not run: 58")
"""Measured once with the defaults of RQ 3.0.0 and of BullMQ; too long to wait for in each run."""

_Answer = TypeVar("_Answer")


@dataclass
class Figure:
    """One row. `least`: a rate, where more is better; else a time or size. `bound`: a number, or another's median."""

    what: str
    unit: str
    factor: float = 1.0  # from what was measured to the unit
    digits: int = 0
    least: bool = False
    bound: float | str | None = None  # in the unit; "rq": RQ's median of this run
    ours: list[float] = field(default_factory=list)
    rq: list[float] = field(default_factory=list)
    bullmq: list[float] = field(default_factory=list)
    not_run: tuple[str, str] = ("-", "-")  # what is said instead of RQ's and BullMQ's figures

    def row(self) -> tuple[str, str, str, str, str, str]:
        bound = self._bound()
        target = "" if bound is None else f"{'>=' if self.least else '<='} {bound:.{self.digits}f}"
        if self.bound == "rq" and bound is not None:
            target += " (RQ's)"
        return (
            f"{self.what}, {self.unit}",
            self._shown(self.ours, against=True),
            target,
            self._verdict(bound),
            self._shown(self.rq) or self.not_run[0],
            self._shown(self.bullmq) or self.not_run[1],
        )

    def _bound(self) -> float | None:
        if self.bound == "rq":
            return statistics.median(self.rq) * self.factor
        return self.bound if isinstance(self.bound, int | float) else None

    def _verdict(self, bound: float | None) -> str:
        if bound is None or not self.ours:
            return ""
        median = statistics.median(self.ours) * self.factor
        return "met" if (median >= bound if self.least else median <= bound) else "missed"

    def _shown(self, figures: Sequence[float], against: bool = False) -> str:
        if not figures:
            return ""
        scaled = [figure * self.factor for figure in figures]
        if against:  # rounded, it must not look better than it is
            step = 10**self.digits
            scaled = [(math.floor if self.least else math.ceil)(figure * step) / step for figure in scaled]
        text = f"{statistics.median(scaled):.{self.digits}f}"
        if len(scaled) > 1:
            text += f" ({min(scaled):.{self.digits}f}..{max(scaled):.{self.digits}f})"
        return text


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--quick", action="store_true", help="2 rounds, and no killed workers")
    given = arguments.parse_args()
    rounds: int = 2 if given.quick else given.rounds
    missing = bullmq_missing()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="flowscale-bench-") as temporary, RedisServer() as server:
        bench = Bench(server, Path(temporary), rounds, missing is None)
        for measure in (bench.enqueues, bench.starts, bench.no_ops, bench.queued):
            figures += measure()
        if not given.quick:
            figures += bench.killed()
        version = server.info()["redis_version"]
    table([("WHAT", "FLOWSCALE", "TARGET", "", "RQ", "BULLMQ"), *(figure.row() for figure in figures)])
    print(
        f"\nRedis {version}, appendonly everysec; {os.cpu_count()} processors; medians of {rounds} rounds (min..max)."
    )
    if missing:
        print(missing)


class Bench:
    """One server, used by one thing at a time."""

    def __init__(self, server: RedisServer, folder: Path, rounds: int, bullmq: bool) -> None:
        self.server = server
        self.folder = folder
        self.rounds = rounds
        self.settings = server.settings()
        self.keys = Keys(self.settings.prefix)
        self.rq = Rq(server.port, SPEC)
        self.bullmq = BullMq(server.port, SPEC) if bullmq else None
        self.admin = server.admin()

    # Measurements.

    def enqueues(self, count: int = 1024) -> Iterator[Figure]:
        """By one client that awaits each; by 64 at once; and by one client with many waiting already."""
        one = Figure("enqueue, one client awaiting each", "jobs/s", least=True, bound="rq")
        many = Figure(f"enqueue, {BATCH} at once (RQ: enqueue_many)", "jobs/s", least=True, bound=4000)
        full = Figure("enqueue, one client, 9,000 waiting", "jobs/s", least=True)

        async def ours(queue: RedisJobQueue) -> None:
            await enqueue(queue, 50, 1)  # warms up
            one.ours.append(count / await enqueue(queue, count, 1))
            self.flush()
            await enqueue(queue, BATCH, BATCH)
            many.ours.append(4 * count / await enqueue(queue, 4 * count, BATCH))
            self.flush()
            await enqueue(queue, 9_000, BATCH)
            full.ours.append(count / await enqueue(queue, count, 1))

        for _ in range(self.rounds):
            self.flush()
            self.with_queue(ours)
            self.flush()
            self.rq.enqueue(50)
            one.rq.append(count / self.rq.enqueue(count))
            self.flush()
            many.rq.append(4 * count / self.rq.enqueue_many(4 * count))
            self.rq.enqueue_many(9_000 - 4 * count)
            full.rq.append(count / self.rq.enqueue(count))
            if self.bullmq:
                for figure, at_once, number in ((one, 1, count), (many, BATCH, 4 * count)):
                    self.flush()
                    figure.bullmq.append(number / self.bullmq.measure("enqueue", number, at_once))
        yield from (one, many, full)

    def starts(self, samples: int = 20) -> Iterator[Figure]:
        """Enqueue to FFmpeg on an idle worker; one round is `samples` jobs, of which each waits for the one before."""
        half = Figure("enqueue to FFmpeg, idle worker, p50", "ms", 1000, 1, bound=40)
        most = Figure("enqueue to FFmpeg, idle worker, p95", "ms", 1000, 1, bound=80)
        pipe = Pipe(self.folder / "pipe")
        data = self.folder / "data"
        data.mkdir()
        (clip := data / "clip").write_bytes(tiny_clip(self.folder))
        LocalStorage(data).put_file(SOURCE, clip)
        environment = {
            "FLOWSCALE_FFPROBE": str(telling(self.folder / "ffprobe", pipe.path)),
            "STORAGE_DIR": str(data),
        }

        async def ours(queue: RedisJobQueue) -> None:
            waits = []
            for _ in range(samples + 2):
                job = new_job()
                pipe.empty()
                started = time.monotonic()
                await queue.enqueue(job)
                waits.append(await asyncio.to_thread(pipe.heard) - started)
                await asyncio.to_thread(until, partial(self.is_done, job), f"{job.id} to be done")
                await asyncio.sleep(0.2)  # the worker is idle again
            half.ours.append(percentile(waits[2:], 50))
            most.ours.append(percentile(waits[2:], 95))

        for _ in range(self.rounds):
            self.flush()
            with self.program([str(FLOWSCALE), "worker"], **environment):
                self.with_queue(ours)
            self.flush()
            with self.rq.working(self.folder):
                add(half.rq, most.rq, [self.rq_start(pipe) for _ in range(samples + 2)][2:])
            if self.bullmq:
                self.flush()
                add(half.bullmq, most.bullmq, self.bullmq.measure("latency", samples + 2)[2:])
        yield from (half, most)

    def rq_start(self, pipe: Pipe) -> float:
        time.sleep(0.2)  # the worker is idle again
        before = self.rq.finished()
        pipe.empty()
        started = time.monotonic()
        self.rq.enqueue_telling(pipe.path)
        wait = pipe.heard() - started
        until(lambda: self.rq.finished() > before, "RQ's job to end")
        return wait

    def no_ops(self, count: int = 300) -> Iterator[Figure]:
        """Jobs that wait already, through one worker; the first 20 are its start."""
        figure = Figure("no-op jobs through one worker (BullMQ: no fork)", "jobs/s", least=True, bound="rq")
        for _ in range(self.rounds):
            self.flush()
            self.with_queue(lambda queue: enqueue(queue, count, BATCH))
            with self.program([sys.executable, str(HERE / "tiny_worker.py"), "nothing"]):
                figure.ours.append(rate(lambda: int(self.admin.zcard(self.keys.ended[0])), count))
            self.flush()
            self.rq.enqueue_many(count + BATCH)
            with self.rq.working(self.folder):
                figure.rq.append(rate(self.rq.finished, count))
            if self.bullmq:
                self.flush()
                figure.bullmq.append(count / self.bullmq.measure("nothing", count))
        yield figure

    def queued(self) -> Iterator[Figure]:
        """What is asked while QUEUED jobs wait, of the queue and of a real gateway; and what they take."""
        depth = Figure("depth() with 10,000 queued", "ms", 1000, 2, bound=2)
        one = Figure("GET /api/jobs/{id} with 10,000 queued, p99", "ms", 1000, 1, bound=20)
        page = Figure("GET /api/jobs?limit=100 with 10,000 queued, p50", "ms", 1000, 1)
        memory = Figure("Redis memory of one queued job", "bytes")
        with ExitStack() as stack:
            self.flush()
            empty = self.memory()
            environment = {"QUEUE_MODE": "redis", "REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(self.server.port)}
            gateway = stack.enter_context(running("api", self.folder, **environment))
            job_ids: list[str] = []

            async def fill(queue: RedisJobQueue) -> None:
                jobs = [new_job() for _ in range(QUEUED)]
                await each_of(jobs, queue.enqueue, BATCH)
                job_ids.extend(job.id for job in jobs)

            self.with_queue(fill)
            memory.ours.append((self.memory() - empty) / QUEUED)

            async def ask(queue: RedisJobQueue) -> None:
                await queue.depth()
                for _ in range(self.rounds):
                    depth.ours.append(statistics.median([await timed(queue.depth) for _ in range(200)]))

            self.with_queue(ask)
            host, _, port = gateway.url.removeprefix("http://").partition(":")
            connection = http.client.HTTPConnection(host, int(port))
            get(connection, "/api/jobs?limit=100")
            for number in range(self.rounds):
                chosen = job_ids[number::23][:400]
                one.ours.append(percentile([get(connection, f"/api/jobs/{job_id}") for job_id in chosen], 99))
                page.ours.append(percentile([get(connection, "/api/jobs?limit=100") for _ in range(20)], 50))
            connection.close()
        self.flush()
        empty = self.memory()
        self.rq.enqueue_many(QUEUED // BATCH * BATCH)
        memory.rq.append((self.memory() - empty) / (QUEUED // BATCH * BATCH))
        if self.bullmq:
            self.flush()
            empty = self.memory()
            self.bullmq.measure("fill", QUEUED)
            memory.bullmq.append((self.memory() - empty) / QUEUED)
        yield from (depth, one, page, memory)

    def killed(self, times: int = 5) -> Iterator[Figure]:
        """As many services beside one another, each with keys of its own, so that they take one lease's time together.

        With another fleet that lives on; and alone, started again after 100 ms as a supervisor does.
        """
        figures = []
        for survivor in (True, False):
            what = "killed worker to re-run, " + ("another fleet lives" if survivor else "its own fleet restarted")
            figure = Figure(what, "s", 1, 1, bound=25, not_run=NOT_RUN)
            self.flush()
            with ExitStack() as stack:
                trials = [Trial(self, number, survivor, stack) for number in range(times)]
                self.with_each(trials, lambda trial, queue: trial.begin(queue))
                time.sleep(POLICY.lease_ms / 1000 + 2)  # whoever reaps has been in contact for a lease's time
                figure.ours = self.rerun(trials)
            figures.append(figure)
        yield from figures

    def with_each(self, trials: Sequence[Trial], do: Callable[[Trial, RedisJobQueue], Awaitable[None]]) -> None:
        async def run() -> None:
            for trial in trials:
                queue = open_job_queue(trial.settings, POLICY, SystemClock())
                await do(trial, queue)
                await queue.close()

        uvloop.run(run())

    def rerun(self, trials: Sequence[Trial]) -> list[float]:
        """Kill one after the other, and watch all: seconds from each kill until the job's next execution."""
        began = time.monotonic()
        waits: dict[int, float] = {}
        while len(waits) < len(trials):
            assert time.monotonic() < began + 120, "a killed worker's job did not run again within 120 s"
            for trial in trials:
                if trial.killed_at is None:
                    if time.monotonic() >= began + trial.number * STAGGER_SECONDS:
                        trial.kill()
                    continue
                trial.supervise()
                if trial.number not in waits and trial.has_run_again():
                    waits[trial.number] = time.monotonic() - trial.killed_at
            time.sleep(0.01)
        return list(waits.values())

    # Beneath.

    def is_done(self, job: Job) -> bool:
        return self.admin.zscore(self.keys.ended[0], job.id) is not None

    def flush(self) -> None:
        self.admin.flushall()

    def memory(self) -> int:
        return int(self.server.info()["used_memory"])

    def with_queue(self, do: Callable[[RedisJobQueue], Coroutine[Any, Any, _Answer]]) -> _Answer:
        async def run() -> _Answer:
            queue = open_job_queue(self.settings, POLICY, SystemClock())
            try:
                return await do(queue)
            finally:
                await queue.close()

        return uvloop.run(run())

    @contextmanager
    def program(self, command: Sequence[str], **environment: str) -> Iterator[None]:
        """A worker that has reported; ended by SIGTERM and waited for."""
        process = self.start(command, **environment)
        try:
            until(lambda: self.admin.hlen(self.keys.reports[0]), "the worker to report")
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)

    def start(self, command: Sequence[str], **environment: str) -> subprocess.Popen[bytes]:
        variables = {
            "PATH": os.environ["PATH"],
            "QUEUE_MODE": "redis",
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(self.server.port),
            "STORAGE_DIR": str(self.folder / "data"),
            **environment,
        }
        with (self.folder / "workers.log").open("ab") as log:
            return subprocess.Popen(command, env=variables, cwd=self.folder, stdout=log, stderr=log)


class Trial:
    """One service, whose only job is held by a fleet that will be killed."""

    def __init__(self, bench: Bench, number: int, survivor: bool, stack: ExitStack) -> None:
        self.number = number
        self.settings = bench.settings.model_copy(update={"prefix": f"{{trial-{number}}}"})
        self.killed_at: float | None = None
        self._bench = bench
        self._keys = Keys(self.settings.prefix)
        self._job = new_job()
        self._survivor = survivor
        self._fleets: list[subprocess.Popen[bytes]] = []
        stack.callback(self._end)

    async def begin(self, queue: RedisJobQueue) -> None:
        await queue.enqueue(self._job)
        self._start()
        until(self._is_held, "the job to run")
        if self._survivor:
            self._start()

    def kill(self) -> None:
        self._fleets[0].kill()
        self.killed_at = time.monotonic()
        self._fleets[0].wait()

    def supervise(self) -> None:
        """Start the killed fleet again, where there is no other, as a supervisor does after 100 ms."""
        if self._survivor or self.killed_at is None or len(self._fleets) > 1:
            return
        if time.monotonic() > self.killed_at + 0.1:
            self._start()

    def has_run_again(self) -> bool:
        """Between the two executions the record names none; after the second, which is short, it is done."""
        events: Sequence[Any] = self._bench.admin.xrange(self._keys.events(self._job.id)) or ()
        states = [json.loads(fields[b"data"]).get("status") for _, fields in events]
        return states.count("running") > 1

    def _is_held(self) -> bool:
        return self._bench.admin.hget(self._keys.record(self._job.id), "execution") is not None

    def _start(self) -> None:
        command = [sys.executable, str(HERE / "tiny_worker.py"), "hold"]
        data = str(self._bench.folder / f"trial-{self.number}")
        prefix = {"FLOWSCALE_REDIS_PREFIX": self.settings.prefix, "STORAGE_DIR": data}
        self._fleets.append(self._bench.start(command, **prefix))

    def _end(self) -> None:
        for fleet in self._fleets:
            if fleet.poll() is None:
                fleet.terminate()
        for fleet in self._fleets:
            fleet.wait(60)


class Pipe:
    """A named pipe, and when its last line came. Lines come from whatever FFmpeg's place was taken by."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self._end = os.open(path, os.O_RDWR)  # so that it never ends
        self._heard: std_queue.Queue[float] = std_queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def empty(self) -> None:
        while not self._heard.empty():
            self._heard.get()

    def heard(self) -> float:
        """When the next line came, by the monotonic clock."""
        return self._heard.get(timeout=60)

    def _listen(self) -> None:
        while os.read(self._end, 100):
            self._heard.put(time.monotonic())


def telling(program: Path, pipe: Path) -> Path:
    """ffprobe that says it runs, and then is the real one: no process more."""
    program.write_text(f'#!/bin/sh\necho ffprobe >{pipe}\nexec {shutil.which("ffprobe")} "$@"\n')
    program.chmod(0o755)
    return program


def tiny_clip(folder: Path) -> bytes:
    """0.2 s of 64x64."""
    target = folder / "tiny.mp4"
    picture = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=64x64:rate=25:duration=0.2",
        "-c:v",
        "libx264",
        "-pix_fmt",
        "yuv420p",
    ]
    subprocess.run(["ffmpeg", "-v", "error", *picture, str(target)], check=True)
    return target.read_bytes()


def new_job() -> Job:
    now_ms = SystemClock().now_ms()
    return Job(id=job_id(now_ms, uuid4().hex), spec=SPEC, created_ms=now_ms)


async def enqueue(queue: RedisJobQueue, count: int, at_once: int) -> float:
    """Seconds until so many jobs are accepted; they are made before."""
    jobs = [new_job() for _ in range(count)]
    started = time.monotonic()
    await each_of(jobs, queue.enqueue, at_once)
    return time.monotonic() - started


async def each_of(jobs: Sequence[Job], do: Callable[[Job], Awaitable[object]], at_once: int) -> None:
    left = iter(jobs)

    async def client() -> None:
        for job in left:
            await do(job)

    await asyncio.gather(*(client() for _ in range(at_once)))


async def timed(ask: Callable[[], Awaitable[object]]) -> float:
    started = time.monotonic()
    await ask()
    return time.monotonic() - started


def get(connection: http.client.HTTPConnection, path: str) -> float:
    """Seconds until the whole answer is here, on a connection that stays."""
    started = time.monotonic()
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    seconds = time.monotonic() - started
    assert answer.status == 200, body
    return seconds


def rate(done: Callable[[], int], count: int, start: int = 20) -> float:
    """Jobs a second between the first `start` and `count` of them."""
    moments = []
    for number in (start, count):
        while (seen := done()) < number:
            time.sleep(0.002)
        moments.append((time.monotonic(), seen))
    (began, first), (ended, last) = moments
    return (last - first) / (ended - began)


def add(half: list[float], most: list[float], waits: Sequence[float]) -> None:
    half.append(percentile(waits, 50))
    most.append(percentile(waits, 95))


def percentile(figures: Sequence[float], percent: int) -> float:
    """The least figure that so many percent do not exceed: never one between two."""
    return sorted(figures)[math.ceil(len(figures) * percent / 100) - 1]


if __name__ == "__main__":
    main()

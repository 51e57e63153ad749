"""Many tiny jobs while processes are killed at random and the queue's server dies; then every job is accounted for.

    PYTHONPATH=tests .venv/bin/python -m bench.chaos [--jobs N] [--workers N] [--seconds-between-kills X] [--seed S]

Two fleets (tiny_worker.py `copy`: all of `flowscale worker` but FFmpeg) of half the workers each. Jobs are posted over
HTTP to two real gateways under an Idempotency-Key each, and again under the same key until they are answered 202 or
200: what was answered so is "accepted". One in 20 fails for good, one in 10 fails its first attempt. All the while a
fleet, a worker or a work horse, drawn by the seed, gets SIGKILL; the fleet replaces its workers, and a supervisor as
systemd is one replaces fleets after 100 ms. Redis (appendonly everysec) gets SIGKILL three times while jobs are posted.

Prints a table and the broken promises; exit code 1 when there is one. `--quick`: 200 jobs.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import queue as std_queue
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
from redis.exceptions import RedisError

from flowscale.clocks import SystemClock
from flowscale.errors import FileNotFound, QueueUnavailable
from flowscale.jobs import Job, JobState
from flowscale.queues.base import QueuePolicy
from flowscale.queues.redis import Keys, RedisWorkQueue, open_work_queue
from flowscale.queues.redis.connections import describe, worker_client
from flowscale.queues.redis.keys import QUEUES
from flowscale.queues.redis.records import from_record
from flowscale.storage.local import LocalStorage
from flowscale_cli.screen import table
from integration.program import running
from redis_server import RedisServer

TINY_WORKER = Path(__file__).with_name("tiny_worker.py")
CLIP = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp42" + bytes(4096)
"""What the gateway takes for a film; nobody looks further into it here."""

FLEETS, GATEWAYS, POSTERS = 2, 2, 8
RESTART_SECONDS = 0.1
"""As systemd's RestartSec."""

SERVER_DOWN_SECONDS = 1.0
RESTARTS_OF_SERVER = 3
AHEAD = 200
"""Accepted jobs that have not ended, at most: so that posting lasts as long as working does."""

REPEATED_EVERY = 20

TIDY_SECONDS = 90.0
"""For the fleets to tidy up after the last kill: many times what they take between two looks."""

MANY_STALLS = 3
"""Jobs that lost as many workers are told of one by one."""

MARK = "BENCH_CHAOS_RUN"
"""In the environment of every process of a run, so that none left over can hide."""

RQ_SETS = ("queues", "workers", *(f"workers:{queue}" for queue in QUEUES))
STILL_LEFT = frozenset({"counters", "durations", "joined", "profiles", "turns", *RQ_SETS})
"""Keys that stay when no job is left, after the prefix: our figures, and RQ's sets of queues and of workers."""

WEEK_MS = 7 * 24 * 3600 * 1000


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--jobs", type=int, default=10_000, help="at most 10,000: of more, the first are retired")
    arguments.add_argument("--workers", type=int, default=4)
    arguments.add_argument("--seconds-between-kills", type=float, default=1.0)
    arguments.add_argument("--seed", type=int, default=None)
    arguments.add_argument("--quick", action="store_true", help="200 jobs")
    given = arguments.parse_args()
    seed: int = random.randrange(2**32) if given.seed is None else given.seed
    jobs: int = 200 if given.quick else given.jobs
    if jobs > QueuePolicy().keep_at_most:
        arguments.error(f"--jobs: at most {QueuePolicy().keep_at_most}, or the first are retired before the last end")
    print(
        f"{jobs} jobs, {given.workers} workers, a kill every {given.seconds_between_kills:g} s, seed {seed}", flush=True
    )
    with tempfile.TemporaryDirectory(prefix="flowscale-chaos-") as folder, ExitStack() as stack:
        chaos = Chaos(Path(folder), jobs, given.workers, given.seconds_between_kills, seed, stack)
        chaos.run()
        broken = chaos.account()
    for sentence in broken:
        print(f"BROKEN: {sentence}")
    return 1 if broken else 0


@dataclass
class Tally:
    """What the posters know, under one lock."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    accepted: dict[str, str] = field(default_factory=dict)  # job id by Idempotency-Key
    conflicting: list[str] = field(default_factory=list)  # keys that were answered with two jobs
    answers: Counter[str] = field(default_factory=Counter)


class Chaos:
    """One run. Everything but the posting of jobs happens in the main thread."""

    def __init__(self, folder: Path, jobs: int, workers: int, seconds: float, seed: int, stack: ExitStack) -> None:
        self.folder = folder
        self.jobs = jobs
        self.seconds = seconds
        self.random = random.Random(seed)
        self.tally = Tally()
        self.kills: Counter[str] = Counter()
        self.restarts: Counter[str] = Counter()
        self.run_mark = uuid4().hex
        self.server = stack.enter_context(RedisServer())
        self.settings = self.server.settings()
        self.keys = Keys(self.settings.prefix)
        self.queue = open_work_queue(self.settings, QueuePolicy(), SystemClock())
        self.wall_seconds = 0.0
        self.open_at_the_end = -1
        self._environment = {
            "PATH": os.environ["PATH"],
            MARK: self.run_mark,
            "QUEUE_MODE": "redis",
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(self.server.port),
            "STORAGE_DIR": str(folder / "data"),
            "FLOWSCALE_FFMPEG": "true",
            "FLOWSCALE_FFPROBE": "true",
            "WORKER_CONCURRENCY": str(max(1, workers // FLEETS)),
        }
        self._gateways = []
        for number in range(GATEWAYS):
            (folder / f"gateway-{number}").mkdir()
            program = running("api", folder / f"gateway-{number}", **self._environment)
            self._gateways.append(stack.enter_context(program))
        self._fleets: list[subprocess.Popen[bytes] | None] = [self._start_fleet() for _ in range(FLEETS)]
        self._start_at = [0.0] * FLEETS
        stack.callback(self._stop_fleets)

    def run(self) -> None:
        """Until every accepted job has ended, or the deadline."""
        began = time.monotonic()
        deadline = began + 180 + self.jobs / 5
        posters = Posters([gateway.url for gateway in self._gateways], self.jobs, self.tally)
        next_kill = began + self.seconds
        while time.monotonic() < deadline:
            self._supervise()
            if time.monotonic() >= next_kill and self._kill():
                next_kill += self.seconds
            self._restart_server_when_due()
            ended = self._ended()
            if ended is not None:
                posters.allow(ended + AHEAD)
                if posters.are_done() and ended >= self.jobs and self._open() == 0:
                    break
            time.sleep(0.02)
        self.wall_seconds = time.monotonic() - began
        self.open_at_the_end = self._open()
        posters.stop()
        self._wait_until_tidy()
        self._stop_fleets()
        for gateway in self._gateways:
            gateway.process.send_signal(signal.SIGTERM)
            gateway.process.wait(60)

    def _wait_until_tidy(self) -> None:
        """The fleets, no longer killed, may remove what lost executions stored; what they do not is counted."""
        deadline = time.monotonic() + TIDY_SECONDS
        with self.server.admin() as admin:
            while admin.zcard(self.keys.untidy) and time.monotonic() < deadline:
                self._supervise()
                time.sleep(0.1)

    # Chaos.

    def _kill(self) -> bool:
        """SIGKILL for one of a kind that is drawn; False when there is none of it just now."""
        kind = self.random.choice(("fleet", "worker", "horse"))
        victim = self._find(kind)
        if victim is None:
            return False
        with suppress(psutil.NoSuchProcess):
            victim.kill()
            self.kills[kind] += 1
            return True
        return False

    def _find(self, kind: str) -> psutil.Process | None:
        """A live one; a horse lives for some hundredths of a second, so it may take a while to meet one."""
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            found = [psutil.Process(fleet.pid) for fleet in self._fleets if fleet is not None]
            with suppress(psutil.NoSuchProcess):
                for _ in range(("fleet", "worker", "horse").index(kind)):
                    found = [child for process in found for child in process.children()]
                living = [process for process in found if process.status() != psutil.STATUS_ZOMBIE]
                if living:
                    return self.random.choice(living)
        return None

    def _restart_server_when_due(self) -> None:
        done = self.restarts["redis"]
        if done < RESTARTS_OF_SERVER and len(self.tally.accepted) >= self.jobs * (done + 1) // (RESTARTS_OF_SERVER + 1):
            self.server.kill()
            time.sleep(SERVER_DOWN_SECONDS)
            self.server.start()
            self.restarts["redis"] += 1

    def _supervise(self) -> None:
        for number, fleet in enumerate(self._fleets):
            if fleet is not None and fleet.poll() is not None:
                self._fleets[number] = None
                self._start_at[number] = time.monotonic() + RESTART_SECONDS
            elif fleet is None and time.monotonic() >= self._start_at[number]:
                self._fleets[number] = self._start_fleet()
                self.restarts["fleet"] += 1

    def _start_fleet(self) -> subprocess.Popen[bytes]:
        with (self.folder / "fleets.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, TINY_WORKER, "copy"], env=self._environment, cwd=self.folder, stdout=log, stderr=log
            )

    def _stop_fleets(self) -> None:
        living = [fleet for fleet in self._fleets if fleet is not None]
        for fleet in living:
            if fleet.poll() is None:
                fleet.terminate()
        for fleet in living:
            fleet.wait(60)

    # What is known.

    def _ended(self) -> int | None:
        try:
            with self.server.admin() as admin:
                return sum(int(admin.zcard(key)) for key in self.keys.ended)
        except RedisError:
            return None

    def _open(self) -> int:
        """Jobs that wait, are delayed or run."""
        while True:
            try:
                depth = self.queue.depth()
            except QueueUnavailable:
                time.sleep(0.2)
                continue
            return depth.waiting + depth.delayed + depth.running

    def account(self) -> list[str]:
        """Print the table; the promises that were broken."""
        records, events = self._records(), self._events()
        done = [job for job in records.values() if job.state is JobState.DONE]
        errors = Counter(job.failure.code if job.failure else "?" for job in records.values() if job.state == "error")
        accepted = set(self.tally.accepted.values())
        more_done = [job_id for job_id, states in events.items() if states.count("done") > 1]
        storage = LocalStorage(self.folder / "data")
        missing = [job.id for job in done if not _is_whole(storage, job)]
        named = {job.output.key for job in done if job.output}
        orphans = [stored.key for stored in storage.find("outputs/") if stored.key not in named]
        storage.close()
        starts = Counter(states.count("running") for states in events.values())
        counters = self._counters()
        log = (self.folder / "fleets.log").read_text(errors="replace")
        said = Counter(_event(line) for line in log.splitlines())
        left, with_end = self._left_after_retention()
        processes = self._processes()
        wrong_end = [job.id for job in records.values() if not _as_meant(job)]
        table(
            [
                ("WHAT", "HOW MANY"),
                ("accepted", str(len(accepted))),
                ("done", str(len(done))),
                *((f"error {code}", str(count)) for code, count in sorted(errors.items())),
                ("still open at the end", str(self.open_at_the_end)),
                ("accepted, but not known", str(len(accepted - records.keys()))),
                ("known, but not accepted", str(len(records.keys() - accepted))),
                ("keys answered with two jobs", str(len(self.tally.conflicting))),
                ("ended otherwise than their work did", str(len(wrong_end))),
                ("done more than once", str(len(more_done))),
                ("done without their whole output", str(len(missing))),
                ("outputs no job names", str(len(orphans))),
                *((f"jobs with {count} starts", str(number)) for count, number in sorted(starts.items())),
                ("stalls", str(counters.get("stalled", 0))),
                ("ends refused by the fence", str(counters.get("fenced", 0))),
                ("entries refused", str(counters.get("refused", 0))),
                ("keys left after retention", str(len(left))),
                ("  that stay for ever", ", ".join(sorted(STILL_LEFT))),
                ("  that end by themselves (RQ's workers)", str(len(with_end))),
                ("processes left", str(len(processes))),
                *((f"kills of a {kind}", str(count)) for kind, count in sorted(self.kills.items())),
                *((f"restarts of {kind}", str(count)) for kind, count in sorted(self.restarts.items())),
                *((f"answers {kind}", str(count)) for kind, count in sorted(self.tally.answers.items())),
                *((f"log: {name}", str(said[name])) for name in sorted(said) if name.endswith((".crashed", ".fault"))),
                ("log: output.orphaned", str(said["output.orphaned"])),
                ("wall time", f"{self.wall_seconds:.0f} s"),
            ]
        )
        for key in orphans:
            print(f"no job names {key}: {_history(records.get(key.split('/')[1]))}")
        for job in records.values():
            if job.stalls >= MANY_STALLS:
                print(f"{job.id} lost its worker {job.stalls} times: {_history(job)}")
        promises = {
            "jobs are still open": self.open_at_the_end,
            "accepted is not done + error": len(accepted) - len(done) - sum(errors.values()),
            "fewer jobs were accepted than were posted": self.jobs - len(accepted),
            "accepted jobs are not known": len(accepted - records.keys()),
            "jobs are known that nobody was told of": len(records.keys() - accepted),
            "Idempotency-Keys were answered with two jobs": len(self.tally.conflicting),
            "jobs ended otherwise than their work did": len(wrong_end),
            "jobs were done more than once": len(more_done),
            "done jobs lack their output": len(missing),
            "entries were refused": counters.get("refused", 0),
            f"keys are left: {', '.join(left[:5])}": len(left),
            f"processes are left: {processes[:5]}": len(processes),
        }
        return [f"{count} {sentence}" for sentence, count in promises.items() if count]

    def _records(self) -> dict[str, Job]:
        with self.server.admin() as admin:
            job_ids = [job_id.decode() for job_id in admin.zrange(self.keys.every_job, 0, -1)]
            records = {}
            for part in _parts(job_ids):
                with admin.pipeline(transaction=False) as pipeline:
                    for job_id in part:
                        pipeline.hgetall(self.keys.record(job_id))
                    for job_id, raw in zip(part, pipeline.execute(), strict=True):
                        records[job_id] = from_record(job_id, raw, ())
        return records

    def _events(self) -> dict[str, list[str]]:
        """The states that each job's events tell, in order."""
        with self.server.admin() as admin:
            job_ids = [job_id.decode() for job_id in admin.zrange(self.keys.every_job, 0, -1)]
            found = {}
            for part in _parts(job_ids):
                with admin.pipeline(transaction=False) as pipeline:
                    for job_id in part:
                        pipeline.xrange(self.keys.events(job_id))
                    for job_id, entries in zip(part, pipeline.execute(), strict=True):
                        states = [json.loads(fields[b"data"]) for _, fields in entries if fields[b"kind"] == b"state"]
                        found[job_id] = [str(state["status"]) for state in states]
        return found

    def _counters(self) -> dict[str, int]:
        with self.server.admin() as admin:
            found: dict[bytes, bytes] = admin.hgetall(self.keys.counters)
        return {name.decode(): int(count) for name, count in found.items()}

    def _left_after_retention(self) -> tuple[list[str], list[str]]:
        """Keys that neither stay for ever nor end by themselves, and those that do, a week on with nothing to keep."""
        policy = QueuePolicy(keep_done=0, keep_failed=0, keep_at_most=0, retention_ms=0)
        clock = SystemClock()
        client = worker_client(self.settings)
        where = describe(self.settings)
        queue = RedisWorkQueue(client, self.keys, policy, clock, where, now=lambda: clock.now_ms() + WEEK_MS)
        with self.server.admin() as admin:
            size = -1
            while size != (size := self._size(admin)):
                queue.tend()
            queue.close()
            left, with_end = [], []
            for raw in admin.scan_iter(count=1000):
                key = raw.decode()
                name = key.removeprefix(f"{self.keys.prefix}:")
                if admin.ttl(key) > 0:
                    with_end.append(key)
                elif name not in STILL_LEFT:
                    left.append(key)
        return left, with_end

    def _size(self, admin: Any) -> int:
        """Of all there is to retire and to forget."""
        sets = (*self.keys.ended, self.keys.every_job, self.keys.idempotency[1], self.keys.reports[1])
        return sum(int(admin.zcard(key)) for key in sets)

    def _processes(self) -> list[str]:
        """What lives of this run but its server, after everybody was asked to end."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == self.run_mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(f"{process.pid} {' '.join(process.cmdline())}")
        return found


class Posters:
    """Threads that post jobs until all are accepted."""

    def __init__(self, urls: Sequence[str], jobs: int, tally: Tally) -> None:
        self._urls = urls
        self._tally = tally
        self._source = _upload(urls[0])
        self._todo: std_queue.Queue[int] = std_queue.Queue()
        for number in range(jobs):
            self._todo.put(number)
        self._allowed = AHEAD
        self._stopped = False
        self._threads = [threading.Thread(target=self._post_all, args=(number,)) for number in range(POSTERS)]
        for thread in self._threads:
            thread.start()

    def allow(self, accepted: int) -> None:
        """Post until so many are accepted."""
        self._allowed = accepted

    def are_done(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        self._stopped = True
        for thread in self._threads:
            thread.join()

    def _post_all(self, poster: int) -> None:
        turn = poster
        while not self._stopped:
            if len(self._tally.accepted) >= self._allowed:
                time.sleep(0.01)
                continue
            try:
                number = self._todo.get_nowait()
            except std_queue.Empty:
                return
            key = f"chaos-{number}"
            while not self._stopped and not self._post(self._urls[turn % len(self._urls)], key, number):
                turn += 1  # the other gateway, with the same key
                time.sleep(0.05)
            if (
                number % REPEATED_EVERY == 0
            ):  # a client that has its answer asks again, and must be told of the same job
                self._post(self._urls[(turn + 1) % len(self._urls)], key, number)

    def _post(self, url: str, key: str, number: int) -> bool:
        """Whether it was accepted."""
        body = json.dumps({"sourcePath": self._source, "outputName": _name(number)})
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        try:
            connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
            connection.request("POST", "/api/execute", body, headers)
            answer = connection.getresponse()
            text = answer.read()
            connection.close()
        except OSError as error:
            with self._tally.lock:
                self._tally.answers[type(error).__name__] += 1
            return False
        with self._tally.lock:
            self._tally.answers[str(answer.status)] += 1
            if answer.status not in (200, 202):
                return False
            job_id = str(json.loads(text)["jobId"])
            if self._tally.accepted.setdefault(key, job_id) != job_id:
                self._tally.conflicting.append(key)
        return True


def _name(number: int) -> str:
    """What becomes of this job."""
    return "bad" if number % 20 == 7 else "flaky" if number % 10 == 3 else "good"


def _as_meant(job: Job) -> bool:
    """Whether the job ended as its work did. A job that lost too many workers may."""
    if job.failure is not None and job.failure.code == "WORKER_LOST":
        return job.stalls > 3
    name = job.spec["outputName"]
    if name == "bad":
        return job.state is JobState.ERROR and job.failure is not None and job.failure.code == "INVALID_MEDIA"
    return job.state is JobState.DONE and job.failures == (1 if name == "flaky" else 0)


def _history(job: Job | None) -> str:
    """How a job came to its end: each attempt's start (s after its acceptance), length (ms), worker and code."""
    if job is None:
        return "of a job that is not known"
    attempts = (
        f"{(each.started_ms - job.created_ms) / 1000:.1f} s +{each.ended_ms - each.started_ms} ms "
        f"{each.worker.partition('-')[2] or each.worker} {each.code or 'done'}"
        for each in job.attempts
    )
    output = job.output.key.split("/")[2] if job.output else "no output"
    return f"{job.state}, {output}; {'; '.join(attempts)}"


def _is_whole(storage: LocalStorage, job: Job) -> bool:
    if job.output is None:
        return False
    try:
        return b"".join(storage.open_range(job.output.key, 0, 2 * len(CLIP))) == CLIP
    except FileNotFound:
        return False


def _upload(url: str) -> str:
    """The source of every job, through a gateway; its path in the storage."""
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="clip.mp4"\r\n\r\n' + CLIP + b"\r\n--b--\r\n"
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    connection.request("POST", "/api/upload", form, {"Content-Type": "multipart/form-data; boundary=b"})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    assert answer.status == 200, text
    return str(json.loads(text)["filePath"])


def _event(line: str) -> str:
    try:
        return str(json.loads(line).get("event", "?"))
    except ValueError:
        return "no log line"


def _parts(job_ids: Sequence[str], size: int = 500) -> Iterator[Sequence[str]]:
    for at in range(0, len(job_ids), size):
        yield job_ids[at : at + size]


if __name__ == "__main__":
    sys.exit(main())

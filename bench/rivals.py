"""Plain RQ and BullMQ as their own documentation uses them, on the same server, for bench/redis_queue.py.

RQ runs as its own program `rq worker` with the JSON serializer and its defaults; rq_jobs.py holds its functions. BullMQ
is installed by npm into .cache/bullmq from the lock file in bench/bullmq, where node and npm are there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

HERE = Path(__file__).parent
CACHE = HERE.parent / ".cache" / "bullmq"
NAME = "bench"
BATCH = 64
"""Jobs of one `enqueue_many`, beside as many concurrent awaits of ours."""


class Rq:
    """A client of RQ and, within `working`, one worker of it."""

    def __init__(self, port: int, spec: Mapping[str, Any]) -> None:
        self._port = port
        self._spec = dict(spec)
        self._client = Redis(port=port)
        self._queue = Queue(NAME, connection=self._client, serializer=JSONSerializer)

    def enqueue(self, count: int) -> float:
        """Seconds for so many calls, one after the other."""
        started = time.monotonic()
        for _ in range(count):
            self._queue.enqueue("rq_jobs.nothing", self._spec)
        return time.monotonic() - started

    def enqueue_many(self, count: int) -> float:
        """Seconds for as many jobs in pipelines of BATCH: what RQ has for many at once, as it has no coroutines."""
        started = time.monotonic()
        for _ in range(count // BATCH):
            jobs = [Queue.prepare_data("rq_jobs.nothing", (self._spec,)) for _ in range(BATCH)]
            self._queue.enqueue_many(jobs)
        return (time.monotonic() - started) * count / (count // BATCH * BATCH)

    def enqueue_telling(self, pipe: Path) -> None:
        self._queue.enqueue("rq_jobs.tell", self._spec, str(pipe))

    def finished(self) -> int:
        """Jobs done so far, without RQ's clean-up."""
        return int(self._client.zcard(f"rq:finished:{NAME}"))

    @contextmanager
    def working(self, folder: Path) -> Iterator[None]:
        """While one `rq worker` runs, in burst or not; ended by SIGTERM and waited for."""
        program = Path(sys.executable).with_name("rq")
        command: list[str | Path] = [program, "worker", "--quiet", "--serializer", "json", "--path", HERE]
        command += ["--url", f"redis://127.0.0.1:{self._port}", NAME]
        with (folder / "rq.log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        try:
            while not self._client.scard("rq:workers") and process.poll() is None:
                time.sleep(0.02)
            yield
        finally:
            process.terminate()
            process.wait(30)


class BullMq:
    """bench.mjs, one process for each measurement. The start of Node is not part of any figure."""

    def __init__(self, port: int, spec: Mapping[str, Any]) -> None:
        self._words = (str(port), json.dumps(dict(spec)))

    def measure(self, *words: str | int) -> Any:
        """The seconds, or list of seconds, that bench.mjs says."""
        command = ["node", "bench.mjs", *self._words, *map(str, words)]
        answer = subprocess.run(command, cwd=CACHE, check=True, capture_output=True, text=True, timeout=300)
        return json.loads(answer.stdout)["seconds"]


def bullmq_missing() -> str | None:
    """Install BullMQ as the lock file says, unless that is done; why it cannot be measured, if it cannot."""
    if not (shutil.which("node") and shutil.which("npm")):
        return "no Node here: BullMQ not measured"
    CACHE.mkdir(parents=True, exist_ok=True)
    names: Sequence[str] = ("package.json", "package-lock.json", "bench.mjs")
    same = all(_same(HERE / "bullmq" / name, CACHE / name) for name in names[:2])
    for name in names:
        shutil.copyfile(HERE / "bullmq" / name, CACHE / name)
    if same and (CACHE / "node_modules" / "bullmq").is_dir():
        return None
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    answer = subprocess.run(command, cwd=CACHE, capture_output=True, text=True, env={**os.environ, "CI": "1"})
    if answer.returncode != 0:
        last = (answer.stderr.strip() or "npm said nothing").splitlines()[-1]
        return f"npm could not install it ({last}): BullMQ not measured"
    return None


def _same(left: Path, right: Path) -> bool:
    return right.is_file() and left.read_bytes() == right.read_bytes()

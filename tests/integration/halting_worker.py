"""`flowscale worker` whose processes meet their end at steps named beforehand: production code has no hook for it.

    python halting_worker.py FOLDER PLAN

PLAN is JSON: for each seat in turn a list of halts, [step, what]. Each is met once, whichever process of the seat comes
there first; then FOLDER/SEAT-NUMBER appears with the process ids of the worker and, in a horse, of the horse. Steps:

    before X, after X    X: a script of the queue by its name (peek, start, renew, progress, commit, fail, release,
                         stall, ...), a call of the storage (fetch, put_file, delete), `fork`, `ffprobe`, `ffmpeg`
    born                 the first step of a horse

What happens there:

    kill                 SIGKILL to this process
    kill worker          from a horse: SIGKILL to its worker
    freeze               from a horse: SIGSTOP to its worker and itself
    wait                 it goes on when FOLDER/SEAT-NUMBER.go appears

A job of the project `poison` kills its horse whenever FFmpeg is to look at its source.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

from flowscale import logs
from flowscale.clocks import Clock, SystemClock
from flowscale.queues.base import Execution, QueuePolicy
from flowscale.queues.redis import Keys, RedisWorkQueue, open_work_queue
from flowscale.queues.redis.connections import describe, worker_client
from flowscale.queues.redis.scripts import Batch, script
from flowscale.settings import RedisSettings, Settings, tell_rq
from flowscale.storage.base import StoredObject
from flowscale.storage.local import LocalStorage
from flowscale_cli.service import queue_policy
from flowscale_worker import ffmpeg, processes, redis_fleet
from flowscale_worker.seats import Seat

POISON = "poison"
LOOK_SECONDS = 0.05

_lua = [file.name[:-4] for file in (resources.files("flowscale.queues.redis") / "lua").iterdir()]
_names = {script(name).sha: name for name in _lua if name != "shared"}


class Halts:
    """What this process is to meet: of the seat it belongs to, once it knows it."""

    def __init__(self) -> None:
        self.folder = Path(sys.argv[1])
        self.plan: list[list[list[str]]] = json.loads(sys.argv[2])
        self.seat: int | None = None
        self.worker = 0
        self.job: str | None = None  # in a horse: its project

    def reach(self, step: str) -> None:
        if self.job == POISON and step == "before ffprobe":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.seat is None or self.seat >= len(self.plan):
            return
        for number, (planned, what) in enumerate(self.plan[self.seat]):
            if planned == step and self._first(number):
                self._meet(what, self.folder / f"{self.seat}-{number}.go")

    def expects(self, step: str, what: str) -> bool:
        """Whether this is planned for this seat."""
        return self.seat is not None and self.seat < len(self.plan) and [step, what] in self.plan[self.seat]

    def _first(self, number: int) -> bool:
        note = self.folder / f"{self.seat}-{number}"
        half = note.with_suffix(f".{os.getpid()}")
        half.write_text(f"{self.worker} {os.getpid()}")
        try:
            os.link(half, note)
        except FileExistsError:
            return False
        finally:
            half.unlink()
        return True

    def _meet(self, what: str, go: Path) -> None:
        if what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif what == "kill worker":
            os.kill(self.worker, signal.SIGKILL)
            while os.getppid() == self.worker:
                time.sleep(LOOK_SECONDS)  # the kernel ends us with it; a horse that was just born looks for itself
        elif what == "freeze":
            os.kill(self.worker, signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGSTOP)
        elif what == "wait":
            while not go.exists():
                time.sleep(LOOK_SECONDS)
        else:
            raise ValueError(what)

    @contextmanager
    def around(self, *names: str) -> Iterator[None]:
        for name in names:
            self.reach(f"before {name}")
        yield
        for name in names:
            self.reach(f"after {name}")


halts = Halts()


class HaltingQueue(RedisWorkQueue):
    """`spare` opens another, over connections of its own."""

    spare: Callable[[], RedisWorkQueue]

    def _execute(self, batch: Batch) -> list[Any]:
        called = [_names[_sha(each.words[1])] for each in batch if each.words[0] == "EVALSHA"]
        execute = super()._execute
        if any(halts.expects(f"before {name}", "wait") for name in called):
            # What is sent after the wait goes over a connection that is there and that no other thread uses.
            spare = self.spare()
            spare.depth()
            execute = spare._execute
        with halts.around(*called):
            return execute(batch)


class HaltingStorage(LocalStorage):
    def fetch(self, key: str, target: Path) -> StoredObject:
        with halts.around("fetch"):
            return super().fetch(key, target)

    def put_file(self, key: str, source: Path) -> StoredObject:
        with halts.around("put_file"):
            return super().put_file(key, source)

    def delete(self, key: str) -> None:
        with halts.around("delete"):
            super().delete(key)


def _sha(word: str | bytes | int) -> str:
    return word.decode() if isinstance(word, bytes) else str(word)


def open_halting_queue(settings: RedisSettings, policy: QueuePolicy, clock: Clock) -> HaltingQueue:
    queue = HaltingQueue(worker_client(settings), Keys(settings.prefix), policy, clock, describe(settings))
    queue.spare = lambda: open_work_queue(settings, policy, clock)
    return queue


def main() -> int:
    settings = Settings.load()
    logs.configure("info", "json")
    tell_rq(settings.redis.prefix)
    from flowscale_worker import leased_worker  # not earlier: RQ reads its prefix when it is imported

    really_work_in, really_render = redis_fleet.work_in, redis_fleet.render
    really_fork, really_run = processes.fork, ffmpeg.run

    def work_in(seat: Seat, *arguments: Any) -> int:
        halts.seat, halts.worker = seat.number, os.getpid()
        return really_work_in(seat, *arguments)

    def render(execution: Execution, *arguments: Any) -> int:
        halts.job = execution.job.project_id
        return really_render(execution, *arguments)

    def fork(child: Callable[[], int], **options: Any) -> int:
        def horse() -> int:
            halts.reach("born")
            return child()

        with halts.around("fork"):
            return really_fork(horse, **options)

    def run(program: str, *arguments: Any, **options: Any) -> ffmpeg.Ended:
        with halts.around("ffprobe" if program.endswith("ffprobe") else "ffmpeg"):
            return really_run(program, *arguments, **options)

    replaced: list[tuple[Any, str, Any]] = [
        (redis_fleet, "work_in", work_in),
        (redis_fleet, "render", render),
        (redis_fleet, "open_work_queue", open_halting_queue),
        (redis_fleet, "open_storage", lambda settings: HaltingStorage(settings.dir)),
        (leased_worker, "fork", fork),
        (ffmpeg, "run", run),
    ]
    for module, name, ours in replaced:
        getattr(module, name)  # what is not there would be replaced in vain
        setattr(module, name, ours)
    return redis_fleet.run_fleet(settings, queue_policy(settings), SystemClock(), autoscale=False)


if __name__ == "__main__":
    sys.exit(main())

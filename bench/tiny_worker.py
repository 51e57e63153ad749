"""`flowscale worker` with one step of it replaced, for bench/redis_queue.py and bench/chaos.py.

    python bench/tiny_worker.py KIND        settings from the environment, as for `flowscale worker`

Everything is the product's own, down to flowscale_worker.redis_fleet.run_fleet, but for one step:

    copy      `render` within flowscale_worker.execution.Executor: no FFmpeg, the output is a copy of the source. Fetch,
              heartbeat, scratch, storage, commit and sweep are the Executor's. By the output's name a job named `bad`
              fails for good, and one named `flaky` fails its first attempt and may be tried again.
    nothing   the whole work horse: it commits an output that is stored nowhere. What is left is fetch, fork and commit.
    hold      the whole work horse: it renews its lease and does nothing, for ever, until its worker has been lost once;
              then as `nothing`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from flowscale import logs
from flowscale.clocks import Clock, SystemClock
from flowscale.errors import FFmpegSpawn, InvalidMedia
from flowscale.jobs import Output
from flowscale.names import output_key
from flowscale.queues.base import Execution, QueuePolicy
from flowscale.queues.redis import open_work_queue
from flowscale.settings import Settings
from flowscale.specs import Format, Quality, RenderSpec
from flowscale_cli.service import queue_policy
from flowscale_worker import execution as executing
from flowscale_worker import redis_fleet
from flowscale_worker.execution import Heartbeat
from flowscale_worker.ffmpeg import Tools
from flowscale_worker.kit import Kit
from flowscale_worker.pipeline import Rendered
from flowscale_worker.plan import RenderPlan

HORSE_DONE = 0  # leased_worker.HORSE_DONE, which cannot be imported before RQ has been told its prefix

_whole_horse = redis_fleet.render
_PLAN = RenderPlan((), None, None, Fraction(25), "", None, 0, 1.0, 0, 0, 0, Format.MP4, Quality.MEDIUM, False, False)
"""What nobody reads."""

_failures = 0
"""Attempts that the job of this horse has used up."""


def copying(execution: Execution, settings: Settings, policy: QueuePolicy, clock: Clock, tools: Tools) -> int:
    """The product's horse, which reaches `copy` by way of the Executor."""
    global _failures
    _failures = execution.job.failures
    return _whole_horse(execution, settings, policy, clock, tools)


def copy(spec: RenderSpec, files: Sequence[Path], folder: Path, kit: Kit) -> Rendered:
    """In the place of flowscale_worker.pipeline.render, with its signature."""
    if spec.output_name == "bad":
        raise InvalidMedia("It is to fail for good.")
    if spec.output_name == "flaky" and _failures == 0:
        raise FFmpegSpawn("It is to fail once.")
    kit.go_on()
    target = folder / "copy"
    target.write_bytes(files[0].read_bytes())
    return Rendered(target, target.stat().st_size, 40, _PLAN)


def nothing(execution: Execution, settings: Settings, policy: QueuePolicy, clock: Clock, _tools: Tools) -> int:
    queue = open_work_queue(settings.redis, policy, clock)
    key = output_key(execution.job.id, execution.id, "nothing.mp4")
    queue.commit(execution, Output(key, 0, "video/mp4", 0))
    return HORSE_DONE


def hold(execution: Execution, settings: Settings, policy: QueuePolicy, clock: Clock, tools: Tools) -> int:
    if execution.job.stalls:
        return nothing(execution, settings, policy, clock, tools)
    with Heartbeat(open_work_queue(settings.redis, policy, clock), execution):
        while True:
            time.sleep(60)


_Horse = Callable[[Execution, Settings, QueuePolicy, Clock, Tools], int]
_HORSES: Mapping[str, _Horse] = {"copy": copying, "nothing": nothing, "hold": hold}


def main() -> int:
    settings = Settings.load()
    logs.configure(settings.logs.level, settings.logs.format)
    # Replaced on purpose, where the product looks them up.
    executing.render = copy  # type: ignore[attr-defined]  # imported there, not exported
    redis_fleet.render = _HORSES[sys.argv[1]]  # type: ignore[assignment]  # of the same shape
    return redis_fleet.run_fleet(settings, queue_policy(settings), SystemClock(), autoscale=False)


if __name__ == "__main__":
    sys.exit(main())

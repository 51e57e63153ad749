"""Fakes and builders for tests, shipped so that a plug-in's tests can use them too.

The one fake is time. Queues and storages need none: the memory queue and the local storage are real.
"""

from __future__ import annotations

from itertools import count
from typing import Any

from flowscale import names
from flowscale.jobs import Failure, Job, Output
from flowscale.queues.base import Execution, WorkerReport

START_MS = 1_700_000_000_000
"""Unix ms at which a FakeClock and the jobs of `a_job` begin: 2023-11-14T22:13:20Z."""

_serials = count(1)


class FakeClock:
    """A Clock that only moves when told to. Its monotonic reading begins at 0."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self._now_ms = now_ms
        self._elapsed_ms = 0

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic(self) -> float:
        return self._elapsed_ms / 1000

    def advance(self, seconds: float = 0, *, ms: int = 0) -> None:
        """Time passes: both readings move on, to the nearest ms."""
        passed = round(seconds * 1000) + ms
        if passed < 0:
            raise ValueError("time does not run backwards; use step_wall_clock to set the Unix clock")
        self._now_ms += passed
        self._elapsed_ms += passed

    def step_wall_clock(self, ms: int) -> None:
        """Somebody sets the Unix clock: `now_ms` jumps, forwards or back, and no time passes."""
        self._now_ms += ms


def no_jitter() -> float:
    """A `chance` that draws 0: retries come exactly after their base delay."""
    return 0.0


def a_job(**facts: Any) -> Job:
    """A new QUEUED job with an id of its own; later ones have higher ids. Any field can be given."""
    created_ms = facts.pop("created_ms", START_MS)
    job_id = facts.pop("id", None) or names.job_id(created_ms, f"{next(_serials):032x}")
    spec = facts.pop("spec", {"sourcePath": names.upload_key("0" * 32, "clip.mp4")})
    return Job(id=job_id, spec=spec, created_ms=created_ms, **facts)


def an_output(execution: Execution, *, size: int = 1_000) -> Output:
    """What this execution would publish: 10 s of MP4 under a key of its own."""
    key = names.output_key(execution.job.id, execution.id, "clip.mp4")
    return Output(key=key, size=size, media_type="video/mp4", duration_ms=10_000)


def a_failure(code: str = "FFMPEG_EXIT_ERROR", *, retryable: bool = True) -> Failure:
    return Failure(code, f"ended with {code}", retryable)


def a_report(worker: str = "worker-1", *, problem: str | None = None, group: str | None = None) -> WorkerReport:
    """Of a worker that has found its FFmpeg, unless it has a problem."""
    path, version = ("/usr/bin/ffmpeg", "7.1.5") if problem is None else (None, None)
    return WorkerReport(worker, START_MS, path, version, problem, group=group)

"""What a queue counts of all that ever passed through it, under the same names in every backend. Pure.

They are counted where the state changes, in the same step, so that they are exact whatever is killed. In Redis they
belong to the queue, not to a process: every gateway shows the same ones.

What a worker alone knows (how long it rendered, what it did with the storage) it hands in with the end of its
execution, which counts it in that same step: once, however often the end is asked for. Of an execution that is killed
it is lost with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from flowscale.jobs import Job, JobState

JOB_SECONDS_BUCKETS = (10, 30, 60, 120, 300, 600)
"""Seconds; fixed by the service FlowScale replaces."""

WAIT_SECONDS_BUCKETS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800)
"""Seconds in a line before a start: from a worker that was free to half an hour, which no client waits for."""

NOTHING: Mapping[str, int] = MappingProxyType({})
"""What an execution hands in that has nothing to tell."""


def count_of_end(job: Job) -> Mapping[str, int]:
    """What the end of a job adds."""
    counts = {f"ended:{job.state.public}": 1}
    if job.state is JobState.ERROR and job.failure is not None:
        counts[f"failed:{job.failure.code}"] = 1
    if job.duration_ms is not None:
        took_ms = max(0, job.duration_ms)
        counts |= {"took:count": 1, "took:ms": took_ms}
        bucket = next((bucket for bucket in JOB_SECONDS_BUCKETS if took_ms <= bucket * 1000), None)
        if bucket is not None:
            counts[f"took:{bucket}"] = 1
    return counts


def count_of_start(waited_ms: int) -> Mapping[str, int]:
    """What the start of an execution adds whose job had waited so long in its line."""
    waited_ms = max(0, waited_ms)
    counts = {"started": 1, "wait:count": 1, "wait:ms": waited_ms}
    bucket = next((bucket for bucket in WAIT_SECONDS_BUCKETS if waited_ms <= bucket * 1000), None)
    if bucket is not None:
        counts[f"wait:{bucket:g}"] = 1
    return counts


def count_of_render(media_format: str, took_ms: int, media_ms: int) -> Mapping[str, int]:
    """What a render adds that took so long and made so many ms of media; both or neither, so that they can be
    divided."""
    if media_ms <= 0:
        return NOTHING
    return {f"render:ms:{media_format}": max(0, took_ms), f"media:ms:{media_format}": media_ms}

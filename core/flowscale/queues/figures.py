"""What a queue counts of all that ever passed through it, under the same names in every backend. Pure.

They are counted where the state changes, in the same step, so that they are exact whatever is killed. In Redis they
belong to the queue, not to a process: every gateway shows the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping

from flowscale.jobs import Job, JobState

JOB_SECONDS_BUCKETS = (10, 30, 60, 120, 300, 600)
"""Seconds; fixed by the service FlowScale replaces."""


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

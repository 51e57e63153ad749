"""Whether workers were removed that rendered, judged by the records of jobs and of pods alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any


def moment(text: str) -> float:
    """Unix seconds of a time in an answer of the service."""
    return datetime.fromisoformat(text).timestamp()


def busy_removals(removals: Mapping[str, float], jobs: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for each worker whose end began (`removals`: pod and Unix seconds) in the middle of an execution."""
    return [
        f"{pod} was removed {at - moment(attempt['startedAt']):.1f} s after it had begun {job['jobId']}"
        for job in jobs
        for attempt in job["attempts"]
        for pod, at in removals.items()
        if pod in attempt["worker"] and moment(attempt["startedAt"]) < at < moment(attempt["endedAt"])
    ]


def late_starts(removals: Mapping[str, float], jobs: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for each job that a worker began whose end had begun, as was seen by then. No fault: it has all its
    grace for it."""
    return [
        f"{pod} began {job['jobId']} {moment(attempt['startedAt']) - at:.1f} s after it was removed"
        for job in jobs
        for attempt in job["attempts"]
        for pod, at in removals.items()
        if pod in attempt["worker"] and moment(attempt["startedAt"]) > at
    ]


def begun_again(jobs: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for each job that is not done, or took more than one execution."""
    found = []
    for job in jobs:
        codes = [attempt.get("code") for attempt in job["attempts"]]
        if job["status"] != "done" or codes != [None]:
            told = [attempt.get("message") for attempt in job["attempts"]]
            found.append(f"{job['jobId']} is {job['status']} after {codes}: {told}")
    return found

"""Command-line options of a scaling policy, by the names that a WorkerScaler's spec and the chart's values have."""

from __future__ import annotations

from typing import Annotated

import typer

from flowscale.errors import InvalidOptions
from flowscale.scaling import Policy

Minimum = Annotated[int, typer.Option("--min", help="Never fewer workers.")]
Maximum = Annotated[int, typer.Option("--max", help="Never more workers.")]
JobsPerWorker = Annotated[
    int | None, typer.Option(help="Jobs that each worker has to see to, the one it renders included; 1 by default.")
]
MaxWait = Annotated[
    float | None, typer.Option(help="Seconds that no job is to wait, instead of a number of jobs for each worker.")
]
Idle = Annotated[float, typer.Option(help="Seconds that fewer workers must have been enough before there are fewer.")]
StepUp = Annotated[int, typer.Option(help="Workers that one decision adds at most.")]
StepDown = Annotated[int, typer.Option(help="Per cent of the workers that one decision takes at most.")]
Start = Annotated[float, typer.Option(help="Seconds that a new worker takes to start.")]
Renders = Annotated[int, typer.Option(help="Renders that a worker does at once (WORKER_CONCURRENCY).")]


def read_policy(
    minimum: int,
    maximum: int,
    *,
    jobs_per_worker: int | None,
    max_wait: float | None,
    idle: float,
    step_up: int,
    step_down: int,
    start: float,
    renders: int,
) -> Policy:
    """Raises InvalidOptions for bounds that contradict each other. `max_wait`, `idle` and `start` in seconds."""
    try:
        return Policy(
            minimum=minimum,
            maximum=maximum,
            jobs_per_worker=jobs_per_worker,
            max_step_up=step_up,
            idle_ms=round(idle * 1000),
            max_step_down_percent=step_down,
            warm_up_ms=round(start * 1000),
            max_wait_ms=None if max_wait is None else round(max_wait * 1000),
            renders_per_worker=renders,
        )
    except ValueError as error:
        raise InvalidOptions(f"No such policy can be: {error}.") from error


def policy_text(policy: Policy) -> str:
    """In a sentence."""
    if policy.max_wait_ms is None:
        target = "a job for each" if policy.jobs_per_worker == 1 else f"{policy.jobs_per_worker} jobs for each"
    else:
        target = f"so many that no job waits longer than {policy.max_wait_ms / 1000:g} s"
    return f"{policy.minimum} to {policy.maximum} workers, {target}; fewer after {policy.idle_ms / 1000:g} s"


def policy_json(policy: Policy) -> dict[str, int | None]:
    return {
        "minimum": policy.minimum,
        "maximum": policy.maximum,
        "jobsPerWorker": policy.jobs_per_worker,
        "maxWaitMs": policy.max_wait_ms,
        "idleMs": policy.idle_ms,
        "maxStepUp": policy.max_step_up,
        "maxStepDownPercent": policy.max_step_down_percent,
        "startMs": policy.warm_up_ms,
        "rendersPerWorker": policy.renders_per_worker,
    }

"""`flowscale queue`: how the Redis queue stands, and holding it up for a while. Talks to the queue's server itself."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from flowscale.clocks import SystemClock
from flowscale.errors import FlowScaleError, QueueUnavailable, SettingsError
from flowscale.queues.admin_view import AuditEntry, GatewayQueue
from flowscale.queues.base import Figures, JobQueue, QueuePolicy
from flowscale.settings import Settings
from flowscale_cli import policy_options
from flowscale_cli.person import user_name
from flowscale_cli.screen import facts, say

queue = typer.Typer(help="The queue of a service over Redis.", no_args_is_help=True)

_Answer = TypeVar("_Answer")


@queue.command()
def status() -> None:
    """How many jobs wait and run, since when, and which workers there are."""
    figures, warnings = with_queue(_read)
    depth = figures.depth
    oldest = "" if figures.oldest_wait_ms is None else f", the oldest for {figures.oldest_wait_ms / 1000:.0f} s"
    facts(
        {
            "waiting": f"{depth.waiting}{oldest}",
            "retries": f"{depth.due} due, {depth.delayed} delayed",
            "running": str(depth.running),
            "paused": "yes: no job is handed out (flowscale queue resume)" if figures.paused else "no",
            "ended": f"{figures.counts.get('ended:done', 0)} done, {figures.counts.get('ended:error', 0)} in error",
            "workers": "\n".join(_workers(figures)) or "none has reported",
        }
    )
    for warning in warnings:
        say(f"warning: {warning}")


@queue.command()
def pause() -> None:
    """Hand out no job until `resume`; jobs are accepted, and those that run go on."""
    steer("pause", None, lambda jobs: jobs.pause())
    say("Paused. Jobs are accepted and wait; what runs goes on. `flowscale queue resume` ends it.")


@queue.command()
def resume() -> None:
    """Hand out jobs again."""
    steer("resume", None, lambda jobs: jobs.resume())
    say("Jobs are handed out.")


@queue.command()
def explain(
    minimum: policy_options.Minimum = 0,
    maximum: policy_options.Maximum = 4,
    jobs_per_worker: policy_options.JobsPerWorker = None,
    max_wait: policy_options.MaxWait = None,
    idle: policy_options.Idle = 60.0,
    step_up: policy_options.StepUp = 100,
    step_down: policy_options.StepDown = 100,
    start: policy_options.Start = 10.0,
    renders: policy_options.Renders = 1,
    workers: Annotated[
        int | None, typer.Option(help="Workers that there are; those that reported lately, if it is not given.", min=0)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """What an operator would read of the queue now, how many workers it would want by it, and why."""
    from flowscale_cli import explain as explaining

    policy = policy_options.read_policy(
        minimum,
        maximum,
        jobs_per_worker=jobs_per_worker,
        max_wait=max_wait,
        idle=idle,
        step_up=step_up,
        step_down=step_down,
        start=start,
        renders=renders,
    )
    demand = asyncio.run(explaining.read_demand(_settings().redis))
    explaining.explain(demand, policy, workers, as_json=as_json)


async def _read(jobs: JobQueue) -> tuple[Figures, tuple[str, ...]]:
    return await jobs.figures(), tuple(await jobs.warnings())


def _workers(figures: Figures) -> list[str]:
    return [
        f"{name}: {report.problem or f'ready, {report.slots} at once'} (reported {age_ms / 1000:.0f} s ago)"
        for name, (report, age_ms) in figures.workers.items()
    ]


def _settings() -> Settings:
    settings = Settings.load()
    if settings.queue.mode != "redis":
        raise SettingsError("QUEUE_MODE: a queue in memory is known to its own process alone; set QUEUE_MODE=redis")
    return settings


def with_queue(ask: Callable[[GatewayQueue], Awaitable[_Answer]]) -> _Answer:
    """Raises SettingsError without a Redis queue, QueueUnavailable when it cannot be reached."""
    from flowscale.queues.redis import open_job_queue

    settings = _settings()

    async def run() -> _Answer:
        jobs = open_job_queue(settings.redis, QueuePolicy(), SystemClock())
        try:
            return await ask(jobs)
        finally:
            await jobs.close()

    return asyncio.run(run())


def steer(action: str, target: str | None, ask: Callable[[GatewayQueue], Awaitable[_Answer]]) -> _Answer:
    """As `with_queue`; and the audit log has it, as it has what people do on the page, unless the queue is away."""

    async def run(jobs: GatewayQueue) -> _Answer:
        actor, outcome = f"{user_name()} by the command line at {socket.gethostname()}", "ok"
        try:
            return await ask(jobs)
        except FlowScaleError as error:
            outcome = error.code
            raise
        finally:
            if outcome != QueueUnavailable.code:
                await _write_down(jobs, AuditEntry(SystemClock().now_ms(), actor, action, target, outcome, "-"))

    return with_queue(run)


async def _write_down(jobs: GatewayQueue, entry: AuditEntry) -> None:
    """What was done is done, whether or not it can be written down."""
    try:
        await jobs.add_audit(entry)
    except QueueUnavailable as error:
        say(f"warning: the audit log lacks this: {error.message}")

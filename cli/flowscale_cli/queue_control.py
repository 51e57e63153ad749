"""`flowscale queue`: how the Redis queue stands, and holding it up for a while. Talks to the queue's server itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import typer

from flowscale.clocks import SystemClock
from flowscale.errors import SettingsError
from flowscale.queues.base import Figures, JobQueue, QueuePolicy
from flowscale.settings import Settings
from flowscale_cli.screen import facts, say

queue = typer.Typer(help="The queue of a service over Redis.", no_args_is_help=True)

_Answer = TypeVar("_Answer")


@queue.command()
def status() -> None:
    """How many jobs wait and run, since when, and which workers there are."""
    figures, warnings = _with_queue(_read)
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
    _with_queue(lambda jobs: jobs.pause())
    say("Paused. Jobs are accepted and wait; what runs goes on. `flowscale queue resume` ends it.")


@queue.command()
def resume() -> None:
    """Hand out jobs again."""
    _with_queue(lambda jobs: jobs.resume())
    say("Jobs are handed out.")


async def _read(jobs: JobQueue) -> tuple[Figures, tuple[str, ...]]:
    return await jobs.figures(), tuple(await jobs.warnings())


def _workers(figures: Figures) -> list[str]:
    return [
        f"{name}: {report.problem or f'ready, {report.slots} at once'} (reported {age_ms / 1000:.0f} s ago)"
        for name, (report, age_ms) in figures.workers.items()
    ]


def _with_queue(ask: Callable[[JobQueue], Awaitable[_Answer]]) -> _Answer:
    """Raises SettingsError without a Redis queue, QueueUnavailable when it cannot be reached."""
    from flowscale.queues.redis import open_job_queue

    settings = Settings.load()
    if settings.queue.mode != "redis":
        raise SettingsError("QUEUE_MODE: a queue in memory is known to its own process alone; set QUEUE_MODE=redis")

    async def run() -> _Answer:
        jobs = open_job_queue(settings.redis, QueuePolicy(), SystemClock())
        try:
            return await ask(jobs)
        finally:
            await jobs.close()

    return asyncio.run(run())

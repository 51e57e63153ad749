"""`flowscale worker`: this machine's part of the work on the Redis queue."""

from __future__ import annotations

import sys

from flowscale import logs
from flowscale.clocks import SystemClock
from flowscale.errors import SettingsError
from flowscale.settings import Settings
from flowscale_cli.service import queue_policy


def run_workers(*, autoscale: bool) -> None:
    """Until SIGTERM or SIGINT. Raises SettingsError."""
    from flowscale_worker.redis_fleet import run_fleet

    settings = Settings.load()
    logs.configure(settings.logs.level, settings.logs.format, secrets=settings.secrets())
    if settings.queue.mode != "redis":
        raise SettingsError(
            "QUEUE_MODE: a worker of its own needs the Redis queue; set QUEUE_MODE=redis, or run `flowscale api`, "
            "which brings its workers in memory mode"
        )
    sys.exit(run_fleet(settings, queue_policy(settings), SystemClock(), autoscale=autoscale))

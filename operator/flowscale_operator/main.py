"""`flowscale-operator`: reads its settings, logs in, and runs until it is told to end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from flowscale import logs
from flowscale.clocks import SystemClock
from flowscale.crashes import redact_crashes
from flowscale.errors import FlowScaleError
from flowscale.queues.base import QueuePolicy
from flowscale.queues.redis import open_scaling_queue
from flowscale.redaction import redact
from flowscale.settings import Settings
from flowscale_operator.credentials import log_in
from flowscale_operator.operation import Operation


def run() -> None:
    """The program; its exit code is 0 after SIGTERM or SIGINT, 2 for a setting that cannot be."""
    redact_crashes()
    try:
        settings = Settings.load()
        logs.configure(settings.logs.level, settings.logs.format, secrets=settings.secrets())
        asyncio.run(operate(settings))
    except FlowScaleError as error:
        print(f"flowscale-operator: {redact(error.message)}", file=sys.stderr)  # noqa: T201 - there may be no log yet
        sys.exit(2)
    except OSError as error:
        where = f"{settings.operator.host}:{settings.operator.port}"
        print(f"flowscale-operator: it cannot listen on {where}: {error}", file=sys.stderr)  # noqa: T201 - likewise
        sys.exit(2)


async def operate(settings: Settings) -> None:
    """Until SIGTERM or SIGINT. Raises SettingsError, OSError."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    connection = log_in()
    chosen = settings.operator
    namespace = chosen.namespace or chosen.pod_namespace or connection.default_namespace or "default"
    pod = settings.worker.group or f"{os.uname().nodename}-{os.getpid()}"
    clock = SystemClock()
    queue = open_scaling_queue(settings.redis, QueuePolicy(), clock)
    try:
        await Operation(chosen, queue, log_in, namespace, pod, clock).run(stop)
    finally:
        await queue.close()


if __name__ == "__main__":
    run()

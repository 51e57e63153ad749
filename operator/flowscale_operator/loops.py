"""Loops that do not end: a round that fails is told, and another begins after a rest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from flowscale import logs
from flowscale.clocks import Clock
from flowscale.errors import QueueUnavailable
from flowscale_operator.api_errors import ApiError
from flowscale_operator.health import Health

REST_SECONDS = 0.5
"""After a round that failed: contact is taken up again within 2 s of its return."""

TELL_SECONDS = 30.0
"""The same fault is told again after as long."""

_log = logs.get("operator")


async def keep(name: str, work: Callable[[], Awaitable[None]], health: Health, clock: Clock) -> None:
    """Until cancelled. `health` must expect the loop."""
    told, told_at = "", float("-inf")
    while True:
        try:
            await work()
        except (ApiError, QueueUnavailable) as error:
            if error.message != told or clock.monotonic() - told_at > TELL_SECONDS:
                told, told_at = error.message, clock.monotonic()
                _log.warning(f"{name}.failed", f"It goes on trying: {error.message}")
            await asyncio.sleep(REST_SECONDS)
        except Exception as error:  # noqa: BLE001 - a defect in one loop must not stop the others, nor this one for ever
            _log.exception(f"{name}.defect", "A round ended by a defect; the next begins", error)
            await asyncio.sleep(REST_SECONDS)
        else:
            if told:
                _log.info(f"{name}.recovered", "It works again")
                told = ""
        health.done(name)

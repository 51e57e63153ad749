"""One task at a time, of each kind: what a round begins and does not wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from flowscale import logs
from flowscale.errors import QueueUnavailable
from flowscale_operator.api_errors import ApiError

_log = logs.get("operator")


class Single:
    """At most one task. What it raises is logged: ApiError and QueueUnavailable as the faults they are."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        return self._task is not None and not self._task.done()

    def start(self, work: Coroutine[object, object, None]) -> None:
        """Must not be busy."""
        self._task = asyncio.create_task(self._guard(work), name=self._name)

    async def end(self, seconds: float | None = None) -> None:
        """Wait until it has ended, at most so long."""
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=seconds)

    async def cancel(self) -> None:
        """End it where it is."""
        while self.busy and self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,), timeout=1.0)

    async def _guard(self, work: Coroutine[object, object, None]) -> None:
        try:
            await work
        except (ApiError, QueueUnavailable) as error:
            _log.warning(f"{self._name}.failed", f"It is tried again: {error.message}")
        except Exception as error:  # noqa: BLE001 - logged; the next round begins anew
            _log.exception(f"{self._name}.defect", "It ended by a defect; the next round begins anew", error)

"""What a fleet's own process does every so often, beside its workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from flowscale import logs
from flowscale.errors import QueueUnavailable

_Answer = TypeVar("_Answer")

_log = logs.get("fleet")


@dataclass(frozen=True, slots=True)
class Chore:
    """What the fleet's own process does every so often, from the start to the end of the last worker.

    Workers are neither replaced nor stopped while it runs, so it must end within a few seconds.
    """

    name: str
    every_seconds: float
    call: Callable[[], object]


class Caller:
    """Calls what may fail, and says so once for a queue that is away, each time for a fault."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._away = False

    def call(self, call: Callable[[], _Answer]) -> _Answer | None:
        try:
            answer = call()
        except QueueUnavailable as error:
            if not self._away:
                _log.warning("chore.unreachable", error.message, chore=self._name)
            self._away = True
            return None
        except Exception as error:  # noqa: BLE001 - the workers must not end because something beside them fails
            _log.exception(
                "chore.fault", "A fault beside the workers; they go on, and so does this", error, chore=self._name
            )
            return None
        if self._away:
            _log.info("chore.reachable", "The queue is back", chore=self._name)
        self._away = False
        return answer


class Round:
    """A chore and when it is next to be done."""

    def __init__(self, chore: Chore, now: float) -> None:
        self.chore = chore
        self.next = now
        self.caller = Caller(chore.name)

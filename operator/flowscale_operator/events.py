"""Kubernetes Events about WorkerScalers: what `kubectl describe` shows. What happens again is counted, not repeated.

What is known of earlier ones is in memory: after a new start the first of a kind is a new Event.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from flowscale import logs
from flowscale.clocks import Clock, iso_utc
from flowscale_operator.api import ApiClient
from flowscale_operator.api_errors import ApiError, Missing
from flowscale_operator.spec import GROUP, KIND, VERSION, ScalerSpec

AGAIN_SECONDS = 600.0
"""Within which the same Event is counted; the server keeps Events for an hour."""

BUMP_SECONDS = 30.0
"""Between two writes that only count."""

BURST, REFILL_SECONDS = 25, 12.0
"""Events of one WorkerScaler at once, and how often one more is allowed: what the API's own clients allow."""

KEPT = 500
"""Events remembered, over all WorkerScalers."""

_log = logs.get("operator")


@dataclass(slots=True)
class _Told:
    name: str
    first: str
    count: int
    at: float  # of the first
    written_at: float


@dataclass(frozen=True, slots=True)
class Told:
    """What to write: a new Event, or the count of one that exists."""

    name: str
    first: str
    count: int
    new: bool


class EventBook:
    """Decides what is written. Pure but for names; seconds are of a clock that never steps back."""

    def __init__(self) -> None:
        self._told: OrderedDict[tuple[str, str, str], _Told] = OrderedDict()
        self._budget: dict[str, tuple[float, float]] = {}

    def note(self, uid: str, scaler: str, reason: str, message: str, now: float, moment: str) -> Told | None:
        """This happened; None when nothing is to be written now."""
        key = (uid, reason, message)
        told = self._told.get(key)
        if told is not None and now - told.at < AGAIN_SECONDS:
            told.count += 1
            if now - told.written_at < BUMP_SECONDS:
                return None
            told.written_at = now
            return Told(told.name, told.first, told.count, False)
        if not self._affords(uid, now):
            return None
        name = f"{scaler[:200]}.{token_hex(8)}"
        self._told[key] = _Told(name, moment, 1, now, now)
        self._told.move_to_end(key)
        while len(self._told) > KEPT:
            self._told.popitem(last=False)
        return Told(name, moment, 1, True)

    def forget(self, uid: str) -> None:
        """The WorkerScaler is gone."""
        self._budget.pop(uid, None)
        for key in [key for key in self._told if key[0] == uid]:
            del self._told[key]

    def _affords(self, uid: str, now: float) -> bool:
        left, since = self._budget.get(uid, (float(BURST), now))
        left = min(float(BURST), left + (now - since) / REFILL_SECONDS)
        affords = left >= 1
        self._budget[uid] = (left - 1 if affords else left, now)
        return affords


class Events:
    """Posts them. An Event that cannot be written is lost: the log has the same line."""

    def __init__(self, api: ApiClient, namespace: str, instance: str, clock: Clock) -> None:
        self._api = api
        self._path = f"/api/v1/namespaces/{namespace}/events"
        self._instance = instance
        self._clock = clock
        self._book = EventBook()

    def forget(self, uid: str) -> None:
        self._book.forget(uid)

    async def post(self, scaler: ScalerSpec, reason: str, message: str, *, warning: bool = False) -> None:
        """Say that this happened to the WorkerScaler."""
        moment = f"{iso_utc(self._clock.now_ms())[:19]}Z"
        told = self._book.note(scaler.uid, scaler.name, reason, message, self._clock.monotonic(), moment)
        if told is None:
            return
        again = {"count": told.count, "lastTimestamp": moment}
        try:
            if not told.new:
                try:
                    await self._api.patch(f"{self._path}/{told.name}", again)
                    return
                except Missing:
                    pass  # the server has dropped it: write it anew
            await self._api.create(self._path, self._event(scaler, reason, message, warning, told) | again)
        except ApiError as error:
            _log.warning("event.lost", f"An Event could not be written: {error.message}", scaler=scaler.name)

    def _event(self, scaler: ScalerSpec, reason: str, message: str, warning: bool, told: Told) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": told.name, "namespace": scaler.namespace},
            "involvedObject": {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": KIND,
                "name": scaler.name,
                "namespace": scaler.namespace,
                "uid": scaler.uid,
            },
            "type": "Warning" if warning else "Normal",
            "reason": reason,
            "message": message[:1000],  # the API takes 1024 bytes
            "firstTimestamp": told.first,
            "source": {"component": "flowscale-operator"},
            "reportingComponent": "flowscale.dev/operator",
            "reportingInstance": self._instance[:128],
        }

"""Who else scales Deployments here: HorizontalPodAutoscalers, and KEDA's ScaledObjects, which make one of their own."""

from __future__ import annotations

import asyncio

from flowscale.clocks import Clock, steady_ms
from flowscale_operator.api import ApiClient, Object
from flowscale_operator.api_errors import Missing

READ_SECONDS = 10.0

STALE_MS = 45_000
"""What was read longer ago is not known any more: nothing is changed on the strength of it."""


class Rivals:
    """Read every READ_SECONDS, for all WorkerScalers together."""

    def __init__(self, api: ApiClient, namespace: str, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._autoscalers = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers"
        self._scaled_objects = f"/apis/keda.sh/v1alpha1/namespaces/{namespace}/scaledobjects"
        self._names: dict[str, str] = {}
        self.read_ms = 0  # when the last reading was asked for (steady_ms); 0: never

    async def round(self) -> None:
        """One reading, and a rest. Raises ApiError."""
        await self.read()
        await asyncio.sleep(READ_SECONDS)

    async def read(self) -> None:
        """Raises ApiError."""
        asked_ms = steady_ms(self._clock)
        names: dict[str, str] = {}
        for item in await self._items(self._scaled_objects):
            reference = item["spec"].get("scaleTargetRef") or {}
            if reference.get("kind", "Deployment") == "Deployment":
                names[reference.get("name", "")] = f"the ScaledObject {item['metadata']['name']}"
        for item in await self._items(self._autoscalers):
            reference = item["spec"].get("scaleTargetRef") or {}
            if reference.get("kind") == "Deployment":
                names.setdefault(reference.get("name", ""), f"the HorizontalPodAutoscaler {item['metadata']['name']}")
        self._names, self.read_ms = names, asked_ms

    def of(self, deployment: str) -> str | None:
        """What else scales it, in words; empty when nothing does; None when that is not known."""
        if self.read_ms == 0 or steady_ms(self._clock) - self.read_ms > STALE_MS:
            return None
        return self._names.get(deployment, "")

    async def _items(self, path: str) -> list[Object]:
        try:
            found: list[Object] = (await self._api.get(path))["items"]
        except Missing:
            return []  # KEDA is not installed
        return found

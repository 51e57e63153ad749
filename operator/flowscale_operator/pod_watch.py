"""Keeps the pod store true: a list, then a watch from where the list ends, and again from the start when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from flowscale.clocks import Clock, steady_ms
from flowscale_operator.api import ApiClient
from flowscale_operator.api_errors import Expired
from flowscale_operator.facts import read_pod
from flowscale_operator.pod_store import PodStore

APART_SECONDS = 0.2
"""Between two watches: a server that ends each at once is not to be asked as fast as it answers."""


class PodWatch:
    """`alive` is called with every list and event."""

    def __init__(
        self,
        api: ApiClient,
        namespace: str,
        store: PodStore,
        clock: Clock,
        alive: Callable[[], None],
    ) -> None:
        self._api = api
        self._path = f"/api/v1/namespaces/{namespace}/pods"
        self._store = store
        self._clock = clock
        self._alive = alive

    async def list(self) -> str:
        """All pods, now; the version from which a watch goes on. Raises ApiError."""
        asked_ms = steady_ms(self._clock)
        found = await self._api.get(self._path)
        self._store.replace((read_pod(pod) for pod in found["items"]), asked_ms)
        self._alive()
        return str(found["metadata"]["resourceVersion"])

    async def round(self) -> None:
        """A list, and watches from there until one breaks. Raises ApiError; what it missed, the next list has."""
        version = await self.list()
        while True:
            try:
                version = await self._watch(version)
            except Expired:
                return
            await asyncio.sleep(APART_SECONDS)

    async def _watch(self, version: str) -> str:
        async for event in self._api.watch(self._path, {"resourceVersion": version}):
            self._alive()
            version = event["object"]["metadata"]["resourceVersion"]
            if event["type"] == "DELETED":
                self._store.remove(event["object"]["metadata"]["name"])
            elif event["type"] != "BOOKMARK":
                self._store.put(read_pod(event["object"]))
        return version

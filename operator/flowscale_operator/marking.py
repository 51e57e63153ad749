"""Writes on pods what marks.py says, a few at once, and puts the answers into the pod store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from flowscale_operator.api import ApiClient
from flowscale_operator.api_errors import Missing
from flowscale_operator.facts import PodFacts, read_pod
from flowscale_operator.marks import changes
from flowscale_operator.pod_store import PodStore

AT_ONCE = 10
"""Patches under way together."""


class Marker:
    """For the pods of one namespace."""

    def __init__(self, api: ApiClient, namespace: str, store: PodStore) -> None:
        self._api = api
        self._path = f"/api/v1/namespaces/{namespace}/pods"
        self._store = store
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def mark(self, pods: Sequence[PodFacts], wanted: Mapping[str, Mapping[str, str]]) -> None:
        """Give each pod named in `wanted` the marks it should carry, where it does not. Raises ApiError."""
        due = [(pod, changes(pod, wanted[pod.name])) for pod in pods if pod.name in wanted]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._patch(pod, change)) for pod, change in due if change]
        for task in tasks:
            failed = task.result()
            if failed is not None:
                raise failed

    async def _patch(self, pod: PodFacts, change: Mapping[str, str | None]) -> Exception | None:
        async with self._turns:
            body = {"metadata": {"uid": pod.uid, "annotations": dict(change)}}
            try:
                self._store.put(read_pod(await self._api.patch(f"{self._path}/{pod.name}", body)))
            except Missing:
                self._store.remove(pod.name)  # the watch may have told of its end before a list brought it back
                return None
            except Exception as error:  # noqa: BLE001 - returned, so that the other patches are not cancelled half-way
                return error
        return None

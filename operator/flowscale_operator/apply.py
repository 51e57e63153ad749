"""Reads a Deployment, and sets its size: the one place that does."""

from __future__ import annotations

import asyncio

from flowscale.clocks import Clock, iso_utc, steady_ms
from flowscale_operator.api import STRATEGIC, ApiClient, Object
from flowscale_operator.facts import DeploymentFacts, PodFacts, read_deployment, read_pod

PATCH_SECONDS = 2.0
"""For a scale patch: it must be over before anybody else can lead."""


FENCED = "FlowScaleFenced"
"""The type of a condition of the Deployment."""


class Target:
    """One Deployment, by name."""

    def __init__(self, api: ApiClient, namespace: str, name: str, clock: Clock) -> None:
        self._api = api
        self._path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._clock = clock

    async def read(self) -> DeploymentFacts:
        """As it is now. Raises ApiError; Missing."""
        asked_ms = steady_ms(self._clock)
        return read_deployment(await self._api.get(self._path), asked_ms)

    async def pods(self, deployment: DeploymentFacts) -> list[PodFacts]:
        """Those that it selects and a ReplicaSet controls, as they are now. Raises ApiError."""
        found = await self._api.get(self._pods, {"labelSelector": deployment.selector})
        return [pod for pod in map(read_pod, found["items"]) if pod.replica_set is not None]

    async def scale(self, seen: DeploymentFacts, replicas: int) -> None:
        """Set its size, if it is still as it was `seen`. Raises ApiError; Conflict when it is not.

        An answer that was lost leaves open whether it was carried out. Sent again with what was `seen`, it is carried
        out at most once. A caller that is cancelled meanwhile learns the outcome all the same: the cancel is forgotten.
        """
        body = {"metadata": {"resourceVersion": seen.version}, "spec": {"replicas": replicas}}
        call = asyncio.create_task(self._send(body))
        while not call.done():
            try:
                await asyncio.wait((call,))
            except asyncio.CancelledError:
                continue  # at most PATCH_SECONDS
        call.result()

    async def fence(self, seen: DeploymentFacts) -> None:
        """Change something that matters to nobody, so that no patch on the condition of what was `seen` is carried out
        any more. Raises ApiError; Conflict when it has changed already, which does as well.

        A patch to the size that it has changes nothing, and a condition in the status is the least that does.
        """
        moment = iso_utc(self._clock.now_ms())[:19] + "Z"
        condition = {
            "type": FENCED,
            "status": "True",
            "reason": "AnswerLost",
            "message": f"What was sent on the condition of version {seen.version} is not carried out any more",
            "lastUpdateTime": moment,
            "lastTransitionTime": moment,
        }
        body: Object = {"metadata": {"resourceVersion": seen.version}, "status": {"conditions": [condition]}}
        await self._api.patch(f"{self._path}/status", body, how=STRATEGIC)

    async def _send(self, body: Object) -> None:
        await self._api.patch(f"{self._path}/scale", body, seconds=PATCH_SECONDS)

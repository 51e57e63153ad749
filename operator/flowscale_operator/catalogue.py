"""The WorkerScalers there are: a list, read again when kopf's watch says that something changed, and now and then.

The list is the truth and the watch only a wake-up call, so that an event that was lost, doubled or late does no harm,
and one that was deleted while nobody watched is missed no longer than READ_SECONDS.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from flowscale import logs
from flowscale.clocks import Clock
from flowscale_operator.api import ApiClient
from flowscale_operator.api_errors import Missing
from flowscale_operator.spec import GROUP, PLURAL, VERSION, ScalerSpec, owners, read_spec

READ_SECONDS = 20.0

AT_LEAST_SECONDS = 0.2
"""Between two readings, however much changes."""

ABSENT_SECONDS = 2.0
"""Between looks for a CRD that is not there yet."""

TELL_SECONDS = 60.0

_log = logs.get("operator")


class Catalogue:
    """`changed` is called after each reading. `known` is set once there has been one: the CRD is there."""

    def __init__(
        self, api: ApiClient, namespace: str, selector: str, clock: Clock, changed: Callable[[], None]
    ) -> None:
        self._api = api
        self._path = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}"
        self._query = {"labelSelector": selector} if selector else {}
        self._clock = clock
        self._changed = changed
        self._touched = asyncio.Event()
        self._told_at = float("-inf")
        self.specs: tuple[ScalerSpec, ...] = ()
        self.owners: dict[str, ScalerSpec] = {}
        self.known = asyncio.Event()

    def touch(self, name: str, generation: int, *, gone: bool) -> None:
        """kopf saw an event. One that brings nothing new (our own writing of a status) needs no reading."""
        known = {spec.name: spec.generation for spec in self.specs}
        if gone or known.get(name) != generation:
            self._touched.set()

    async def round(self) -> None:
        """One reading, and a rest until the next is due. Raises ApiError."""
        self._touched.clear()
        try:
            found = await self._api.get(self._path, self._query)
        except Missing:
            if self._clock.monotonic() - self._told_at > TELL_SECONDS:
                self._told_at = self._clock.monotonic()
                _log.warning(
                    "crd.missing",
                    f"Waits for the CustomResourceDefinition {PLURAL}.{GROUP}, which is not there; "
                    "install the chart with crds.install, or apply manifests/crds/workerscalers.yaml",
                )
            await asyncio.sleep(ABSENT_SECONDS)
            return
        self.specs = tuple(read_spec(item) for item in found["items"])
        self.owners = owners(self.specs)
        if not self.known.is_set():
            _log.info("crd.found", f"Found the WorkerScalers: {len(self.specs)}")
            self.known.set()
        self._changed()
        await asyncio.sleep(AT_LEAST_SECONDS)
        try:
            async with asyncio.timeout(READ_SECONDS):
                await self._touched.wait()
        except TimeoutError:
            return  # nothing was heard; it is read again all the same

"""Holds the Lease, or waits for it: does what election.py says about each reading. One writer for all WorkerScalers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from flowscale import logs
from flowscale.clocks import Clock
from flowscale_operator.api import ApiClient, Object
from flowscale_operator.api_errors import Conflict, Missing
from flowscale_operator.election import LEASE_SECONDS, Election, Lease, Step

CANDIDATE = "flowscale.dev/candidate"
"""Annotation of the Lease: who stands by, and when it last said so."""

READ_SECONDS = 1.0

CALL_SECONDS = 2.0
"""Far less than a lease: a call that hangs must not cost it."""

_log = logs.get("operator")


class Leadership:
    """`changed` is called with True when this replica begins to lead, with False when another does.

    While the API cannot be reached the role stays as it was, and `sure` is False: nobody can lead meanwhile.
    """

    def __init__(
        self,
        api: ApiClient,
        namespace: str,
        name: str,
        identity: str,
        clock: Clock,
        changed: Callable[[bool], None],
    ) -> None:
        self._api = api
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name = name
        self._identity = identity
        self._clock = clock
        self._changed = changed
        self._election = Election(identity)
        self._leading = False
        self._transitions = 0
        self._version = ""
        self._turn = asyncio.Lock()

    @property
    def leading(self) -> bool:
        return self._leading

    def sure(self, room: float) -> bool:
        """Whether nobody else can lead within the next `room` seconds, by what is known now."""
        return self._leading and self._election.leads(self._clock.monotonic(), room)

    async def sure_after_a_look(self, room: float) -> bool:
        """Likewise, having read the Lease again. Raises ApiError."""
        await self.look()
        return self.sure(room)

    async def round(self) -> None:
        """One look, and a rest. Raises ApiError."""
        await self.look()
        await asyncio.sleep(READ_SECONDS)

    async def look(self) -> None:
        """Read the Lease and write what is to be written. Raises ApiError."""
        async with self._turn:
            asked = self._clock.monotonic()
            lease = await self._read()
            step = self._election.read(lease, asked, self._clock.monotonic())
            if lease is not None:
                self._transitions, self._version = lease.transitions, lease.version
            if lease is not None and lease.holder != self._identity:
                self._set(False)
            if step is not Step.NOTHING:
                await self._write(step, lease)
            if self._election.leads(self._clock.monotonic()):
                self._set(True)

    async def resign(self) -> None:
        """Give the Lease back, so that another need not wait. Raises ApiError."""
        async with self._turn:
            if not self._leading:
                return
            self._election.lost()
            self._set(False)
            metadata = {"resourceVersion": self._version}
            await self._api.patch(
                f"{self._path}/{self._name}",
                {"metadata": metadata, "spec": {"holderIdentity": ""}},
                seconds=CALL_SECONDS,
            )
            _log.info("lease.returned", "Gave the Lease back")

    async def _read(self) -> Lease | None:
        try:
            return read_lease(await self._api.get(f"{self._path}/{self._name}", seconds=CALL_SECONDS))
        except Missing:
            return None

    async def _write(self, step: Step, lease: Lease | None) -> None:
        sent = self._clock.monotonic()
        moment = now_text(self._clock)
        try:
            if step is Step.CREATE:
                answer = await self._api.create(self._path, self._new(moment), seconds=CALL_SECONDS)
            else:
                answer = await self._api.patch(
                    f"{self._path}/{self._name}", self._patch(step, moment), seconds=CALL_SECONDS
                )
        except Conflict:
            self._election.lost()  # somebody wrote first; the next look says what
            return
        self._election.wrote(step, sent)
        written = read_lease(answer)
        self._transitions, self._version = written.transitions, written.version
        if step is Step.ANNOUNCE and lease is not None:
            _log.info("lease.waits", "Stands by; another operator leads", holder=lease.holder)

    def _new(self, moment: str) -> Object:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "labels": {"app.kubernetes.io/part-of": "flowscale"}},
            "spec": {**self._held(moment), "acquireTime": moment, "leaseTransitions": 0},
        }

    def _held(self, moment: str) -> dict[str, Any]:
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(LEASE_SECONDS),
            "renewTime": moment,
        }

    def _patch(self, step: Step, moment: str) -> Object:
        metadata: dict[str, Any] = {"resourceVersion": self._version}
        if step is Step.ANNOUNCE:
            metadata["annotations"] = {CANDIDATE: f"{self._identity}@{moment}"}
            return {"metadata": metadata}
        if step in (Step.TAKE, Step.FORGET):
            metadata["annotations"] = {CANDIDATE: None}
        spec = self._held(moment)
        if step is Step.TAKE:
            spec |= {"acquireTime": moment, "leaseTransitions": self._transitions + 1}
        return {"metadata": metadata, "spec": spec}

    def _set(self, leading: bool) -> None:
        if leading == self._leading:
            return
        self._leading = leading
        if leading:
            _log.info("lease.held", "Leads from now on", identity=self._identity)
        else:
            _log.info("lease.lost", "Leads no longer", identity=self._identity)
        self._changed(leading)


def read_lease(lease: Object) -> Lease:
    """Of a Lease as the API gives it."""
    metadata, spec = lease["metadata"], lease.get("spec") or {}
    return Lease(
        holder=spec.get("holderIdentity") or "",
        renewed=spec.get("renewTime") or "",
        transitions=int(spec.get("leaseTransitions") or 0),
        candidate=(metadata.get("annotations") or {}).get(CANDIDATE, ""),
        version=metadata.get("resourceVersion", ""),
    )


def now_text(clock: Clock) -> str:
    """Now, as the API's MicroTime."""
    moment = datetime.fromtimestamp(clock.now_ms() / 1000, tz=UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"

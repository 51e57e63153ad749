"""What one WorkerScaler tells people: its status, Events, metrics and log, each when something happened and not before.

Every change of replicas is told in all four, with the same reason; in DryRun every change that would have been made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from flowscale import logs
from flowscale.clocks import iso_utc
from flowscale.scaling import Decision, Reason
from flowscale_operator import status
from flowscale_operator.api_errors import ApiError, Missing
from flowscale_operator.conditions import Standing
from flowscale_operator.observe import View
from flowscale_operator.spec import GROUP, PLURAL, VERSION, ScalerSpec
from flowscale_operator.status import Change, Report
from flowscale_operator.tasks import Single
from flowscale_operator.world import World

LAST_SECONDS = 2.0
"""For each of the last words of an operator that ends."""

_log = logs.get("operator")


class Telling:
    """Of the WorkerScaler of that `spec`."""

    def __init__(self, spec: ScalerSpec, world: World) -> None:
        self._spec = spec
        self._world = world
        self._change: Change | None = None
        self._would: tuple[int, int, Reason] | None = None
        self._written: Mapping[str, object] = dict(spec.status)
        self._sure = True  # the API has what is `_written`
        self._written_at = float("-inf")
        self._ready_told = ""
        self._source_told = True
        self._report: Report | None = None
        self._task, self._posting = Single("status"), Single("events")
        self._unposted: list[tuple[str, str, bool]] = []
        self._change_written = True

    def respec(self, spec: ScalerSpec) -> None:
        """A new generation is told anew what would be done."""
        if spec.generation != self._spec.generation:
            self._would = None
        self._spec = spec

    def reset(self) -> None:
        """Another operator may have told other things meanwhile."""
        self._change, self._would = None, None
        self._written, self._sure = dict(self._spec.status), False

    async def stop(self) -> None:
        """What was changed last is told to the end, if the API lets it be within LAST_SECONDS."""
        await asyncio.gather(self._posting.end(LAST_SECONDS), self._task.end(LAST_SECONDS))
        await asyncio.gather(self._posting.cancel(), self._task.cancel())
        if self._report is not None and not self._change_written and self._world.leadership.sure(0):
            fresh = status.build(replace(self._report, change=self._change), self._written, self._now())
            self._task.start(self._write(fresh, self._change))
            await self._task.end(LAST_SECONDS)
            await self._task.cancel()

    def changed(self, before: int, after: int, decision: Decision, message: str, limited_by: str) -> None:
        """The number of replicas was changed."""
        self._change_written = False
        self._change = Change(self._now(), before, after, str(decision.reason), message, limited_by)
        self._count(before, after, decision, limited_by, applied=True)
        _log.info(
            "scale.changed",
            message,
            scaler=self._spec.name,
            before=before,
            after=after,
            reason=str(decision.reason),
            limited_by=limited_by,
        )
        self._world.wake()
        self._post("ScaledUp" if after > before else "ScaledDown", message)

    def would_change(self, present: int, wanted: int, decision: Decision) -> None:
        """In DryRun: once for each thing that would be done."""
        would = (present, wanted, decision.reason)
        if wanted == present:
            self._would = None
            return
        if would == self._would:
            return
        self._would = would
        message, limited_by = f"DryRun: {decision.message}", str(decision.limited_by)
        self._change = Change(self._now(), present, wanted, str(decision.reason), message, limited_by)
        self._count(present, wanted, decision, limited_by, applied=False)
        _log.info("scale.would_change", message, scaler=self._spec.name, before=present, after=wanted)
        self._post("WouldScale", message)

    def held(self, why: str, refused: int) -> None:
        """Fewer were wanted; `refused` workers were asked, and render."""
        if refused:
            self._world.meters.refusals.labels(self._spec.name).inc(refused)
        if why:
            _log.info("scale.held", f"Fewer replicas are wanted, but {why}", scaler=self._spec.name)

    def turns(self, standing: Standing, healthy: status.Condition) -> None:
        """Events for what a person should know: it cannot act, or knows nothing, or does again."""
        ready, source = standing.ready, bool(healthy.holds)
        if ready.holds is False and ready.reason != self._ready_told:
            self._ready_told = ready.reason
            _log.warning("scaler.not_ready", ready.message, scaler=self._spec.name, reason=ready.reason)
            self._post(ready.reason, ready.message, warning=True)
        elif ready.holds and self._ready_told:
            self._ready_told = ""
            _log.info("scaler.ready", ready.message, scaler=self._spec.name)
        elif ready.holds and source != self._source_told and (source or healthy.reason == "QueueUnavailable"):
            self._source_told = source
            reason = "SourceRecovered" if source else healthy.reason
            _log.info("scaler.source", healthy.message, scaler=self._spec.name, reason=reason)
            self._post(reason, healthy.message, warning=not source)

    def report(
        self, view: View, desired: int | None, draining: int, found: Mapping[status.Kind, status.Condition]
    ) -> None:
        """How it stands in this round: gauges, and the status if it is worth a write."""
        snapshot, meters, name = view.snapshot, self._world.meters, self._spec.name
        desired = snapshot.workers if desired is None else desired
        gauges = ((meters.current, snapshot.workers), (meters.desired, desired), (meters.busy, snapshot.busy))
        for gauge, value in gauges:
            if value is not None:
                gauge.labels(name).set(value)
        meters.draining.labels(name).set(draining)
        meters.ready.labels(name).set(1 if found[status.Kind.READY].holds else 0)
        if self._task.busy or not self._world.leadership.leading:
            return
        known = snapshot.waiting is not None and snapshot.due is not None and snapshot.delayed is not None
        self._report = report = Report(
            generation=self._spec.generation,
            current=snapshot.workers,
            desired=desired,
            busy=snapshot.busy,
            draining=draining,
            queued=(snapshot.waiting or 0) + (snapshot.due or 0) + (snapshot.delayed or 0) if known else None,
            oldest_wait_ms=snapshot.oldest_wait_ms,
            conditions=found,
            change=self._change,
        )
        fresh = status.build(report, self._written, self._now())
        since = self._world.clock.monotonic() - self._written_at
        if status.worth_writing(fresh, self._known, since):
            self._written_at = self._world.clock.monotonic()
            self._task.start(self._write(fresh, self._change))

    def _post(self, reason: str, message: str, *, warning: bool = False) -> None:
        """In turn, and beside what goes on: the API may take its time for Events."""
        self._unposted.append((reason, message, warning))
        if not self._posting.busy:
            self._posting.start(self._post_all())

    async def _post_all(self) -> None:
        while self._unposted:
            reason, message, warning = self._unposted.pop(0)
            await self._world.events.post(self._spec, reason, message, warning=warning)

    async def _write(self, fresh: dict[str, object], change: Change | None) -> None:
        body = {"status": status.patch(fresh, self._known)}
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{self._spec.namespace}/{PLURAL}/{self._spec.name}/status"
        try:
            await self._world.api.patch(path, body)
        except Missing:
            return  # deleted meanwhile
        except ApiError:
            self._sure = False
            raise
        self._written, self._sure = fresh, True
        self._change_written = self._change_written or change is self._change

    @property
    def _known(self) -> Mapping[str, object]:
        """What the API has for sure."""
        return self._written if self._sure else {}

    def _count(self, before: int, after: int, decision: Decision, limited_by: str, *, applied: bool) -> None:
        direction = "up" if after > before else "down"
        self._world.meters.changes.labels(
            self._spec.name, direction, str(decision.reason), limited_by, str(applied).lower()
        ).inc()

    def _now(self) -> str:
        return iso_utc(self._world.clock.now_ms())

"""One WorkerScaler: looks once a second and at each wake-up call, decides, and begins what is to be done.

A look does no I/O and waits for nothing: what takes time (reading the target, changing it, marking pods, telling) is a
task, one of each kind at a time, so that a slow one delays neither the next look nor other WorkerScalers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Set
from dataclasses import replace

from flowscale.clocks import steady_ms
from flowscale.scaling import Decision, History, Limit, Reason, decide
from flowscale_operator import marks
from flowscale_operator.api_errors import ApiError, Conflict, Missing
from flowscale_operator.apply import PATCH_SECONDS, Target
from flowscale_operator.conditions import Standing, conditions, source_healthy, stand
from flowscale_operator.drain import Outcome, ScaleDown
from flowscale_operator.facts import DeploymentFacts, PodFacts
from flowscale_operator.fencing import Fence
from flowscale_operator.grants import Grants
from flowscale_operator.observe import View, put_together
from flowscale_operator.raising import ScaleUp
from flowscale_operator.source import Reading
from flowscale_operator.spec import Mode, ScalerSpec
from flowscale_operator.tasks import Single
from flowscale_operator.telling import Telling
from flowscale_operator.world import World

LEAVE_LOOKS = 60
"""One a second, at the end."""

READ_SECONDS = 4.0
"""Between two readings of the target: twice within the 10 s after which it counts as unknown."""

AFTER_TAKEOVER_SECONDS = 30.0
"""How long after it began to lead an operator completes what it finds half done; later, it only releases it."""

HELD_SECONDS = (1.0, 2.0, 5.0, 10.0)
"""Rests after scale-downs in a row that were held."""


class Scaler:
    """Made when the WorkerScaler is first seen."""

    def __init__(self, spec: ScalerSpec, world: World) -> None:
        self.spec = spec
        self._world = world
        self._target = Target(world.api, world.namespace, spec.target, world.clock)
        self._grants = Grants(world.queue, world.clock)
        self._fence = Fence(self._target, world, spec.name)
        self._up = ScaleUp(self._target, world.clock)
        self._down = ScaleDown(self._target, self._grants, world.marker, world.leadership, world.clock)
        self._history = History()
        self._seen: DeploymentFacts | None = None
        self._fault, self._missing = "", False
        self._read_at = float("-inf")
        self._desired: int | None = None
        self._lowering: Decision | None = None  # what the last scale-down was begun for
        self._held_by, self._held, self._held_until = "", 0, float("-inf")
        self._busy_at: dict[str, float] = {}
        self._may_act = False
        self._completing: frozenset[str] = frozenset()
        self._telling = Telling(spec, world)
        self._reading, self._acting = Single("target"), Single("scale")
        self._marking, self._renewing = Single("marks"), Single("grants")

    def respec(self, spec: ScalerSpec) -> None:
        """It may have been changed by a person."""
        self.spec = spec
        self._telling.respec(spec)

    def reset(self) -> None:
        """This replica begins to lead: what it remembers is of another time."""
        self._history = History()
        self._seen, self._fault, self._missing = None, "", False
        self._read_at = float("-inf")
        self._desired = None
        self._held_by, self._held, self._held_until = "", 0, float("-inf")
        self._busy_at.clear()
        self._grants.drop()
        self._fence.reset()
        self._up.drop()
        self._down.drop()
        self._telling.reset()

    @property
    def in_doubt(self) -> bool:
        """Whether a patch may still arrive at the API."""
        return self._down.in_doubt or self._up.in_doubt

    @property
    def acting(self) -> bool:
        """Whether it changes the target, or may have: nobody else must."""
        return self._acting.busy or self._down.in_doubt

    async def stop(self) -> None:
        """Begin nothing more, and end what has begun: a change that is under way, with all that tells of it."""
        await self._acting.end(PATCH_SECONDS)
        for task in (self._reading, self._acting, self._marking, self._renewing):
            await task.cancel()
        await self._telling.stop()

    async def leave(self, *, last: bool) -> None:
        """Its WorkerScaler is gone. When this returns, nothing of it is on its way to the target any more; nor left on
        its pods, if it was the `last` that had this target."""
        self.spec = replace(self.spec, mode=Mode.PAUSED)  # what is under way is not wanted any more
        self._may_act = False
        while (self._acting.busy or self._down.in_doubt) and self._world.leadership.leading:
            await self._acting.end()
            if self._down.in_doubt:
                self._renew_if_due()
                self._acting.start(self._settle(None))
                await asyncio.sleep(1.0)
        await self.stop()
        if last and await self._none_is_leaving():
            marked = [pod for pod in (self._pods() or {}).values() if pod.counts and marks.changes(pod, marks.NONE)]
            self._marking.start(self._keep_pods(set(), marked, {pod.name: marks.NONE for pod in marked}))
            await self._marking.end()

    async def _none_is_leaving(self) -> bool:
        """When the controller has chosen whom to remove, for which it needs the marks; False when that takes long."""
        for _ in range(LEAVE_LOOKS):
            pods = self._pods()
            if pods is None or self._seen is None or not self._world.leadership.sure(0):
                return False
            if sum(pod.counts for pod in pods.values()) <= self._seen.replicas:
                return True
            self._renew_if_due()
            await asyncio.sleep(1.0)
        return False

    def look(self, reading: Reading, owner: ScalerSpec, alone: bool, woken_at: float | None) -> None:
        """One round; `owner` is the WorkerScaler that the target obeys, and `alone` says that no other acts on it."""
        world, now_ms = self._world, steady_ms(self._world.clock)
        self._read_if_due()
        pods = self._pods()
        view = put_together(reading, self._seen, pods)
        rival = world.rivals.of(self.spec.target)
        standing = stand(self.spec, owner, rival, self._fault, self._missing)
        decision = self._decide(view, standing, now_ms)
        self._desired = None if decision is None else decision.wanted
        self._may_act = alone and standing.may_act
        if world.leadership.leading:
            mine = pods is not None and alone and owner.key == self.spec.key
            if pods is not None and mine:
                self._see_to_pods(view, pods)
            else:
                self._grants.guarded = frozenset()
            self._renew_if_due()
            if mine and self._fence_due() and not self._acting.busy:
                self._acting.start(self._close_fence())
            elif decision is not None and self._may_act:
                self._begin(view, decision, woken_at)
            elif self._down.in_doubt and not self._acting.busy:
                self._acting.start(self._settle(None))
        if not self._may_act:
            self._held_by = ""
        if decision is not None and self.spec.mode is Mode.DRY_RUN:
            self._would_do(view, decision)
        healthy = source_healthy(reading, view.snapshot, self.spec.policy.stale_ms, now_ms)
        draining = len(self._grants.held) + sum(name in (pods or {}) for name in self._grants.leaving)
        found = conditions(self.spec, standing, healthy, view.snapshot, decision, self._held_by, draining)
        self._telling.turns(standing, healthy)
        if self._seen is not None or self._fault or self._missing:
            self._telling.report(view, self._desired, draining, found)

    # --- what there is

    def _read_if_due(self) -> None:
        if not self._reading.busy and self._world.clock.monotonic() - self._read_at >= READ_SECONDS:
            self._read_at = self._world.clock.monotonic()
            self._reading.start(self._read())

    async def _read(self) -> None:
        first = self._seen is None
        try:
            self._adopt(await self._target.read())
        except Missing:
            self._seen, self._fault, self._missing = None, "", True
        except ApiError as error:
            if self._seen is None:
                self._fault = f"The Deployment {self.spec.target} could not be read: {error.message}"
            self._read_at = self._world.clock.monotonic() - READ_SECONDS + 1.0
            raise
        if first:
            self._world.wake()

    def _adopt(self, seen: DeploymentFacts) -> None:
        self._fence.saw(seen)
        if self._seen is None or seen.read_ms >= self._seen.read_ms:
            self._seen, self._fault, self._missing = seen, "", False
        if (arrived := self._up.arrived(seen)) is not None:
            before, decision = arrived
            self._changed(before, seen.replicas, decision, decision.message, str(decision.limited_by))

    def _pods(self) -> Mapping[str, PodFacts] | None:
        if self._seen is None or self._world.pods.read_ms < self._world.since_ms or not self._world.pods.read_ms:
            return None
        return self._world.pods.of(self._seen)

    # --- what is wanted

    def _decide(self, view: View, standing: Standing, now_ms: int) -> Decision | None:
        self._completing = frozenset()
        if self.spec.mode is Mode.PAUSED or self._seen is None or not standing.ready.holds:
            return None
        policy = replace(self.spec.policy, renders_per_worker=view.slots)
        decision = decide(view.snapshot, policy, self._history, now_ms)
        self._history = decision.history
        return self._half_done(view, decision, now_ms) or decision

    def _half_done(self, view: View, decision: Decision, now_ms: int) -> Decision | None:
        """What an operator before this one had begun: workers that agreed to go, and have not gone."""
        left = view.draining - self._grants.all
        recent = now_ms - self._world.since_ms < AFTER_TAKEOVER_SECONDS * 1000
        if not left or not recent or self.spec.mode is not Mode.AUTO:
            return None
        present = view.snapshot.workers
        at_once = decide(view.snapshot, replace(self.spec.policy, idle_ms=0), History(), now_ms)
        if at_once.wanted is None or present is None:
            self._completing = left  # until it is known whether they are needed
            return None
        if at_once.wanted >= present:
            return None
        self._completing = left
        fewer = max(at_once.wanted, present - len(left))
        if decision.wanted is not None and decision.wanted <= fewer:
            return None
        message = f"From {present} to {fewer} workers, to complete what the operator before this one had begun."
        return Decision(fewer, Reason.IDLE, message, Limit.NONE, decision.history)

    # --- what is done

    def _see_to_pods(self, view: View, pods: Mapping[str, PodFacts]) -> None:
        """Marks and grants, as they should be now."""
        now = self._world.clock.monotonic()
        self._busy_at |= dict.fromkeys(view.busy, now)
        self._busy_at = {name: at for name, at in self._busy_at.items() if now - at < marks.REST_SECONDS}
        self._grants.forget_gone(pods)
        # Others may have been chosen than those who agreed: by a person, or because one that agreed became ready before
        # another did. Until their signal comes they are not to begin a job.
        self._grants.adopt([name for name, pod in pods.items() if pod.terminating])
        removal_pending = self._seen is not None and sum(pod.counts for pod in pods.values()) > self._seen.replicas
        if removal_pending:
            # Its controller may be away for longer than ours was. Whoever is released now may be given a job, and then
            # be removed all the same: grants stay until it has chosen, those of an operator before this one too.
            self._grants.adopt(view.draining)
        foreign = view.draining - self._grants.all
        self._grants.guarded = foreign if self._fence.open(self._seen) else frozenset()
        if self._marking.busy or self._acting.busy:
            return
        keep = self._grants.all | self._grants.guarded | self._completing
        loose = set() if removal_pending else (view.draining - keep) | set(self._grants.overdue(pods))
        wanted: Mapping[str, Mapping[str, str]] = {}
        if not self._may_act:
            # Hands off. Whoever had agreed to go by then must not go first when others scale.
            spared = (pod for name, pod in pods.items() if name not in self._grants.all | view.draining)
            wanted = {pod.name: marks.NONE for pod in spared if pod.counts and pod.cost == marks.LOWEST_COST}
        elif view.snapshot.busy is not None:
            wanted = marks.wanted_marks(list(pods.values()), keep - loose, view.busy, self._busy_at)
        due = {name: want for name, want in wanted.items() if marks.changes(pods[name], want)}
        if loose or due:
            self._marking.start(self._keep_pods(loose, [pods[name] for name in due], due))

    def _fence_due(self) -> bool:
        """Once for each time that this replica begins to lead, before it removes or releases anybody."""
        if self._seen is None or not self._seen.replicas or not self._fence.open(self._seen):
            return False
        return self._fence.rested and (self._may_act or bool(self._grants.guarded))

    def _renew_if_due(self) -> None:
        if self._grants.renewal_due(self._down.in_doubt) and not self._renewing.busy:
            self._renewing.start(self._grants.renew(self._down.in_doubt))

    async def _keep_pods(self, loose: Set[str], due: list[PodFacts], wanted: Mapping[str, Mapping[str, str]]) -> None:
        if not self._world.leadership.sure(0):
            return  # they may be another operator's by now
        await self._grants.release(loose)
        if due and self._world.leadership.sure(0):
            await self._world.marker.mark(due, wanted)

    def _begin(self, view: View, decision: Decision, woken_at: float | None) -> None:
        present, wanted = view.snapshot.workers, decision.wanted
        if present is None or wanted is None:
            return
        if wanted >= present:
            self._held_by, self._held = "", 0
        if self._acting.busy:
            return
        if self._down.in_doubt:
            self._acting.start(self._settle(decision))
        elif wanted > present:
            self._acting.start(self._raise(present, wanted, decision, woken_at))
        elif wanted < present and not self._fence.open(self._seen) and self._rested:
            self._acting.start(self._lower(wanted, decision, dict(view.busy)))

    async def _close_fence(self) -> None:
        self._fence.trying()
        seen = await self._target.read()
        self._adopt(seen)
        if self._fence.open(self._seen) and await self._world.leadership.sure_after_a_look(PATCH_SECONDS):
            await self._fence.close(seen)
        self._world.wake()

    def _would_do(self, view: View, decision: Decision) -> None:
        present, wanted = view.snapshot.workers, decision.wanted
        if present is not None and wanted is not None:
            self._telling.would_change(present, wanted, decision)

    async def _raise(self, present: int, wanted: int, decision: Decision, woken_at: float | None) -> None:
        seen = await self._target.read()
        self._adopt(seen)
        if seen.replicas != present or not self._may_act:
            self._world.wake()  # changed by somebody else, or meant to be let alone: decide anew
            return
        leadership = self._world.leadership
        if not leadership.sure(PATCH_SECONDS) and not await leadership.sure_after_a_look(PATCH_SECONDS):
            return
        try:
            news = await self._up.run(seen, wanted, decision)
        except Conflict:
            self._world.wake()  # a look tells
            self._read_at = float("-inf")
            return
        if woken_at is not None:
            self._world.meters.reaction.observe(self._world.clock.monotonic() - woken_at)
        if news:
            self._changed(present, wanted, decision, decision.message, str(decision.limited_by))

    @property
    def _rested(self) -> bool:
        return self._world.clock.monotonic() >= self._held_until

    def _still_wants(self, fewer: int) -> bool:
        auto = self.spec.mode is Mode.AUTO  # a person may have said otherwise since the last look
        return self._may_act and auto and self._desired is not None and self._desired <= fewer

    async def _lower(self, wanted: int, decision: Decision, busy: Mapping[str, int]) -> None:
        self._lowering = decision
        await self._marking.end()
        try:
            outcome = await self._down.run(wanted, busy, lambda: self._still_wants(wanted))
        finally:
            self._rest()
        self._came_of(outcome, decision)

    async def _settle(self, decision: Decision | None) -> None:
        """Without a decision, or one that rests on nothing known, it only looks."""
        known = decision is not None and decision.reason is not Reason.UNKNOWN
        outcome = await self._down.settle(decision.wanted if decision is not None and known else None)
        if outcome is None:
            return
        told = decision if outcome.after > outcome.before else self._lowering
        told = told or decision or self._lowering
        if told is None:
            return
        if outcome.after not in (outcome.before, told.wanted):
            words = f"From {outcome.before} to {outcome.after} workers: the answer to an earlier change was lost."
            told = replace(told, message=words)
        self._came_of(outcome, told)

    def _rest(self) -> None:
        rest = HELD_SECONDS[min(self._held, len(HELD_SECONDS) - 1)]
        self._held_until = self._world.clock.monotonic() + rest
        self._held += 1

    def _came_of(self, outcome: Outcome, decision: Decision) -> None:
        self._held_by = outcome.held_by
        unchanged = outcome.after == outcome.before
        self._telling.held(outcome.held_by if unchanged else "", outcome.refused)
        if unchanged:
            self._world.wake()
            return
        self._held, self._held_until = 0, float("-inf")
        message, limited_by = decision.message, str(decision.limited_by)
        if outcome.held_by:
            message = f"From {outcome.before} to {outcome.after} workers: {outcome.held_by}. {message}"
            limited_by = "Busy"
        self._changed(outcome.before, outcome.after, decision, message, limited_by)

    def _changed(self, before: int, after: int, decision: Decision, message: str, limited_by: str) -> None:
        """The number of replicas was changed: known, and told."""
        self._fence.moved()  # what was sent before is refused from now on
        if self._seen is not None:
            self._seen = replace(self._seen, replicas=after, read_ms=steady_ms(self._world.clock))
        self._telling.changed(before, after, decision, message, limited_by)

"""Scaling down: asks first, then removes exactly those who agreed (ADR 0013).

    read      the Deployment and its pods, fresh; no rollout, and as many pods as replicas
    ask       the queue for grants, in the order in which the ReplicaSet controller deletes
    mark      the granted with the lowest cost, and see that the API shows it
    look      once more: still wanted, still leading, still granted, the Deployment unchanged, the order right
    patch     replicas, by exactly the number granted, on the condition that the Deployment is as it was looked at

Wherever it stops before the patch, the grants are released. A patch whose answer was lost leaves a *doubt*: its grants
are kept until it is known whether it was carried out. Another change on the same condition ends the doubt: whichever of
the two the API sees first is carried out, and the other refused. It is the size that is wanted by then, or a *fence*,
which changes nothing but the Deployment's version.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from flowscale import logs
from flowscale.clocks import Clock
from flowscale_operator.api_errors import ApiError, ApiUnavailable, Conflict, Missing, Refused
from flowscale_operator.apply import PATCH_SECONDS, Target
from flowscale_operator.facts import DeploymentFacts, PodFacts
from flowscale_operator.grants import Grants
from flowscale_operator.leadership import Leadership
from flowscale_operator.marking import Marker
from flowscale_operator.marks import GRANTED, LOWEST_COST
from flowscale_operator.victims import next_to_ask, several_versions, surely_first

SEEN_SECONDS = 5.0
"""For the API to show the costs that were written."""

SETTLE_SECONDS = 0.25
"""Between the costs' being visible and the patch: the controller's own view of pods is a little behind the API's."""

STUCK_SECONDS = 10.0
"""A Deployment that has had fewer pods than replicas for as long cannot make them (a quota, say)."""

UNFENCED_SECONDS = 60.0
"""Where the API refuses the fence: an API server ends every request after 60 s (--request-timeout)."""

LAST_LOOKS = 5
"""A Deployment's version changes with every pod that becomes ready: the last look is taken again so many times."""

_log = logs.get("operator")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it. `held_by` says why fewer went than should, or none; empty when all did."""

    before: int
    after: int
    held_by: str = ""
    refused: int = 0  # workers that were asked and render


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A patch from the size that was `seen` to `after`; `others` are the sizes that patches on the same condition would
    have set. `ended`: the server is done with it, and the next look tells."""

    seen: DeploymentFacts
    after: int
    since: float
    ended: bool = False
    others: frozenset[int] = frozenset()


class ScaleDown:
    """Of one Deployment. One run at a time. `busy` gives what the last reading said of each pod."""

    def __init__(self, target: Target, grants: Grants, marker: Marker, leadership: Leadership, clock: Clock) -> None:
        self._target = target
        self._grants = grants
        self._marker = marker
        self._leadership = leadership
        self._clock = clock
        self._doubt: _Doubt | None = None
        self._short: tuple[float, float] | None = None  # since when pods were missing, and when that was last seen

    @property
    def in_doubt(self) -> bool:
        return self._doubt is not None

    def drop(self) -> None:
        """Another operator leads."""
        self._doubt = None
        self._short = None

    async def run(self, wanted: int, busy: Mapping[str, int], still: Callable[[], bool]) -> Outcome:
        """To `wanted` replicas, or as near as those who render allow. `still` says whether that is wanted any more.

        Raises ApiError, QueueUnavailable: nothing was removed, or there is a doubt.
        """
        try:
            return await self._run(wanted, busy, still)
        finally:
            if self._doubt is None:
                await self._let_go()

    async def _let_go(self) -> None:
        """Of those that were asked and stay; of none that another operator may have asked meanwhile."""
        if self._leadership.sure(0):
            await self._grants.release(self._grants.held)
        else:
            self._grants.drop_held()

    async def settle(self, wanted: int | None) -> Outcome | None:
        """What became of the patch in doubt; None while that is not known. `wanted` is how many there should be now;
        with None, which is not known or not for this operator to say, it only sees to it that nothing arrives any more.

        Raises ApiError, QueueUnavailable: the doubt stays.
        """
        doubt = self._doubt
        if doubt is None:
            return None
        before = doubt.seen.replicas
        try:
            now = await self._target.read()
        except Missing:
            return await self._give_up(before, "the Deployment is gone")
        if now.uid == doubt.seen.uid and now.version == doubt.seen.version:
            return await self._overtake(doubt, wanted)
        self._doubt = None  # a condition that failed once fails for ever
        if now.uid == doubt.seen.uid and now.replicas == doubt.after:
            self._grants.removed()
            return Outcome(before, doubt.after)
        if now.uid == doubt.seen.uid and now.replicas < before:
            self._grants.removed()  # some of them go; those that do not are released later
        await self._let_go()
        if now.uid == doubt.seen.uid and now.replicas in doubt.others:
            return Outcome(before, now.replicas)
        return Outcome(before, before, "the Deployment was changed by another meanwhile")

    async def _overtake(self, doubt: _Doubt, wanted: int | None) -> Outcome | None:
        """Send what is wanted now, on the condition of the patch in doubt; or make sure that it does not arrive."""
        before = doubt.seen.replicas
        if doubt.ended:
            return await self._give_up(before, "a patch was not carried out")
        after = before if wanted is None else max(wanted, doubt.after)
        if after < before and not await self._still_fit(doubt):
            after = before
        if not await self._leadership.sure_after_a_look(PATCH_SECONDS):
            return None
        if after == before:
            try:
                await self._target.fence(doubt.seen)
            except Refused:
                if self._clock.monotonic() - doubt.since < UNFENCED_SECONDS:
                    raise
            return await self._give_up(before, "a patch was not carried out")
        self._doubt = replace(doubt, others=doubt.others | {after})
        await self._target.scale(doubt.seen, after)  # refused: the next look knows by what
        self._doubt = None
        if after < before:
            self._grants.removed()  # those of them that stay are released when they have not gone
        else:
            await self._let_go()
        return Outcome(before, after)

    async def _give_up(self, before: int, why: str) -> Outcome:
        self._doubt = None
        await self._let_go()
        return Outcome(before, before, why)

    async def _still_fit(self, doubt: _Doubt) -> bool:
        """Whether none but the granted would go."""
        pods = await self._target.pods(doubt.seen)
        number = doubt.seen.replicas - doubt.after
        return (
            await self._grants.still_hold()
            and not several_versions(pods)
            and surely_first(pods, number, self._grants.held)
        )

    async def _run(self, wanted: int, busy: Mapping[str, int], still: Callable[[], bool]) -> Outcome:
        seen = await self._target.read()
        pods = await self._target.pods(seen)
        held_by = self._unfit(seen, pods)
        if held_by:
            return Outcome(seen.replicas, seen.replicas, held_by)
        counted = [pod for pod in pods if pod.counts]
        if len(counted) < seen.replicas:
            return await self._give_up_missing(seen, len(counted), wanted, still)
        number = seen.replicas - wanted
        if number <= 0:
            return Outcome(seen.replicas, seen.replicas)
        refused = await self._ask(counted, number, busy)
        if not self._grants.held:
            return Outcome(seen.replicas, seen.replicas, _all_busy(number), len(refused))
        await self._mark(seen, pods)
        await asyncio.sleep(SETTLE_SECONDS)
        outcome = await self._last_looks(seen, still)
        if outcome.held_by or len(refused) == 0 or outcome.before - outcome.after >= number:
            return outcome
        return Outcome(
            outcome.before, outcome.after, _some_busy(number - (outcome.before - outcome.after)), len(refused)
        )

    def _unfit(self, seen: DeploymentFacts, pods: list[PodFacts]) -> str:
        if self._grants.unsure:
            return "the queue has just not answered"
        if not seen.names_pods:
            return "its workers do not say in which pod they are (POD_NAME, from metadata.name, in the pod template)"
        if seen.rolling:
            return seen.rolling
        if several_versions(pods):
            return "a rollout is under way"
        counted = sum(pod.counts for pod in pods)
        if counted > seen.replicas:
            return "the last change is still under way"
        if counted == seen.replicas:
            self._short = None
            return ""
        now = self._clock.monotonic()
        since, last = self._short or (now, now)
        since = now if now - last > 3 * STUCK_SECONDS else since  # looks may be 10 s apart
        self._short = since, now
        return "pods are still to be made" if now - since < STUCK_SECONDS else ""

    async def _give_up_missing(
        self, seen: DeploymentFacts, counted: int, wanted: int, still: Callable[[], bool]
    ) -> Outcome:
        """Replicas that have no pods go without asking anyone, and before any pod does."""
        after = max(wanted, counted)
        if after >= seen.replicas or not still() or not await self._leadership.sure_after_a_look(PATCH_SECONDS):
            return Outcome(seen.replicas, seen.replicas, "pods are still to be made")
        await self._patch(seen, after)
        held_by = "" if after == wanted else "first those replicas went that have no pods"
        return Outcome(seen.replicas, after, held_by)

    async def _ask(self, pods: list[PodFacts], number: int, busy: Mapping[str, int]) -> set[str]:
        refused: set[str] = set()
        while names := next_to_ask(pods, number, self._grants.held, refused, busy):
            refused |= set(names) - await self._grants.ask(names)
        return refused

    async def _mark(self, seen: DeploymentFacts, pods: list[PodFacts]) -> None:
        await self._marker.mark(pods, dict.fromkeys(self._grants.held, GRANTED))
        deadline = self._clock.monotonic() + SEEN_SECONDS
        while True:
            shown = {pod.name: pod for pod in await self._target.pods(seen)}
            left = [name for name in self._grants.held if name in shown and shown[name].cost != LOWEST_COST]
            if not left:
                return
            if self._clock.monotonic() > deadline:
                raise ApiUnavailable(f"The API does not show the costs of {', '.join(sorted(left))}")
            await asyncio.sleep(0.1)

    async def _last_looks(self, seen: DeploymentFacts, still: Callable[[], bool]) -> Outcome:
        before = seen.replicas
        for _ in range(LAST_LOOKS):
            if not still():
                return Outcome(before, before, "they may be needed again")
            pods = await self._target.pods(seen)
            if not await self._leadership.sure_after_a_look(PATCH_SECONDS):
                return Outcome(before, before, "another operator leads")
            if not await self._grants.still_hold():
                return Outcome(before, before, "a worker that had agreed was given a job")
            now = await self._target.read()
            number = len(self._grants.held)
            counted = sum(pod.counts for pod in pods)
            if now.uid == seen.uid and now.replicas < before:
                self._grants.removed()  # some of them may be about to go
            if now.uid != seen.uid or now.replicas != before or counted != before:
                return Outcome(before, before, "the Deployment was changed by another meanwhile")
            if now.rolling or several_versions(pods):
                return Outcome(before, before, now.rolling or "a rollout is under way")
            if not surely_first(pods, number, self._grants.held):
                return Outcome(before, before, "a pod that did not agree would go first")
            if not still():
                return Outcome(before, before, "they may be needed again")
            try:
                return await self._patch(now, before - number)
            except Conflict:
                continue
        return Outcome(before, before, "the Deployment changes too fast to be looked at")

    async def _patch(self, seen: DeploymentFacts, after: int) -> Outcome:
        if not self._leadership.sure(PATCH_SECONDS):
            return Outcome(seen.replicas, seen.replicas, "another operator may lead")
        doubt = self._doubt = _Doubt(seen, after, self._clock.monotonic())
        try:
            await self._target.scale(seen, after)
        except ApiUnavailable as error:
            self._doubt = None if error.carried_out is False else replace(doubt, ended=error.ended)
            raise
        except ApiError:
            self._doubt = None
            raise
        self._doubt = None
        self._grants.removed()
        return Outcome(seen.replicas, after)


def _all_busy(number: int) -> str:
    return f"those that would have to go render ({number} asked for)"


def _some_busy(number: int) -> str:
    return f"{number} more render"

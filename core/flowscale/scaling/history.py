"""What one decision leaves to the next. Nothing of it need outlive the process: without it, down waits longer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from flowscale.scaling.terms import Policy

SPACING_MS = 30_000
"""Two steps down within this need a change of demand between them."""


@dataclass(frozen=True, slots=True)
class Peak:
    """A demand seen at a time; no later one that is still remembered was as high."""

    at_ms: int
    demand: int


@dataclass(frozen=True, slots=True)
class Step:
    """The last step down that was decided, and not followed by one up."""

    at_ms: int
    size: int
    moved: bool = False  # whether demand has changed since


@dataclass(frozen=True, slots=True)
class History:
    since_ms: int | None = None  # all demand since then is remembered by its peaks; None: it is not known now
    last_ms: int | None = None  # the last round in which it was known
    peaks: tuple[Peak, ...] = ()  # of the last idle_ms, oldest and highest first
    due_ms: int | None = None  # since when fewer would do, by what was seen up to the last round; None: they would not
    step: Step | None = None

    def until(self, policy: Policy, now_ms: int) -> History:
        """As it is when a round begins, before that one's own demand: what is too old is forgotten, and all of it after
        a break. What a longer idle time would ask for later stays forgotten."""
        since_ms, last_ms = self.since_ms, self.last_ms
        if since_ms is None or last_ms is None or not 0 <= now_ms - last_ms <= policy.stale_ms:
            return History(step=self.step)
        oldest = now_ms - policy.idle_ms
        kept = tuple(peak for peak in self.peaks if peak.at_ms >= oldest)
        return replace(self, since_ms=max(since_ms, oldest), peaks=kept)

    def seen(self, demand: int, now_ms: int) -> History:
        """With this round's demand, after `until`."""
        step = self.step
        if step is not None and self.peaks and self.peaks[-1].demand != demand:
            step = replace(step, moved=True)
        kept = (peak for peak in self.peaks if peak.demand > demand)
        since_ms = now_ms if self.since_ms is None else self.since_ms
        return replace(self, since_ms=since_ms, last_ms=now_ms, peaks=(*kept, Peak(now_ms, demand)), step=step)

    @property
    def peak(self) -> int:
        """The highest demand that is remembered."""
        return max((peak.demand for peak in self.peaks), default=0)

    def waits_to_gather(self, policy: Policy, now_ms: int) -> bool:
        """Whether a step down that is possible now should wait, by what was seen before this round."""
        if not self.peaks:
            return False
        lowest = max(self.peaks[-1].demand, policy.minimum)
        higher = [peak for peak in self.peaks if peak.demand > lowest]
        if not higher:
            return False  # all that will go can go now
        next_in_ms, last_in_ms = (peak.at_ms + policy.idle_ms - now_ms for peak in (higher[0], higher[-1]))
        if next_in_ms > policy.gather_ms:
            return False  # nobody would come with it
        waited_ms = 0 if self.due_ms is None else now_ms - self.due_ms
        return last_in_ms <= policy.gather_ms or waited_ms < policy.gather_ms

    def waits_for_step(self, policy: Policy, now_ms: int) -> bool:
        """Whether the last step down is too close."""
        if self.step is None:
            return False
        passed_ms = now_ms - self.step.at_ms
        if policy.max_step_down_percent < 100 and passed_ms < policy.idle_ms:
            return True
        return passed_ms < SPACING_MS and not self.step.moved

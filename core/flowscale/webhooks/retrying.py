"""What to make of an answer, and when to try again. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from flowscale.webhooks.deliveries import Claim, DeliveryState, Outcome

WAITS_SECONDS = (5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800, 28_800)
"""Between a try and the next: 11 tries within 85,355 s, 23.7 hours."""

JITTER = 0.1
"""Up to this share is added or taken away, so that what failed together does not come back together."""

LONGEST_WAIT_SECONDS = 28_800
"""What a Retry-After may ask for."""

GIVE_UP_MS = 28 * 3600 * 1000
"""No try begins later than this after the first, however long Retry-After made the waits: the table and its jitter."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one try gave. `status` is None when no answer came; then `fault` says why."""

    status: int | None
    fault: str | None = None
    body: str = ""
    retry_after_seconds: int | None = None


def judge(answer: Answer, claim: Claim, chance: float) -> Outcome:
    """`chance` in [0, 1) draws the jitter."""
    if answer.status is not None and 200 <= answer.status < 300:
        return Outcome(DeliveryState.DELIVERED, 0, answer.status, None, answer.body)
    gone = answer.status == 410
    fault = answer.fault or f"it answered {answer.status}" + (", which is for good" if gone else "")
    delay_ms = None if gone else next_wait_ms(claim, answer.retry_after_seconds, chance)
    state = DeliveryState.FAILED if delay_ms is None else DeliveryState.PENDING
    return Outcome(state, delay_ms or 0, answer.status, fault, answer.body)


def next_wait_ms(claim: Claim, retry_after_seconds: int | None, chance: float) -> int | None:
    """Until the try after this one; None when it was the last."""
    tries = claim.delivery.tries
    if tries > len(WAITS_SECONDS):
        return None
    wait = WAITS_SECONDS[max(0, tries - 1)] * (1 - JITTER + 2 * JITTER * chance)
    wait = max(wait, min(retry_after_seconds or 0, LONGEST_WAIT_SECONDS))
    wait_ms = int(wait * 1000)
    return None if claim.now_ms + wait_ms > claim.delivery.since_ms + GIVE_UP_MS else wait_ms

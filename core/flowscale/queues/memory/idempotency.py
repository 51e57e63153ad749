"""The Idempotency-Keys that the memory backend remembers for a while, and the jobs they made.

Pure bookkeeping without a lock; `now` is in ms of the monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from flowscale.queues import answers
from flowscale.queues.base import Idempotency


@dataclass(frozen=True, slots=True)
class _Key:
    fingerprint: str
    job_id: str
    expires: int


class Keys:
    """Idempotency-Keys and the jobs they made."""

    def __init__(self, kept_ms: int) -> None:
        self._kept_ms = kept_ms
        self._keys: dict[str, _Key] = {}  # earliest to expire first

    def job_id(self, asked: Idempotency, now: int) -> str | None:
        """The job that the key made; None for an unknown or forgotten key. Raises IdempotencyMismatch."""
        known = self._keys.get(asked.key)
        if known is None or known.expires <= now:
            return None
        if known.fingerprint != asked.fingerprint:
            raise answers.idempotency_mismatch()
        return known.job_id

    def remember(self, asked: Idempotency, job_id: str, now: int) -> None:
        self._keys.pop(asked.key, None)  # so that the new entry is the last to expire
        self._keys[asked.key] = _Key(asked.fingerprint, job_id, now + self._kept_ms)

    def forget_old(self, now: int) -> None:
        while self._keys and self._keys[key := next(iter(self._keys))].expires <= now:
            del self._keys[key]

"""Who leads, by one Lease. Pure: `Election` says what to do about a reading of it, leadership.py does it.

Nobody renews a Lease that nobody else wants. A replica that stands by writes its name beside the holder's
(CANDIDATE); from then on the holder renews every RENEW_SECONDS, and whoever has seen no renewal for LEASE_SECONDS, in
unbroken contact with the API, takes the Lease. So an operator alone writes nothing, and yet a dead one is replaced
within LEASE_SECONDS of somebody's wanting it. No clock of one machine is compared with another's.

**How long the holder may act** follows: a reading without a candidate, asked for at t, rules out that anybody takes
the Lease before t + LEASE_SECONDS; so does a renewal sent at t. The holder counts on MARGIN_SECONDS less.

A replica that never led lets a candidate that stood by before it go first, once. A container that was started again
in the same pod is the same holder: the kubelet never runs two of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

LEASE_SECONDS = 10.0
"""Without a renewal for as long, a wanted Lease is anybody's. With a start of 2 s, another leads within 20 s."""

RENEW_SECONDS = 2.0

MARGIN_SECONDS = 3.0
"""The holder stops so much earlier: longer than its last patch may take on its way."""

YIELD_SECONDS = 4.0
"""How long a newcomer lets a candidate go first."""

ANNOUNCE_SECONDS = 60.0
"""A candidate says so again this often."""

FORGET_SECONDS = 150.0
"""A candidate that has not said so for as long is gone, and the holder stops renewing for it."""

CONTACT_SECONDS = 4.0
"""A longer gap between two readings begins the wait for the holder anew: it may have been cut off as well."""


class Step(Enum):
    """What to write now."""

    NOTHING = auto()
    CREATE = auto()  # there is no Lease: make one, held
    TAKE = auto()  # hold it
    RENEW = auto()
    FORGET = auto()  # renew, and strike the candidate off
    ANNOUNCE = auto()  # stand by


@dataclass(frozen=True, slots=True)
class Lease:
    """A reading. `holder` and `candidate` are empty when there is none; `version` is the object's."""

    holder: str
    renewed: str
    transitions: int
    candidate: str  # name and time of the last announcement, as in `name@time`
    version: str


def pod_of(identity: str) -> str:
    """An identity is `pod/number`, the number being of this process."""
    return identity.rpartition("/")[0]


class Election:
    """One replica's view. Seconds are of one clock that never steps back."""

    def __init__(self, identity: str) -> None:
        self._me = identity
        self._valid_until = float("-inf")
        self._led = False
        self._yielded_since: float | None = None
        self._renewed_at = float("-inf")
        self._announced_at = float("-inf")
        self._last_read = float("-inf")
        self._holder_seen: tuple[tuple[str, str, int], float] | None = None  # while it is wanted
        self._candidate_seen: tuple[str, float] | None = None

    def leads(self, now: float, room: float = 0.0) -> bool:
        """Whether nobody else can hold it until `now + room`."""
        return now + room < self._valid_until

    def read(self, lease: Lease | None, asked: float, now: float) -> Step:
        """A reading that was asked for at `asked` and came at `now`."""
        unbroken = asked - self._last_read <= CONTACT_SECONDS
        self._last_read = now
        if lease is None:
            return Step.CREATE
        self._note(lease, now, unbroken)
        if lease.holder == self._me:
            return self._holding(lease, asked, now)
        self._valid_until = float("-inf")
        if not lease.holder:
            return Step.NOTHING if self._yields(lease, now) else Step.TAKE
        if pod_of(lease.holder) and pod_of(lease.holder) == pod_of(self._me):
            return Step.TAKE
        return self._standing_by(lease, now)

    def wrote(self, step: Step, asked: float) -> None:
        """The write of `step`, sent at `asked`, was accepted."""
        if step is Step.ANNOUNCE:
            self._announced_at = asked
        else:
            self._led = True
            self._renewed_at = asked
            self._valid_until = asked + LEASE_SECONDS - MARGIN_SECONDS

    def lost(self) -> None:
        """A write was refused, for somebody wrote before, or the Lease was given back."""
        self._valid_until = float("-inf")

    def _note(self, lease: Lease, now: float, unbroken: bool) -> None:
        if self._candidate_seen is None or self._candidate_seen[0] != lease.candidate:
            self._candidate_seen = (lease.candidate, now)
        facts = (lease.holder, lease.renewed, lease.transitions)
        if not lease.candidate:
            self._holder_seen = None  # nobody waits: nothing has to be renewed
        elif self._holder_seen is None or self._holder_seen[0] != facts or not unbroken:
            self._holder_seen = (facts, now)

    def _holding(self, lease: Lease, asked: float, now: float) -> Step:
        self._led = True
        if not lease.candidate:
            self._valid_until = max(self._valid_until, asked + LEASE_SECONDS - MARGIN_SECONDS)
            return Step.NOTHING
        if lease.candidate.startswith(f"{self._me}@") or self._silent(now):
            return Step.FORGET
        return Step.RENEW if now - self._renewed_at >= RENEW_SECONDS else Step.NOTHING

    def _yields(self, lease: Lease, now: float) -> bool:
        mine = lease.candidate.startswith(f"{self._me}@")
        if self._led or mine or not lease.candidate:
            return False
        if self._yielded_since is None:
            self._yielded_since = now
        return now - self._yielded_since < YIELD_SECONDS

    def _standing_by(self, lease: Lease, now: float) -> Step:
        mine = lease.candidate.startswith(f"{self._me}@")
        if not lease.candidate or self._silent(now) or (mine and now - self._announced_at >= ANNOUNCE_SECONDS):
            return Step.ANNOUNCE
        waited = now - self._holder_seen[1] if self._holder_seen else 0.0
        return Step.TAKE if waited >= LEASE_SECONDS else Step.NOTHING

    def _silent(self, now: float) -> bool:
        return self._candidate_seen is not None and now - self._candidate_seen[1] >= FORGET_SECONDS

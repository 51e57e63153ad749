"""What one gateway process grants its clients, whom it closes to make room, and what it counts of both.

A connection costs a descriptor and a place among `max_connections`, so each must be earning it. Who is late is cut:
with a head (connections.py), with a body (bodies.py), with taking an answer (connections.py, asked here once a
tick). When all places are taken, room is made: connections that are idle between requests go first, then those that
have not finished a head, each the oldest first. When all are at work, a newcomer is a guest in one of a few spare
places: its head is read, a probe is served, anything else is answered 503 (crowded.py). Guests that do not finish
their head make room for the next; only when every spare place is at work too, the answer comes unasked.

An attacker who has spent his places is gone within a minute of his last useful byte, which is why the windows of
rates are shorter than a minute: what is refused may still be thrown away for LINGER_SECONDS (lingering.py).
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Protocol

from starlette.types import Scope

from flowscale import logs
from flowscale.errors import ServiceError

MAX_CONNECTIONS = 1000

SCOPE_KEY = "flowscale.guards"
"""Where a request's scope holds the guards of the server it came through."""

WARNING_SECONDS = 60.0
"""At most so often the log says that the gateway is full; the metrics count every refusal."""

_PENDING_LOOKS = 8

_log = logs.get("gateway")


class Reason(StrEnum):
    """Why the gateway closed a connection, or refused its request and closes it then."""

    HEAD_TIMEOUT = "head_timeout"
    HEAD_TOO_LARGE = "head_too_large"
    NOT_HTTP = "not_http"
    BODY_SILENT = "body_silent"
    BODY_SLOW = "body_slow"
    READER_STALLED = "reader_stalled"
    READER_SLOW = "reader_slow"
    IDLE = "idle"
    EVICTED = "evicted"
    REFUSED_FULL = "refused_full"


@dataclass(frozen=True, slots=True)
class Limits:
    """How late a client may be. Seconds in which it is the gateway's turn never count."""

    head_s: float = 15.0
    """From the connection, or from the first byte of a later request, to the end of its head."""

    body_silence_s: float = 30.0
    """How long the next bytes of a body may take."""

    reader_silence_s: float = 45.0
    """How long an answer that waits to be sent may not move. Longer than a body's: a player that is paused stops
    reading, and asks again by Range when it was cut. Short of a minute, by which stalled readers shall be gone."""

    window_s: float = 50.0
    """Over how long a rate is measured; nobody is judged by rate before. With the seconds that a refused client may
    go on sending, below the minute."""

    slowest_body: int = 64 * 1024
    """Bytes a second that a body must come at."""

    slowest_reader: int = 4 * 1024
    """Bytes a second at which an answer must be taken. Players read a film as fast as they show it: this is below the
    rate of any film with sound, and far above that of an attacker whose aim is to stay."""

    tick_s: float = 1.0
    """How often readers are looked at."""

    spare: int = 64
    """Places for guests beside `max_connections`."""


class GatewayFull(ServiceError):
    code = "GATEWAY_FULL"
    retry_after = 5


class Place(Enum):
    """What a connection is doing."""

    IDLE = auto()  # between requests
    IN_HEAD = auto()  # it has not finished a head, the first included
    AT_WORK = auto()


class Admission(Enum):
    REGULAR = auto()
    GUEST = auto()
    REFUSED = auto()


class Guarded(Protocol):
    """A connection, as far as the guards know it."""

    def evict(self) -> None:
        """Close it now."""

    def has_unsent(self) -> bool:
        """Whether some of an answer waits for the client to take it."""

    def look_at_reader(self, seconds: float) -> None:
        """`seconds` have passed since it was last looked at: cut it if it does not take what it asked for."""


class Guards:
    """Of one server; all its methods belong to the server's event loop."""

    def __init__(self, limits: Limits | None = None, max_connections: int = MAX_CONNECTIONS) -> None:
        self.limits = limits or Limits()
        self.max_connections = max_connections
        self.closed: Counter[Reason] = Counter()
        self._regular: set[Guarded] = set()
        self._guests: set[Guarded] = set()
        self._idle: OrderedDict[Guarded, None] = OrderedDict()  # oldest first, as the others
        self._in_head: OrderedDict[Guarded, None] = OrderedDict()
        self._guests_in_head: OrderedDict[Guarded, None] = OrderedDict()
        self._warned_at: float | None = None

    @property
    def open(self) -> int:
        """Connections that hold a place."""
        return len(self._regular) + len(self._guests)

    def count(self, reason: Reason) -> None:
        self.closed[reason] += 1

    def admit(self, newcomer: Guarded) -> Admission:
        """Find a place for a new connection, which is in its first head from now on."""
        if len(self._regular) < self.max_connections or self._evict(self._idle) or self._evict(self._in_head):
            self._regular.add(newcomer)
            self.place(newcomer, Place.IN_HEAD)
            return Admission.REGULAR
        self._warn()
        if len(self._guests) < self.limits.spare or self._evict(self._guests_in_head):
            self._guests.add(newcomer)
            self.place(newcomer, Place.IN_HEAD)
            return Admission.GUEST
        return Admission.REFUSED

    def promote(self, guest: Guarded) -> bool:
        """Make a guest a regular connection, if there is room by now."""
        if guest not in self._guests or len(self._regular) >= self.max_connections:
            return False
        self.leave(guest)
        self._regular.add(guest)
        return True

    def place(self, connection: Guarded, place: Place) -> None:
        """Note what a connection is doing; its age there counts from when it began."""
        in_head = self._guests_in_head if connection in self._guests else self._in_head
        if connection not in self._guests and connection not in self._regular:
            return  # it was evicted, and ends
        wanted = {Place.IDLE: self._idle, Place.IN_HEAD: in_head, Place.AT_WORK: None}[place]
        for group in (self._idle, in_head):
            if group is not wanted:
                group.pop(connection, None)
        if wanted is not None:
            wanted.setdefault(connection)

    def leave(self, connection: Guarded) -> None:
        """It is closed. May be told twice."""
        for group in (self._idle, self._in_head, self._guests_in_head):
            group.pop(connection, None)
        self._regular.discard(connection)
        self._guests.discard(connection)

    async def watch(self) -> None:
        """Look at every reader once a tick, until cancelled."""
        clock = asyncio.get_running_loop().time
        looked = clock()
        while True:
            await asyncio.sleep(self.limits.tick_s)
            now = clock()
            # A loop that was held up is our slowness, not the readers'.
            seconds, looked = min(now - looked, 2 * self.limits.tick_s), now
            for connection in (*self._regular, *self._guests):
                connection.look_at_reader(seconds)

    def _evict(self, group: OrderedDict[Guarded, None]) -> bool:
        """Close the oldest of a group. The last bytes of an answer may still be on their way out of an idle one:
        such are passed over, and looked at last the next time."""
        for _ in range(min(len(group), _PENDING_LOOKS)):
            oldest = next(iter(group))
            if oldest.has_unsent():
                group.move_to_end(oldest)
                continue
            self.leave(oldest)
            self.count(Reason.EVICTED)
            oldest.evict()
            return True
        return False

    def _warn(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._warned_at is None or now - self._warned_at >= WARNING_SECONDS:
            self._warned_at = now
            _log.warning(
                "gateway.full",
                f"All {self.max_connections} connections are at work; new ones are answered 503. "
                "Run more gateways, or allow more connections with FLOWSCALE_MAX_CONNECTIONS",
                connections=self.open,
            )


def guards_of(scope: Scope) -> Guards | None:
    """Those of the server a request came through; None when it came through another server than ours."""
    guards = scope.get(SCOPE_KEY)
    return guards if isinstance(guards, Guards) else None


def full() -> GatewayFull:
    return GatewayFull("The gateway has as many connections at work as it may have. Try again in a few seconds.")

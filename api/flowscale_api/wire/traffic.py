"""What this gateway counts of requests: by the template of their route, never by the path that a client chose.

Plain ASGI, so that a streamed body passes through untouched. What the guards answer before it is an application's
request (a full gateway, a late head) is counted by them alone.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client.core import Metric
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flowscale.clocks import Clock
from flowscale.exposition import Described, Kind, bucket_rows

SECONDS_BUCKETS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
"""From an answer out of memory to an upload of some GB; what lasts longer is a stream that somebody follows."""

METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"})

NO_ROUTE = "none"
"""The route of a request that no route is for: all of them under one word."""

NO_ANSWER = 0
"""The status of a request whose client went away before an answer began."""

REQUESTS = Described(
    "flowscale_gateway_requests",
    Kind.COUNTER,
    "Requests by route, method and status (0: the client left before an answer began)",
    ("route", "method", "status"),
)
TOOK = Described(
    "flowscale_gateway_request_seconds",
    Kind.HISTOGRAM,
    "Time from a request's head to the last byte of its answer; bodies, downloads and streams of events included",
    ("route", "method"),
    SECONDS_BUCKETS,
)

TRAFFIC_FIGURES = (REQUESTS, TOOK)


@dataclass(slots=True)
class _Times:
    within: list[int] = field(default_factory=lambda: [0] * (len(SECONDS_BUCKETS) + 1))
    seconds: float = 0.0


class Traffic:
    """The counts of one gateway. Only its event loop counts."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._times: dict[tuple[str, str], _Times] = {}

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        method = method if method in METHODS else "other"
        self._requests[route, method, status] += 1
        times = self._times.setdefault((route, method), _Times())
        times.within[bisect_left(SECONDS_BUCKETS, seconds)] += 1
        times.seconds += seconds

    def metrics(self) -> Iterator[Metric]:
        requests, took = REQUESTS.counter(), TOOK.histogram()
        for (route, method, status), times in sorted(self._requests.items()):
            requests.add_metric([route, method, str(status)], times)
        for (route, method), spent in sorted(self._times.items()):
            rows = bucket_rows(SECONDS_BUCKETS, spent.within[:-1], sum(spent.within))
            took.add_metric([route, method], rows, spent.seconds)
        yield from (requests, took)


class CountTraffic:
    """Counts every request that passes through."""

    def __init__(self, app: ASGIApp, traffic: Traffic, clock: Clock) -> None:
        self._app = app
        self._traffic = traffic
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began = NO_ANSWER, self._clock.monotonic()

        async def watched_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        finally:
            # The router has put its route into the scope on the way.
            route = getattr(scope.get("route"), "path", NO_ROUTE)
            self._traffic.count(route, scope["method"], status, self._clock.monotonic() - began)

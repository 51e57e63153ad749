"""What this process counts of its own, as Prometheus' text.

Unlike the queue's figures (flowscale.metrics), which every gateway shows alike, these are each gateway's own: take
their `sum` over gateways. They begin at 0 with the process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, Metric

from flowscale.exposition import Described, Kind, as_text
from flowscale.storage.counting import Tally
from flowscale_api.uploads.figures import UPLOAD_FIGURES, UploadFigures
from flowscale_api.wire.guards import Guards, Reason
from flowscale_api.wire.traffic import TRAFFIC_FIGURES, Traffic

CONNECTIONS = Described("flowscale_gateway_connections", Kind.GAUGE, "Connections open to this gateway")
CONNECTIONS_MAX = Described(
    "flowscale_gateway_connections_max", Kind.GAUGE, "Connections this gateway may have at once"
)
CLOSED = Described(
    "flowscale_gateway_connections_closed",
    Kind.COUNTER,
    "Connections this gateway closed, or refused and closed then, by reason",
    ("reason",),
)
STORAGE_CALLS = Described(
    "flowscale_gateway_storage_operations", Kind.COUNTER, "Storage operations of this gateway", ("operation",)
)
STORAGE_FAILED = Described(
    "flowscale_gateway_storage_failures",
    Kind.COUNTER,
    "Storage operations of this gateway that the storage failed, by code",
    ("operation", "code"),
)
STORAGE_TOOK = Described(
    "flowscale_gateway_storage_seconds", Kind.COUNTER, "Time in storage operations of this gateway", ("operation",)
)
STORAGE_MOVED = Described(
    "flowscale_gateway_storage_bytes", Kind.COUNTER, "Bytes moved by storage operations of this gateway", ("operation",)
)

GATEWAY_FIGURES = (
    *(CONNECTIONS, CONNECTIONS_MAX, CLOSED, *TRAFFIC_FIGURES, *UPLOAD_FIGURES),
    *(STORAGE_CALLS, STORAGE_FAILED, STORAGE_TOOK, STORAGE_MOVED),
)
"""All that a gateway shows of itself."""


@dataclass(frozen=True, slots=True)
class OwnFigures:
    """What one gateway counts, but for its guards, which are its server's."""

    traffic: Traffic = field(default_factory=Traffic)
    uploads: UploadFigures = field(default_factory=UploadFigures)
    storage: Tally = field(default_factory=Tally)


def render_own(figures: OwnFigures, guards: Guards | None) -> bytes:
    """The text exposition format. `guards`: None behind a server that has none."""
    return as_text(_all(figures, guards))


def _all(figures: OwnFigures, guards: Guards | None) -> Iterator[Metric]:
    if guards is not None:
        yield CONNECTIONS.gauge(guards.open)
        yield CONNECTIONS_MAX.gauge(guards.max_connections)
        closed = CLOSED.counter()
        for reason in Reason:  # a series that is there at 0 lets rate() see the first increase
            closed.add_metric([reason], guards.closed[reason])
        yield closed
    yield from figures.traffic.metrics()
    yield from figures.uploads.metrics()
    counts = figures.storage.counts()
    yield _storage(STORAGE_CALLS, "storage:calls:", counts)
    yield _storage(STORAGE_FAILED, "storage:failed:", counts)
    yield _storage(STORAGE_TOOK, "storage:ms:", counts, per=1000)
    yield _storage(STORAGE_MOVED, "storage:bytes:", counts)


def _storage(described: Described, prefix: str, counts: Mapping[str, int], per: int = 1) -> CounterMetricFamily:
    family = described.counter()
    for name, value in sorted(counts.items()):
        if name.startswith(prefix):
            family.add_metric(name.removeprefix(prefix).split(":"), value / per)
    return family

"""What this process's guards count, as Prometheus' text.

Unlike the queue's figures (flowscale.metrics), which every gateway shows alike, these are each gateway's own: take
their `sum` over gateways. They begin at 0 with the process.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from flowscale_api.wire.guards import Guards, Reason


def render_guards(guards: Guards) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Reading(guards))
    return generate_latest(registry)


class _Reading:
    def __init__(self, guards: Guards) -> None:
        self._guards = guards

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("flowscale_gateway_connections", "Connections open to this gateway", self._guards.open)
        yield GaugeMetricFamily(
            "flowscale_gateway_connections_max",
            "Connections this gateway may have at once",
            self._guards.max_connections,
        )
        closed = CounterMetricFamily(
            "flowscale_gateway_connections_closed",
            "Connections this gateway closed, or refused and closed then, by reason",
            labels=["reason"],
        )
        for reason in Reason:  # a series that is there at 0 lets rate() see the first increase
            closed.add_metric([reason], self._guards.closed[reason])
        yield closed

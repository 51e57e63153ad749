"""What /metrics shows of the operator: its decisions, what it writes, and how its loops fare."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from flowscale.metrics import CONTENT_TYPE
from flowscale_operator.health import Health

__all__ = ["CONTENT_TYPE", "Meters"]

_REACTION_BUCKETS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0)


class Meters:
    """One registry for one operator."""

    def __init__(self, health: Health) -> None:
        self._registry = registry = CollectorRegistry(auto_describe=False)
        by_scaler = ["scaler"]
        self.leader = Gauge("flowscale_operator_leader", "Whether this replica acts", registry=registry)
        self.source_up = Gauge(
            "flowscale_operator_queue_up", "Whether the queue could be read last time", registry=registry
        )
        self.current = Gauge("flowscale_scaler_replicas", "Replicas that there are", by_scaler, registry=registry)
        self.desired = Gauge("flowscale_scaler_desired_replicas", "Replicas wanted", by_scaler, registry=registry)
        self.busy = Gauge("flowscale_scaler_busy_replicas", "Replicas that render", by_scaler, registry=registry)
        self.draining = Gauge(
            "flowscale_scaler_draining_replicas", "Replicas on their way out", by_scaler, registry=registry
        )
        self.ready = Gauge(
            "flowscale_scaler_ready", "Whether the WorkerScaler can do its work", by_scaler, registry=registry
        )
        self.changes = Counter(
            "flowscale_scaler_changes",
            "Changes of the number of replicas; with applied=false, those of DryRun",
            [*by_scaler, "direction", "reason", "limited_by", "applied"],
            registry=registry,
        )
        self.refusals = Counter(
            "flowscale_scaler_drain_refusals", "Workers that were asked to go and render", by_scaler, registry=registry
        )
        self.reaction = Histogram(
            "flowscale_scaler_reaction_seconds",
            "From the queue's wake-up call to the patch it led to",
            buckets=_REACTION_BUCKETS,
            registry=registry,
        )
        self.requests = Counter(
            "flowscale_operator_api_requests",
            "Requests to the Kubernetes API; code 0: no answer",
            ["verb", "kind", "code"],
            registry=registry,
        )
        registry.register(_Ages(health))

    def request(self, verb: str, kind: str, status: int) -> None:
        self.requests.labels(verb, kind, str(status)).inc()

    def forget(self, scaler: str) -> None:
        """The WorkerScaler is gone; what was counted stays."""
        for gauge in (self.current, self.desired, self.busy, self.draining, self.ready):
            gauge.labels(scaler)  # so that it is there: `remove` raises for what was never set
            gauge.remove(scaler)

    def exposition(self) -> bytes:
        return generate_latest(self._registry)


class _Ages:
    """How long ago each loop came round last."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def collect(self) -> Iterator[Metric]:
        age = GaugeMetricFamily(
            "flowscale_operator_round_age_seconds", "Since a loop's last completed round", labels=["loop"]
        )
        for name, seconds in sorted(self._health.ages().items()):
            age.add_metric([name], seconds)
        yield age

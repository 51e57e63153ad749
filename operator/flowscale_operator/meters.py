"""What /metrics shows of the operator: its decisions, what it writes, and how its loops fare."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import Metric

from flowscale.exposition import CONTENT_TYPE, Described, Kind
from flowscale_operator.health import Health

__all__ = ["CONTENT_TYPE", "OPERATOR_FIGURES", "Meters"]

_SCALER = ("scaler",)

LEADER = Described("flowscale_operator_leader", Kind.GAUGE, "Whether this replica acts")
QUEUE_UP = Described("flowscale_operator_queue_up", Kind.GAUGE, "Whether the queue could be read last time")
REPLICAS = Described("flowscale_scaler_replicas", Kind.GAUGE, "Replicas that there are", _SCALER)
DESIRED = Described("flowscale_scaler_desired_replicas", Kind.GAUGE, "Replicas wanted", _SCALER)
BUSY = Described("flowscale_scaler_busy_replicas", Kind.GAUGE, "Replicas that render", _SCALER)
DRAINING = Described("flowscale_scaler_draining_replicas", Kind.GAUGE, "Replicas on their way out", _SCALER)
READY = Described("flowscale_scaler_ready", Kind.GAUGE, "Whether the WorkerScaler can do its work", _SCALER)
CHANGES = Described(
    "flowscale_scaler_changes",
    Kind.COUNTER,
    "Decisions that changed the number of replicas, with their reason; with applied=false, those of DryRun",
    (*_SCALER, "direction", "reason", "limited_by", "applied"),
)
REFUSALS = Described(
    "flowscale_scaler_drain_refusals", Kind.COUNTER, "Workers that were asked to go and render", _SCALER
)
REACTION = Described(
    "flowscale_scaler_reaction_seconds",
    Kind.HISTOGRAM,
    "From the queue's wake-up call to the patch it led to",
    buckets=(0.05, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0),
)
REQUESTS = Described(
    "flowscale_operator_api_requests",
    Kind.COUNTER,
    "Requests to the Kubernetes API; code 0: no answer",
    ("verb", "kind", "code"),
)
ROUND_AGE = Described(
    "flowscale_operator_round_age_seconds", Kind.GAUGE, "Since a loop's last completed round", ("loop",)
)
ROUND_LIMIT = Described(
    "flowscale_operator_round_limit_seconds",
    Kind.GAUGE,
    "Age of a loop's last round above which it hangs, and the kubelet is told; +Inf for one that may wait for ever",
    ("loop",),
)

OPERATOR_FIGURES = (
    *(LEADER, QUEUE_UP, REPLICAS, DESIRED, BUSY, DRAINING, READY),
    *(CHANGES, REFUSALS, REACTION, REQUESTS, ROUND_AGE, ROUND_LIMIT),
)
"""All that an operator shows."""


class Meters:
    """One registry for one operator."""

    def __init__(self, health: Health) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self.leader, self.source_up = self._gauge(LEADER), self._gauge(QUEUE_UP)
        self.current, self.desired = self._gauge(REPLICAS), self._gauge(DESIRED)
        self.busy, self.draining = self._gauge(BUSY), self._gauge(DRAINING)
        self.ready = self._gauge(READY)
        self.changes, self.refusals, self.requests = map(self._counter, (CHANGES, REFUSALS, REQUESTS))
        self.reaction = Histogram(REACTION.name, REACTION.meaning, buckets=REACTION.buckets, registry=self._registry)
        self._registry.register(_Ages(health))

    def _gauge(self, described: Described) -> Gauge:
        return Gauge(described.name, described.meaning, described.labels, registry=self._registry)

    def _counter(self, described: Described) -> Counter:
        return Counter(described.name, described.meaning, described.labels, registry=self._registry)

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
        age, limit = ROUND_AGE.gauge(), ROUND_LIMIT.gauge()
        limits = self._health.limits()
        for name, seconds in sorted(self._health.ages().items()):
            age.add_metric([name], seconds)
            limit.add_metric([name], limits[name])
        yield from (age, limit)

"""What a figure of /metrics is called, what it counts, and in which form it is written. Nothing is counted here.

Every figure of gateway and operator is one `Described` in a tuple of its module. What is shown is made from it, and so
is docs/metrics.md (scripts/generate.py): a figure without a description cannot be shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Kind(StrEnum):
    COUNTER = "counter"  # shown with _total after its name; only ever grows, but for a new start of what counts
    GAUGE = "gauge"
    HISTOGRAM = "histogram"  # shown as _bucket, _sum and _count


@dataclass(frozen=True, slots=True)
class Described:
    """One figure. `buckets` of a histogram are upper limits in its unit, without the last, which is endless."""

    name: str  # without _total
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def shown_as(self) -> str:
        return f"{self.name}_total" if self.kind is Kind.COUNTER else self.name

    @property
    def unit(self) -> str:
        """Told by the name, as Prometheus wants it."""
        return next((unit for unit in ("seconds", "bytes") if self.name.endswith(f"_{unit}")), "")

    def counter(self, value: float | None = None) -> CounterMetricFamily:
        """With a value, of one without labels; else samples are to be added."""
        return CounterMetricFamily(self.name, self.meaning, value, None if value is not None else self.labels)

    def gauge(self, value: float | None = None) -> GaugeMetricFamily:
        return GaugeMetricFamily(self.name, self.meaning, value, None if value is not None else self.labels)

    def histogram(self) -> HistogramMetricFamily:
        return HistogramMetricFamily(self.name, self.meaning, labels=self.labels)


def bucket_rows(bounds: Iterable[float], within: Iterable[int], count: int) -> list[tuple[str, float]]:
    """A histogram's rows as it is shown: `within` holds how many fell into each bucket alone."""
    rows, total = [], 0
    for bound, more in zip(bounds, within, strict=True):
        total += more
        rows.append((f"{bound:.1f}" if bound >= 1 else f"{bound:g}", float(total)))
    return [*rows, ("+Inf", float(count))]


class _Reading:
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


def as_text(metrics: Iterable[Metric]) -> bytes:
    """The text exposition format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Reading(metrics))
    return generate_latest(registry)

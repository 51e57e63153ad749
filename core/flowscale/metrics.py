"""What /metrics shows: the queue's figures as Prometheus' text. Nothing is counted here.

`flowscale_jobs_processed_total{status}` and `flowscale_job_duration_seconds` are fixed by the service FlowScale
replaces, buckets too: dashboards depend on them. Over Redis every gateway shows the same figures, which are the
queue's: take their `max`, not their `sum`, over gateways. A queue that cannot be read shows `flowscale_queue_up 0` and
none of its figures: unknown is not zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from flowscale.queues.base import Figures
from flowscale.queues.figures import JOB_SECONDS_BUCKETS

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render(figures: Figures | None, risks: int) -> bytes:
    """The text exposition format. None: the queue cannot be read; `risks`: how many things JobQueue.warnings names."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Reading(figures, risks))
    return generate_latest(registry)


class _Reading:
    """One reading as a collector."""

    def __init__(self, figures: Figures | None, risks: int) -> None:
        self._figures = figures
        self._risks = risks

    def collect(self) -> Iterator[Metric]:
        figures = self._figures
        yield GaugeMetricFamily("flowscale_queue_up", "Whether the queue could be read", 0 if figures is None else 1)
        yield GaugeMetricFamily(
            "flowscale_queue_risks", "Things that may lose jobs one day, as /readyz names", self._risks
        )
        if figures is not None:
            yield from _jobs(figures.counts)
            yield from _executions(figures.counts)
            yield from _now(figures)
            yield from _workers(figures)


def _jobs(counts: Mapping[str, int]) -> Iterator[Metric]:
    processed = CounterMetricFamily("flowscale_jobs_processed", "Jobs that ended, by final status", labels=["status"])
    for status in ("done", "error"):  # a series that is there at 0 lets rate() see the first increase
        processed.add_metric([status], counts.get(f"ended:{status}", 0))
    yield processed
    took = HistogramMetricFamily("flowscale_job_duration_seconds", "Time from the first start of a job to its end")
    buckets, total = [], 0
    for bucket in JOB_SECONDS_BUCKETS:
        total += counts.get(f"took:{bucket}", 0)
        buckets.append((f"{bucket:.1f}", float(total)))
    buckets.append(("+Inf", float(counts.get("took:count", 0))))
    took.add_metric([], buckets, counts.get("took:ms", 0) / 1000)
    yield took
    yield CounterMetricFamily("flowscale_jobs_enqueued", "Jobs that were accepted", counts.get("enqueued", 0))
    yield _by_code("flowscale_jobs_failed", "Jobs that ended in error, by code", "failed:", counts)


def _executions(counts: Mapping[str, int]) -> Iterator[Metric]:
    simple = {
        "flowscale_job_attempts": ("started", "Executions that were started"),
        "flowscale_job_stalls": ("stalled", "Executions whose worker was lost"),
        "flowscale_job_releases": ("released", "Executions that a stopping worker gave back"),
        "flowscale_fenced_commits": ("fenced", "Ends of executions that were refused because the lease was lost"),
        "flowscale_queue_adopted": ("adopted", "Waiting jobs that stood in no line, and were put back"),
        "flowscale_webhook_tries": ("webhook:tried", "Tries to deliver a webhook"),
        "flowscale_webhooks_delivered": ("webhook:delivered", "Webhooks that were delivered"),
        "flowscale_webhooks_failed": ("webhook:failed", "Webhooks that were given up"),
        "flowscale_queue_refused": ("refused", "Entries of the queue that were nothing of ours, and set aside"),
    }
    for name, (count, text) in simple.items():
        yield CounterMetricFamily(name, text, counts.get(count, 0))
    yield _by_code("flowscale_job_retries", "Attempts that failed and were tried again, by code", "retried:", counts)
    waited = "Time that started jobs had waited in a line, all together"
    yield CounterMetricFamily("flowscale_job_wait_seconds", waited, counts.get("waited:ms", 0) / 1000)


def _now(figures: Figures) -> Iterator[Metric]:
    depth = GaugeMetricFamily("flowscale_queue_jobs", "Jobs that have not ended, by state", labels=["state"])
    for state in ("waiting", "due", "delayed", "running"):
        depth.add_metric([state], getattr(figures.depth, state))
    yield depth
    oldest = (figures.oldest_wait_ms or 0) / 1000
    yield GaugeMetricFamily("flowscale_queue_oldest_wait_seconds", "Longest time a job has waited in a line", oldest)
    yield GaugeMetricFamily("flowscale_queue_paused", "Whether no job is handed out", int(figures.paused))


def _workers(figures: Figures) -> Iterator[Metric]:
    age = GaugeMetricFamily("flowscale_worker_report_age_seconds", "Since a worker last reported", labels=["worker"])
    able = GaugeMetricFamily("flowscale_worker_able", "Whether a worker says it can render", labels=["worker"])
    for name, (report, age_ms) in sorted(figures.workers.items()):
        age.add_metric([name], age_ms / 1000)
        able.add_metric([name], int(report.problem is None))
    yield age
    yield able


def _by_code(name: str, text: str, prefix: str, counts: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=["code"])
    for count, value in sorted(counts.items()):
        if count.startswith(prefix):
            family.add_metric([count.removeprefix(prefix)], value)
    return family

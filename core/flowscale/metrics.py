"""The figures FlowScale exposes. One Metrics object per process, passed to whoever counts.

Names and buckets of the first two are fixed by the service FlowScale replaces: dashboards depend on them.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from flowscale.jobs import Job

JOB_SECONDS_BUCKETS = (10, 30, 60, 120, 300, 600)
"""Seconds; fixed by the service FlowScale replaces."""


class Metrics:
    """Counters over a registry of their own, so that two services in one process (tests) do not mix."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.jobs_processed = Counter(
            "flowscale_jobs_processed", "Jobs that ended, by final status", ["status"], registry=self.registry
        )
        self.job_duration = Histogram(
            "flowscale_job_duration_seconds",
            "Time from the first start of a job to its end",
            buckets=JOB_SECONDS_BUCKETS,
            registry=self.registry,
        )
        for status in ("done", "error"):  # a series that is there at 0 lets rate() see the first increase
            self.jobs_processed.labels(status=status)

    def job_ended(self, job: Job) -> None:
        """Count a job that has reached `done` or `error`, and how long it took if it ever started."""
        self.jobs_processed.labels(status=job.state.public).inc()
        if job.duration_ms is not None:
            self.job_duration.observe(job.duration_ms / 1000)

    def render(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self.registry)

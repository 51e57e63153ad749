"""What /metrics shows of the queue. Nothing is counted here.

`flowscale_jobs_processed_total{status}` and `flowscale_job_duration_seconds` are fixed by the service FlowScale
replaces, buckets too: dashboards depend on them. Over Redis every gateway shows the same figures, which are the
queue's: take their `max`, not their `sum`, over gateways. A queue that cannot be read shows `flowscale_queue_up 0` and
none of its figures: unknown is not zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, Metric

from flowscale.errors import RenderError
from flowscale.exposition import CONTENT_TYPE, Described, Kind, as_text, bucket_rows
from flowscale.queues.base import Figures
from flowscale.queues.figures import JOB_SECONDS_BUCKETS, WAIT_SECONDS_BUCKETS

__all__ = ["CONTENT_TYPE", "QUEUE_FIGURES", "render"]

UP = Described("flowscale_queue_up", Kind.GAUGE, "Whether the queue could be read")
RISKS = Described("flowscale_queue_risks", Kind.GAUGE, "Things that may lose jobs one day, as /readyz names")
PROCESSED = Described(
    "flowscale_jobs_processed", Kind.COUNTER, "Jobs that ended, by final status (done or error)", ("status",)
)
TOOK = Described(
    "flowscale_job_duration_seconds",
    Kind.HISTOGRAM,
    "Time from the first start of a job to its end",
    buckets=JOB_SECONDS_BUCKETS,
)
ENQUEUED = Described("flowscale_jobs_enqueued", Kind.COUNTER, "Jobs that were accepted")
FAILED = Described("flowscale_jobs_failed", Kind.COUNTER, "Jobs that ended in error, by code", ("code",))
WAITED = Described(
    "flowscale_job_wait_seconds",
    Kind.HISTOGRAM,
    "Time that jobs had waited in a line when an execution of them was started",
    buckets=WAIT_SECONDS_BUCKETS,
)
RETRIED = Described(
    "flowscale_job_retries", Kind.COUNTER, "Attempts that failed and were tried again, by code", ("code",)
)
RENDERED = Described(
    "flowscale_render_seconds",
    Kind.COUNTER,
    "Time that renders took which were committed, without fetching sources and storing outputs, by format",
    ("format",),
)
MEDIA = Described(
    "flowscale_rendered_media_seconds",
    Kind.COUNTER,
    "Length of the media those renders made; render seconds over these is the price of a second of video",
    ("format",),
)
_ENDED = "of executions that told the queue of their end"
STORAGE_CALLS = Described(
    "flowscale_worker_storage_operations", Kind.COUNTER, f"Storage operations {_ENDED}", ("operation",)
)
STORAGE_FAILED = Described(
    "flowscale_worker_storage_failures",
    Kind.COUNTER,
    f"Storage operations that the storage failed, {_ENDED}; each try counts",
    ("operation", "code"),
)
STORAGE_TOOK = Described(
    "flowscale_worker_storage_seconds", Kind.COUNTER, f"Time in storage operations {_ENDED}", ("operation",)
)
STORAGE_MOVED = Described(
    "flowscale_worker_storage_bytes", Kind.COUNTER, f"Bytes moved by storage operations {_ENDED}", ("operation",)
)
JOBS = Described(
    "flowscale_queue_jobs",
    Kind.GAUGE,
    "Jobs that have not ended, by state: waiting in a line, delayed (a retry's pause), due (it has passed), running",
    ("state",),
)
OLDEST = Described("flowscale_queue_oldest_wait_seconds", Kind.GAUGE, "Longest time a job has waited in a line")
PAUSED = Described("flowscale_queue_paused", Kind.GAUGE, "Whether no job is handed out")
MEMORY = Described("flowscale_queue_memory_bytes", Kind.GAUGE, "Memory that the queue's server uses for data")
MEMORY_MAX = Described(
    "flowscale_queue_memory_max_bytes", Kind.GAUGE, "Memory it may use for data (maxmemory); 0: as much as there is"
)
EVICTED = Described(
    "flowscale_queue_evicted_keys", Kind.COUNTER, "Keys that the queue's server threw away because its memory was full"
)
REPORT_AGE = Described("flowscale_worker_report_age_seconds", Kind.GAUGE, "Since a worker last reported", ("worker",))
ABLE = Described("flowscale_worker_able", Kind.GAUGE, "Whether a worker says it can render", ("worker",))

_SIMPLE = {
    "started": Described("flowscale_job_attempts", Kind.COUNTER, "Executions that were started"),
    "stalled": Described("flowscale_job_stalls", Kind.COUNTER, "Executions whose worker was lost"),
    "released": Described("flowscale_job_releases", Kind.COUNTER, "Executions that a stopping worker gave back"),
    "fenced": Described(
        "flowscale_fenced_commits", Kind.COUNTER, "Ends of executions that were refused because the lease was lost"
    ),
    "adopted": Described(
        "flowscale_queue_adopted", Kind.COUNTER, "Waiting jobs that stood in no line, and were put back"
    ),
    "webhook:tried": Described("flowscale_webhook_tries", Kind.COUNTER, "Tries to deliver a webhook"),
    "webhook:delivered": Described("flowscale_webhooks_delivered", Kind.COUNTER, "Webhooks that were delivered"),
    "webhook:failed": Described("flowscale_webhooks_failed", Kind.COUNTER, "Webhooks that were given up"),
    "refused": Described(
        "flowscale_queue_refused", Kind.COUNTER, "Entries of the queue that were nothing of ours, and set aside"
    ),
}

QUEUE_FIGURES = (
    *(UP, RISKS, PROCESSED, TOOK, ENQUEUED, FAILED, WAITED, RETRIED, *_SIMPLE.values()),
    *(RENDERED, MEDIA, STORAGE_CALLS, STORAGE_FAILED, STORAGE_TOOK, STORAGE_MOVED),
    *(JOBS, OLDEST, PAUSED, MEMORY, MEMORY_MAX, EVICTED, REPORT_AGE, ABLE),
)
"""All that a gateway shows of the queue."""


def render(figures: Figures | None, risks: int) -> bytes:
    """The text exposition format. None: the queue cannot be read; `risks`: how many things JobQueue.warnings names."""
    return as_text(_all(figures, risks))


def _all(figures: Figures | None, risks: int) -> Iterator[Metric]:
    yield UP.gauge(0 if figures is None else 1)
    yield RISKS.gauge(risks)
    if figures is not None:
        yield from _jobs(figures.counts)
        yield from _executions(figures.counts)
        yield from _now(figures)
        yield from _workers(figures)


def _jobs(counts: Mapping[str, int]) -> Iterator[Metric]:
    processed = PROCESSED.counter()
    for status in ("done", "error"):  # a series that is there at 0 lets rate() see the first increase
        processed.add_metric([status], counts.get(f"ended:{status}", 0))
    yield processed
    yield _histogram(TOOK, "took", counts)
    yield ENQUEUED.counter(counts.get("enqueued", 0))
    yield _by_labels(FAILED, "failed:", {**_none_of("failed:"), **counts})


def _executions(counts: Mapping[str, int]) -> Iterator[Metric]:
    for count, described in _SIMPLE.items():
        yield described.counter(counts.get(count, 0))
    yield _by_labels(RETRIED, "retried:", {**_none_of("retried:"), **counts})
    yield _histogram(WAITED, "wait", counts)
    yield _by_labels(RENDERED, "render:ms:", counts, per=1000)
    yield _by_labels(MEDIA, "media:ms:", counts, per=1000)
    yield _by_labels(STORAGE_CALLS, "storage:calls:", counts)
    yield _by_labels(STORAGE_FAILED, "storage:failed:", counts)
    yield _by_labels(STORAGE_TOOK, "storage:ms:", counts, per=1000)
    yield _by_labels(STORAGE_MOVED, "storage:bytes:", counts)


def _now(figures: Figures) -> Iterator[Metric]:
    depth = JOBS.gauge()
    for state in ("waiting", "due", "delayed", "running"):
        depth.add_metric([state], getattr(figures.depth, state))
    yield depth
    yield OLDEST.gauge((figures.oldest_wait_ms or 0) / 1000)
    yield PAUSED.gauge(int(figures.paused))
    if figures.memory is not None:
        yield MEMORY.gauge(figures.memory.used_bytes)
        yield MEMORY_MAX.gauge(figures.memory.max_bytes)
        yield EVICTED.counter(figures.memory.evicted_keys)


def _workers(figures: Figures) -> Iterator[Metric]:
    age, able = REPORT_AGE.gauge(), ABLE.gauge()
    for name, (report, age_ms) in sorted(figures.workers.items()):
        age.add_metric([name], age_ms / 1000)
        able.add_metric([name], int(report.problem is None))
    yield age
    yield able


def _histogram(described: Described, prefix: str, counts: Mapping[str, int]) -> Metric:
    within = [counts.get(f"{prefix}:{bucket:g}", 0) for bucket in described.buckets]
    family = described.histogram()
    rows = bucket_rows(described.buckets, within, counts.get(f"{prefix}:count", 0))
    family.add_metric([], rows, counts.get(f"{prefix}:ms", 0) / 1000)
    return family


def _none_of(prefix: str) -> Mapping[str, int]:
    """Each code at 0: of a series that begins at 1 no rate or increase sees the first, and an alert would wait for
    a second."""
    return {f"{prefix}{kind.code}": 0 for kind in RenderError.__subclasses__()}


def _by_labels(described: Described, prefix: str, counts: Mapping[str, int], per: int = 1) -> CounterMetricFamily:
    """The counts whose names go on, after the prefix, with the labels' values, each a colon apart."""
    family = described.counter()
    for count, value in sorted(counts.items()):
        labels = count.removeprefix(prefix).split(":")
        if count.startswith(prefix) and len(labels) == len(described.labels) and all(labels):
            family.add_metric(labels, value / per)
    return family

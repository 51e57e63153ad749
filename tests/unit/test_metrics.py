"""What /metrics shows, read back by Prometheus' own parser."""

from __future__ import annotations

from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from flowscale.jobs import Failure, RetryPolicy
from flowscale.metrics import render
from flowscale.queues.base import Depth, Figures, ServerMemory
from flowscale.queues.figures import count_of_end, count_of_render
from flowscale.testing import START_MS, a_job, a_report

_POLICY = RetryPolicy()

COUNTS = {
    "enqueued": 9,
    "started": 12,
    "stalled": 2,
    "fenced": 1,
    "ended:done": 5,
    "ended:error": 2,
    "failed:CANCELLED": 1,
    "failed:INVALID_MEDIA": 1,
    "retried:STORAGE_ERROR": 3,
    "took:10": 4,
    "took:60": 1,
    "took:count": 6,
    "took:ms": 700_500,
    "wait:0.1": 10,
    "wait:1": 1,
    "wait:count": 12,
    "wait:ms": 3_601_500,
    "render:ms:mp4": 4_200,
    "media:ms:mp4": 10_000,
    "storage:calls:fetch": 7,
    "storage:failed:fetch:STORAGE_UNAVAILABLE": 2,
    "storage:ms:fetch": 1_250,
    "storage:bytes:put": 1_000,
    "storage:calls:": 1,
    "storage:failed:fetch": 1,
}
"""With two names that no version of ours counts under."""

FIGURES = Figures(
    depth=Depth(waiting=3, delayed=1, running=2, due=4),
    oldest_wait_ms=2_500,
    paused=True,
    now_ms=START_MS,
    counts=COUNTS,
    memory=ServerMemory(used_bytes=900, max_bytes=1_000, evicted_keys=3),
    workers={"able": (a_report("able"), 1_500), "unable": (a_report("unable", problem="no FFmpeg"), 0)},
)


def samples(figures: Figures | None) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(render(figures, 1).decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_every_figure_is_shown_under_its_name() -> None:
    seen = samples(FIGURES)
    assert seen[("flowscale_jobs_processed_total", (("status", "done"),))] == 5
    assert seen[("flowscale_jobs_processed_total", (("status", "error"),))] == 2
    buckets = [
        seen[("flowscale_job_duration_seconds_bucket", (("le", le),))] for le in ("10.0", "30.0", "60.0", "600.0")
    ]
    assert buckets == [4, 4, 5, 5]
    assert seen[("flowscale_job_duration_seconds_bucket", (("le", "+Inf"),))] == 6
    assert seen[("flowscale_job_duration_seconds_count", ())] == 6
    assert seen[("flowscale_job_duration_seconds_sum", ())] == 700.5
    depth = {
        state: seen[("flowscale_queue_jobs", (("state", state),))] for state in ("waiting", "due", "delayed", "running")
    }
    assert depth == {"waiting": 3, "due": 4, "delayed": 1, "running": 2}
    assert seen[("flowscale_queue_oldest_wait_seconds", ())] == 2.5
    assert seen[("flowscale_job_attempts_total", ())] == 12
    assert seen[("flowscale_job_stalls_total", ())] == 2
    assert seen[("flowscale_fenced_commits_total", ())] == 1
    assert seen[("flowscale_job_retries_total", (("code", "STORAGE_ERROR"),))] == 3
    assert seen[("flowscale_jobs_failed_total", (("code", "INVALID_MEDIA"),))] == 1
    assert seen[("flowscale_jobs_failed_total", (("code", "STORAGE_ERROR"),))] == 0  # so that its first is an increase
    assert seen[("flowscale_job_retries_total", (("code", "DISK_FULL"),))] == 0
    assert seen[("flowscale_worker_report_age_seconds", (("worker", "able"),))] == 1.5
    assert seen[("flowscale_worker_able", (("worker", "unable"),))] == 0
    assert (seen[("flowscale_queue_paused", ())], seen[("flowscale_queue_risks", ())]) == (1, 1)


def test_what_executions_handed_in_is_shown_by_its_labels() -> None:
    seen = samples(FIGURES)
    waits = [seen[("flowscale_job_wait_seconds_bucket", (("le", le),))] for le in ("0.1", "0.5", "1.0", "1800.0")]
    assert waits == [10, 10, 11, 11]
    assert seen[("flowscale_job_wait_seconds_bucket", (("le", "+Inf"),))] == 12
    assert seen[("flowscale_job_wait_seconds_sum", ())] == 3601.5
    assert seen[("flowscale_render_seconds_total", (("format", "mp4"),))] == 4.2
    assert seen[("flowscale_rendered_media_seconds_total", (("format", "mp4"),))] == 10
    assert seen[("flowscale_worker_storage_operations_total", (("operation", "fetch"),))] == 7
    assert seen[("flowscale_worker_storage_seconds_total", (("operation", "fetch"),))] == 1.25
    assert seen[("flowscale_worker_storage_bytes_total", (("operation", "put"),))] == 1_000
    labels = (("code", "STORAGE_UNAVAILABLE"), ("operation", "fetch"))
    assert {key: value for key, value in seen.items() if key[0] == "flowscale_worker_storage_failures_total"} == {
        ("flowscale_worker_storage_failures_total", labels): 2
    }


def test_the_memory_of_the_server_is_shown_where_it_is_known() -> None:
    seen = samples(FIGURES)
    assert seen[("flowscale_queue_memory_bytes", ())] == 900
    assert seen[("flowscale_queue_memory_max_bytes", ())] == 1_000
    assert seen[("flowscale_queue_evicted_keys_total", ())] == 3
    assert not any("memory" in name or "evicted" in name for name, _ in samples(replace(FIGURES, memory=None)))


def test_a_render_is_counted_with_its_media_or_not_at_all() -> None:
    assert count_of_render("webm", 1_500, 400) == {"render:ms:webm": 1_500, "media:ms:webm": 400}
    assert count_of_render("webm", 1_500, 0) == {}


def test_a_queue_that_cannot_be_read_shows_no_zero() -> None:
    assert samples(None) == {("flowscale_queue_up", ()): 0, ("flowscale_queue_risks", ()): 1}


def test_an_end_is_counted_by_status_code_and_time() -> None:
    started = a_job().start("a" * 32, "worker-1", START_MS)
    for took_ms, bucket in ((0, 10), (10_000, 10), (10_001, 30), (600_000, 600)):
        failed = started.fail(Failure("NO_OUTPUT", "nothing"), START_MS + took_ms, _POLICY, 0)
        expected = {"ended:error": 1, "failed:NO_OUTPUT": 1, "took:count": 1, "took:ms": took_ms, f"took:{bucket}": 1}
        assert count_of_end(failed) == expected
    long = started.fail(Failure("NO_OUTPUT", "nothing"), START_MS + 600_001, _POLICY, 0)
    assert not any(name.startswith("took:6") for name in count_of_end(long))
    assert count_of_end(a_job().cancel(START_MS)) == {"ended:error": 1, "failed:CANCELLED": 1}

"""Traces of real renders: a gateway, Redis, a fleet and FFmpeg, and a collector in this process."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flowscale.jobs import JobState
from flowscale.origins import attempt_span_id
from integration.frontend import Frontend
from integration.leased import Site, Stage
from integration.processes import until
from integration.program import Program
from otlp_receiver import OtlpReceiver, Span, absent_receiver, silent_receiver, tree

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CLIENT = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{CLIENT}-01"
STEPS = ["fetch", "probe", "plan", "encode", "verify", "publish", "commit"]


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as opened:
        yield opened


def execute(gateway: Frontend, site: Site, seconds: float, **headers: str) -> str:
    body = {"sourcePath": site.source, "trim": {"start": 0, "end": seconds}}
    answer = gateway.http.post("/api/execute", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["jobId"]
    return job_id


def attempts(receiver: OtlpReceiver, job_id: str, count: int) -> list[Span]:
    """The spans of the job's attempts, once so many have come."""

    def found() -> list[Span]:
        spans = receiver.named("attempt", job_id=job_id)
        return spans if len(spans) >= count else []

    return until(found, f"{count} attempts of {job_id} at the collector")


def test_a_render_is_one_trace_from_the_request_to_the_commit(stage: Stage, receiver: OtlpReceiver) -> None:
    with stage.site() as site:
        fleet = site.fleet(**receiver.environment).ready()
        gateway = site.gateway(**receiver.environment)
        job_id = execute(gateway, site, 0.4, traceparent=TRACEPARENT, tracestate="vendor=1", **{"X-Request-Id": "abc"})
        assert site.ended(job_id).state is JobState.DONE
        (attempt,) = attempts(receiver, job_id, 1)
        (request,) = until(lambda: receiver.named("POST /api/execute"), "the request's span")
        (enqueue,) = receiver.named("enqueue")
        (wait,) = receiver.named("wait")
        spans = receiver.trace(TRACE)
        print(tree(spans))
        assert {span.trace_id for span in (request, enqueue, wait, attempt)} == {TRACE}
        assert (request.kind, request.parent_id) == ("server", CLIENT)
        assert (enqueue.kind, enqueue.parent_id) == ("producer", request.span_id)
        assert (attempt.kind, attempt.parent_id) == ("consumer", enqueue.span_id)
        assert wait.parent_id == enqueue.span_id
        steps = [span for span in spans if span.parent_id == attempt.span_id]
        assert [span.name for span in steps] == STEPS
        assert all(attempt.start_ns <= span.start_ns <= span.end_ns <= attempt.end_ns for span in steps)
        assert not any(span.failed for span in spans)
        assert request.attributes["http.route"] == "/api/execute"
        assert request.attributes["http.response.status_code"] == 202
        assert request.attributes["flowscale.request.id"] == "abc"
        assert attempt.attributes["flowscale.attempt.outcome"] == "done"
        encode = steps[3].attributes
        assert (encode["process.exit.code"], encode["flowscale.parts"]) == (0, 1)
        assert encode["flowscale.media.seconds"] == pytest.approx(0.4, abs=0.11)
        assert encode["flowscale.profile"].startswith("mp4-medium-source-")
        assert request.resource["service.name"] == "flowscale-gateway"
        assert attempt.resource["service.name"] == "flowscale-worker"
        # The lines of the log lead to the trace, and to the request.
        for event in ("execution.started", "job.done"):
            (line,) = fleet.said(event)
            told = (line["job_id"], line["request_id"], line["trace_id"], line["span_id"])
            assert told == (job_id, "abc", TRACE, attempt.span_id)


APART = (
    *("/livez", "/readyz", "/metrics", "/api/health", "/", "/docs", "/openapi.json", "/favicon.ico"),
    *("/assets/base.css", "/admin", "/admin/queues", "/admin/login", "/admin/assets/base.css"),
    *("/api/admin/overview", "/api/admin/history", "/api/admin/jobs", "/api/admin/session", "/api/admin/events"),
)


def test_what_is_no_render_has_no_span_and_a_stream_ends_with_its_head(stage: Stage, receiver: OtlpReceiver) -> None:
    key = "an-admin-key-of-the-setting-0123456789"
    with stage.site() as site:
        gateway = site.gateway(**receiver.environment, FLOWSCALE_ADMIN_KEY=key)
        job_id = execute(gateway, site, 0.4)
        for path in APART:
            with gateway.http.stream("GET", path, headers={"Authorization": f"Bearer {key}"}) as looked:
                assert looked.status_code in (200, 302) or path == "/favicon.ico", path
        steered = gateway.http.post(f"/api/admin/jobs/{job_id}/promote", headers={"Authorization": f"Bearer {key}"})
        assert steered.status_code == 200
        gateway.http.get("/nowhere?token=planted")
        with gateway.http.stream("GET", f"/api/jobs/{job_id}/events") as stream:
            assert stream.status_code == 200
            streamed = until(
                lambda: receiver.named("GET /api/jobs/{job_id}/events"), "the stream's span, while it lasts"
            )
        assert streamed[0].attributes["url.path"] == f"/api/jobs/{job_id}/events"
        (nowhere,) = until(lambda: receiver.named("GET"), "the span of a request that no route took")
        assert nowhere.attributes["http.response.status_code"] == 404
        assert not nowhere.failed
        assert not any(b"planted" in body for body in receiver.bodies)
        assert receiver.named("POST /api/admin/jobs/{job_id}/promote")
        asked = {span.attributes.get("url.path") for span in receiver.spans()}
        assert not asked & set(APART)
        site.fleet().ready()
        site.ended(job_id)
        assert not receiver.named("attempt"), "a worker that names no collector tells none"


def test_each_further_attempt_links_to_the_one_before(stage: Stage, receiver: OtlpReceiver) -> None:
    with stage.site() as site:
        failing = site.folder / "failing-ffmpeg"
        failing.write_text(f'#!/bin/sh\ncase "$*" in *libx264*) exit 9;; esac\nexec {site.slow_ffmpeg} "$@"\n')
        failing.chmod(0o755)
        site.fleet(FLOWSCALE_FFMPEG=str(failing), **receiver.environment).ready()
        gateway = site.gateway(**receiver.environment)
        job_id = execute(gateway, site, 0.4, traceparent=TRACEPARENT)
        first, second = attempts(receiver, job_id, 2)[:2]
        assert (first.trace_id, first.parent_id) == (second.trace_id, second.parent_id)
        assert first.trace_id == TRACE
        assert not first.links
        assert second.links == ((TRACE, first.span_id),)
        for number, span in enumerate((first, second), start=1):
            assert span.failed
            assert span.attributes["error.type"] == "FFMPEG_EXIT_ERROR"
            assert span.attributes["flowscale.attempt.outcome"] == "failed"
            assert span.attributes["flowscale.attempt.number"] == number
        encodes = [span for span in receiver.named("encode") if span.trace_id == TRACE]
        assert encodes[0].failed
        assert encodes[0].attributes["process.exit.code"] == 9
        waits = [span for span in receiver.named("wait") if span.trace_id == TRACE]
        assert len(waits) == 2
        assert waits[1].start_ns > first.end_ns, "a back-off is no wait in the line"
        site.ask(lambda queue: queue.cancel(job_id))
        site.ended(job_id)


def test_a_worker_that_stops_tells_that_it_gave_the_job_back(stage: Stage, receiver: OtlpReceiver) -> None:
    with stage.site() as site:
        fleet = site.fleet(grace=11, **receiver.environment).ready()
        gateway = site.gateway(**receiver.environment)
        job_id = execute(gateway, site, 60)
        fleet.rendering()
        fleet.stop()
        (released,) = attempts(receiver, job_id, 1)
        assert released.attributes["flowscale.attempt.outcome"] == "released"
        assert not released.failed
        other = site.fleet(**receiver.environment).ready()
        other.rendering()
        site.ask(lambda queue: queue.cancel(job_id))
        cancelled = attempts(receiver, job_id, 2)[1]
        assert cancelled.attributes["error.type"] == "CANCELLED"
        assert (cancelled.trace_id, cancelled.parent_id) == (released.trace_id, released.parent_id)
        assert cancelled.span_id != released.span_id


def test_a_killed_workers_span_is_lost_and_the_next_attempt_links_to_it(stage: Stage, receiver: OtlpReceiver) -> None:
    with stage.site() as site:
        fleet = site.fleet(**receiver.environment).ready()
        gateway = site.gateway(**receiver.environment)
        job_id = execute(gateway, site, 3)
        fleet.rendering()
        fleet.horses()[0].send_signal(signal.SIGKILL)
        job = site.ended(job_id)
        assert job.state is JobState.DONE
        (attempt,) = attempts(receiver, job_id, 1)
        lost = job.attempts[0]
        assert lost.code == "WORKER_LOST"
        assert attempt.links == ((attempt.trace_id, f"{attempt_span_id(job_id, 1, lost.started_ms):016x}"),)
        assert attempt.attributes["flowscale.attempt.number"] == 2
        until(lambda: fleet.said("horse.lost")[0]["job_id"] == job_id, "the line of the loss")
        (line,) = fleet.said("horse.lost")
        assert line["trace_id"] == attempt.trace_id


@pytest.mark.parametrize("collector", ["silent", "absent"])
def test_a_collector_that_is_away_stops_nothing(stage: Stage, collector: str) -> None:
    with silent_receiver() as silent, stage.site() as site:
        # Longer than a test may take: whoever waited for the collector would not end.
        environment: dict[str, Any] = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": silent if collector == "silent" else absent_receiver(),
            "OTEL_EXPORTER_OTLP_TIMEOUT": "600",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "OTEL_BSP_MAX_QUEUE_SIZE": "8",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4",
        }
        fleet = site.fleet(**environment).ready()
        gateway = site.gateway(**environment)
        jobs = [execute(gateway, site, 0.4) for _ in range(3)]
        for _ in range(40):
            assert gateway.http.get(f"/api/jobs/{jobs[0]}").status_code == 200
        for job_id in jobs:
            assert site.one_output(job_id).attempts[0].code is None
        until(lambda: not fleet.horses(), "the end of the horses")
        fleet.stop()


def test_one_process_traces_its_renders_too(
    start: Callable[..., Program], connect: Callable[[str], Frontend], clips: Path, receiver: OtlpReceiver
) -> None:
    frontend = connect(start("dev", **receiver.environment).url)
    source = frontend.upload(clips / "bikes.mp4")
    job_id = frontend.execute(source, trim={"start": 0, "end": 1}, resize={"width": 320, "height": 136})
    assert frontend.wait(job_id)["status"] == "done"
    (attempt,) = attempts(receiver, job_id, 1)
    spans = until(lambda: [span for span in receiver.trace(attempt.trace_id) if span.name.startswith("POST")], "a root")
    assert spans[0].name == "POST /api/execute"
    whole = receiver.trace(attempt.trace_id)
    print(tree(whole))
    assert [span.name for span in whole if span.parent_id == attempt.span_id] == STEPS
    assert {span.resource["service.name"] for span in whole} == {"flowscale"}

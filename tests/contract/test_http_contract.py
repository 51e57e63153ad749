"""The five calls that the frontend makes, and all that their answers say."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract.gateway_calls import (
    PLAN,
    QUEUE_AWAY,
    QueueAway,
    break_storage,
    fail_next,
)
from contract.gateway_server import MP4, Running, error_of, fields, running
from flowscale import errors
from flowscale.clocks import SystemClock
from flowscale.queues.base import QueuePolicy
from flowscale.testing import a_failure, a_report, an_output

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z")


def test_upload_answers_where_the_file_is(shared: Running) -> None:
    answer = shared.upload(name="My clip (1).mp4", projectId="p-1")
    file_id = answer["fileId"]
    assert re.fullmatch("[0-9a-f]{32}", file_id)
    assert answer == {
        "ok": True,
        "fileId": file_id,
        "filePath": f"uploads/{file_id}/My_clip_1_.mp4",
        "publicUrl": f"{shared.url}/uploads/{file_id}/My_clip_1_.mp4",
        "filename": "My_clip_1_.mp4",
        "size": len(MP4),
        "mimetype": "video/mp4",
    }
    assert shared.http.get(answer["publicUrl"]).content == MP4


def test_execute_answers_202_with_where_to_look(fresh: Running) -> None:
    first = fresh.execute(outputName="a label")
    assert first == {
        "ok": True,
        "jobId": first["jobId"],
        "status": "queued",
        "queuePosition": 1,
        "statusUrl": f"/api/jobs/{first['jobId']}",
    }
    assert re.fullmatch(r"job_\d{13}_[0-9a-f]{32}", first["jobId"])
    assert fields(fresh.http.get(first["statusUrl"]))["jobId"] == first["jobId"]
    assert fresh.execute()["queuePosition"] == 2
    assert fresh.execute(priority="high")["queuePosition"] == 1


def test_execute_says_how_long_the_wait_may_be_once_there_is_a_render_to_go_by(fresh: Running) -> None:
    fresh.execute()
    execution = fresh.queue.fetch("worker", 0)
    assert execution is not None
    fresh.queue.commit(execution, an_output(execution))
    assert fresh.execute()["estimatedWaitMs"] >= 0


def test_execute_plan_answers_the_same_202(fresh: Running) -> None:
    source = fresh.upload()
    body = {"sourceVideoUrl": source["filePath"], "plan": PLAN, "projectId": "p-1", "outputName": "cut"}
    answer = fields(response := fresh.http.post("/api/execute-plan", json=body))
    assert response.status_code == 202
    assert answer.keys() == {"ok", "jobId", "status", "queuePosition", "statusUrl"}
    job = fresh.job(answer["jobId"])
    assert (job["status"], job["projectId"], job["priority"]) == ("queued", "p-1", "normal")


def test_job_from_queued_to_done(fresh: Running) -> None:
    job_id = fresh.execute(projectId="p-1", priority="low")["jobId"]
    queued = fresh.job(job_id)
    created = queued.pop("createdAt")
    assert TIME.match(created)
    assert queued == {
        "ok": True,
        "jobId": job_id,
        "label": "clip.mp4",
        "status": "queued",
        "progressPct": 0,
        "logsTail": [],
        "waitsFor": "worker",
        "priority": "low",
        "projectId": "p-1",
        "cancelRequested": False,
        "queuePosition": 1,
        "attempts": [],
    }

    execution = fresh.queue.fetch("worker-7", 0)
    assert execution is not None
    fresh.queue.progress(execution, 41, ["probing", "encoding"])
    fresh.queue.progress(execution, 12)
    running_job = fresh.job(job_id)
    assert (running_job["status"], running_job["progressPct"]) == ("running", 41)
    assert running_job["logsTail"] == ["probing", "encoding"]
    assert TIME.match(running_job["startedAt"])
    assert running_job.keys().isdisjoint({"completedAt", "outputUrl", "durationMs", "error", "queuePosition"})

    output = an_output(execution, size=4)
    with fresh.storage.writer(output.key) as writer:
        writer.write(b"done")
        writer.commit()
    fresh.queue.commit(execution, output)
    done = fresh.job(job_id)
    assert (done["status"], done["progressPct"]) == ("done", 100)
    assert done["outputUrl"] == f"{fresh.url}/{output.key}"
    assert fresh.http.get(done["outputUrl"]).content == b"done"
    assert (done["outputSize"], done["outputDurationMs"]) == (4, 10_000)
    assert done["durationMs"] == milliseconds(done["completedAt"]) - milliseconds(done["startedAt"])
    assert "error" not in done
    [attempt] = done["attempts"]
    assert (attempt["number"], attempt["worker"]) == (1, "worker-7")
    assert attempt.keys() == {"number", "startedAt", "endedAt", "worker"}


def test_job_that_waits_for_another_attempt_is_queued(fresh: Running) -> None:
    job_id = fresh.execute()["jobId"]
    fail_next(fresh, a_failure("FFMPEG_EXIT_ERROR", retryable=True))
    job = fresh.job(job_id)
    assert job["status"] == "queued"
    assert job["queuePosition"] == 1
    assert "error" not in job
    assert (job["attempts"][0]["code"], job["attempts"][0]["message"]) == (
        "FFMPEG_EXIT_ERROR",
        "ended with FFMPEG_EXIT_ERROR",
    )


JOB_CODES = [
    "TIMEOUT_ERROR",
    "NO_OUTPUT",
    "EMPTY_OUTPUT",
    "FFMPEG_EXIT_ERROR",
    "FFMPEG_SPAWN_ERROR",
    "INVALID_MEDIA",
    "LIMIT_EXCEEDED",
    "OUT_OF_MEMORY",
    "DISK_FULL",
    "STORAGE_ERROR",
    "WORKER_LOST",
    "CANCELLED",
]


def test_jobs_end_with_these_codes_only() -> None:
    assert {leaf.code for leaf in errors.RenderError.__subclasses__()} == set(JOB_CODES)


@pytest.mark.parametrize("code", JOB_CODES)
def test_failed_job_says_why(fresh: Running, code: str) -> None:
    job_id = fresh.execute()["jobId"]
    fail_next(fresh, a_failure(code, retryable=False))
    job = fresh.job(job_id)
    assert job["status"] == "error"
    assert job["error"] == {"code": code, "message": f"ended with {code}"}
    assert TIME.match(job["completedAt"])
    assert job["durationMs"] >= 0
    assert "outputUrl" not in job


def test_health_names_what_can_render(fresh: Running) -> None:
    before = fields(fresh.http.get("/api/health"))
    assert before["ffmpeg"] == {"available": False, "path": None, "version": None}
    assert before["ok"] is True  # no worker yet is no fault: a job brings one

    fresh.queue.report(a_report("blind", problem="no FFmpeg here"))
    fresh.queue.report(a_report("sighted"))
    fresh.execute()
    fresh.execute()
    execution = fresh.queue.fetch("sighted", 0)
    assert execution is not None
    answer = fresh.http.get("/api/health")
    health = fields(answer)
    assert answer.status_code == 200
    assert TIME.match(health.pop("time"))
    assert health.pop("uptime") > 0
    assert health == {
        "ok": True,
        "ffmpeg": {"available": True, "path": "/usr/bin/ffmpeg", "version": "7.1.5"},
        "outputsDir": str(fresh.root / "outputs"),
        "uploadsDir": str(fresh.root / "uploads"),
        "queueLength": 1,
        "currentJob": execution.job.id,
    }


def test_health_is_503_when_no_worker_has_ffmpeg(fresh: Running) -> None:
    fresh.queue.report(a_report("blind", problem="Install FFmpeg: apt-get install ffmpeg."))
    error = error_of(fresh.http.get("/api/health"), 503, "FFMPEG_UNAVAILABLE")
    assert error["message"] == "Install FFmpeg: apt-get install ffmpeg."


def test_health_and_readiness_are_503_when_the_storage_is_broken(fresh: Running) -> None:
    break_storage(fresh)
    error_of(health := fresh.http.get("/api/health"), 503, "STORAGE_UNAVAILABLE")
    assert health.headers["retry-after"] == "5"
    assert health.json()["queueLength"] == 0
    error_of(ready := fresh.http.get("/readyz"), 503, "STORAGE_UNAVAILABLE")
    assert ready.headers["retry-after"] == "5"
    checks = ready.json()["checks"]
    assert checks["queue"] == "ok"
    assert str(fresh.root) in checks["storage"]


def test_health_and_readiness_are_503_when_the_queue_is_away(tmp_path: Path) -> None:
    with running(tmp_path, queue=QueueAway(QueuePolicy(), SystemClock())) as gateway:
        error_of(health := gateway.http.get("/api/health"), 503, "QUEUE_UNAVAILABLE")
        assert health.headers["retry-after"] == "2"
        assert health.json()["queueLength"] is None  # unknown, not 0
        assert health.json()["currentJob"] is None
        error_of(ready := gateway.http.get("/readyz"), 503, "QUEUE_UNAVAILABLE")
        assert ready.headers["retry-after"] == "2"
        assert ready.json()["checks"] == {"queue": QUEUE_AWAY.public, "storage": "ok"}
        assert fields(gateway.http.get("/livez")) == {"ok": True}  # depends on nothing


def milliseconds(text: str) -> int:
    moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)

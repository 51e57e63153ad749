"""Every code of the contract, met over the wire: by a bad request, or in a bad state of the service."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from contract.gateway_calls import (
    NO_FILE_KEY,
    NO_JOB,
    PLAN,
    QUEUE_AWAY,
    Call,
    QueueAway,
    QueueWithBug,
    break_storage,
    execute_uploaded,
    upload,
)
from contract.gateway_refusals import REFUSALS
from contract.gateway_server import MP4, Running, error_of, eventually, fields, running
from flowscale import errors
from flowscale.clocks import SystemClock
from flowscale.queues.base import QueuePolicy
from flowscale.testing import a_report, an_output


@pytest.mark.parametrize(("call", "status", "code"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
def test_refusal(shared: Running, call: Call, status: int, code: str) -> None:
    answer = call(shared)
    error_of(answer, status, code)
    assert ("allow" in answer.headers) == (status == 405)


def test_job_that_ended_cannot_be_cancelled_nor_a_done_one_retried(fresh: Running) -> None:
    job_id = fresh.execute()["jobId"]
    error_of(fresh.http.post(f"/api/jobs/{job_id}/retry"), 409, "CONFLICT")
    execution = fresh.queue.fetch("worker", 0)
    assert execution is not None
    fresh.queue.commit(execution, an_output(execution))
    error_of(fresh.http.post(f"/api/jobs/{job_id}/cancel"), 409, "CONFLICT")


@pytest.mark.parametrize("key", ["", "x" * 201, "schlüssel", "tab\there"])
def test_bad_idempotency_key_is_refused(shared: Running, key: str) -> None:
    answer = shared.http.post(
        "/api/execute", json={"sourcePath": NO_FILE_KEY}, headers=[(b"Idempotency-Key", key.encode())]
    )
    error_of(answer, 422, "INVALID_OPTIONS")


def test_idempotency_key_gives_the_same_answer_and_one_job(fresh: Running) -> None:
    body = {"sourcePath": fresh.upload()["filePath"], "speed": 2}
    headers = {"Idempotency-Key": "order 17"}
    first = fresh.http.post("/api/execute", json=body, headers=headers)
    again = fresh.http.post("/api/execute", json={"speed": 2.0, "trim": None} | body, headers=headers)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.content == again.content
    execution = fresh.queue.fetch("worker", 0)
    assert execution is not None
    fresh.queue.commit(execution, an_output(execution))
    late = fresh.http.post("/api/execute", json=body, headers=headers)
    assert late.content == first.content
    assert len(fields(fresh.http.get("/api/jobs"))["jobs"]) == 1


def test_idempotency_key_is_answered_when_nothing_that_the_first_needed_is_there(fresh: Running) -> None:
    stored = fresh.upload()
    headers = {"Idempotency-Key": "order-17"}
    first = fresh.execute(headers=headers, sourcePath=stored["filePath"])
    fresh.storage.delete(stored["filePath"])
    fresh.queue.report(a_report("blind", problem="no FFmpeg here"))
    assert fresh.execute(headers=headers, sourcePath=stored["filePath"]) == first
    body = {"sourcePath": stored["filePath"], "speed": 2}
    error_of(fresh.http.post("/api/execute", json=body, headers=headers), 422, "IDEMPOTENCY_MISMATCH")


def test_idempotency_key_with_another_body_or_call_is_refused(fresh: Running) -> None:
    source = fresh.upload()["filePath"]
    headers = {"Idempotency-Key": "order-17"}
    fresh.execute(headers=headers, sourcePath=source)
    other = fresh.http.post("/api/execute", json={"sourcePath": source, "speed": 2}, headers=headers)
    error_of(other, 422, "IDEMPOTENCY_MISMATCH")
    plan_body = {"sourceVideoUrl": source, "plan": PLAN}
    error_of(fresh.http.post("/api/execute-plan", json=plan_body, headers=headers), 422, "IDEMPOTENCY_MISMATCH")


def test_renders_are_refused_when_no_worker_has_ffmpeg(fresh: Running) -> None:
    fresh.queue.report(a_report("blind", problem="Install FFmpeg: apt-get install ffmpeg."))
    error = error_of(execute_uploaded()(fresh), 503, "FFMPEG_UNAVAILABLE")
    assert error["message"] == "Install FFmpeg: apt-get install ffmpeg."
    fresh.queue.report(a_report("sighted"))
    assert execute_uploaded()(fresh).status_code == 202


def test_full_queue_is_503(tmp_path: Path) -> None:
    with running(tmp_path, policy=QueuePolicy(max_waiting=1)) as gateway:
        gateway.execute()
        error_of(answer := execute_uploaded()(gateway), 503, "QUEUE_FULL")
        assert int(answer.headers["retry-after"]) > 0


def test_queue_that_is_away_is_503_with_retry_after(tmp_path: Path) -> None:
    with running(tmp_path, queue=QueueAway(QueuePolicy(), SystemClock())) as gateway:
        error_of(answer := gateway.http.get(f"/api/jobs/{NO_JOB}"), 503, "QUEUE_UNAVAILABLE")
        assert int(answer.headers["retry-after"]) > 0


def test_where_the_queues_server_is_is_told_to_the_log_and_to_whoever_runs_the_service_alone(tmp_path: Path) -> None:
    key = "the-key-of-the-setting-which-is-long-enough"
    assert "queue.inside" in QUEUE_AWAY.message
    assert "REDIS_HOST" in QUEUE_AWAY.message
    with running(tmp_path, queue=QueueAway(QueuePolicy(), SystemClock()), admin_key=SecretStr(key)) as gateway:
        for path in (f"/api/jobs/{NO_JOB}", "/api/health", "/readyz"):
            answer = gateway.http.get(path)
            assert error_of(answer, 503, "QUEUE_UNAVAILABLE")["message"] == QUEUE_AWAY.public
            assert "queue.inside" not in answer.text
            assert "REDIS" not in answer.text
        admin = {"Authorization": f"Bearer {key}"}
        steered = gateway.http.get("/api/admin/events", headers=admin)
        assert error_of(steered, 503, "QUEUE_UNAVAILABLE")["message"] == QUEUE_AWAY.message
        refused = gateway.http.get("/api/admin/events", headers={"Authorization": "Bearer wrong"})
        assert "queue.inside" not in refused.text
        assert eventually(lambda: len(gateway.log_lines("http.request")) == 5)
        faults = [line.get("fault") for line in gateway.log_lines("http.request")]
    assert faults == [QUEUE_AWAY.message] * 4 + [None]


def test_broken_storage_is_503(fresh: Running) -> None:
    break_storage(fresh)
    error_of(upload("a.mp4", MP4)(fresh), 503, "STORAGE_UNAVAILABLE")


def test_bug_is_500_and_shows_nothing_of_the_inside(tmp_path: Path) -> None:
    with running(tmp_path, queue=QueueWithBug(QueuePolicy(), SystemClock())) as gateway:
        answer = gateway.http.get(f"/api/jobs/{NO_JOB}", headers={"X-Request-Id": "find-me"})
        error = error_of(answer, 500, "INTERNAL")
        assert "secret" not in answer.text
        assert answer.headers["x-request-id"] == "find-me"
        assert "X-Request-Id" in error["message"]
        [line] = gateway.log_lines("http.failed")
        assert line["request_id"] == "find-me"
        assert "ZeroDivisionError: the secret inside" in line["exception"]


def test_every_code_of_the_contract_is_met_here() -> None:
    source = "".join(
        (Path(__file__).parent / name).read_text()
        for name in (Path(__file__).name, "gateway_refusals.py", "test_access_logins.py", "test_admin_api.py")
    )
    leaves = [*errors.RequestError.__subclasses__(), *errors.ServiceError.__subclasses__()]
    leaves = [leaf for leaf in leaves if leaf.__module__ == errors.__name__]  # those of resumable uploads: there
    assert [leaf.code for leaf in leaves if f'{leaf.status}, "{leaf.code}"' not in source] == []

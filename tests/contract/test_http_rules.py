"""What holds for every call: names, links, ids, listings, headers; and the calls of our own."""

from __future__ import annotations

import json
import re
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract.gateway_calls import (
    execute_uploaded,
    fail_next,
)
from contract.gateway_server import MP4, Running, error_of, eventually, fields, running
from flowscale.clocks import SystemClock
from flowscale.jobs import Failure, RetryPolicy
from flowscale.queues.base import QueuePolicy
from flowscale.testing import a_failure, a_report
from flowscale_api.description.reference import TAGS


def test_every_fault_is_named_with_its_path(shared: Running) -> None:
    body = {"sourcePath": "x", "speed": "fast", "resize": {"width": 3, "hight": 100}, "trim": {"start": 2, "end": 1}}
    error = error_of(shared.http.post("/api/execute", json=body), 422, "INVALID_OPTIONS")
    paths = {fault["path"] for fault in error["details"]["faults"]}
    assert paths == {"$.speed", "$.resize.width", "$.resize.height", "$.resize.hight", "$.trim.end"}
    error = error_of(shared.http.get("/api/jobs?limit=0&status=x"), 422, "INVALID_OPTIONS")
    assert {fault["path"] for fault in error["details"]["faults"]} == {"$.limit", "$.status"}


@pytest.mark.parametrize("filters", [[], None])
def test_empty_filters_are_accepted(fresh: Running, filters: list[str] | None) -> None:
    assert execute_uploaded(filters=filters)(fresh).status_code == 202


@pytest.mark.parametrize("reference", ["filePath", "fileId"])
def test_source_path_takes_the_path_and_the_id(fresh: Running, reference: str) -> None:
    stored = fresh.upload()
    fresh.execute(sourcePath=stored[reference])
    assert sources_of_next(fresh) == [{"key": stored["filePath"]}]


def test_urls_are_kept_and_our_own_read_from_the_storage(fresh: Running) -> None:
    stored = fresh.upload()
    other = "https://cdn.example.com/a.mp4?token=1"
    elsewhere = f"https://other.example.com/uploads/{'0' * 32}/clip.mp4"
    fresh.execute(sources=[stored["publicUrl"], stored["fileId"], other, elsewhere])
    ours = {"key": stored["filePath"]}
    assert sources_of_next(fresh) == [ours, ours, {"url": other}, {"url": elsewhere}]
    fresh.execute(inputFileUrl=other)
    assert sources_of_next(fresh) == [{"url": other}]


def test_names_of_clients_never_lead_anywhere(fresh: Running) -> None:
    answer = fresh.upload(name="../../../etc/cron.d/evil; rm -rf.mp4")
    assert re.fullmatch(r"uploads/[0-9a-f]{32}/[A-Za-z0-9._-]+\.mp4", answer["filePath"])
    assert fresh.files() == [answer["filePath"]]


def test_cancel_of_a_waiting_job_ends_it(fresh: Running) -> None:
    job_id = fresh.execute()["jobId"]
    for _ in range(2):  # asking twice is no error
        answer = fresh.http.post(f"/api/jobs/{job_id}/cancel")
        assert answer.status_code == 200
        job = fields(answer)
        assert (job["ok"], job["status"], job["error"]["code"]) == (True, "error", "CANCELLED")


def test_cancel_of_a_running_job_asks_its_worker(fresh: Running) -> None:
    job_id = fresh.execute()["jobId"]
    execution = fresh.queue.fetch("worker", 0)
    assert execution is not None
    job = fields(fresh.http.post(f"/api/jobs/{job_id}/cancel", content=b"{}"))
    assert (job["status"], job["cancelRequested"]) == ("running", True)
    assert fresh.queue.renew(execution) is True
    fresh.queue.fail(execution, Failure("CANCELLED", "cancelled on request"))
    assert fresh.job(job_id)["error"]["code"] == "CANCELLED"


def test_retry_of_a_failed_job_queues_it_again(fresh: Running) -> None:
    job_id = fresh.execute()["jobId"]
    fail_next(fresh, a_failure(retryable=False))
    answer = fresh.http.post(f"/api/jobs/{job_id}/retry")
    assert answer.status_code == 200
    job = fields(answer)
    assert (job["jobId"], job["status"], job["queuePosition"]) == (job_id, "queued", 1)
    assert "error" not in job
    assert len(job["attempts"]) == 1  # what was tried stays recorded


def test_jobs_are_listed_newest_first_in_pages(tmp_path: Path) -> None:
    policy = QueuePolicy(retry=RetryPolicy(jitter=0.0))
    with running(tmp_path, policy=policy) as gateway:
        source = gateway.upload()["fileId"]
        made = [gateway.execute(sourcePath=source)["jobId"] for _ in range(5)]
        seen: list[str] = []
        cursor = ""
        while True:
            page = fields(gateway.http.get(f"/api/jobs?limit=2{cursor}"))
            assert page["ok"] is True
            seen += [job["jobId"] for job in page["jobs"]]
            if "nextCursor" not in page:
                break
            cursor = f"&cursor={page['nextCursor']}"
        assert sorted(seen) == sorted(made)
        assert [job_id[4:17] for job_id in seen] == sorted((job_id[4:17] for job_id in made), reverse=True)

        fail_next(gateway, a_failure(retryable=True))  # waits for its next attempt: queued, to clients
        fail_next(gateway, a_failure(retryable=False))
        counts = {
            status: len(fields(gateway.http.get(f"/api/jobs?status={status}"))["jobs"])
            for status in ("queued", "running", "done", "error")
        }
        assert counts == {"queued": 4, "running": 0, "done": 0, "error": 1}
        [failed] = fields(gateway.http.get("/api/jobs?status=error"))["jobs"]
        assert failed == {key: value for key, value in gateway.job(failed["jobId"]).items() if key != "ok"}


def test_request_id_is_echoed_or_made(shared: Running) -> None:
    given = shared.http.get("/livez", headers={"X-Request-Id": "abc-1.2_Z"})
    assert given.headers["x-request-id"] == "abc-1.2_Z"
    for bad in ("x" * 65, "a b", "a/b", ""):
        made = shared.http.get("/livez", headers={"X-Request-Id": bad}).headers["x-request-id"]
        assert re.fullmatch("[0-9a-f]{32}", made)


def test_every_request_is_one_line_of_the_log(fresh: Running) -> None:
    fresh.http.get("/api/jobs/17?x=%0Afake", headers={"X-Request-Id": "abc"})
    assert eventually(lambda: fresh.log_lines("http.request") != [])
    [line] = fresh.log_lines("http.request")
    assert (line["method"], line["path"], line["status"]) == ("GET", "/api/jobs/17", 404)
    assert line["request_id"] == "abc"
    assert line["ms"] >= 0


def test_nothing_says_what_serves_it(shared: Running) -> None:
    headers = shared.http.get("/livez").headers
    assert "server" not in headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


def test_links_follow_the_setting_and_the_request(tmp_path: Path) -> None:
    with running(tmp_path / "set", public_url="https://video.example.com/base/") as gateway:
        assert gateway.upload()["publicUrl"].startswith("https://video.example.com/base/uploads/")
    with running(tmp_path / "unset") as gateway:
        form = {"file": ("clip.mp4", MP4)}

        def link(**headers: str) -> str:
            url: str = fields(gateway.http.post("/api/upload", files=form, headers=headers))["publicUrl"]
            return url.partition("/uploads/")[0]

        assert link(Host="video.example.com", **{"X-Forwarded-Proto": "https"}) == "https://video.example.com"
        assert link(Host="[::1]:8080") == "http://[::1]:8080"
        assert link(Host="evil/path") == gateway.url


def test_cross_origin_requests_are_allowed_only_where_set(tmp_path: Path) -> None:
    asked = {"Origin": "https://app.example.com"}
    preflight = asked | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    with running(tmp_path / "none") as gateway:
        assert "access-control-allow-origin" not in gateway.http.get("/livez", headers=asked).headers
        error_of(gateway.http.options("/api/execute", headers=preflight), 405, "METHOD_NOT_ALLOWED")
    with running(tmp_path / "one", cors_origins="https://app.example.com") as gateway:
        answer = gateway.http.options("/api/execute", headers=preflight)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
        refused = gateway.http.get("/api/nothing", headers=asked)
        assert refused.headers["access-control-allow-origin"] == "https://app.example.com"
        stranger = {"Origin": "https://evil.example.com"}
        assert "access-control-allow-origin" not in gateway.http.get("/livez", headers=stranger).headers
        foreign = gateway.http.options("/api/execute", headers=preflight | stranger)
        assert "access-control-allow-origin" not in foreign.headers


def test_metrics_are_prometheus_text(shared: Running) -> None:
    answer = shared.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'flowscale_jobs_processed_total{status="done"}' in answer.text


def test_start_page_is_json_or_the_web_page(tmp_path: Path) -> None:
    with running(tmp_path / "plain") as gateway:
        about = fields(gateway.http.get("/"))
        assert (about["ok"], about["name"], about["docs"]) == (True, "FlowScale", "/docs")
        error_of(gateway.http.get("/assets/index.html"), 404, "FILE_NOT_FOUND")
    with running(tmp_path / "page", page=True) as gateway:
        error_of(gateway.http.get("/assets/index.html"), 404, "FILE_NOT_FOUND")
        start = gateway.http.get("/")
        assert start.headers["content-type"] == "text/html; charset=utf-8"
        assert start.headers["content-security-policy"] == (
            "default-src 'self'; img-src 'self' data:; media-src 'self' blob:"
        )
        assets = re.findall(r'(?:src|href)="(/assets/[^"]+)"', start.text)
        assert assets
        for asset in assets:
            answer = gateway.http.get(asset)
            assert answer.status_code == 200, asset
            assert answer.headers["content-type"] != "text/html", asset
        for nothing in ("/assets/app.py", "/assets/..%2f..%2fapp.py", "/assets/", "/assets/nothing.js"):
            assert gateway.http.get(nothing).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/docs", "/openapi.json", "/livez", "/readyz", "/metrics", "/api/health", "/assets/base.css"),
        *("/admin", "/admin/", "/admin/queues", "/admin/login", "/admin/login.css", "/admin/assets/base.css"),
    ],
)
def test_head_is_answered_as_get_without_a_body(shared: Running, path: str) -> None:
    fetched, looked = shared.http.get(path), shared.http.head(path)
    assert fetched.status_code == looked.status_code
    assert looked.status_code in (200, 302)
    assert looked.content == b""
    for name in ("content-type", "location", "etag", "content-security-policy", "cache-control"):
        assert looked.headers.get(name) == fetched.headers.get(name)
    if path not in ("/readyz", "/metrics", "/api/health"):  # in which figures change from one to the next
        assert looked.headers.get("content-length") == fetched.headers.get("content-length")
    with socket.create_connection((shared.http.base_url.host, shared.http.base_url.port), timeout=30) as wire:
        wire.sendall(f"HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: wire.recv(65536), b""))
    assert answer.endswith(b"\r\n\r\n")
    assert answer.count(b"\r\n\r\n") == 1
    refused = shared.http.post(path)
    error_of(refused, 405, "METHOD_NOT_ALLOWED")
    assert refused.headers["allow"] == "GET, HEAD"


def test_queued_job_says_what_it_waits_for_beside_its_turn(fresh: Running) -> None:
    """A frontend that knows nothing of it finds all that it knows."""
    job_id = fresh.execute()["jobId"]

    def waits_for() -> Any:
        return fields(fresh.http.get(f"/api/jobs/{job_id}")).get("waitsFor")

    assert waits_for() == "worker"
    assert [job["waitsFor"] for job in fields(fresh.http.get("/api/jobs"))["jobs"]] == ["worker"]
    fresh.queue.report(replace(a_report(), at_ms=SystemClock().now_ms()))
    assert eventually(lambda: waits_for() is None)


def test_reference_page_loads_nothing_from_anywhere(shared: Running) -> None:
    answer = shared.http.get("/docs")
    assert answer.status_code == 200
    assert "/api/execute-plan" in answer.text
    assert "http://" not in answer.text
    assert "<script" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    described = fields(shared.http.get("/openapi.json"))
    assert described["openapi"].startswith("3.1")
    operations = [operation for path in described["paths"].values() for operation in path.values()]
    assert {operation["tags"][0] for operation in operations} == set(TAGS)
    assert all(f'<section id="{operation["operationId"]}">' in answer.text for operation in operations)


def sources_of_next(gateway: Running) -> Any:
    execution = gateway.queue.fetch("worker", 0)
    assert execution is not None
    return json.loads(json.dumps(execution.job.spec))["sources"]

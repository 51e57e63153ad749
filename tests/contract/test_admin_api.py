"""The admin API over a running gateway: what its answers say, what its actions do, and that they are written down."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from contract.gateway_server import Running, error_of, eventually, fields, running
from flowscale.clocks import SystemClock
from flowscale.jobs import Job
from flowscale.names import output_key
from flowscale.queues.base import Execution, QueuePolicy
from flowscale.queues.memory import MemoryQueue
from flowscale.queues.told import Facts
from flowscale.testing import a_failure, a_report, an_output
from flowscale_api.admin.removal import Removals

KEY = "the-key-of-the-setting-which-is-long-enough"

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z")

ROW = {
    *("jobId", "state", "status", "progressPct", "projectId", "label", "priority", "createdAt", "startedAt"),
    *("completedAt", "worker", "attempts", "error", "queuePosition", "outputUrl"),
}


@contextmanager
def admin_of(root: Path, **settings: Any) -> Iterator[Running]:
    """A gateway whose client has the admin key."""
    with running(root, admin_key=SecretStr(KEY), **settings) as gateway:
        gateway.http.headers["Authorization"] = f"Bearer {KEY}"
        yield gateway


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Running]:
    with admin_of(tmp_path) as gateway:
        yield gateway


def get(gateway: Running, path: str, **query: str | int) -> dict[str, Any]:
    answer = gateway.http.get(f"/api/admin/{path}", params=query)
    assert answer.status_code == 200, answer.text
    return fields(answer)


def act(gateway: Running, path: str, **body: str) -> dict[str, Any]:
    answer = gateway.http.post(f"/api/admin/{path}", json=body)
    assert answer.status_code == 200, answer.text
    return fields(answer)


def start(gateway: Running, worker: str = "worker-1-0") -> Execution:
    execution = gateway.queue.fetch(worker, wait_s=0)
    assert execution is not None
    return execution


def publish(gateway: Running, execution: Execution) -> Job:
    """End the execution with an output that is there."""
    key = output_key(execution.job.id, execution.id, "clip.mp4")
    with gateway.storage.writer(key) as writer:
        writer.write(b"film")
        writer.commit()
    return gateway.queue.commit(execution, an_output(execution))


def actions(gateway: Running) -> list[tuple[str, str | None, str]]:
    """What the audit log has, oldest first."""
    entries = get(gateway, "audit", limit=200)["entries"]
    return [(entry["action"], entry["target"], entry["outcome"]) for entry in reversed(entries)]


def test_overview_says_how_everything_stands(fresh: Running) -> None:
    fresh.queue.report(a_report("worker-1"))
    fresh.queue.report(a_report("worker-2", problem="no FFmpeg"))
    publish(fresh, (fresh.execute(), start(fresh))[1])
    fresh.execute()
    running_job = start(fresh).job
    fresh.execute()
    found = get(fresh, "overview")
    assert found.keys() == {"ok", "now", "version", "readOnly", "queue", "workers", "server", "warnings"}
    queue = found["queue"]
    assert queue.pop("oldestWaitMs") >= 0
    assert queue == {"waiting": 1, "due": 0, "delayed": 0, "running": 1, "done": 1, "error": 0, "paused": False}
    able, unable = found["workers"]
    assert (able["worker"], able["able"], able["jobs"]) == ("worker-1", True, [running_job.id])
    assert (unable["able"], unable["problem"], unable["jobs"]) == (False, "no FFmpeg", [])
    assert able.keys() == unable.keys() == {
        *("worker", "group", "able", "problem", "ffmpegVersion", "slots", "reportAgeMs", "startedAt", "jobs"),
    }  # fmt: skip
    assert found["server"]["kind"] == "memory"
    assert found["readOnly"] is False
    assert len(found["warnings"]) == 1


def test_history_has_sixty_minutes(fresh: Running) -> None:
    fresh.queue.tend()
    fresh.execute()
    found = get(fresh, "history")
    assert (found["stepSeconds"], len(found["points"])) == (60, 60)
    assert found["points"][-1]["waiting"] == 1
    assert all(TIME.match(point["at"]) for point in found["points"])
    assert found["points"][0] == {
        "at": found["points"][0]["at"],
        **dict.fromkeys(("enqueued", "done", "error", "waiting", "running")),
    }


def test_jobs_are_found_listed_and_paged(fresh: Running) -> None:
    ids = [fresh.execute(projectId=f"p{number % 2}", outputName="Night ride")["jobId"] for number in range(4)]
    page = get(fresh, "jobs", q="p1 ride", state="waiting", limit=1)
    assert (page["total"], [job["jobId"] for job in page["jobs"]]) == (2, [ids[3]])
    row = page["jobs"][0]
    assert row.keys() == ROW
    assert (row["state"], row["status"], row["label"], row["queuePosition"]) == ("waiting", "queued", "Night_ride", 4)
    rest = get(fresh, "jobs", q="p1 ride", limit=1, cursor=page["nextCursor"])
    assert ([job["jobId"] for job in rest["jobs"]], rest["nextCursor"]) == ([ids[1]], None)
    assert get(fresh, "jobs", state="done") == {"ok": True, "jobs": [], "nextCursor": None, "total": 0}
    for query in ({"state": "queued"}, {"limit": 0}, {"cursor": "x"}, {"q": "a b c d e f g h i"}, {"q": "x" * 401}):
        error_of(fresh.http.get("/api/admin/jobs", params=query), 422, "INVALID_OPTIONS")


def test_a_job_is_shown_with_all_that_is_known_of_it(fresh: Running) -> None:
    url = "https://files.example.com/clip.mp4?X-Amz-Signature=secret"
    job_id = fresh.execute(inputFileUrl=url, projectId="p")["jobId"]
    execution = start(fresh, "worker-7")
    probe = {"container": "mov", "durationMs": 5, "size": 7, "streams": []}
    fresh.queue.describe(execution, Facts((probe,), (("ffmpeg", "-i", "source-0"),)))
    fresh.queue.progress(execution, 10, ["what it said"])
    fresh.queue.lose(execution)
    start(fresh, "worker-8")
    answer = fresh.http.get(f"/api/admin/jobs/{job_id}")
    assert "secret" not in answer.text
    found = fields(answer)
    public = fresh.job(job_id)
    assert {name: value for name, value in found.items() if name in public and name != "attempts"} == {
        name: value for name, value in public.items() if name != "attempts"
    }
    assert (found["state"], found["worker"], found["webhooks"]) == ("running", "worker-8", [])
    assert found["sources"] == [{"key": None, "url": "https://files.example.com/clip.mp4", "probe": probe}]
    assert found["command"] == [["ffmpeg", "-i", "source-0"]]
    (attempt,) = found["attempts"]
    assert (attempt["code"], attempt["logsTail"]) == ("WORKER_LOST", ["what it said"])
    assert [entry["what"] for entry in found["timeline"]] == [
        "accepted",
        "started",
        "failed",
        "queued again",
        "runs",
    ]
    error_of(fresh.http.get("/api/admin/jobs/job_1"), 404, "JOB_NOT_FOUND")


def test_the_page_is_told_what_changes(fresh: Running) -> None:
    with fresh.http.stream("GET", "/api/admin/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        first = _next_overview(lines)
        assert first["queue"]["waiting"] == 0
        fresh.execute()
        while first["queue"]["waiting"] == 0:
            first = _next_overview(lines)
    assert eventually(lambda: fresh.gateway.overviews.feed.readers == 0)


def _next_overview(lines: Iterator[str]) -> dict[str, Any]:
    for line in lines:
        if line.startswith("data: "):
            found = json.loads(line.removeprefix("data: "))
            assert isinstance(found, dict)
            return found
    raise AssertionError("the stream ended")


def test_a_stream_ends_with_the_server(tmp_path: Path) -> None:
    with admin_of(tmp_path) as gateway, gateway.http.stream("GET", "/api/admin/events") as stream:
        lines = stream.iter_lines()
        _next_overview(lines)
        gateway.gateway.stopping.set()  # as a server that stops does; this one answers still
        gateway.queue.report(a_report())
        assert [line for line in lines if line.startswith("event")] in ([], ["event: overview"])


def test_every_action_does_what_it_says_and_is_written_down(fresh: Running) -> None:
    one, two, three = (fresh.execute(projectId="p")["jobId"] for _ in range(3))
    assert act(fresh, f"jobs/{three}/promote")["job"]["queuePosition"] == 1
    assert act(fresh, f"jobs/{two}/cancel")["job"]["error"]["code"] == "CANCELLED"
    assert act(fresh, f"jobs/{two}/retry")["job"]["state"] == "waiting"
    assert act(fresh, "queue/pause") == {"ok": True, "paused": True}
    assert get(fresh, "overview")["queue"]["paused"] is True
    assert act(fresh, "queue/resume") == {"ok": True, "paused": False}
    execution = start(fresh)
    assert execution.job.id == three
    assert act(fresh, f"jobs/{three}/cancel")["job"]["state"] == "running"
    assert fresh.queue.renew(execution) is True
    error_of(fresh.http.delete(f"/api/admin/jobs/{three}"), 409, "CONFLICT")
    error_of(fresh.http.post(f"/api/admin/jobs/{three}/retry"), 409, "CONFLICT")
    error_of(fresh.http.post(f"/api/admin/jobs/{three}/promote"), 409, "CONFLICT")
    error_of(fresh.http.post("/api/admin/jobs/nonsense/cancel"), 404, "JOB_NOT_FOUND")
    assert fields(fresh.http.delete(f"/api/admin/jobs/{one}")) == {"ok": True}
    assert actions(fresh) == [
        ("promote", three, "ok"),
        ("cancel", two, "ok"),
        ("retry", two, "ok"),
        ("pause", None, "ok"),
        ("resume", None, "ok"),
        ("cancel", three, "ok"),
        ("remove", three, "CONFLICT"),
        ("retry", three, "CONFLICT"),
        ("promote", three, "CONFLICT"),
        ("cancel", "nonsense", "JOB_NOT_FOUND"),
        ("remove", one, "ok"),
    ]
    (logged,) = fresh.log_lines("audit.promote")[:1]
    assert (logged["target"], logged["outcome"]) == (three, "ok")
    newest = get(fresh, "audit", limit=1)
    assert newest["entries"][0]["requestId"] == fresh.log_lines("audit.remove")[-1]["request_id"]
    older = get(fresh, "audit", limit=200, cursor=newest["nextCursor"])
    assert (len(older["entries"]), older["nextCursor"]) == (10, None)


def test_what_may_only_be_looked_at_is_not_steered(tmp_path: Path) -> None:
    with admin_of(tmp_path, admin_read_only=True) as gateway:
        job_id = gateway.execute()["jobId"]
        before = gateway.job(job_id)
        refused = [("POST", f"jobs/{job_id}/{action}") for action in ("cancel", "retry", "promote")]
        refused += [("DELETE", f"jobs/{job_id}"), ("POST", "queue/pause"), ("POST", "queue/resume")]
        for method, path in refused:
            error_of(gateway.http.request(method, f"/api/admin/{path}"), 403, "READ_ONLY")
        for body in ({}, {"code": 5}):
            error_of(gateway.http.post("/api/admin/retry-failed", json=body), 403, "READ_ONLY")
        assert gateway.job(job_id) == before
        assert get(gateway, "overview")["readOnly"] is True
        assert {outcome for _, _, outcome in actions(gateway)} == {"READ_ONLY"}
        assert len(actions(gateway)) == 8


def fail_with(gateway: Running, code: str, project: str) -> str:
    job_id: str = gateway.execute(projectId=project)["jobId"]
    execution = start(gateway)
    gateway.queue.fail(execution, a_failure(code, retryable=False))
    return job_id


def states(gateway: Running, *job_ids: str) -> list[str]:
    return [get(gateway, f"jobs/{job_id}")["state"] for job_id in job_ids]


def test_failed_jobs_are_queued_again_by_code_and_project(fresh: Running) -> None:
    disk, other, cancelled = (fail_with(fresh, code, "p") for code in ("DISK_FULL", "NO_OUTPUT", "CANCELLED"))
    elsewhere = fail_with(fresh, "DISK_FULL", "q")
    error_of(fresh.http.post("/api/admin/retry-failed", json={"codes": 1}), 422, "INVALID_OPTIONS")
    assert act(fresh, "retry-failed", code="DISK_FULL", projectId="p") == {"ok": True, "retried": 1, "left": 0}
    assert states(fresh, disk, other, cancelled, elsewhere) == ["waiting", "error", "error", "error"]
    assert act(fresh, "retry-failed", code="DISK") == {"ok": True, "retried": 0, "left": 0}
    assert act(fresh, "retry-failed") == {"ok": True, "retried": 2, "left": 0}
    assert states(fresh, disk, other, cancelled, elsewhere) == ["waiting", "waiting", "error", "waiting"]
    assert act(fresh, "retry-failed", code="CANCELLED")["retried"] == 1
    assert [job.id for job in _waiting(fresh)] == [disk, other, elsewhere, cancelled]
    assert actions(fresh)[:2] == [
        ("retry-failed", None, "INVALID_OPTIONS"),
        ("retry-failed", "code=DISK_FULL project_id=p", "ok"),
    ]


def _waiting(gateway: Running) -> list[Job]:
    found = []
    while (execution := gateway.queue.fetch("worker-1", wait_s=0)) is not None:
        found.append(execution.job)
    return found


def test_a_full_queue_takes_what_it_has_room_for(tmp_path: Path) -> None:
    with admin_of(tmp_path, policy=QueuePolicy(max_waiting=2)) as gateway:
        failed = [fail_with(gateway, "DISK_FULL", "p") for _ in range(3)]
        assert act(gateway, "retry-failed") == {"ok": True, "retried": 2, "left": 1}
        assert states(gateway, *failed) == ["waiting", "waiting", "error"]


def test_a_removed_job_takes_its_output_with_it(fresh: Running) -> None:
    fresh.execute()
    job = publish(fresh, start(fresh))
    stray = output_key(job.id, "f" * 32, "clip.mp4")  # of an execution that was lost
    with fresh.storage.writer(stray) as writer:
        writer.write(b"stray")
        writer.commit()
    url = fresh.job(job.id)["outputUrl"]
    assert fresh.http.get(url).status_code == 200
    assert fresh.http.delete(f"/api/admin/jobs/{job.id}").status_code == 200
    error_of(fresh.http.get(f"/api/jobs/{job.id}"), 404, "JOB_NOT_FOUND")
    assert fresh.http.get(url).status_code == 404
    assert [name for name in fresh.files() if name.startswith("outputs/")] == []


async def test_what_nobody_came_to_delete_is_deleted_later(tmp_path: Path) -> None:
    queue = MemoryQueue(QueuePolicy(), SystemClock())
    with admin_of(tmp_path, queue=queue) as gateway:
        gateway.execute()
        job = publish(gateway, start(gateway))
        await queue.remove(job.id)  # and the gateway is killed
        assert [name for name in gateway.files() if name.startswith("outputs/")]
        await Removals(queue, gateway.storage).round()
        assert [name for name in gateway.files() if name.startswith("outputs/")] == []
        assert await queue.removed() == ()
        assert (await queue.standing()).done == 0


async def test_a_storage_that_is_away_keeps_no_job_from_going(fresh: Running, tmp_path: Path) -> None:
    fresh.execute()
    job = publish(fresh, start(fresh))
    aside = tmp_path.with_name(f"{tmp_path.name}-away")
    fresh.root.rename(aside)
    fresh.root.write_bytes(b"")  # what stays of a mount that went away
    assert fresh.http.delete(f"/api/admin/jobs/{job.id}").status_code == 200
    error_of(fresh.http.get(f"/api/jobs/{job.id}"), 404, "JOB_NOT_FOUND")
    assert await fresh.queue.removed() == (job.id,)
    fresh.root.unlink()
    aside.rename(fresh.root)
    await Removals(fresh.queue, fresh.storage).round()
    assert await fresh.queue.removed() == ()
    assert [name for name in fresh.files() if name.startswith("outputs/")] == []

"""The service as a client sees it: uploads, renders, and what came of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx2

from e2e.programs import run
from e2e.waiting import until

FINAL = ("done", "error")


class Service:
    """One address at which gateways answer. Requests that get no answer, or a 5xx, may be asked again: a connection
    that a gateway being replaced had open is lost, and clients of a service that is rolled must expect that."""

    def __init__(self, url: str, host: str | None = None) -> None:
        self.url = url
        self.http = httpx2.Client(base_url=url, timeout=60, headers={"Host": host} if host else None)

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def wait_until_well(self) -> None:
        """Until it answers: a Service that is new refuses connections for a moment, a proxy answers 503."""
        until(lambda: self._ask_again(lambda: self.http.get("/readyz")), f"{self.url}/readyz to answer 200")

    def _ask_again(self, call: Callable[[], Any]) -> Any | None:
        """The answer, or None when there was none or it was a 5xx."""
        try:
            answer = call()
        except httpx2.TransportError:
            return None
        return None if answer.status_code >= 500 else answer

    def upload(self, file: Path) -> str:
        """The file's path in the storage; asks again until it is there."""

        def send() -> Any | None:
            with file.open("rb") as handle:
                return self._ask_again(lambda: self.http.post("/api/upload", files={"file": (file.name, handle)}))

        answer = until(send, f"{file.name} to be uploaded to {self.url}")
        assert answer.status_code == 200, answer.text
        path: str = answer.json()["filePath"]
        return path

    def execute(self, **request: Any) -> str:
        """The id of the job that was accepted. Asked again under one key, so that a second answer is the same job."""
        key = {"Idempotency-Key": token_hex(16)}
        answer = until(
            lambda: self._ask_again(lambda: self.http.post("/api/execute", json=request, headers=key)),
            f"{self.url} to take a job",
        )
        assert answer.status_code == 202, answer.text
        job_id: str = answer.json()["jobId"]
        return job_id

    def job(self, job_id: str) -> dict[str, Any]:
        answer = until(lambda: self._ask_again(lambda: self.http.get(f"/api/jobs/{job_id}")), f"{job_id} to be shown")
        assert answer.status_code == 200, answer.text
        job: dict[str, Any] = answer.json()
        return job

    def wait(self, job_id: str, reached: Callable[[Mapping[str, Any]], bool], what: str) -> dict[str, Any]:
        """The job when `reached`. Fails at once when it has ended otherwise."""

        def look() -> dict[str, Any] | None:
            job = self.job(job_id)
            if reached(job):
                return job
            assert job["status"] not in FINAL, f"{job_id} ended before it was {what}: {job}"
            return None

        return until(look, f"{job_id} to be {what}", seconds=900)

    def wait_for_run(self, job_id: str) -> dict[str, Any]:
        return self.wait(job_id, lambda job: job["status"] == "running", "running")

    def wait_for_end(self, job_id: str) -> dict[str, Any]:
        return self.wait(job_id, lambda job: job["status"] in FINAL, "ended")

    def wait_for_all(self, job_ids: Iterable[str]) -> list[dict[str, Any]]:
        return [self.wait_for_end(job_id) for job_id in job_ids]

    def cancel(self, job_id: str) -> None:
        self.http.post(f"/api/jobs/{job_id}/cancel").raise_for_status()
        self.wait_for_end(job_id)

    def events(self, job_id: str) -> list[str]:
        """The kinds of the events of a job, from its first to its last; read as a stream until the server ends it."""
        with self.http.stream("GET", f"/api/jobs/{job_id}/events", timeout=120) as answer:
            assert answer.status_code == 200, answer.read()
            assert answer.headers["content-type"].startswith("text/event-stream")
            return [line.removeprefix("event:").strip() for line in answer.iter_lines() if line.startswith("event:")]


def output_path(job: Mapping[str, Any]) -> str:
    """Where the output lies below the service's address, whatever host its link names."""
    url = httpx2.URL(job["outputUrl"])
    return url.raw_path.decode()


def probe(url: str) -> dict[str, Any]:
    """What ffprobe reads of a file over HTTP."""
    found: dict[str, Any] = json.loads(
        run(["ffprobe", "-v", "error", "-of", "json", "-show_format", "-show_streams", url])
    )
    return found


def check_video(url: str, *, width: int, height: int, seconds: float) -> None:
    """That a file is a video of this size and, to half a second, this length."""
    found = probe(url)
    (video,) = [stream for stream in found["streams"] if stream["codec_type"] == "video"]
    assert (video["width"], video["height"]) == (width, height)
    assert abs(float(found["format"]["duration"]) - seconds) < 0.5, found["format"]


def check_each_done_once(jobs: Sequence[Mapping[str, Any]], stored: Callable[[], Iterable[str]]) -> None:
    """That each job is done, and has exactly one output among the keys (`outputs/<jobId>/...`) that `stored` lists, and
    nothing else lies there. What an execution left that was killed is deleted soon after its job has ended."""
    assert [job for job in jobs if job["status"] != "done"] == []
    wanted = sorted(job["jobId"] for job in jobs)
    until(lambda: sorted(key.split("/")[1] for key in stored()) == wanted, f"one output for each of {wanted}")

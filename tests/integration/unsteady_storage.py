"""Scenes of a bucket that fails or goes away under uploads and renders. Short ones are played by
test_unsteady_storage.py, long ones by `make soak`."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from flowscale_cli.client import Client
from flowscale_cli.resumable import upload_resumably
from integration.bucket_site import BucketSite, bucket_site
from integration.frontend import Frontend
from integration.leased import make_clip
from integration.processes import until
from integration.program import probe

MIB = 1024**2
SIZE = 24 * MIB
"""Of an upload: several parts, so that one of them can break."""

MP4_HEAD = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp41"


class Silent:
    """Who watches an upload and says nothing."""

    def sent(self, done: int) -> None: ...

    def note(self, words: str) -> None: ...


@dataclass
class Sent:
    path: str
    digest: str


def three_in_ten_requests_fail(folder: Path, seconds: float) -> dict[str, int]:
    """Uploads of both kinds and renders, begun one after the other for so long. What was counted."""
    clip = make_clip(folder, seconds=20)
    with bucket_site(folder) as site:
        frontend, other = site.gateway(), site.gateway()
        for _ in range(2):
            site.fleet()
        site.service.fail(share=0.3, most=1_000_000, seed=5)
        ends = time.monotonic() + seconds

        def while_it_lasts(do: Callable[[], Sent]) -> list[Sent]:
            done = []
            while time.monotonic() < ends:
                done.append(do())
            return done

        renders: list[str] = []

        def render() -> Sent:
            files = {"file": ("clip.mp4", clip.read_bytes())}
            path = asked_again(lambda: frontend.http.post("/api/upload", files=files))["filePath"]
            start = len(renders) % 10
            wish = {"sourcePath": path, "trim": {"start": start, "end": start + 2}}
            renders.append(asked_again(lambda: other.http.post("/api/execute", json=wish))["jobId"])
            return Sent(path, hashlib.sha256(files["file"][1]).hexdigest())

        with ThreadPoolExecutor(3) as pool:
            jobs = (lambda: by_form(frontend), lambda: resumably(other, folder), render)
            sent = [each for done in pool.map(while_it_lasts, jobs) for each in done]
        ended = [frontend.wait(job_id) for job_id in renders]
        site.service.heal()

        for each in sent:
            assert digest_of(site, each.path) == each.digest
        for job_id, job in zip(renders, ended, strict=True):
            assert job["status"] == "done", job
            assert len(job.get("attempts", [])) <= 1, job
            output = folder / f"{job_id}.mp4"
            output.write_bytes(frontend.http.get(job["outputUrl"]).raise_for_status().content)
            assert abs(float(probe(output)["duration"]) - 2) < 0.11
        assert site.encodes() == len(renders), "a render was made twice"
        assert until(lambda: site.server.left_over(site.bucket) == [], "no unfinished upload")
        assert set(site.stored("uploads/")) == {each.path for each in sent}
        assert len(site.stored("outputs/")) == len(renders)
        faults = site.service.faults
        broken = sum(count for (operation, _), count in faults.items() if operation == "UploadPart")
        parts = site.service.calls["UploadPart"]
        return {
            "uploads": len(sent),
            "renders": len(renders),
            "calls": site.service.calls.total(),
            "faults": faults.total(),
            "parts": parts,
            "broken parts": broken,
            "MiB in parts": site.service.bytes["UploadPart"] // MIB,
        }


def asked_again(ask: Callable[[], httpx2.Response]) -> dict[str, Any]:
    """The first answer that is no 503, which asks for another try: where three in ten requests to the bucket fail, all
    tries of one may."""

    def told() -> httpx2.Response | None:
        answer = ask()
        return None if answer.status_code == 503 else answer

    answer = until(told, "an answer other than 503")
    assert answer.is_success, answer.text
    said: dict[str, Any] = answer.json()
    return said


def by_form(frontend: Frontend) -> Sent:
    content = MP4_HEAD + secrets.token_bytes(SIZE - len(MP4_HEAD))
    files = {"file": ("clip.mp4", content)}
    path = asked_again(lambda: frontend.http.post("/api/upload", files=files, timeout=300))["filePath"]
    return Sent(path, hashlib.sha256(content).hexdigest())


def resumably(frontend: Frontend, folder: Path) -> Sent:
    content = MP4_HEAD + secrets.token_bytes(SIZE - len(MP4_HEAD))
    file = folder / f"{secrets.token_hex(8)}.mp4"
    file.write_bytes(content)
    try:
        with Client(str(frontend.http.base_url)) as client:
            answer = upload_resumably(client, file, Silent())
    finally:
        file.unlink()
    return Sent(answer["filePath"], hashlib.sha256(content).hexdigest())


def digest_of(site: BucketSite, key: str) -> str:
    client = site.server.client()
    try:
        return hashlib.sha256(client.get_object(Bucket=site.bucket, Key=key)["Body"].read()).hexdigest()
    finally:
        client.close()


def gone_when_the_output_is_made(folder: Path, seconds: float, *, silent: bool) -> dict[str, Any]:
    """The first byte of an output finds the bucket gone. One render waits for it, a second one is cancelled."""
    clip = make_clip(folder, seconds=20)
    with bucket_site(folder) as site:
        frontend, fleet = site.gateway(), site.fleet(2)
        source = frontend.upload(clip)
        gone = site.service.go_at("/outputs/", silent=silent)
        try:
            waiting = frontend.execute(source, trim={"start": 0, "end": 2})
            assert gone.wait(60), "no output was ever sent"
            if not silent:
                site.service.go()
            began = time.monotonic()
            assert frontend.job(waiting)["status"] == "running"
            encodes = site.encodes()
            time.sleep(seconds)
            assert frontend.job(waiting)["status"] == "running"
        finally:
            if gone.is_set() and not silent:
                site.service.come_back()
            site.service.heal()
        away = time.monotonic() - began
        job = frontend.wait(waiting)
        assert job["status"] == "done", job
        assert len(job.get("attempts", [])) <= 1, job
        assert site.encodes() == encodes == 1
        assert len([each for each in fleet.events("execution.started") if each["job_id"] == waiting]) == 1
        assert len(site.stored("outputs/")) == 1
        assert until(lambda: site.server.left_over(site.bucket) == [], "no unfinished upload")
        return {"seconds away": round(away), "encodes": encodes}


def cancelled_while_the_bucket_is_gone(folder: Path) -> None:
    clip = make_clip(folder, seconds=20)
    with bucket_site(folder) as site:
        frontend, _ = site.gateway(), site.fleet()
        source = frontend.upload(clip)
        gone = site.service.go_at("/outputs/")
        try:
            job_id = frontend.execute(source, trim={"start": 0, "end": 2})
            assert gone.wait(60), "no output was ever sent"
            assert frontend.http.post(f"/api/jobs/{job_id}/cancel").is_success
            job = frontend.wait(job_id)
        finally:
            site.service.heal()
        assert job["status"] == "error", job
        assert job["error"]["code"] == "CANCELLED", job
        assert site.stored("outputs/") == {}


def given_back_while_the_bucket_is_gone(folder: Path) -> None:
    """SIGTERM: the job is another's, and costs no attempt."""
    clip = make_clip(folder, seconds=20)
    with bucket_site(folder) as site:
        frontend, fleet = site.gateway(), site.fleet(FLOWSCALE_SHUTDOWN_GRACE="3")
        source = frontend.upload(clip)
        gone = site.service.go_at("/outputs/")
        try:
            job_id = frontend.execute(source, trim={"start": 0, "end": 2})
            assert gone.wait(60), "no output was ever sent"
            fleet.stop()
            assert frontend.wait(job_id, "queued")
        finally:
            site.service.heal()
        site.fleet()
        job = frontend.wait(job_id)
        assert job["status"] == "done", job
        assert len(site.stored("outputs/")) == 1

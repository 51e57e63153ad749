"""Uploads and renders over a bucket that fails, goes away for a while, or refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration import unsteady_storage as scenes
from integration.bucket_site import bucket_site
from integration.leased import make_clip
from integration.processes import until


def test_all_ends_well_though_three_in_ten_requests_fail(tmp_path: Path) -> None:
    figures = scenes.three_in_ten_requests_fail(tmp_path, seconds=10)
    print(figures)
    assert figures["uploads"] >= 3
    assert figures["renders"] >= 1
    assert figures["broken parts"] >= 1


@pytest.mark.parametrize("silent", [False, True], ids=["refusing", "silent"])
def test_a_render_waits_for_a_bucket_that_is_gone(tmp_path: Path, silent: bool) -> None:
    scenes.gone_when_the_output_is_made(tmp_path, 8, silent=silent)


def test_a_render_that_waits_can_be_cancelled(tmp_path: Path) -> None:
    scenes.cancelled_while_the_bucket_is_gone(tmp_path)


def test_a_render_that_waits_is_given_back_by_a_worker_that_stops(tmp_path: Path) -> None:
    scenes.given_back_while_the_bucket_is_gone(tmp_path)


@pytest.mark.parametrize("when", ["before it is fetched", "while it is rendered"])
def test_a_key_that_is_no_longer_right_ends_a_job_at_once(tmp_path: Path, when: str) -> None:
    clip = make_clip(tmp_path, seconds=20)
    with bucket_site(tmp_path, slow=True) as site:
        frontend, fleet = site.gateway(), site.fleet()
        source = frontend.upload(clip)
        first = frontend.execute(source, trim={"start": 0, "end": 3})
        fleet.rendering()
        job_id = first
        if when == "before it is fetched":
            job_id = frontend.execute(source, trim={"start": 0, "end": 1})  # behind the first
        site.server.kill()
        site.server.secret = "changed"
        site.server.start()
        if job_id != first:
            assert frontend.wait(first)["status"] == "error"
        site.service.forget()
        job = frontend.wait(job_id)
        calls = site.service.calls.copy()
        assert job["status"] == "error", job
        assert job["error"]["code"] == "STORAGE_ERROR", job
        assert "SignatureDoesNotMatch" in job["error"]["message"] or "403" in job["error"]["message"], job
        assert len(job["attempts"]) == 1, job
        assert 1 <= calls.total() <= 5, calls
        with clip.open("rb") as file:
            answer = frontend.http.post("/api/upload", files={"file": ("clip.mp4", file)})
        assert answer.status_code == 503, answer.text
        assert answer.json()["error"]["code"] == "STORAGE_UNAVAILABLE"
        until(lambda: frontend.http.get("/readyz").status_code == 503, "a gateway that says so")

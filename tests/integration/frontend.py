"""The frontend's calls, as a test makes them, against a running program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2

from integration.processes import until

SLOW: dict[str, Any] = {"speed": 0.25, "quality": "lossless", "resize": {"width": 1920, "height": 1080}}
"""Options of a render that takes long enough to be met halfway on any machine."""


class Frontend:
    """One server. `http` is closed by the fixture that made this."""

    def __init__(self, url: str) -> None:
        self.http = httpx2.Client(base_url=url, timeout=30)

    def upload(self, file: Path) -> str:
        """The file's path in the storage."""
        with file.open("rb") as handle:
            answer = self.http.post("/api/upload", files={"file": (file.name, handle)})
        assert answer.status_code == 200, answer.text
        path: str = answer.json()["filePath"]
        return path

    def execute(self, source: str, **options: Any) -> str:
        """The job's id."""
        answer = self.http.post("/api/execute", json={"sourcePath": source, **options})
        assert answer.status_code == 202, answer.text
        job_id: str = answer.json()["jobId"]
        return job_id

    def job(self, job_id: str) -> dict[str, Any]:
        job: dict[str, Any] = self.http.get(f"/api/jobs/{job_id}").raise_for_status().json()
        return job

    def wait(self, job_id: str, *statuses: str) -> dict[str, Any]:
        """The job when it has one of these statuses (an end, if none is given)."""
        wanted = statuses or ("done", "error")

        def look() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["status"] in wanted else None

        return until(look, f"job {job_id} to be {' or '.join(wanted)}")

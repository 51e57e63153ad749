"""The OpenAPI document: its golden copy, its promises held by a running gateway, and no promise missing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from contract.gateway_server import MP4, Running, running
from flowscale.queues.memory import MemoryQueue
from flowscale.testing import a_failure, an_output
from flowscale_api import openapi_json

GOLDEN = Path(__file__).parents[1] / "golden" / "openapi.json"

FUZZ_SECONDS = 60

CHECKS_LEFT_OUT = (
    "positive_data_acceptance",  # a schema cannot say "one of these three", "end after start" or "holds a video"
    "ignored_auth",  # there is no authentication to ignore
    "object_level_authorization",
)


OPERATIONS_LEFT_OUT = (
    "watchOverview",  # it never ends
    "steerPause",  # no job would end any more
    "steerRemove",  # none of the jobs that others need would be there
)


def test_document_is_its_golden_copy() -> None:
    assert openapi_json() == GOLDEN.read_text(), "the OpenAPI document has changed: look at it, then `make generate`"


def test_document_is_the_same_in_every_gateway(tmp_path: Path) -> None:
    with running(tmp_path, public_url="https://video.example.com", page=True) as gateway:
        assert gateway.http.get("/openapi.json").json() == json.loads(openapi_json())


def test_every_operation_says_what_it_is_and_how_it_fails() -> None:
    document = json.loads(openapi_json())
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch("[a-z]+([A-Z][a-z]+)*", one) for one in ids)
    for operation in operations:
        assert operation["summary"]
        for status, response in operation["responses"].items():
            assert response["description"]
            assert "X-Request-Id" in response["headers"]
            if status >= "400" and status != "416" and "content" in response:
                assert response["content"]["application/json"]["schema"]["$ref"]


def test_every_reference_leads_somewhere() -> None:
    document = json.loads(openapi_json())
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', openapi_json())):
        found: Any = document
        for part in reference.split("/"):
            found = found[part]
        assert found


def test_running_gateway_keeps_what_the_document_says(tmp_path: Path) -> None:
    """Schemathesis: thousands of requests, right and wrong ones, and every answer held against the document."""
    with running(tmp_path / "storage") as gateway, a_worker(gateway.queue):
        (tmp_path / "schemathesis.toml").write_text(config_of(gateway))
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(tmp_path / "schemathesis.toml")]
        command += ["run", f"{gateway.url}/openapi.json", "--phases", "examples,coverage,fuzzing", "--seed", "17"]
        command += ["--checks", "all", "--exclude-checks", ",".join(CHECKS_LEFT_OUT)]
        for operation in OPERATIONS_LEFT_OUT:
            command += ["--exclude-operation-id", operation]
        command += ["--max-time", str(FUZZ_SECONDS), "--request-timeout", "10", "--warnings", "off"]
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert run.returncode == 0, run.stdout + run.stderr
        assert gateway.log_lines("http.failed") == []
        answered = {line["status"] for line in gateway.log_lines("http.request")}
        # It got through to what it tests: jobs, files and conflicts, not only refusals.
        assert answered >= {200, 202, 204, 400, 404, 405, 409, 415, 422}


def config_of(gateway: Running) -> str:
    """Schemathesis' settings: now and then it is to use ids and paths of things that are there."""
    stored = gateway.upload(MP4)
    jobs = [gateway.execute(sourcePath=stored["fileId"])["jobId"] for _ in range(3)]
    path = stored["filePath"].removeprefix("uploads/")
    return f"""
[dictionaries]
jobs = {{ values = {json.dumps(jobs)} }}
files = {{ values = {json.dumps([path])} }}
sources = {{ values = {json.dumps([stored["filePath"], stored["fileId"]])} }}
events = {{ values = ["3", "999"] }}
[parameters]
"path.job_id" = {{ dictionary = "jobs", probability = 0.6 }}
"path.path" = {{ dictionary = "files", probability = 0.5 }}
"header.Last-Event-ID" = {{ dictionary = "events", probability = 0.5 }}
"body.sourcePath" = {{ dictionary = "sources", probability = 0.5 }}
"body.sourceVideoUrl" = {{ dictionary = "sources", probability = 0.5 }}
"""


@contextmanager
def a_worker(queue: MemoryQueue) -> Iterator[None]:
    """Ends every job at once, every other one in error, so that no stream of events stays open."""
    stop = threading.Event()

    def work() -> None:
        count = 0
        while not stop.is_set():
            execution = queue.fetch("worker", 0.05)
            if execution is None:
                continue
            count += 1
            queue.progress(execution, 50, ["half"])
            if count % 2:
                queue.commit(execution, an_output(execution))
            else:
                queue.fail(execution, a_failure(retryable=False))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()

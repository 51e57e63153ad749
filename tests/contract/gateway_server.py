"""A real gateway for tests: uvicorn on a free port in a thread, over the memory queue and a folder.

The worker's half of the same queue stands in for workers: a test fetches, commits and fails by hand.
"""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI

from flowscale import logs
from flowscale.clocks import SystemClock
from flowscale.jobs import RetryPolicy
from flowscale.queues.base import QueuePolicy
from flowscale.queues.memory import MemoryQueue
from flowscale.settings import GatewaySettings, Settings, StorageSettings
from flowscale.storage.local import LocalStorage
from flowscale_api.app import create_app
from flowscale_api.deps import Gateway
from flowscale_api.server import Server

PATIENCE_S = 30.0
"""What a test waits at most for something that must happen; reaching it is a failure."""

MP4 = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp41" + bytes(range(256)) * 40
"""Looks like the beginning of an MP4 file; nothing here decodes it. Longer than what is sniffed."""


@dataclass(frozen=True)
class Running:
    """A gateway that serves, and what is behind it."""

    url: str
    server: Server
    gateway: Gateway
    queue: MemoryQueue
    storage: LocalStorage
    root: Path  # the storage's folder
    http: httpx2.Client
    log: io.StringIO  # every line logged since it started
    app: FastAPI

    def log_lines(self, event: str) -> list[dict[str, Any]]:
        """The lines of one kind. A request's line may come a moment after its answer."""
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]

    def upload(self, content: bytes = MP4, name: str = "clip.mp4", **form: str) -> dict[str, Any]:
        answer = self.http.post("/api/upload", files={"file": (name, content)}, data=form)
        assert answer.status_code == 200, answer.text
        return fields(answer)

    def execute(self, headers: Mapping[str, str] | None = None, **options: Any) -> dict[str, Any]:
        """A queued job; of a fresh upload unless the options name a source."""
        if not options.keys() & {"sourcePath", "inputFileUrl", "sources"}:
            options["sourcePath"] = self.upload()["filePath"]
        answer = self.http.post("/api/execute", json=options, headers=headers)
        assert answer.status_code == 202, answer.text
        return fields(answer)

    def job(self, job_id: str) -> dict[str, Any]:
        answer = self.http.get(f"/api/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        return fields(answer)

    def files(self) -> list[str]:
        """Every file below the storage's folder, half-written ones too, without the locks of their owners."""
        return sorted(
            str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file() and path.name != ".lock"
        )


@contextmanager
def running(
    root: Path,
    *,
    policy: QueuePolicy | None = None,
    queue: MemoryQueue | None = None,
    page: bool = False,
    files: StorageSettings | None = None,
    trust_loopback: bool = False,
    **gateway: Any,
) -> Iterator[Running]:
    """Serve from `root` until the block ends. `gateway` are GatewaySettings by field name."""
    clock = SystemClock()
    settings = Settings(
        gateway=GatewaySettings(host="127.0.0.1", port=0, **gateway), storage=files or StorageSettings()
    )
    queue = queue or MemoryQueue(policy or QueuePolicy(retry=RetryPolicy(jitter=0.0)), clock)
    storage = LocalStorage(root)
    root_logger = logging.getLogger()
    handlers, level = root_logger.handlers[:], root_logger.level
    log = io.StringIO()
    logs.configure("debug", "json", log)
    try:
        app = create_app(
            settings=settings, queue=queue, storage=storage, clock=clock, page=page, trust_loopback=trust_loopback
        )
        with (
            Server(app, host="127.0.0.1", port=0) as server,
            httpx2.Client(base_url=server.url, timeout=PATIENCE_S) as http,
        ):
            yield Running(server.url, server, app.state.gateway, queue, storage, storage.root, http, log, app)
    finally:
        storage.close()
        root_logger.handlers[:] = handlers
        root_logger.setLevel(level)


def fields(answer: httpx2.Response) -> dict[str, Any]:
    """The JSON object of an answer."""
    assert answer.headers["content-type"] == "application/json"
    found = answer.json()
    assert isinstance(found, dict)
    return found


def error_of(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """The `error` of a failure, after checking that it has the contract's form."""
    found = fields(answer)
    assert (answer.status_code, found.get("error", {}).get("code")) == (status, code), answer.text
    assert found["ok"] is False
    error = found["error"]
    assert isinstance(error, dict)
    assert error.keys() <= {"code", "message", "details"}
    assert isinstance(error["message"], str)
    assert len(error["message"]) > 10
    assert answer.headers["x-request-id"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    return error


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether it holds within PATIENCE_S; it returns as soon as it does."""
    deadline = time.monotonic() + PATIENCE_S
    while not (held := holds()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return held

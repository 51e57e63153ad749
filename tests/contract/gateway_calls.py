"""The calls that tests make of a gateway, and the states they bring one into."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import httpx2

from contract.gateway_server import Running
from flowscale.jobs import Failure
from flowscale.queues.base import Depth
from flowscale.queues.memory import MemoryQueue
from flowscale.queues.redis.faults import as_fault

NO_JOB = "job_1700000000000_" + "0" * 32
NO_FILE_KEY = f"uploads/{'0' * 32}/clip.mp4"
SEGMENT = {
    "segment_id": "one",
    "source_start_ms": 0,
    "source_end_ms": 1000,
    "output_start_ms": 0,
    "output_end_ms": 1000,
    "trim_start_ms": 0,
    "trim_end_ms": 1000,
    "source_duration_ms": 5000,
}
PLAN = {
    "plan_id": "plan",
    "source_video_id": "video",
    "timeline": [SEGMENT],
    "output_format": {"width": 640, "height": 360, "fps": 25, "codec": "h264"},
}


Call = Callable[[Running], httpx2.Response]


def execute(**body: Any) -> Call:
    return lambda gateway: gateway.http.post("/api/execute", json=body)


def execute_raw(body: bytes, **headers: str) -> Call:
    return lambda gateway: gateway.http.post("/api/execute", content=body, headers=headers)


def execute_uploaded(**body: Any) -> Call:
    return lambda gateway: gateway.http.post("/api/execute", json={"sourcePath": gateway.upload()["fileId"]} | body)


def plan(**body: Any) -> Call:
    return lambda gateway: gateway.http.post("/api/execute-plan", json={"plan": PLAN} | body)


def upload(name: str, content: bytes, field: str = "file") -> Call:
    return lambda gateway: gateway.http.post("/api/upload", files={field: (name, content)})


def upload_raw(body: bytes, content_type: str) -> Call:
    return lambda gateway: gateway.http.post("/api/upload", content=body, headers={"Content-Type": content_type})


def get(path: str) -> Call:
    return lambda gateway: gateway.http.get(path)


def post(path: str, **options: Any) -> Call:
    return lambda gateway: gateway.http.post(path, **options)


def another_method(method: str, path: str) -> Call:
    return lambda gateway: gateway.http.request(method, path)


def fail_next(gateway: Running, failure: Failure) -> None:
    execution = gateway.queue.fetch("worker", 0)
    assert execution is not None
    gateway.queue.fail(execution, failure)


def break_storage(gateway: Running) -> None:
    """A plain file where the folder was: what stays of a mount that went away, and root may not write there either."""
    shutil.rmtree(gateway.root)
    gateway.root.write_bytes(b"")


QUEUE_AWAY = as_fault(ConnectionRefusedError(), "redis://queue.inside:6379/0")
"""What is raised by a queue whose server is gone."""


class QueueAway(MemoryQueue):
    """A queue whose facts cannot be reached: what a lost Redis looks like from here."""

    async def check(self) -> None:
        raise QUEUE_AWAY

    async def depth(self) -> Depth:
        raise QUEUE_AWAY

    async def get(self, job_id: str) -> Any:
        raise QUEUE_AWAY


class QueueWithBug(MemoryQueue):
    async def get(self, job_id: str) -> Any:
        raise ZeroDivisionError("the secret inside")

"""The body of a message: the same bytes at each try, as long as the outputs' address is the same. Pure."""

from __future__ import annotations

import json
from typing import Any

from flowscale.clocks import iso_utc
from flowscale.webhooks.deliveries import Ended


def body_of(ended: Ended, output_url: str | None) -> bytes:
    """`output_url`: where the output is, if there is one."""
    data: dict[str, Any] = {"jobId": ended.job_id, "status": ended.status}
    if ended.project_id is not None:
        data["projectId"] = ended.project_id
    if ended.output is not None:
        data |= {"outputUrl": output_url, "outputSize": ended.output.size}
        if ended.output.duration_ms is not None:
            data["outputDurationMs"] = ended.output.duration_ms
    if ended.duration_ms is not None:
        data["durationMs"] = ended.duration_ms
    if ended.failure is not None:
        data["error"] = {"code": ended.failure.code, "message": ended.failure.message}
    return _message(f"job.{ended.status}", ended.at_ms, data)


def ping_body(at_ms: int) -> bytes:
    """What `flowscale webhooks test` sends."""
    return _message("ping", at_ms, {})


def _message(kind: str, at_ms: int, data: dict[str, Any]) -> bytes:
    message = {"type": kind, "timestamp": iso_utc(at_ms), "data": data}
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()

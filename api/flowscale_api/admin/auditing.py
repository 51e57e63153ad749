"""Every action of the people who run the service is written down: who, what, when, and what came of it.

In the queue's audit log, which pages show, and in the process's own log, which nobody can cap.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastapi import Request

from flowscale import logs
from flowscale.errors import FlowScaleError, Internal, QueueUnavailable, ReadOnly
from flowscale.queues.admin_view import AuditEntry
from flowscale.redaction import redact
from flowscale_api.admin.caller import caller_name
from flowscale_api.deps import Gateway

TARGET_LENGTH = 200
"""Characters kept of what an action was for: it may come from an address that somebody made up."""

_Answer = TypeVar("_Answer")
_log = logs.get("audit")


async def audited(
    gateway: Gateway,
    request: Request,
    action: str,
    target: str | Callable[[], str | None] | None,
    call: Callable[[], Awaitable[_Answer]],
) -> _Answer:
    """What the call gives or raises, written down; a `target` that the call has to read first is asked for after it.
    Raises ReadOnly instead where nothing is to be steered."""
    outcome = Internal.code
    # A gateway that is killed before the end has said who began what.
    _log.info(f"audit.{action}.begun", "Began what was asked", actor=caller_name(request))
    try:
        if gateway.settings.admin_read_only:
            raise ReadOnly(
                "This service is being looked at only: FLOWSCALE_ADMIN_READ_ONLY is set, so nothing changes."
            )
        answer = await call()
        outcome = "ok"
        return answer
    except FlowScaleError as error:
        outcome = error.code
        raise
    finally:
        await _write_down(gateway, request, action, target() if callable(target) else target, outcome)


async def _write_down(gateway: Gateway, request: Request, action: str, target: str | None, outcome: str) -> None:
    entry = AuditEntry(
        at_ms=gateway.clock.now_ms(),
        actor=caller_name(request),
        action=action,
        target=None if target is None else redact(target)[:TARGET_LENGTH],
        outcome=outcome,
        request_id=logs.bound("request_id"),
    )
    sentence = "Did what was asked" if outcome == "ok" else "Refused what was asked, or failed"
    _log.info(f"audit.{action}", sentence, actor=entry.actor, target=entry.target, outcome=outcome)
    try:
        await gateway.queue.add_audit(entry)
    except QueueUnavailable as error:
        _log.warning("audit.lost", "The audit log lacks an entry; this log has it", action=action, reason=error.message)

"""Who asks: what the audit log names, and whether they may still watch."""

from __future__ import annotations

from fastapi import Request

from flowscale_api.access.callers import caller_of
from flowscale_api.deps import gateway_of


def caller_name(request: Request) -> str:
    """Whom the audit log names: keys by their ids too, for their names are anybody's choice."""
    client = request.client.host if request.client else "unknown"
    caller = caller_of(request)
    return f"{caller.name} (key {caller.key_id}) at {client}" if caller.key_id else f"{caller.name} at {client}"


async def may_watch_on(request: Request) -> bool:
    """Whether a stream that was begun may go on; asked at each ping and each event. Raises QueueUnavailable."""
    return await gateway_of(request).gate.still_allowed(caller_of(request))

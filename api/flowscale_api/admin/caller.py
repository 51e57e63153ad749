"""Who asks: what the audit log names, and whether they may still watch."""

from __future__ import annotations

from fastapi import Request

ANONYMOUS = "anonymous"
"""The caller where nobody has to say who they are."""


def caller_name(request: Request) -> str:
    """Whom the audit log names."""
    client = request.client.host if request.client else "unknown"
    return f"{ANONYMOUS} at {client}"


async def may_watch_on(_request: Request) -> bool:
    """Whether a stream that was begun may go on; asked at each ping and each event."""
    return True

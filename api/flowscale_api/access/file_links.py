"""Addresses that open one file for a while: `/outputs/...?expires=<Unix s>&signature=<seal>`.

A browser sends no header with `<video src>`, and the contract says that outputUrl is an address it can GET. Whoever
has such an address may read that file, and nothing else, until it expires. It is never logged: the log has paths
without their query.
"""

from __future__ import annotations

import re

from fastapi import Request

from flowscale.keys.seals import Purpose, Seals

LINK_SECONDS = 24 * 3600
"""How long an address is good at least: a page that was opened in the morning plays in the evening."""

STEP_SECONDS = 3600
"""Addresses expire at full hours, so that the same file has the same address for a while, and browsers use their
copies."""

_EXPIRES = re.compile(r"[0-9]{1,12}\Z")


def link_query(seals: Seals, key: str, now_ms: int) -> str:
    """What follows the `?`: good for LINK_SECONDS, and STEP_SECONDS more at most."""
    expires = (now_ms // 1000 // STEP_SECONDS + 1) * STEP_SECONDS + LINK_SECONDS
    return f"expires={expires}&signature={seals.of(Purpose.FILE, _text(key, expires))}"


def is_link(request: Request) -> bool:
    return "signature" in request.query_params


def link_fits(seals: Seals, request: Request, key: str, now_ms: int) -> bool:
    """Whether the request's address is one that we made for this file and that has not expired."""
    expires = request.query_params.get("expires", "")
    if not _EXPIRES.match(expires) or int(expires) * 1000 <= now_ms:
        return False
    return seals.fits(request.query_params["signature"], Purpose.FILE, _text(key, int(expires)))


def _text(key: str, expires: int) -> str:
    return f"{key}\n{expires}"

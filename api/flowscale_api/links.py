"""Addresses that browsers can use: of the storage itself where it has them, else of this gateway."""

from __future__ import annotations

import re

from fastapi import Request

from flowscale_api.access.file_links import link_query
from flowscale_api.deps import Gateway

_HOST = re.compile(r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?\Z")


def public_url(gateway: Gateway, request: Request, key: str) -> str:
    """Where a browser can GET the stored object. While keys are asked for, the address opens it for a day by itself;
    one of the storage's own (S3_PUBLIC_BASE_URL) is open to all, as it always was."""
    if (elsewhere := gateway.storage.url(key)) is not None:
        return elsewhere
    return _opening(gateway, f"{origin(gateway, request)}/{key}", key)


async def lasting_url(gateway: Gateway, key: str) -> str:
    """Likewise, where no request is at hand: by FLOWSCALE_PUBLIC_URL; without it, the path alone. Raises
    QueueUnavailable."""
    if (elsewhere := gateway.storage.url(key)) is not None:
        return elsewhere
    await gateway.gate.load_seals()
    return _opening(gateway, f"{(gateway.settings.public_url or '').rstrip('/')}/{key}", key)


def _opening(gateway: Gateway, here: str, key: str) -> str:
    if not gateway.gate.asks:
        return here
    return f"{here}?{link_query(gateway.gate.seals, key, gateway.clock.now_ms())}"


def origin(gateway: Gateway, request: Request) -> str:
    """The address that answers link to, without a slash at its end: the one set, or the one this request came to.

    The scheme is that of the proxy in front where the server trusts it (X-Forwarded-Proto); the host is the Host
    header, which proxies pass on. A Host that is none, as only a hand-made request has, is not repeated.
    """
    if gateway.settings.public_url is not None:
        return gateway.settings.public_url.rstrip("/")
    host = request.headers.get("host", "")
    if not _HOST.match(host):
        server = request.scope.get("server") or (gateway.settings.host, gateway.settings.port)
        host = f"[{server[0]}]:{server[1]}" if ":" in server[0] else f"{server[0]}:{server[1]}"
    return f"{request.url.scheme}://{host}"


def outputs_elsewhere(gateway: Gateway) -> list[str]:
    """Addresses besides the one a request came to, from which links may have outputs loaded."""
    return [each for each in (gateway.files.public_base_url, gateway.settings.public_url) if each is not None]

"""One try: a POST to an endpoint, by the address rules of all connections to other hosts. Blocks; for a thread.

A redirect is an answer like others that are no success: followed, it would lead a signed message elsewhere. What is
said of a fault names the host and nothing else of the URL, whose path or query may hold a secret.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from flowscale.clocks import Clock
from flowscale.outbound.addresses import Network, locate
from flowscale.outbound.dialling import Dialler, Manner, Resolve, system_resolve
from flowscale.outbound.faults import OutboundError
from flowscale.redaction import redact
from flowscale.webhooks.retrying import Answer

TRY_SECONDS = 15.0
"""For all of a try: the name, the connection, the answer. Standard Webhooks recommends 15 to 30 s."""

BODY_BYTES = 4096
"""Read at most of an answer."""

BODY_CHARACTERS = 300
"""Kept of it, for people."""

ALLOW_SETTING = "FLOWSCALE_WEBHOOK_ALLOW_NETWORKS"


def post(
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    networks: Sequence[Network],
    clock: Clock,
    go_on: Callable[[], None],
    *,
    resolve: Resolve = system_resolve,
) -> Answer:
    """Send it. Raises only what `go_on` raises, which is asked several times a second."""
    ends = clock.monotonic() + TRY_SECONDS

    def in_time() -> None:
        go_on()
        if clock.monotonic() > ends:
            raise TimeoutError(f"no answer within {TRY_SECONDS:.0f} s")

    manner = Manner("webhook", "webhook", ALLOW_SETTING, tuple(networks), TRY_SECONDS, clear_only_inside=True)
    dialler = Dialler(manner, clock, in_time, resolve)
    sent = {"Content-Type": "application/json", "Accept": "*/*", "Accept-Encoding": "identity", **headers}
    try:
        with dialler.exchange("POST", locate(url), sent, body) as response:
            return Answer(
                response.status,
                body=_beginning(response),
                retry_after_seconds=_seconds(response.headers.get("Retry-After", ""), clock.now_ms()),
            )
    except OutboundError as error:
        return Answer(None, error.message)


def _beginning(response: http.client.HTTPResponse) -> str:
    """As far as it came in time: the answer is its status."""
    read = b""
    try:
        while len(read) < BODY_BYTES and (piece := response.read1(BODY_BYTES - len(read))):
            read += piece
    except (OSError, http.client.HTTPException):
        read += b" (it broke off)"
    text = read.decode(errors="replace")
    printable = "".join(character if character.isprintable() else " " for character in text)
    return redact(" ".join(printable.split()))[:BODY_CHARACTERS]  # it may be our request, sent back


def _seconds(retry_after: str, now_ms: int) -> int | None:
    """Retry-After, a number or a date (RFC 9110, 10.2.3), in seconds from now; None when it is neither."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0, int((aware - datetime.fromtimestamp(now_ms / 1000, UTC)).total_seconds()))

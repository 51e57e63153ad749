"""Signatures as Standard Webhooks says (symmetric, v1): HMAC-SHA256 of `id.timestamp.body`. Pure.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence

PREFIX = "whsec_"

LEAST_BYTES, MOST_BYTES = 24, 64
"""Of a secret, before base64; the specification's."""


def read_secrets(text: str) -> tuple[bytes, ...]:
    """The secrets in a text, a space apart. Raises ValueError, whose words hold nothing of them."""
    secrets = []
    for number, part in enumerate(text.split(), 1):
        try:
            secret = base64.b64decode(part.removeprefix(PREFIX), validate=True)
        except (binascii.Error, ValueError):
            secret = b""
        if not part.startswith(PREFIX) or not LEAST_BYTES <= len(secret) <= MOST_BYTES:
            raise ValueError(
                f"secret {number} must be {PREFIX} and then {LEAST_BYTES} to {MOST_BYTES} bytes in base64, "
                f'as from: echo "{PREFIX}$(openssl rand -base64 32)"'
            )
        secrets.append(secret)
    return tuple(secrets)


def signed_headers(secrets: Sequence[bytes], message_id: str, at_ms: int, body: bytes) -> Mapping[str, str]:
    """The three headers. Every secret signs, so that receivers can go from one to the next."""
    seconds = str(at_ms // 1000)
    content = f"{message_id}.{seconds}.".encode() + body
    signatures = (hmac.new(secret, content, hashlib.sha256).digest() for secret in secrets)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": seconds,
        "webhook-signature": " ".join(f"v1,{base64.b64encode(signature).decode()}" for signature in signatures),
    }

"""Seals: short proofs that a text is ours, made with a secret that all gateways share. Pure.

HMAC-SHA256 over the purpose and the text, so that a seal of one purpose is none of another.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from enum import StrEnum

from flowscale.keys.tokens import same


class Purpose(StrEnum):
    SESSION = "session"  # the cookie of a login
    CSRF = "csrf"  # what a page of ours sends back with each change
    FILE = "file"  # an address at which one file may be read for a while


@dataclass(frozen=True, slots=True)
class Seals:
    """Made with one secret of 256 bits."""

    secret: bytes = field(repr=False)

    def of(self, purpose: Purpose, text: str) -> str:
        """The seal: 43 characters of URL-safe base64."""
        mac = hmac.new(self.secret, f"{purpose}\n{text}".encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(mac).decode().rstrip("=")

    def fits(self, seal: str, purpose: Purpose, text: str) -> bool:
        """Whether it is the seal of this text, in constant time."""
        return same(seal, self.of(purpose, text))

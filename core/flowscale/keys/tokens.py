"""What a key looks like, and what is kept of it. Pure.

    fsk_<id: 16 hex digits>_<secret: 43 characters of URL-safe base64, 256 bits>

The id is no secret: a key is looked up by it, and only then are secrets compared, in constant time. Kept is the
secret's SHA-256. A slow hash with a salt protects what people choose, by making each guess dear; nobody guesses 256
random bits, and no table holds them, so that here it would only make each request dear.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

SECRET_BYTES = 32
"""256 bits."""

KEY_ID = re.compile(r"[0-9a-f]{16}\Z")

_TOKEN = re.compile(r"fsk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})\Z")


@dataclass(frozen=True, slots=True)
class Token:
    """A key as its holder has it."""

    key_id: str
    secret: str

    def __str__(self) -> str:
        return f"fsk_{self.key_id}_{self.secret}"

    def __repr__(self) -> str:
        return f"Token({self.key_id})"  # never the secret, wherever it is printed


def new_token() -> Token:
    """A fresh key with an id of its own."""
    return Token(secrets.token_hex(8), secrets.token_urlsafe(SECRET_BYTES))


def read_token(text: str) -> Token | None:
    """The token that the text is; None when it has another form."""
    found = _TOKEN.match(text)
    return Token(found[1], found[2]) if found else None


def is_key_id(text: str) -> bool:
    """Whether the text has the form of a key's id."""
    return KEY_ID.match(text) is not None


def digest(secret: str) -> str:
    """What is kept of a secret: its SHA-256 in hex."""
    return hashlib.sha256(secret.encode()).hexdigest()


def same(one: str, other: str) -> bool:
    """Whether two texts are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(one.encode(), other.encode())

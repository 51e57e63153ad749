"""What the head of an answer says of its body: how long it is, and whether it is the rest of what we have; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.message import Message
from email.utils import parsedate_to_datetime

from flowscale.errors import InvalidMedia

_LENGTH = re.compile(r"[0-9]{1,18}")
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})")
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]{0,256}"')
_HTTP_DATE = re.compile(r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT")


@dataclass(frozen=True, slots=True)
class Version:
    """What the answers must have in common for their bytes to be of one file."""

    host: str
    validator: str  # for If-Range
    total: int | None  # bytes; None when it comes in chunks


def content_length(headers: Message, host: str) -> int:
    """Raises InvalidMedia for none, several, or no number."""
    given = headers.get_all("Content-Length", [])
    if len(given) != 1 or not _LENGTH.fullmatch(given[0].strip()):
        raise InvalidMedia(f"{host} does not say how long the file is, so that a part could pass for the whole.")
    return int(given[0])


def validator(headers: Message) -> str | None:
    """For If-Range: a strong ETag, or a Last-Modified of a second at least before the answer (RFC 9110, 8.8.2.2)."""
    etag = headers.get("ETag", "").strip()
    if etag:
        return etag if _STRONG_ETAG.fullmatch(etag) else None
    modified, date = headers.get("Last-Modified", "").strip(), headers.get("Date", "").strip()
    if not (_HTTP_DATE.fullmatch(modified) and _HTTP_DATE.fullmatch(date)):
        return None
    try:
        age = parsedate_to_datetime(date) - parsedate_to_datetime(modified)
    except ValueError:  # such as the 99th of a month
        return None
    return modified if age.total_seconds() >= 1 else None


def rest_of(headers: Message, host: str, have: Version | None, size: int) -> int | None:
    """The size of the whole, if these are the headers of the rest of the `size` bytes we have."""
    found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if have is None or found is None or host != have.host:
        return None
    start, total = int(found[1]), int(found[2])
    if start != size or have.total not in (None, total):
        return None
    if have.validator.startswith('"'):
        same = headers.get("ETag", "").strip() == have.validator
    else:
        same = headers.get("Last-Modified", have.validator).strip() == have.validator
    return total if same else None

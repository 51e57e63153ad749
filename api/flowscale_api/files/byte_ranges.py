"""HTTP ranges and conditions for one stored file, by RFC 9110; pure.

`requested` reads a Range header. What it does not understand, or what would cost more than it is worth, it
ignores, as the RFC allows: the client then gets the whole file with 200, which is always right.

Order of use (RFC 9110, 13.2.2): `not_modified` -> 304; then, if there is an If-Range that does not hold
(`if_range_holds`), forget the Range header; then `requested` -> 200, 206 or 416.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate
from typing import NamedTuple

MAX_RANGES = 16
"""A set of more ranges is ignored: real clients ask for one, PDF readers for a handful (RFC 9110, 17.15)."""

MAX_HEADER = 1024
"""A longer Range header (characters) is ignored: room for MAX_RANGES ranges of any file that exists."""

_UNIT = re.compile(r"bytes=(.*)\Z", re.IGNORECASE | re.DOTALL)
_RANGE = re.compile(r"([0-9]*)-([0-9]*)\Z")
_ETAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TIME = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_DATES = (  # RFC 9110, 5.6.7: the one form to send, and two to understand
    re.compile(rf"[A-Z][a-z]{{2}}, (?P<day>[0-9]{{2}}) (?P<month>[A-Z][a-z]{{2}}) (?P<year>[0-9]{{4}}) {_TIME} GMT\Z"),
    re.compile(rf"[A-Z][a-z]+day, (?P<day>[0-9]{{2}})-(?P<month>[A-Z][a-z]{{2}})-(?P<year>[0-9]{{2}}) {_TIME} GMT\Z"),
    re.compile(rf"[A-Z][a-z]{{2}} (?P<month>[A-Z][a-z]{{2}}) (?P<day>[ 0-9][0-9]) {_TIME} (?P<year>[0-9]{{4}})\Z"),
)


class ByteRange(NamedTuple):
    """Bytes `start` to `end`, both included, counted from 0."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start + 1

    def content_range(self, size: int) -> str:
        """Value of Content-Range for this part of `size` bytes."""
        return f"bytes {self.start}-{self.end}/{size}"


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """No byte of the file was asked for: 416."""

    size: int

    @property
    def content_range(self) -> str:
        return f"bytes */{self.size}"


def requested(header: str | None, size: int) -> list[ByteRange] | Unsatisfiable | None:
    """The parts of a file of `size` bytes that a Range header asks for; None: send the whole file.

    Ranges that overlap or touch become one; else they keep the client's order (RFC 9110, 15.3.7.2).
    """
    if header is None or len(header) > MAX_HEADER:
        return None
    unit = _UNIT.match(header.strip(" \t"))
    if unit is None:
        return None
    asked = [text for part in unit[1].split(",") if (text := part.strip(" \t"))]
    if not 1 <= len(asked) <= MAX_RANGES:
        return None
    found: list[ByteRange] = []
    beyond = 0
    for text in asked:
        matched = _RANGE.match(text)
        if matched is None or text == "-":
            return None
        first, last = matched.groups()
        if first and last and int(last) < int(first):
            return None
        start = int(first) if first else max(0, size - int(last))
        end = min(size - 1, int(last)) if first and last else size - 1
        if start < size:
            found.append(ByteRange(start, end))
        elif first or int(last) == 0:
            beyond += 1
    if found:
        return _joined(found)
    # A suffix of an empty file is satisfiable by the letter, but no Content-Range can say "no bytes".
    return Unsatisfiable(size) if beyond == len(asked) else None


def _joined(ranges: list[ByteRange]) -> list[ByteRange]:
    joined: list[tuple[int, ByteRange]] = []  # with the place of the earliest of those that it is made of
    for place, (start, end) in sorted(enumerate(ranges), key=lambda item: item[1]):
        if joined and start <= joined[-1][1].end + 1:
            earlier, last = joined[-1]
            joined[-1] = (min(earlier, place), ByteRange(last.start, max(last.end, end)))
        else:
            joined.append((place, ByteRange(start, end)))
    return [part for _, part in sorted(joined)]


@dataclass(frozen=True, slots=True)
class Multipart:
    """Several ranges as one multipart/byteranges body (RFC 9110, 14.6).

    The body is, for each range, `head` and its bytes, then `tail`. `boundary` must be random (at least 16 hex
    digits), for it must not occur in the file.
    """

    boundary: str
    media_type: str
    ranges: list[ByteRange]
    size: int  # bytes of the whole file

    @property
    def content_type(self) -> str:
        return f"multipart/byteranges; boundary={self.boundary}"

    @property
    def content_length(self) -> int:
        parts = sum(len(self.head(part)) + part.length for part in self.ranges)
        return parts + len(self.tail)

    def head(self, part: ByteRange) -> bytes:
        lines = (
            "",
            f"--{self.boundary}",
            f"Content-Type: {self.media_type}",
            f"Content-Range: {part.content_range(self.size)}",
            "",
            "",
        )
        return "\r\n".join(lines).encode("ascii")

    @property
    def tail(self) -> bytes:
        return f"\r\n--{self.boundary}--\r\n".encode("ascii")


def quoted(etag: str) -> str:
    """A storage etag (opaque, without quotes) as the value of an ETag header; a strong one."""
    return f'"{etag}"'


def http_date(modified_ms: int) -> str:
    """Unix time in ms as the value of a Last-Modified header; whole seconds, rounded down."""
    return formatdate(modified_ms // 1000, usegmt=True)


def if_range_holds(header: str | None, etag: str, modified_ms: int) -> bool:
    """Whether the Range header counts: there is no If-Range, or it names the file as it is now.

    `etag` is the storage's. Tags are compared strongly, so a weak one never holds. A date must be exactly ours;
    that it stands for one content only (RFC 9110, 8.8.2.2) is so because no stored file is ever changed.
    """
    if header is None:
        return True
    header = header.strip(" \t")
    tag = _ETAG.fullmatch(header)
    if tag is not None:
        return tag[1] is None and tag[2] == etag
    return parse_date(header) == modified_ms // 1000


def not_modified(if_none_match: str | None, if_modified_since: str | None, etag: str, modified_ms: int) -> bool:
    """Whether a GET or HEAD is answered 304. If-None-Match, where given, makes If-Modified-Since void."""
    if if_none_match is not None:
        return lists_etag(if_none_match, etag)
    since = parse_date(if_modified_since.strip(" \t")) if if_modified_since is not None else None
    return since is not None and modified_ms // 1000 <= since


def lists_etag(header: str, etag: str) -> bool:
    """Whether an If-None-Match header names this etag, compared weakly, or is `*`; False if it is malformed."""
    left = header.strip(" \t")
    if left == "*":
        return True
    found = False
    while left:
        if left[0] == ",":
            left = left[1:].lstrip(" \t")
            continue
        tag = _ETAG.match(left)
        if tag is None:
            return False
        found = found or tag[2] == etag
        left = left[tag.end() :].lstrip(" \t")
        if left and left[0] != ",":
            return False
    return found


def parse_date(text: str) -> int | None:
    """An HTTP date in any of its three forms, in Unix seconds; None for anything else."""
    for form in _DATES:
        if (matched := form.match(text)) is None:
            continue
        year = int(matched["year"])
        if len(matched["year"]) == 2:
            year += 1900 if year >= 70 else 2000
        month = _MONTHS.index(matched["month"]) + 1 if matched["month"] in _MONTHS else 0
        clock = (int(matched["hour"]), int(matched["minute"]), min(59, int(matched["second"])))  # :60 is a leap second
        try:
            return int(datetime(year, month, int(matched["day"]), *clock, tzinfo=UTC).timestamp())
        except ValueError:
            return None
    return None

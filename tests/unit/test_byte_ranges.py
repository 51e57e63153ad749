"""Range headers and conditions, against the sentences of RFC 9110 and a model that counts single bytes."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowscale_api.files.byte_ranges import (
    MAX_HEADER,
    MAX_RANGES,
    ByteRange,
    Multipart,
    Unsatisfiable,
    http_date,
    if_range_holds,
    lists_etag,
    not_modified,
    parse_date,
    quoted,
    requested,
)

HUGE = 10**18


@pytest.mark.parametrize(
    ("header", "parts"),
    [
        ("bytes=0-499", [(0, 499)]),
        ("bytes=500-999", [(500, 999)]),
        ("bytes=0-0", [(0, 0)]),
        ("bytes=9999-", [(9999, 9999)]),
        ("bytes=9500-", [(9500, 9999)]),
        ("bytes=-500", [(9500, 9999)]),
        ("bytes=-99999", [(0, 9999)]),
        ("bytes=0-", [(0, 9999)]),
        ("bytes=0-99999", [(0, 9999)]),
        ("bytes=000-0009", [(0, 9)]),
        (f"bytes=0-{HUGE}", [(0, 9999)]),
        ("BYTES=0-9", [(0, 9)]),
        (" bytes=0-9\t", [(0, 9)]),
        ("bytes= 0-9 ,\t20-29", [(0, 9), (20, 29)]),
        ("bytes=,0-9,,20-29,", [(0, 9), (20, 29)]),
        ("bytes=0-0,-1", [(0, 0), (9999, 9999)]),
        ("bytes=500-600,100-200", [(500, 600), (100, 200)]),  # the client's order
        ("bytes=500-600,601-999", [(500, 999)]),  # touching
        ("bytes=500-700,601-999", [(500, 999)]),  # overlapping
        ("bytes=50-60,10-20,55-70", [(50, 70), (10, 20)]),  # in the place of the earliest
        ("bytes=100-200,0-9,5-150", [(0, 200)]),
        ("bytes=0-9,0-9", [(0, 9)]),
        ("bytes=0-9,99999-", [(0, 9)]),  # what is beyond the end is left out
        ("bytes=0-9,-0", [(0, 9)]),
    ],
)
def test_ranges_of_ten_thousand_bytes(header: str, parts: list[tuple[int, int]]) -> None:
    assert requested(header, 10_000) == parts


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=a-b",
        "bytes=1",
        "bytes=5-1",
        "bytes=0-9,5-1",
        "bytes=0-9,x",
        "bytes=--5",
        "bytes=0--5",
        "bytes=+1-5",
        "bytes=1 - 5",
        "bytes=0x1-5",
        "bytes=1.0-5",
        "bytes=\u0661-\u0665",  # digits, but not ASCII ones
        "bytes=0-9\n",
        "bytes =0-9",
        "items=0-9",
        "seconds=1-2",
        "0-9",
        "bytes=" + ",".join(f"{n * 10}-{n * 10 + 1}" for n in range(MAX_RANGES + 1)),
        "bytes=0-" + "9" * MAX_HEADER,
    ],
)
def test_what_is_not_understood_or_too_much_is_ignored(header: str | None) -> None:
    assert requested(header, 10_000) is None


def test_as_many_ranges_as_allowed() -> None:
    header = "bytes=" + ",".join(f"{n * 10}-{n * 10 + 1}" for n in range(MAX_RANGES))
    parts = requested(header, 10_000)
    assert isinstance(parts, list)
    assert len(parts) == MAX_RANGES


@pytest.mark.parametrize(
    "header", ["bytes=10000-", "bytes=10000-10001", "bytes=-0", "bytes=20000-,-0", f"bytes={HUGE}-"]
)
def test_nothing_that_exists(header: str) -> None:
    answer = requested(header, 10_000)
    assert answer == Unsatisfiable(10_000)
    assert isinstance(answer, Unsatisfiable)
    assert answer.content_range == "bytes */10000"


def test_an_empty_file() -> None:
    assert requested("bytes=0-", 0) == Unsatisfiable(0)
    assert requested("bytes=-0", 0) == Unsatisfiable(0)
    assert requested("bytes=-5", 0) is None  # satisfiable by the letter, but there is no way to write it down
    assert requested("bytes=0-,-5", 0) is None


SMALL = st.integers(0, 40)
SPEC = st.one_of(
    st.builds(lambda start, more: (start, start + more), SMALL, SMALL),
    st.builds(lambda start: (start, None), SMALL),
    st.builds(lambda suffix: (None, suffix), SMALL),
)


def bytes_of(spec: tuple[int | None, int | None], size: int) -> set[int]:
    first, last = spec
    if first is None:
        assert last is not None
        return set(range(size)[-last:]) if last else set()
    return {at for at in range(size) if first <= at and (last is None or at <= last)}


def runs(wanted: set[int]) -> list[tuple[int, int]]:
    starts = sorted(at for at in wanted if at - 1 not in wanted)
    ends = sorted(at for at in wanted if at + 1 not in wanted)
    return list(zip(starts, ends, strict=True))


@given(st.lists(SPEC, min_size=1, max_size=MAX_RANGES), st.integers(0, 50))
def test_against_a_model_of_single_bytes(specs: list[tuple[int | None, int | None]], size: int) -> None:
    texts = [f"{'' if first is None else first}-{'' if last is None else last}" for first, last in specs]
    answer = requested("bytes=" + ", ".join(texts), size)
    wanted = [bytes_of(spec, size) for spec in specs]
    expected = runs(set().union(*wanted))

    def place(run: tuple[int, int]) -> int:
        return next(index for index, part in enumerate(wanted) if run[0] <= min(part, default=-1) <= run[1])

    if expected:
        assert answer == sorted(expected, key=place)
    elif any(first is None and last for first, last in specs):
        assert answer is None
    else:
        assert answer == Unsatisfiable(size)


@given(st.text() | st.text(alphabet="bytes=0123456789-, ").map("bytes=".__add__), st.integers(0, 2**63))
def test_any_header_has_an_answer(header: str, size: int) -> None:
    answer = requested(header, size)
    if isinstance(answer, list):
        assert 1 <= len(answer) <= MAX_RANGES
        assert all(0 <= part.start <= part.end < size for part in answer)
        assert sum(part.length for part in answer) <= size  # so no header makes an answer longer than the file


def test_a_part_says_where_it_lies() -> None:
    assert ByteRange(0, 0).length == 1
    assert ByteRange(10, 19).length == 10
    assert ByteRange(10, 19).content_range(100) == "bytes 10-19/100"


@given(st.binary(min_size=60, max_size=100), st.lists(st.integers(0, 19), min_size=2, max_size=8, unique=True))
def test_a_multipart_body_is_read_back_by_a_mime_parser(content: bytes, starts: list[int]) -> None:
    parts = [ByteRange(start * 3, start * 3 + 1) for start in starts]
    plan = Multipart("f" * 16, "video/mp4", parts, len(content))
    body = b"".join(plan.head(part) + content[part.start : part.end + 1] for part in parts) + plan.tail
    assert len(body) == plan.content_length
    message = message_from_bytes(f"Content-Type: {plan.content_type}\r\n\r\n".encode() + body, policy=policy.HTTP)
    assert message.is_multipart()
    read = list(message.iter_parts())
    assert [part["Content-Range"] for part in read] == [part.content_range(len(content)) for part in parts]
    assert all(part.get_content_type() == "video/mp4" for part in read)


def test_a_multipart_body_to_the_byte() -> None:
    plan = Multipart("0123456789abcdef", "video/webm", [ByteRange(0, 1), ByteRange(8, 9)], 10)
    assert plan.content_type == "multipart/byteranges; boundary=0123456789abcdef"
    assert plan.head(plan.ranges[1]) == (
        b"\r\n--0123456789abcdef\r\nContent-Type: video/webm\r\nContent-Range: bytes 8-9/10\r\n\r\n"
    )
    assert plan.tail == b"\r\n--0123456789abcdef--\r\n"


MODIFIED_MS = int(datetime(1994, 11, 6, 8, 49, 37, 123_000, tzinfo=UTC).timestamp() * 1000)
SECONDS = MODIFIED_MS // 1000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", SECONDS),
        ("Sunday, 06-Nov-94 08:49:37 GMT", SECONDS),
        ("Sun Nov  6 08:49:37 1994", SECONDS),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Thursday, 01-Jan-26 00:00:00 GMT", 1_767_225_600),
        ("Sun, 06 Nov 1994 08:49:37 CET", None),
        ("Sun, 31 Feb 1994 08:49:37 GMT", None),
        ("Sun, 06 Nuv 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 25:49:37 GMT", None),
        ("Sun, 06 Nov 0000 08:49:37 GMT", None),
        ("1994-11-06T08:49:37Z", None),
        ("784111777", None),
        ("", None),
    ],
)
def test_dates(text: str, seconds: int | None) -> None:
    assert parse_date(text) == seconds


@given(st.integers(0, 253_402_300_799_999))  # to the end of the year 9999
def test_a_date_we_send_is_read_back(milliseconds: int) -> None:
    assert parse_date(http_date(milliseconds)) == milliseconds // 1000


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{2} (Jan|Feb|Dec) [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"))
def test_any_text_as_a_date_has_an_answer(text: str) -> None:
    assert parse_date(text) is None or isinstance(parse_date(text), int)


ETAG = "a-1,b"  # a comma is allowed inside


@pytest.mark.parametrize(
    ("header", "holds"),
    [
        (None, True),
        (quoted(ETAG), True),
        (f" {quoted(ETAG)}\t", True),
        (f"W/{quoted(ETAG)}", False),  # strong comparison
        ('"other"', False),
        (ETAG, False),  # without quotes it is no tag
        (f'{quoted(ETAG)}, "other"', False),  # one tag, not a list
        ("*", False),
        ("", False),
        (http_date(MODIFIED_MS), True),
        (http_date(MODIFIED_MS - 1000), False),
        (http_date(MODIFIED_MS + 1000), False),  # exactly, not "since"
        ("yesterday", False),
    ],
)
def test_if_range(header: str | None, holds: bool) -> None:
    assert if_range_holds(header, ETAG, MODIFIED_MS) is holds


@pytest.mark.parametrize(
    ("header", "listed"),
    [
        ("*", True),
        (quoted(ETAG), True),
        (f"W/{quoted(ETAG)}", True),  # weak comparison
        (f'"x" , ,{quoted(ETAG)},', True),
        (f'"x",{quoted(ETAG)}', True),
        ('"x", "y"', False),
        ("", False),
        (ETAG, False),
        (f'"x" {quoted(ETAG)}', False),
        (f"w/{quoted(ETAG)}", False),
        (f"{quoted(ETAG)}, *", False),
        (f"{quoted(ETAG)}, broken", False),
        ('"', False),
    ],
)
def test_if_none_match(header: str, listed: bool) -> None:
    assert lists_etag(header, ETAG) is listed
    assert not_modified(header, None, ETAG, MODIFIED_MS) is listed


@pytest.mark.parametrize(
    ("since", "answer"),
    [
        (None, False),
        (http_date(MODIFIED_MS), True),
        (http_date(MODIFIED_MS + 1000), True),
        (http_date(MODIFIED_MS - 1000), False),
        ("never", False),
    ],
)
def test_if_modified_since(since: str | None, answer: bool) -> None:
    assert not_modified(None, since, ETAG, MODIFIED_MS) is answer


def test_if_none_match_makes_if_modified_since_void() -> None:
    assert not not_modified('"other"', http_date(MODIFIED_MS), ETAG, MODIFIED_MS)
    assert not_modified(quoted(ETAG), http_date(MODIFIED_MS - 1000), ETAG, MODIFIED_MS)


@given(st.text())
def test_any_condition_has_an_answer(header: str) -> None:
    assert isinstance(lists_etag(header, ETAG), bool)
    assert isinstance(if_range_holds(header, ETAG, MODIFIED_MS), bool)
    assert isinstance(not_modified(header, header, ETAG, MODIFIED_MS), bool)

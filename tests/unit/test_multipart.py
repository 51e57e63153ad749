"""The upload form's state machine: the same events for every way the bytes may be cut, and an end to every excess."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flowscale.errors import NoFile, RequestError, UploadError
from flowscale_api.uploads.multipart import (
    MAX_DELIMITERS,
    MAX_PADDING,
    MAX_PARTS,
    MAX_TEXT_BYTES,
    Event,
    FileBegins,
    FileData,
    FileEnds,
    TextField,
    UploadForm,
    boundary_of,
)

BOUNDARY = b"----FormBoundary7MA4YWxkTrZu0gW"


def text_part(name: str, value: bytes) -> bytes:
    return b'Content-Disposition: form-data; name="%s"\r\n\r\n%s' % (name.encode(), value)


def file_part(content: bytes, filename: str = "clip.mp4", field: str = "file") -> bytes:
    head = f'Content-Disposition: form-data; name="{field}"; filename="{filename}"\r\nContent-Type: video/mp4\r\n\r\n'
    return head.encode() + content


def form_of(*parts: bytes) -> bytes:
    return b"".join(b"--" + BOUNDARY + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + BOUNDARY + b"--\r\n"


def events_of(body: bytes, cuts: list[int]) -> list[Event]:
    """All events of a body fed in pieces, with the file's bytes joined: how they were cut is not part of them."""
    form = UploadForm(BOUNDARY)
    places = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    events = [event for start, end in pairwise(places) for event in form.feed(body[start:end])]
    form.close()
    joined: list[Event] = []
    for event in events:
        if isinstance(event, FileData) and joined and isinstance(joined[-1], FileData):
            joined[-1] = FileData(joined[-1].data + event.data)
        else:
            joined.append(event)
    return joined


CUTS = st.lists(st.integers(0, 4000), max_size=60)


@given(
    content=st.binary(min_size=1, max_size=600)
    | st.lists(st.sampled_from([b"\r\n", b"--", BOUNDARY, b"x"])).map(lambda parts: b"".join(parts) + b"end"),
    project=st.text(st.characters(codec="utf-8"), max_size=40),
    cuts=CUTS,
)
@example(content=b"\r\n--" + BOUNDARY[:-1], project="", cuts=list(range(400)))
def test_events_do_not_depend_on_how_the_body_is_cut(content: bytes, project: str, cuts: list[int]) -> None:
    if b"\r\n--" + BOUNDARY in b"\r\n" + content:
        return  # no file may hold its own form's boundary
    body = form_of(text_part("projectId", project.encode()), file_part(content))
    expected = [TextField("projectId", project), FileBegins("clip.mp4"), FileData(content), FileEnds()]
    assert events_of(body, cuts) == expected
    assert events_of(body, []) == expected


@given(body=st.binary(max_size=400), cuts=CUTS)
def test_any_bytes_end_in_a_file_or_in_a_refusal(body: bytes, cuts: list[int]) -> None:
    try:
        events = events_of(body, cuts)
    except RequestError:
        return
    assert FileEnds() in events


@given(cut=st.integers(0, 2000), cuts=CUTS)
def test_form_cut_short_is_never_complete(cut: int, cuts: list[int]) -> None:
    whole = form_of(text_part("projectId", b"p"), file_part(b"content" * 20))
    complete_from = len(whole) - 2  # the line break after the closing boundary says nothing
    if cut >= complete_from:
        return
    with pytest.raises(UploadError):
        events_of(whole[:cut], cuts)


@pytest.mark.parametrize(
    ("content_type", "fault"),
    [
        (None, "multipart/form-data"),
        ("", "multipart/form-data"),
        ("application/json", "multipart/form-data"),
        ("multipart/mixed; boundary=x", "multipart/form-data"),
        ("multipart/form-data", "boundary"),
        ("multipart/form-data; boundary=", "boundary"),
        (f"multipart/form-data; boundary={'x' * 71}", "boundary"),
    ],
)
def test_what_is_no_form_is_refused(content_type: str | None, fault: str) -> None:
    with pytest.raises(UploadError, match=fault):
        boundary_of(content_type)


@pytest.mark.parametrize("written", ["multipart/form-data; boundary=abc", 'Multipart/Form-Data;boundary="abc"'])
def test_boundary_is_read(written: str) -> None:
    assert boundary_of(written) == b"abc"


@pytest.mark.parametrize(
    ("part", "error", "fault"),
    [
        (b"Content-Type: text/plain\r\n\r\nx", UploadError, "no Content-Disposition"),
        (b'Content-Disposition: attachment; name="file"\r\n\r\nx', UploadError, "no Content-Disposition"),
        (b"Content-Disposition: form-data\r\n\r\nx", UploadError, "names its field"),
        (b'Content-Disposition: form-data; name="a"\r\n' * 2 + b"\r\nx", UploadError, "two Content-Disposition"),
        (b"X-Long: " + b"x" * 5000 + b"\r\n\r\nx", UploadError, "header size"),
        (b"X-Many: x\r\n" * 9 + b"\r\nx", UploadError, "header count"),
        (b"Bad Name: x\r\n\r\nx", UploadError, "invalid character"),
        (text_part("note", b"x" * (MAX_TEXT_BYTES + 1)), UploadError, "'note' has more than"),
        (file_part(b"x" * (MAX_TEXT_BYTES + 1), field="video"), NoFile, "in the field 'video'"),
    ],
)
def test_part_beyond_the_limits_is_refused(part: bytes, error: type[Exception], fault: str) -> None:
    with pytest.raises(error, match=fault):
        events_of(form_of(part), [])


def test_two_files_are_refused() -> None:
    with pytest.raises(UploadError, match="two files"):
        events_of(form_of(file_part(b"one"), file_part(b"two")), [])


def test_too_many_parts_are_refused() -> None:
    parts = [text_part(f"field{number}", b"x") for number in range(MAX_PARTS)]
    assert len(events_of(form_of(*parts[1:], file_part(b"x")), [])) == MAX_PARTS - 1 + 3
    with pytest.raises(UploadError, match=f"more than {MAX_PARTS} parts"):
        events_of(form_of(*parts, file_part(b"x")), [])


LOOKALIKE = b"\r\n--" + BOUNDARY + b"x"


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_a_file_may_hold_a_few_lookalikes_of_the_boundary_but_not_live_on_them(size: int) -> None:
    few = LOOKALIKE * (MAX_DELIMITERS - 1)  # and the closing boundary
    body = form_of(file_part(few))
    assert FileData(few) in events_of(body, list(range(0, len(body), size)))
    body = form_of(file_part(few + LOOKALIKE))
    with pytest.raises(UploadError, match="its file holds the boundary"):
        events_of(body, list(range(0, len(body), size)))


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_blanks_behind_a_boundary_have_an_end(size: int) -> None:
    first, second = form_of(text_part("projectId", b"p")).removesuffix(b"--\r\n"), file_part(b"x")
    end = b"\r\n--" + BOUNDARY + b"--\r\n"
    body = first + b" \t" * (MAX_PADDING // 2) + b"\r\n" + second + end
    assert FileData(b"x") in events_of(body, list(range(0, len(body), size)))
    for blanks in (MAX_PADDING + 1, 10_000):
        body = first + b" " * blanks + b"\r\n" + second + end
        with pytest.raises(UploadError, match="blanks"):
            events_of(body, list(range(0, len(body), size)))


@given(content=st.lists(st.sampled_from([LOOKALIKE, b"\r\n--", b"\r\n", b"-", b"q"]), max_size=30), cuts=CUTS)
def test_lookalikes_are_data_however_they_are_cut(content: list[bytes], cuts: list[int]) -> None:
    data = b"".join(content) + b"end"
    events = events_of(form_of(file_part(data)), cuts)
    assert events == [FileBegins("clip.mp4"), FileData(data), FileEnds()]


def test_a_million_parts_are_refused_at_once() -> None:
    form = UploadForm(b"x")
    with pytest.raises(UploadError, match="too many parts"):
        form.feed(b"--x\r\nA: b\r\n\r\n" + b"\r\n--x\r\nA: b\r\n\r\n" * 1_000_000)


@pytest.mark.parametrize(
    ("parts", "fault"),
    [
        ([], "no file"),
        ([text_part("projectId", b"p")], "no file"),
        ([file_part(b"x", field="video")], "in the field 'video'"),
    ],
)
def test_form_without_a_file_is_told_so(parts: list[bytes], fault: str) -> None:
    with pytest.raises(NoFile, match=fault):
        events_of(form_of(*parts), [])


def test_file_in_another_field_is_passed_over_beside_the_right_one() -> None:
    body = form_of(file_part(b"tiny", field="thumbnail"), file_part(b"x"))
    assert events_of(body, []) == [FileBegins("clip.mp4"), FileData(b"x"), FileEnds()]


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('name="file"; filename="clip.mp4"', "clip.mp4"),
        ("name=file; filename=clip.mp4", "clip.mp4"),
        ('name="file"; filename="Größe 1.mp4"', "Größe 1.mp4"),
        ('name="file"; filename="C:\\\\clips\\\\a.mp4"', "a.mp4"),
        ('name="file"; filename=""', ""),
        ('name="file"', ""),
    ],
)
def test_claimed_name_is_read(disposition: str, name: str) -> None:
    body = form_of(f"Content-Disposition: form-data; {disposition}\r\n\r\nx".encode())
    assert events_of(body, [])[0] == FileBegins(name)

"""Fetching outputs and uploads: whole, in parts, only if changed, only the headers; and never as a web page."""

from __future__ import annotations

import email
import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from fastapi import Request

from contract.gateway_server import MP4, Running, error_of, running
from flowscale.errors import FileNotFound
from flowscale.storage.base import CHUNK, StoredObject
from flowscale.storage.local import LocalStorage
from flowscale_api.files.stored_files import file_answer

CONTENT = MP4 + bytes(range(256)) * 9000
"""Longer than two pieces of the storage."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("storage")) as served:
        yield served


@pytest.fixture(scope="module")
def url(gateway: Running) -> str:
    assert len(CONTENT) > 2 * CHUNK
    address: str = gateway.upload(CONTENT, "clip.mp4")["publicUrl"]
    return address


def get(gateway: Running, url: str, **headers: str) -> httpx2.Response:
    return gateway.http.get(url, headers={name.replace("_", "-"): value for name, value in headers.items()})


def test_whole_file_with_all_a_browser_needs(gateway: Running, url: str) -> None:
    answer = get(gateway, url)
    assert answer.status_code == 200
    assert answer.content == CONTENT
    headers = answer.headers
    assert headers["content-type"] == "video/mp4"
    assert headers["content-length"] == str(len(CONTENT))
    assert headers["accept-ranges"] == "bytes"
    assert headers["content-disposition"] == 'inline; filename="clip.mp4"'
    assert headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert re.fullmatch('"[^"]+"', headers["etag"])
    assert headers["last-modified"].endswith(" GMT")
    assert headers["x-request-id"]


@pytest.mark.parametrize("query", ["?download", "?download=1"])
def test_download_is_an_attachment(gateway: Running, url: str, query: str) -> None:
    assert get(gateway, url + query).headers["content-disposition"] == 'attachment; filename="clip.mp4"'


def test_head_has_the_same_headers_and_no_body(gateway: Running, url: str) -> None:
    whole = get(gateway, url)
    head = gateway.http.head(url, headers={"Range": "bytes=0-3"})  # a range is for GET only
    assert (head.status_code, head.content) == (200, b"")
    changing = {"date", "x-request-id"}
    assert {k: v for k, v in head.headers.items() if k not in changing} == {
        k: v for k, v in whole.headers.items() if k not in changing
    }


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=100-199", 100, 199),
        (f"bytes={CHUNK - 1}-{CHUNK}", CHUNK - 1, CHUNK),
        ("bytes=500-", 500, len(CONTENT) - 1),
        ("bytes=-7", len(CONTENT) - 7, len(CONTENT) - 1),
        ("bytes=10-999999999999", 10, len(CONTENT) - 1),
        ("bytes=0-9,10-19", 0, 19),
    ],
)
def test_one_range(gateway: Running, url: str, asked: str, start: int, end: int) -> None:
    answer = get(gateway, url, Range=asked)
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {start}-{end}/{len(CONTENT)}"
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.content == CONTENT[start : end + 1]


def test_several_ranges_come_as_parts(gateway: Running, url: str) -> None:
    answer = get(gateway, url, Range="bytes=0-9, 100-149, -5")
    assert answer.status_code == 206
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert "content-range" not in answer.headers
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    parts = list(email.message_from_bytes(head + answer.content).walk())[1:]
    found = [(part["Content-Range"], part["Content-Type"], part.get_payload(decode=True)) for part in parts]
    size = len(CONTENT)
    assert found == [
        (f"bytes 0-9/{size}", "video/mp4", CONTENT[:10]),
        (f"bytes 100-149/{size}", "video/mp4", CONTENT[100:150]),
        (f"bytes {size - 5}-{size - 1}/{size}", "video/mp4", CONTENT[-5:]),
    ]


@pytest.mark.parametrize("asked", ["bytes=9999999999-", "bytes=-0"])
def test_range_beyond_the_file_is_416_with_its_size(gateway: Running, url: str, asked: str) -> None:
    answer = get(gateway, url, Range=asked)
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(CONTENT)}"
    assert answer.content == b""


@pytest.mark.parametrize("asked", ["lines=1-2", "bytes=2-1", "bytes=x", "bytes=" + ",".join(["0-0"] * 999)])
def test_range_not_understood_gives_the_whole(gateway: Running, url: str, asked: str) -> None:
    answer = get(gateway, url, Range=asked)
    assert answer.status_code == 200
    assert len(answer.content) == len(CONTENT)


def test_if_range_decides_between_part_and_whole(gateway: Running, url: str) -> None:
    known = get(gateway, url).headers
    for holds, condition in (
        (True, known["etag"]),
        (True, known["last-modified"]),
        (False, '"another"'),
        (False, f"W/{known['etag']}"),
        (False, "Thu, 01 Jan 1970 00:00:00 GMT"),
    ):
        answer = get(gateway, url, Range="bytes=0-3", If_Range=condition)
        assert answer.status_code == (206 if holds else 200), condition


def test_unchanged_file_is_not_sent_again(gateway: Running, url: str) -> None:
    known = get(gateway, url).headers
    for headers in (
        {"If_None_Match": known["etag"]},
        {"If_None_Match": f'"other", W/{known["etag"]}'},
        {"If_None_Match": "*"},
        {"If_Modified_Since": known["last-modified"]},
    ):
        answer = get(gateway, url, Range="bytes=0-3", **headers)
        assert (answer.status_code, answer.content) == (304, b""), headers
        assert answer.headers["etag"] == known["etag"]
        assert gateway.http.head(url, headers={k.replace("_", "-"): v for k, v in headers.items()}).status_code == 304
    changed = get(gateway, url, If_None_Match='"other"', If_Modified_Since=known["last-modified"])
    assert changed.status_code == 200


def test_output_is_served_like_an_upload(gateway: Running) -> None:
    key = f"outputs/job_1700000000000_{'a' * 32}/{'b' * 32}/cut.webm"
    with gateway.storage.writer(key) as writer:
        writer.write(b"webm")
        writer.commit()
    answer = get(gateway, f"/{key}", Range="bytes=1-2")
    assert (answer.status_code, answer.content) == (206, b"eb")
    assert answer.headers["content-type"] == "video/webm"
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"


def test_name_without_a_known_extension_is_bytes_and_nothing_more(gateway: Running) -> None:
    key = f"uploads/{'c' * 32}/page.html"
    with gateway.storage.writer(key) as writer:
        writer.write(b"<script>alert(1)</script>")
        writer.commit()
    answer = get(gateway, f"/{key}")
    assert answer.headers["content-type"] == "application/octet-stream"


def test_empty_file_is_served(gateway: Running) -> None:
    key = f"uploads/{'d' * 32}/empty.mp4"
    with gateway.storage.writer(key) as writer:
        writer.commit()
    answer = get(gateway, f"/{key}")
    assert (answer.status_code, answer.content) == (200, b"")
    assert get(gateway, f"/{key}", Range="bytes=0-").status_code == 416


@pytest.mark.parametrize(
    "path",
    [
        "/uploads/",
        "/uploads/x",
        "/uploads/../uploads/x",
        f"/uploads/{'0' * 32}",
        f"/uploads/{'0' * 32}/.lock",
        f"/uploads/{'0' * 32}/a%00b",
        f"/uploads/{'0' * 32}/a%2fb",
        "/outputs/%2e%2e/%2e%2e/etc/passwd",
        "/outputs//etc/passwd",
    ],
)
def test_path_that_is_no_key_is_not_found(gateway: Running, path: str) -> None:
    answer = gateway.http.get(httpx2.URL(gateway.url).copy_with(raw_path=path.encode()))
    error_of(answer, 404, "FILE_NOT_FOUND")
    assert gateway.http.head(httpx2.URL(gateway.url).copy_with(raw_path=path.encode())).status_code == 404


class DeletedOnceSeen(LocalStorage):
    """A storage in which somebody deletes each file right after it was looked at."""

    def stat(self, key: str) -> StoredObject:
        stored = super().stat(key)
        self.delete(key)
        return stored


@pytest.mark.parametrize("asked", [None, "bytes=0-9", "bytes=0-9, 100-149"])
async def test_file_that_is_deleted_before_it_is_opened_is_not_found(tmp_path: Path, asked: str | None) -> None:
    storage = DeletedOnceSeen(tmp_path)
    key = f"uploads/{'e' * 32}/clip.mp4"
    with storage.writer(key) as writer:
        writer.write(CONTENT)
        writer.commit()
    headers = [] if asked is None else [(b"range", asked.encode())]
    request = Request({"type": "http", "method": "GET", "headers": headers, "query_string": b""})
    with pytest.raises(FileNotFound):
        await file_answer(storage, request, key)
    storage.close()


def test_reader_that_goes_away_early_costs_nothing(gateway: Running, url: str) -> None:
    for _ in range(3):
        with gateway.http.stream("GET", url) as answer:
            next(answer.iter_raw())
    assert get(gateway, url).status_code == 200

"""Uploads as the network delivers them: in any pieces, cut off, lied about, far too large; in flat memory."""

from __future__ import annotations

import asyncio
import json
import os
import select
import socket
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import psutil
import pytest
from fastapi import Request
from starlette.types import Message

from contract.gateway_child import child
from contract.gateway_server import MP4, PATIENCE_S, Running, error_of, eventually, fields, running
from flowscale.errors import UploadError
from flowscale_api.wire.bodies import Body
from flowscale_api.wire.guards import SCOPE_KEY, Guards, Limits, Reason

MIB = 1024**2
BOUNDARY = b"XboundaryX"
HEAD = b'--XboundaryX\r\nContent-Disposition: form-data; name="file"; filename="clip.mp4"\r\n\r\n'
TAIL = b"\r\n--XboundaryX--\r\n"
FORM = HEAD + MP4 + TAIL


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG = (
    b"\x89PNG\r\n\x1a\n"
    + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    + png_chunk(b"IDAT", zlib.compress(b"\0\0"))
    + png_chunk(b"IEND", b"")
)


def ebml(doc_type: bytes) -> bytes:
    inner = b"\x42\x82" + bytes([0x80 | len(doc_type)]) + doc_type
    return b"\x1a\x45\xdf\xa3" + bytes([0x80 | len(inner)]) + inner + b"\x18\x53\x80\x67\x01" + bytes(100)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("storage")) as served:
        yield served


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path, max_upload_bytes=4 * MIB) as served:
        yield served


class Wire:
    """One connection, to say what no HTTP client would."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=PATIENCE_S)

    def head(self, *headers: str) -> None:
        lines = ("POST /api/upload HTTP/1.1", "Host: x", "Content-Type: multipart/form-data; boundary=XboundaryX")
        self.socket.sendall("\r\n".join((*lines, *headers, "", "")).encode())

    def chunk(self, data: bytes) -> None:
        self.socket.sendall(b"%x\r\n%s\r\n" % (len(data), data))

    def answer(self) -> tuple[int, dict[str, str], dict[str, object]]:
        """Status, headers and JSON of the answer, which ends where its Content-Length says."""
        received = b""
        while b"\r\n\r\n" not in received:
            piece = self.socket.recv(65536)
            assert piece, f"the connection ended within the answer's head: {received!r}"
            received += piece
        head, _, body = received.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers["content-length"])
        while len(body) < length:
            body += self.socket.recv(65536)
        return int(status.split()[1]), headers, json.loads(body[:length])

    def ended(self) -> bool:
        """Whether the server closes the connection (and so has ended what it did for it)."""
        return self.socket.recv(65536) == b""


@pytest.fixture
def wire(gateway: Running) -> Iterator[Wire]:
    opened = Wire(gateway.url)
    with opened.socket:
        yield opened


@pytest.mark.parametrize(
    ("content", "name", "stored", "mimetype"),
    [
        (MP4, "clip.mp4", "clip.mp4", "video/mp4"),
        (MP4, "CLIP.M4V", "CLIP.M4V", "video/mp4"),
        (MP4, "clip.mov", "clip.mp4", "video/mp4"),
        (MP4, "clip", "clip.mp4", "video/mp4"),
        (MP4, "page.html", "page.html.mp4", "video/mp4"),
        (MP4, "v1.2", "v1.2.mp4", "video/mp4"),
        (MP4, "日本", "upload.mp4", "video/mp4"),
        (MP4, "x" * 200 + ".mov", "x" * 96 + ".mp4", "video/mp4"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + bytes(64), "a.mov", "a.mov", "video/quicktime"),
        (ebml(b"webm"), "a.webm", "a.webm", "video/webm"),
        (ebml(b"matroska"), "a.webm", "a.mkv", "video/x-matroska"),
        (b"RIFF\0\0\1\0AVI LIST" + bytes(64), "a.avi", "a.avi", "video/x-msvideo"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(64), "a.jpeg", "a.jpeg", "image/jpeg"),
        (PNG, "a.jpg", "a.png", "image/png"),
        (b"RIFF\x20\0\0\0WEBPVP8L" + bytes(64), "a.webp", "a.webp", "image/webp"),
    ],
    ids=range(15),
)
def test_type_is_found_in_the_content_and_served(
    shared: Running, content: bytes, name: str, stored: str, mimetype: str
) -> None:
    answer = shared.upload(content, name)
    assert (answer["filename"], answer["mimetype"], answer["size"]) == (stored, mimetype, len(content))
    served = shared.http.get(answer["publicUrl"])
    assert served.headers["content-type"] == mimetype
    assert served.content == content


@pytest.mark.parametrize("size", [1, 7, 4095, 65536])
def test_pieces_of_any_size_make_the_same_file(gateway: Running, wire: Wire, size: int) -> None:
    wire.head("Transfer-Encoding: chunked")
    form = FORM if size > 1 else HEAD + MP4[:300] + TAIL
    for start in range(0, len(form), size):
        wire.chunk(form[start : start + size])
    wire.chunk(b"")
    status, _, answer = wire.answer()
    assert status == 200
    assert gateway.files() == [answer["filePath"]]
    content = (gateway.root / str(answer["filePath"])).read_bytes()
    assert content == (MP4 if size > 1 else MP4[:300])


def test_body_without_any_length_is_read_to_the_end_of_its_chunks(gateway: Running, wire: Wire) -> None:
    wire.head("Transfer-Encoding: chunked")
    wire.chunk(FORM[:-4])
    wire.chunk(b"")
    status, _, answer = wire.answer()
    assert (status, error_code(answer)) == (400, "UPLOAD_ERROR")
    assert gateway.files() == []


def test_length_shorter_than_the_form_cuts_it(gateway: Running, wire: Wire) -> None:
    wire.head(f"Content-Length: {len(FORM) - 40}")
    wire.socket.sendall(FORM)
    status, _, answer = wire.answer()
    assert (status, error_code(answer)) == (400, "UPLOAD_ERROR")  # and its rest is refused, as the next request
    assert eventually(lambda: gateway.files() == [])


def test_length_longer_than_the_form_is_waited_for_and_then_refused(gateway: Running, wire: Wire) -> None:
    wire.head(f"Content-Length: {len(FORM) + 1000}")
    wire.socket.sendall(FORM)
    wire.socket.shutdown(socket.SHUT_WR)  # nothing more will come
    assert wire.ended()
    assert eventually(lambda: gateway.files() == [])


@pytest.mark.parametrize("sent", [0, 20, len(HEAD), len(HEAD) + 5000, len(FORM) - 2])
def test_client_that_goes_away_leaves_nothing(gateway: Running, wire: Wire, sent: int) -> None:
    wire.head(f"Content-Length: {len(FORM) + 2 * MIB}")
    wire.socket.sendall(FORM[:sent])
    wire.socket.shutdown(socket.SHUT_WR)
    assert wire.ended()
    assert eventually(lambda: gateway.files() == [])


def test_client_that_goes_away_within_a_large_file_leaves_nothing(gateway: Running, wire: Wire) -> None:
    wire.head(f"Content-Length: {4 * MIB}")
    wire.socket.sendall(HEAD + MP4 + bytes(3 * MIB))
    wire.socket.shutdown(socket.SHUT_WR)
    assert wire.ended()
    assert eventually(lambda: gateway.files() == [])


def test_declared_size_over_the_limit_is_refused_before_a_byte_is_sent(gateway: Running, wire: Wire) -> None:
    wire.head("Content-Length: 999999999999")
    status, headers, answer = wire.answer()
    assert (status, error_code(answer)) == (413, "FILE_TOO_LARGE")
    assert headers["connection"] == "close"
    wire.socket.shutdown(socket.SHUT_WR)
    assert wire.ended()
    assert eventually(lambda: gateway.files() == [])


def test_client_that_asks_first_is_spared_the_body(gateway: Running, wire: Wire) -> None:
    wire.head("Content-Length: 999999999999", "Expect: 100-continue")
    status, _, answer = wire.answer()  # and not 100 Continue
    assert (status, error_code(answer)) == (413, "FILE_TOO_LARGE")


def test_size_over_the_limit_is_refused_while_it_streams(gateway: Running, wire: Wire) -> None:
    wire.head("Transfer-Encoding: chunked")
    wire.chunk(HEAD + MP4)
    for _ in range(5):
        wire.chunk(bytes(MIB))
    status, headers, answer = wire.answer()
    assert (status, error_code(answer)) == (413, "FILE_TOO_LARGE")
    assert headers["connection"] == "close"
    assert gateway.files() == []


def test_refusal_reaches_a_client_that_sends_everything_first(gateway: Running) -> None:
    """The answer is not lost to a reset connection: the rest of the body is taken and thrown away."""
    answer = gateway.http.post("/api/upload", files={"file": ("a.mp4", b"#!/bin/sh\n" + bytes(3 * MIB))})
    error_of(answer, 415, "UNSUPPORTED_MEDIA")
    answer = gateway.http.post("/api/nothing", content=bytes(20 * MIB))
    error_of(answer, 404, "NOT_FOUND")


def test_file_of_exactly_the_limit_is_taken(gateway: Running) -> None:
    whole = MP4 + bytes(4 * MIB - len(MP4))
    assert gateway.upload(whole)["size"] == 4 * MIB
    answer = gateway.http.post("/api/upload", files={"file": ("a.mp4", whole + b"x")})
    error_of(answer, 413, "FILE_TOO_LARGE")
    assert len(gateway.files()) == 1


@pytest.mark.parametrize("first", ["file", "projectId"])
def test_long_project_id_is_refused_wherever_it_stands(gateway: Running, first: str) -> None:
    field = f'--XboundaryX\r\nContent-Disposition: form-data; name="projectId"\r\n\r\n{"p" * 201}\r\n'.encode()
    body = field + FORM if first == "projectId" else FORM.removesuffix(b"--XboundaryX--\r\n") + field + TAIL[2:]
    headers = {"Content-Type": "multipart/form-data; boundary=XboundaryX"}
    error_of(gateway.http.post("/api/upload", content=body, headers=headers), 422, "INVALID_OPTIONS")
    assert gateway.files() == []


def test_uploads_at_the_same_time_do_not_mix(gateway: Running) -> None:
    contents = [MP4 + bytes([number]) * (MIB + number) for number in range(8)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(gateway.upload, contents))
    for content, answer in zip(contents, answers, strict=True):
        assert (gateway.root / answer["filePath"]).read_bytes() == content
    assert len({answer["fileId"] for answer in answers}) == 8


def test_large_upload_and_download_keep_the_memory_flat(tmp_path: Path) -> None:
    size = 200 * MIB

    def form() -> Iterator[bytes]:
        yield HEAD + MP4
        for _ in range(size // MIB):
            yield os.urandom(1024) * 1024
        yield TAIL

    headers = {"Content-Type": "multipart/form-data; boundary=XboundaryX"}
    with child(tmp_path) as (process, url), httpx2.Client(base_url=url, timeout=PATIENCE_S * 4) as http:
        http.post("/api/upload", content=FORM, headers=headers)  # what the first request of all brings into memory
        memory = psutil.Process(process.pid)
        before = memory.memory_info().rss
        peak = before
        stored = fields(http.post("/api/upload", content=watched(form(), memory, peaks := [before]), headers=headers))
        peak = max(peaks)
        assert stored["size"] == len(MP4) + size
        with http.stream("GET", stored["publicUrl"]) as answer:
            received = 0
            for piece in answer.iter_raw():
                received += len(piece)
                peak = max(peak, memory.memory_info().rss)
        assert received == stored["size"]
        # A few buffers of the body and of the storage, and what the allocator keeps; not the file.
        assert peak - before < 32 * MIB


def watched(pieces: Iterator[bytes], memory: psutil.Process, peaks: list[int]) -> Iterator[bytes]:
    for piece in pieces:
        yield piece
        peaks.append(memory.memory_info().rss)


def test_full_disk_is_503_and_leaves_nothing(tmp_path: Path) -> None:
    with child(tmp_path, file_limit=MIB) as (_, url), httpx2.Client(base_url=url, timeout=PATIENCE_S) as http:
        answer = http.post("/api/upload", files={"file": ("a.mp4", MP4 + bytes(2 * MIB))})
        error = error_of(answer, 503, "STORAGE_UNAVAILABLE")
        assert "room" in error["message"]
        assert http.post("/api/upload", files={"file": ("a.mp4", MP4)}).status_code == 200
    assert len([path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"]) == 1


def test_sigterm_finishes_what_is_under_way_and_ends_cleanly(tmp_path: Path) -> None:
    with child(tmp_path) as (process, url):
        wire = Wire(url)
        with wire.socket:
            wire.head(f"Content-Length: {len(FORM)}", "Expect: 100-continue")
            assert wire.socket.recv(100).startswith(b"HTTP/1.1 100")  # it is under way
            process.terminate()
            wire.socket.sendall(FORM)
            status, _, answer = wire.answer()
        assert status == 200
        assert process.wait(PATIENCE_S) == 0
        assert (tmp_path / str(answer["filePath"])).read_bytes() == MP4


@pytest.mark.parametrize("sent", [b"", b"POST /api/upload HTTP/1.1\r\nHost: x\r\n"])
def test_connection_that_sends_no_whole_head_is_closed(
    gateway: Running, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(gateway.server.guards, "limits", Limits(head_s=0.1))
    wire = Wire(gateway.url)
    with wire.socket:
        wire.socket.sendall(sent)
        assert wire.ended()


def test_connection_whose_head_came_is_not_closed(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.server.guards, "limits", Limits(head_s=0.2))
    wire = Wire(gateway.url)
    with wire.socket:
        for _ in range(2):  # the second request on the same connection is begun long after the connection was
            wire.head("Transfer-Encoding: chunked")
            for byte in (FORM[:5], FORM[5:200], FORM[200:]):
                assert not select.select([wire.socket], [], [], 0.15)[0]  # all the while, nothing is said or closed
                wire.chunk(byte)
            wire.chunk(b"")
            assert wire.answer()[0] == 200


QUICK = Limits(body_silence_s=0.2, window_s=0.5)


def body_of(guards: Guards, *messages: Message, then_silence: bool = False) -> Body:
    """A body over what a server would hand on; `then_silence`: and then nothing, for ever."""
    left = list(messages)

    async def receive() -> Message:
        if not left and then_silence:
            await asyncio.Event().wait()
        await asyncio.sleep(0.01)  # so that some time is seen to pass
        return left.pop(0)

    scope = {"type": "http", "headers": [], SCOPE_KEY: guards}
    return Body(Request(scope, receive), 100 * MIB, "too large")


async def read_all(body: Body) -> bytes:
    pieces = []
    while data := await body.read():
        pieces.append(data)
    return b"".join(pieces)


def piece(data: bytes) -> Message:
    return {"type": "http.request", "body": data, "more_body": True}


async def test_silent_client_is_not_waited_for() -> None:
    guards = Guards(QUICK)
    body = body_of(guards, piece(b"x"), then_silence=True)
    assert await body.read() == b"x"
    with pytest.raises(UploadError, match=r"Nothing of the body came for 0\.2 s"):
        await body.read()
    assert guards.closed == {Reason.BODY_SILENT: 1}


@pytest.mark.parametrize("begin", [[], [piece(bytes(10 * MIB))]], ids=["slow", "fast at first"])
async def test_dripping_client_is_not_waited_for(begin: list[Message]) -> None:
    guards = Guards(QUICK)
    with pytest.raises(UploadError, match=r"more slowly than 65536 bytes a second over 0\.5 s"):
        await read_all(body_of(guards, *begin, *[piece(b"x")] * 1000))
    assert guards.closed == {Reason.BODY_SLOW: 1}


async def test_steady_client_is_waited_for_as_long_as_it_takes() -> None:
    guards = Guards(QUICK)
    body = body_of(guards, *[piece(bytes(8192))] * 200, {"type": "http.request", "body": b""})
    assert len(await read_all(body)) == 200 * 8192
    assert not guards.closed


async def test_small_body_is_not_judged_by_its_rate() -> None:
    body = body_of(Guards(QUICK), *[piece(b"x" * 20)] * 10, {"type": "http.request", "body": b""})
    assert len(await read_all(body)) == 200


async def test_time_we_take_ourselves_is_not_the_clients() -> None:
    body = body_of(Guards(QUICK), *[piece(bytes(1024))] * 5, {"type": "http.request", "body": b""})
    for _ in range(5):
        assert await body.read()
        await asyncio.sleep(0.3)  # storing it takes longer than a client may be silent
    assert await body.read() == b""


def error_code(answer: dict[str, object]) -> object:
    error = answer["error"]
    assert isinstance(error, dict)
    return error["code"]

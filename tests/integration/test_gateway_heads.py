"""Heads of requests as no HTTP client would send them: far too large, no HTTP, one behind another."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from contract.gateway_child import child
from contract.gateway_server import MP4, PATIENCE_S, Running, running
from flowscale_api.wire.connections import MAX_HEAD, MAX_TARGET
from flowscale_api.wire.guards import Limits

MIB = 1024**2
LINE = b"X-Filler: " + b"a" * 1000 + b"\r\n"
LIVE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"POST /api/execute HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"

Answer = tuple[int, dict[str, str], dict[str, object]]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("storage")) as served:
        yield served


def talk(url: str, *pieces: bytes) -> list[Answer]:
    """Everything the gateway answers on one connection until it closes it; we close our side after sending."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=PATIENCE_S) as wire:
        for piece in pieces:
            wire.sendall(piece)
        received = b""
        while piece := wire.recv(65536):
            received += piece
    return list(answers(received))


def answers(received: bytes) -> Iterator[Answer]:
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers["content-length"])
        yield int(status.split()[1]), headers, json.loads(received[:length])
        received = received[length:]


def assert_refused(answer: Answer, status: int) -> None:
    """In the contract's form, and as the last word."""
    found, headers, body = answer
    assert (found, headers["connection"], headers["content-type"]) == (status, "close", "application/json")
    assert re.fullmatch("[0-9a-f]{32}", headers["x-request-id"])
    assert headers["x-content-type-options"] == "nosniff"
    error = body["error"]
    assert isinstance(error, dict)
    assert (body["ok"], error["code"]) == (False, "INVALID_OPTIONS")


@pytest.mark.parametrize(
    ("pieces"),
    [
        [b"GET /livez HTTP/1.1\r\nHost: x\r\n" + LINE * 70 + b"\r\n"],
        [b"GET /livez HTTP/1.1\r\n", *[LINE] * 200],
        [b"GET /livez HTTP/1.1\r\nX-Filler: ", *[b"a" * 5000] * 200],
        [b"GET /livez HTTP/1.1\r\n", *[b"a" * 5000] * 200],
        [b"GET /livez?" + b"a" * (MAX_TARGET + 1) + b" HTTP/1.1\r\nHost: x\r\n\r\n"],
        [b"GET /", *[b"a" * 5000] * 4],
        [b"GET /livez HTTP/1.1\r\n" + b"a:b\r\n" * 20_000],
        [CHUNKED + b"2\r\n{}\r\n0\r\n", *[LINE] * 200],
        [CHUNKED + b"2\r\n{}\r\n0\r\nX-Filler: ", *[b"a" * 5000] * 200],
        [CHUNKED + b"2;", *[b"a" * 5000] * 200],
        [b"\r\n" * 50_000],
    ],
    ids=[
        "whole",
        "lines",
        "value",
        "name",
        "query",
        "path",
        "short lines",
        "trailers",
        "trailer",
        "extension",
        "empty",
    ],
)
def test_large_head_is_431(gateway: Running, pieces: list[bytes]) -> None:
    """What has no end is longer than the server reads at once (256 KiB): it is refused at its second reading."""
    [answer] = talk(gateway.url, *pieces)
    assert_refused(answer, 431)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"nonsense\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        CHUNKED + b"x\r\n",
    ],
)
def test_what_is_no_http_is_400(gateway: Running, sent: bytes) -> None:
    [answer] = talk(gateway.url, sent)
    assert_refused(answer, 400)
    request_id = answer[1]["x-request-id"]
    assert [line["status"] for line in gateway.log_lines("http.refused") if line["request_id"] == request_id] == [400]


def test_largest_head_is_taken_however_it_comes(gateway: Running) -> None:
    target = b"/livez?" + b"a" * (MAX_TARGET - len("/livez?"))
    filler = MAX_HEAD - MAX_TARGET - len(b"Host: x\r\n") - len(b"Connection: close\r\n") - len(b"X: \r\n")
    head = b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: %s\r\n\r\n" % (target, b"a" * filler)
    for size in (len(head), 1009):
        [answer] = talk(gateway.url, *[head[start : start + size] for start in range(0, len(head), size)])
        assert answer[0] == 200


def test_bodies_and_earlier_requests_are_no_part_of_a_head(gateway: Running) -> None:
    """Many requests one behind another, in pieces that are cut anywhere, with bodies far larger than a head may be."""
    form = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
        + MP4
        + bytes(MIB)
        + b"\r\n--x--\r\n"
    )
    head = b"POST /api/upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    upload = head + b"Content-Length: %d\r\n\r\n" % len(form) + form
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(form), form)
    filled = b"GET /livez HTTP/1.1\r\nHost: x\r\n" + LINE * 40 + b"\r\n"
    sent = upload + filled * 5 + chunked + filled + LIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    found = talk(gateway.url, *[sent[start : start + 70_001] for start in range(0, len(sent), 70_001)])
    assert [status for status, _, _ in found] == [200] * 9


@pytest.mark.parametrize(
    ("bad", "status"),
    [(b"nonsense\r\n\r\n", 400), (b"GET /livez HTTP/1.1\r\n" + LINE * 70 + b"\r\n", 431)],
)
def test_refusal_waits_for_the_answers_to_earlier_requests(gateway: Running, bad: bytes, status: int) -> None:
    *earlier, last = talk(gateway.url, LIVE * 3 + bad)
    assert [found for found, _, _ in earlier] == [200] * 3
    assert_refused(last, status)


def test_empty_lines_do_not_keep_a_connection_open(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.server.guards, "limits", Limits(head_s=0.1))
    parts = urlsplit(gateway.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=PATIENCE_S) as wire:
        wire.sendall(LIVE)
        assert wire.recv(65536)
        wire.sendall(b"\r\n")
        assert wire.recv(65536) == b""


@pytest.mark.parametrize("begin", [b"GET /livez HTTP/1.1\r\n", CHUNKED + b"2\r\n{}\r\n0\r\n"], ids=["head", "trailers"])
def test_head_without_end_costs_no_memory(tmp_path: Path, begin: bytes) -> None:
    with child(tmp_path) as (process, url):
        talk(url, LIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        memory = psutil.Process(process.pid)
        before = memory.memory_info().rss
        [answer] = talk(url, begin, *[LINE * 1000] * 60)
        assert_refused(answer, 431)
        assert memory.memory_info().rss - before < 16 * MIB

"""Resumable uploads by real gateways: the rules of tus 1.0, and bytes that survive cuts, kills and restarts."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import random
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from contract.gateway_server import MP4, error_of, eventually, fields
from fault_proxy import FaultProxy
from flowscale.clocks import SystemClock
from flowscale.queues.base import QueuePolicy
from flowscale.queues.memory import MemoryQueue
from flowscale.settings import GatewaySettings, Settings
from flowscale.storage.local import LocalStorage
from flowscale.uploads.memory import MemoryLedger
from flowscale.uploads.redis import open_upload_ledger
from flowscale_api.app import create_app
from flowscale_api.housekeeping import Housekeeping
from flowscale_api.server import Server
from flowscale_api.uploads import resumable, tus
from integration.upload_gateway import GatewayProcess, gateway_process
from redis_server import RedisServer, free_port, shared_server

MIB = 1024**2
PATIENCE_S = 60.0
TUS = {"Tus-Resumable": "1.0.0"}
BYTES = TUS | {"Content-Type": "application/offset+octet-stream"}
_prefixes = count(1)


def film(size: int, seed: int = 1) -> bytes:
    """Looks like an MP4; no two parts of it are the same."""
    return (MP4[:32] + random.Random(seed).randbytes(size))[:size]


class Gateway:
    """A running gateway, and what tus says to it."""

    def __init__(self, url: str, root: Path) -> None:
        self.url = url
        self.root = root
        self.http = httpx2.Client(base_url=url, timeout=PATIENCE_S)

    def create(self, size: int, name: str = "clip.mp4", **headers: str) -> str:
        """The path of a new upload."""
        meta = {"Upload-Metadata": f"filename {base64.b64encode(name.encode()).decode()}"}
        answer = self.http.post("/api/uploads", headers=TUS | {"Upload-Length": str(size)} | meta | headers)
        assert answer.status_code == 201, answer.text
        assert answer.headers["tus-resumable"] == "1.0.0"
        return str(answer.headers["location"])

    def patch(self, path: str, offset: int, data: bytes, **headers: str) -> httpx2.Response:
        return self.http.patch(path, content=data, headers=BYTES | {"Upload-Offset": str(offset)} | headers)

    def sent(self, path: str, offset: int, data: bytes, **headers: str) -> int:
        """The offset after a PATCH that must be taken."""
        answer = self.patch(path, offset, data, **headers)
        assert answer.status_code == 204, answer.text
        return int(answer.headers["upload-offset"])

    def head(self, path: str) -> httpx2.Response:
        return self.http.head(path, headers=TUS)

    def offset(self, path: str) -> int:
        answer = self.head(path)
        assert answer.status_code == 200, answer.headers
        return int(answer.headers["upload-offset"])

    def files(self) -> list[str]:
        """Every file of the storage, but locks of owners."""
        paths = (path for path in self.root.rglob("*") if path.is_file() and path.name != ".lock")
        return sorted(str(path.relative_to(self.root)) for path in paths)


@contextmanager
def serving(root: Path, ledger: Any = None, **settings: Any) -> Iterator[Gateway]:
    clock = SystemClock()
    storage = LocalStorage(root)
    app = create_app(
        settings=Settings(gateway=GatewaySettings(host="127.0.0.1", port=0, **settings)),
        queue=MemoryQueue(QueuePolicy(), clock),
        storage=storage,
        clock=clock,
        uploads=ledger,
    )
    keeping = Housekeeping([], close=ledger.close) if ledger is not None else None
    with Server(app, host="127.0.0.1", port=0, housekeeping=keeping) as server:
        gateway = Gateway(server.url, storage.root)
        with gateway.http:
            yield gateway
    storage.close()


@pytest.fixture(params=["memory", "redis"])
def ledger(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "memory":
        yield MemoryLedger(SystemClock())
        return
    settings = shared_server().settings(prefix=f"{{tus-{next(_prefixes)}}}")
    yield open_upload_ledger(settings)
    shared_server().forget(settings.prefix)


@pytest.fixture
def gateway(tmp_path: Path, ledger: Any) -> Iterator[Gateway]:
    with serving(tmp_path / "data", ledger, max_upload_bytes=80 * MIB) as served:
        yield served


# The rules.


def test_options_say_what_is_spoken(gateway: Gateway) -> None:
    answer = gateway.http.options("/api/uploads")
    assert answer.status_code == 204
    assert answer.headers["tus-version"] == "1.0.0"
    assert set(answer.headers["tus-extension"].split(",")) >= {"creation", "checksum", "termination", "expiration"}
    assert answer.headers["tus-max-size"] == str(80 * MIB)
    assert answer.headers["tus-checksum-algorithm"] == "sha1,sha256,md5"


def test_an_upload_in_pieces_is_the_upload_of_a_form(gateway: Gateway) -> None:
    whole = film(20 * MIB + 17)
    path = gateway.create(len(whole), "Ein Fïlm.mov")
    assert path == f"/api/uploads/{path[-32:]}"
    offset = 0
    for size in (1, 100, 5000, 9 * MIB, 3, 0, len(whole)):
        looked = gateway.head(path)
        assert looked.headers["cache-control"] == "no-store"
        assert (int(looked.headers["upload-offset"]), looked.headers["upload-length"]) == (offset, str(len(whole)))
        assert "upload-expires" in looked.headers
        assert fields(gateway.http.get(path)) == {
            "ok": True,
            "fileId": path[-32:],
            "offset": offset,
            "size": len(whole),
            "complete": False,
        }
        offset = gateway.sent(path, offset, whole[offset : offset + size])
    assert offset == len(whole) == gateway.offset(path)
    answer = fields(gateway.http.get(path))
    key = f"uploads/{path[-32:]}/Ein_Film.mp4"
    assert answer == {
        "ok": True,
        "fileId": path[-32:],
        "filePath": key,
        "publicUrl": f"{gateway.url}/{key}",
        "filename": "Ein_Film.mp4",
        "size": len(whole),
        "mimetype": "video/mp4",
        "complete": True,
    }
    assert gateway.http.get(answer["publicUrl"]).content == whole
    assert gateway.files() == [key]
    accepted = gateway.http.post("/api/execute", json={"sourcePath": key})
    assert accepted.status_code == 202
    assert gateway.sent(path, len(whole), b"") == len(whole)  # an answer that was lost is asked for again
    error_of(gateway.http.delete(path, headers=TUS), 409, "CONFLICT")


@pytest.mark.parametrize("size", [24, 4095, 4096, 8 * MIB, 8 * MIB + 1])
def test_the_first_bytes_may_come_with_the_creation(gateway: Gateway, size: int) -> None:
    whole = film(size)
    for first in (whole, whole[: size // 2]):
        answer = gateway.http.post("/api/uploads", content=first, headers=BYTES | {"Upload-Length": str(size)})
        assert (answer.status_code, answer.headers["upload-offset"]) == (201, str(len(first))), answer.text
        path = answer.headers["location"]
        gateway.sent(path, len(first), whole[len(first) :])
        assert (gateway.root / fields(gateway.http.get(path))["filePath"]).read_bytes() == whole


def test_location_is_absolute_where_the_address_is_known(tmp_path: Path) -> None:
    with serving(tmp_path, public_url="https://video.example.com/") as gateway:
        assert gateway.create(100).startswith("https://video.example.com/api/uploads/")


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Tus-Resumable": "0.2.2", "Upload-Length": "5"}, 412, "TUS_VERSION"),
        ({"Upload-Length": "5"}, 412, "TUS_VERSION"),
        (TUS, 400, "UPLOAD_ERROR"),
        (TUS | {"Upload-Length": "-5"}, 400, "UPLOAD_ERROR"),
        (TUS | {"Upload-Length": "5.0"}, 400, "UPLOAD_ERROR"),
        (TUS | {"Upload-Length": "9" * 5000}, 400, "UPLOAD_ERROR"),
        (TUS | {"Upload-Defer-Length": "1"}, 400, "UPLOAD_ERROR"),
        (TUS | {"Upload-Length": "0"}, 400, "NO_FILE"),
        (TUS | {"Upload-Length": str(80 * MIB + 1)}, 413, "FILE_TOO_LARGE"),
        (TUS | {"Upload-Length": "5", "Upload-Metadata": "filename ***"}, 400, "UPLOAD_ERROR"),
        (TUS | {"Upload-Length": "5", "Upload-Metadata": "a YQ==,a YQ=="}, 400, "UPLOAD_ERROR"),
        (TUS | {"Upload-Length": "5", "Upload-Metadata": "projectId " + "YWFh" * 100}, 422, "INVALID_OPTIONS"),
        (TUS | {"Upload-Length": "5", "Content-Type": "video/mp4"}, 415, "UNSUPPORTED_MEDIA"),
    ],
    ids=range(13),
)
def test_a_creation_that_cannot_be_is_refused(
    gateway: Gateway, headers: dict[str, str], status: int, code: str
) -> None:
    answer = gateway.http.post("/api/uploads", headers=headers)
    error_of(answer, status, code)
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert answer.headers.get("tus-version") == ("1.0.0" if status == 412 else None)
    assert gateway.files() == []


def test_what_does_not_fit_the_upload_is_refused_and_changes_nothing(gateway: Gateway) -> None:
    whole = film(10_000)
    path = gateway.create(len(whole))
    gateway.sent(path, 0, whole[:5000])
    for offset in (0, 4999, 5001, 10_000):
        details = error_of(gateway.patch(path, offset, whole[offset:]), 409, "CONFLICT")["details"]
        assert details == {"offset": 5000}
    plain = TUS | {"Upload-Offset": "5000", "Content-Type": "application/octet-stream"}
    error_of(gateway.http.patch(path, content=whole[5000:], headers=plain), 415, "UNSUPPORTED_MEDIA")
    error_of(gateway.http.patch(path, content=whole[5000:], headers=BYTES), 400, "UPLOAD_ERROR")
    error_of(gateway.patch(path, 5000, whole), 413, "FILE_TOO_LARGE")
    error_of(gateway.patch(path, 5000, whole[5000:], **{"Tus-Resumable": "1.1.0"}), 412, "TUS_VERSION")
    assert gateway.http.head(path).status_code == 412
    assert gateway.offset(path) == 5000
    assert gateway.sent(path, 5000, whole[5000:]) == 10_000


@pytest.mark.parametrize("file_id", ["0" * 32, "x", "0" * 31 + "G", "0" * 5000])
def test_an_unknown_upload_is_not_found(gateway: Gateway, file_id: str) -> None:
    path = f"/api/uploads/{file_id}"
    assert gateway.head(path).status_code == 404
    error_of(gateway.http.get(path), 404, "FILE_NOT_FOUND")
    error_of(gateway.patch(path, 0, b"x"), 404, "FILE_NOT_FOUND")
    error_of(gateway.http.delete(path, headers=TUS), 404, "FILE_NOT_FOUND")
    error_of(gateway.http.post(f"{path}/complete"), 404, "FILE_NOT_FOUND")


def test_methods_that_do_not_get_through_can_be_named(gateway: Gateway) -> None:
    whole = film(5000)
    path = gateway.create(len(whole))
    headers = BYTES | {"Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    assert gateway.http.post(path, content=whole[:100], headers=headers).status_code == 204
    assert gateway.offset(path) == 100
    error_of(gateway.http.post(path, headers=TUS), 405, "METHOD_NOT_ALLOWED")
    assert gateway.http.post(path, headers=TUS | {"X-HTTP-Method-Override": "DELETE"}).status_code == 204
    assert gateway.head(path).status_code == 410


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/uploads/x", "DELETE, GET, HEAD, PATCH"),
        ("OPTIONS", "/api/uploads/x", "DELETE, GET, HEAD, PATCH"),
        ("GET", "/api/uploads", "OPTIONS, POST"),
        ("PATCH", "/api/uploads", "OPTIONS, POST"),
    ],
)
def test_another_method_is_told_which_there_are(gateway: Gateway, method: str, path: str, allowed: str) -> None:
    answer = gateway.http.request(method, path)
    error_of(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == allowed


def test_content_that_is_no_media_ends_the_upload(gateway: Gateway) -> None:
    script = b"#!/bin/sh\n" * 1000
    path = gateway.create(len(script))
    assert gateway.sent(path, 0, script[:100]) == 100
    error_of(gateway.patch(path, 100, script[100:]), 415, "UNSUPPORTED_MEDIA")
    assert gateway.head(path).status_code == 410
    assert "kinds that can be uploaded" in error_of(gateway.http.get(path), 410, "UPLOAD_GONE")["message"]
    short = gateway.create(5)
    error_of(gateway.patch(short, 0, b"hello"), 415, "UNSUPPORTED_MEDIA")
    assert gateway.files() == []


@pytest.mark.parametrize("sent", [100, 9 * MIB])
def test_an_upload_that_is_ended_leaves_nothing(gateway: Gateway, sent: int) -> None:
    path = gateway.create(20 * MIB)
    gateway.sent(path, 0, film(20 * MIB)[:sent])
    assert gateway.files() != []
    assert gateway.http.delete(path, headers=TUS).status_code == 204
    assert gateway.files() == []
    error_of(gateway.patch(path, sent, b"x"), 410, "UPLOAD_GONE")
    error_of(gateway.http.delete(path), 410, "UPLOAD_GONE")


def checksum(data: bytes, algorithm: str = "sha1") -> dict[str, str]:
    return {"Upload-Checksum": f"{algorithm} {base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}"}


def test_a_checksum_makes_a_request_count_as_a_whole_or_not_at_all(gateway: Gateway) -> None:
    whole = film(30 * MIB)
    path = gateway.create(len(whole))
    offset = 0
    for end, algorithm in ((10, "sha1"), (9 * MIB, "sha256"), (26 * MIB, "md5"), (len(whole), "sha1")):
        right = whole[offset:end]
        wrong = right[:-1] + bytes([right[-1] ^ 1])
        error_of(gateway.patch(path, offset, wrong, **checksum(right, algorithm)), 460, "CHECKSUM_MISMATCH")
        assert gateway.offset(path) == offset
        offset = gateway.sent(path, offset, right, **checksum(right, algorithm))
        assert offset == end
    answer = fields(gateway.http.get(path))
    assert (gateway.root / answer["filePath"]).read_bytes() == whole
    assert gateway.files() == [answer["filePath"]]


def test_a_checksum_judges_before_the_content_does(gateway: Gateway) -> None:
    script = b"#!/bin/sh\n" * 1000
    path = gateway.create(len(script))
    error_of(gateway.patch(path, 0, script, **checksum(b"something else")), 460, "CHECKSUM_MISMATCH")
    assert gateway.offset(path) == 0
    error_of(gateway.patch(path, 0, script, **checksum(script)), 415, "UNSUPPORTED_MEDIA")
    assert gateway.head(path).status_code == 410


def test_a_checksum_that_cannot_be_used_is_refused(gateway: Gateway) -> None:
    path = gateway.create(70 * MIB)
    for text in ("crc32 AAAA", "sha1", "sha1 ***", ""):
        answer = gateway.patch(path, 0, b"x", **{"Upload-Checksum": text})
        assert answer.status_code in (400, 460), text
    head = b"x" * (tus.MAX_CHECKED + 1)
    error_of(gateway.patch(path, 0, head, **checksum(head)), 413, "FILE_TOO_LARGE")
    assert gateway.offset(path) == 0


def test_pages_of_other_origins_may_upload(tmp_path: Path) -> None:
    with serving(tmp_path, cors_origins="https://app.example.com") as gateway:
        preflight = {
            "Origin": "https://app.example.com",
            "Access-Control-Request-Method": "PATCH",
            "Access-Control-Request-Headers": "tus-resumable,upload-offset,content-type,upload-checksum",
        }
        assert gateway.http.options("/api/uploads/x", headers=preflight).status_code == 204
        answer = gateway.http.options("/api/uploads", headers={"Origin": "https://app.example.com"})
        assert answer.headers["tus-version"] == "1.0.0"
        exposed = answer.headers["access-control-expose-headers"]
        assert all(name in exposed for name in ("Location", "Upload-Offset", "Upload-Length", "Tus-Resumable"))


# Requests that are cut, and requests that meet.


class Wire:
    """A PATCH whose body a test sends as far as it likes."""

    def __init__(self, url: str, path: str, offset: int, length: int, *headers: str) -> None:
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=PATIENCE_S)
        lines = (
            *(f"PATCH {path} HTTP/1.1", "Host: x", "Tus-Resumable: 1.0.0", f"Upload-Offset: {offset}"),
            *("Content-Type: application/offset+octet-stream", f"Content-Length: {length}", *headers),
        )
        self.socket.sendall("\r\n".join((*lines, "", "")).encode())

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def status(self) -> int:
        answer = http.client.HTTPResponse(self.socket)
        answer.begin()
        return answer.status


def progress(gateway: Gateway, path: str) -> int:
    """The recorded offset, without waiting for whoever is at it."""
    return int(fields(gateway.http.get(path)).get("offset", -1))


SERVERS_OWN = 512 * 1024
"""Bytes that the HTTP server may have read from a connection and not handed on when it ends: it throws them away."""


@pytest.mark.parametrize("sent", [0, 1, 4095, 5000, 8 * MIB, 8 * MIB + 1, 9 * MIB, 19 * MIB])
def test_what_was_handed_to_us_before_a_cut_is_kept(gateway: Gateway, sent: int) -> None:
    whole = film(20 * MIB)
    path = gateway.create(len(whole))
    with Wire(gateway.url, path, 0, len(whole)) as wire:
        wire.socket.sendall(whole[:sent])
        wire.socket.shutdown(socket.SHUT_WR)
        assert wire.socket.recv(65536) == b""
    assert eventually(lambda: sent - SERVERS_OWN <= gateway.offset(path) <= sent)
    finish(gateway, path, whole)
    answer = fields(gateway.http.get(path))
    assert gateway.http.get(answer["publicUrl"]).content == whole
    assert gateway.files() == [answer["filePath"]]


def finish(gateway: Gateway, path: str, whole: bytes) -> None:
    """As clients do: a cut request may be at its last bytes when HEAD has answered."""
    for _ in range(20):
        offset = gateway.offset(path)
        if offset == len(whole):
            return
        assert gateway.patch(path, offset, whole[offset:]).status_code in (204, 409)
    raise AssertionError("the upload does not get on")


def test_a_cut_request_with_a_checksum_leaves_the_upload_where_it_was(gateway: Gateway) -> None:
    whole = film(20 * MIB)
    path = gateway.create(len(whole))
    promise = f"Upload-Checksum: {checksum(whole)['Upload-Checksum']}"
    with Wire(gateway.url, path, 0, len(whole), promise) as wire:
        wire.socket.sendall(whole[: 9 * MIB])
    assert gateway.offset(path) == 0
    assert gateway.sent(path, 0, whole, **checksum(whole)) == len(whole)
    assert len(gateway.files()) == 1


def test_while_bytes_come_another_request_is_refused(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumable, "LOCK_PATIENCE_SECONDS", 2.5)  # longer than STALLED_SECONDS and a renewal
    whole = film(20 * MIB)
    path = gateway.create(len(whole))
    with Wire(gateway.url, path, 0, len(whole)) as wire:
        wire.socket.sendall(whole[: 9 * MIB])
        assert eventually(lambda: progress(gateway, path) == 8 * MIB)
        stop = threading.Event()
        dripped = [9 * MIB]

        def drip() -> None:
            while not stop.wait(0.1):
                wire.socket.sendall(whole[dripped[0] : dripped[0] + 1000])
                dripped[0] += 1000

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            error_of(gateway.patch(path, 8 * MIB, b"x"), 423, "UPLOAD_LOCKED")
            assert gateway.head(path).status_code == 423
        finally:
            stop.set()
            dripping.join()
        wire.socket.sendall(whole[dripped[0] :])
        assert wire.status() == 204
    assert gateway.http.get(fields(gateway.http.get(path))["publicUrl"]).content == whole


def test_a_silent_request_gives_way_to_the_next(gateway: Gateway) -> None:
    """The client's network went away without a word, and it comes back on another connection."""
    whole = film(10 * MIB)
    path = gateway.create(len(whole))
    with Wire(gateway.url, path, 0, len(whole)) as silent:
        silent.socket.sendall(whole[: 9 * MIB])
        assert eventually(lambda: progress(gateway, path) == 8 * MIB)
        assert eventually(lambda: gateway.offset(path) == 9 * MIB)
        assert gateway.sent(path, 9 * MIB, whole[9 * MIB :]) == len(whole)
        assert silent.status() == 503
    assert gateway.http.get(fields(gateway.http.get(path))["publicUrl"]).content == whole


def test_an_upload_can_be_ended_while_its_bytes_come(gateway: Gateway) -> None:
    whole = film(20 * MIB)
    path = gateway.create(len(whole))
    with Wire(gateway.url, path, 0, len(whole)) as wire:
        wire.socket.sendall(whole[: 9 * MIB])
        assert eventually(lambda: progress(gateway, path) == 8 * MIB)
        assert gateway.http.delete(path, headers=TUS).status_code == 204
        assert wire.status() in (410, 423)
    assert gateway.head(path).status_code == 410
    assert eventually(lambda: gateway.files() == [])


def test_a_storage_that_is_full_is_unavailable_and_the_upload_goes_on_later(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as gateway:
        whole = film(20 * MIB)
        path = gateway.create(len(whole))
        assert gateway.sent(path, 0, whole[: 9 * MIB]) == 9 * MIB
        moved = tmp_path / "elsewhere"
        (gateway.root / "partial").rename(moved)
        (gateway.root / "partial").write_text("in the way")
        answer = gateway.patch(path, 9 * MIB, whole[9 * MIB :])
        assert answer.status_code >= 400
        (gateway.root / "partial").unlink()
        moved.rename(gateway.root / "partial")
        offset = gateway.offset(path)
        assert gateway.sent(path, offset, whole[offset:]) == len(whole)
        assert gateway.http.get(fields(gateway.http.get(path))["publicUrl"]).content == whole


def test_a_rest_that_the_storage_lost_is_asked_for_again(gateway: Gateway) -> None:
    whole = film(10 * MIB)
    path = gateway.create(len(whole))
    gateway.sent(path, 0, whole[: 9 * MIB])
    shutil.rmtree(gateway.root / "partial" / "rests")
    details = error_of(gateway.patch(path, 9 * MIB, whole[9 * MIB :]), 409, "CONFLICT")["details"]
    assert details == {"offset": 8 * MIB} == {"offset": gateway.offset(path)}
    assert gateway.sent(path, 8 * MIB, whole[8 * MIB :]) == len(whole)


def test_parts_that_the_storage_lost_end_the_upload(gateway: Gateway) -> None:
    whole = film(20 * MIB)
    path = gateway.create(len(whole))
    gateway.sent(path, 0, whole[: 8 * MIB])
    for folder in (gateway.root / "partial").iterdir():
        shutil.rmtree(folder)
    error_of(gateway.patch(path, 8 * MIB, whole[8 * MIB :]), 410, "UPLOAD_GONE")
    assert gateway.head(path).status_code == 410


def test_a_folder_takes_no_presigned_uploads(gateway: Gateway) -> None:
    wanted = {"filename": "clip.mp4", "size": 5000}
    error = error_of(gateway.http.post("/api/uploads/presign", json=wanted), 422, "UNSUPPORTED_OPTION")
    assert "/api/uploads" in error["message"]
    too_large = wanted | {"size": 80 * MIB + 1}
    error_of(gateway.http.post("/api/uploads/presign", json=too_large), 413, "FILE_TOO_LARGE")
    no_media = wanted | {"filename": "notes.txt"}
    error_of(gateway.http.post("/api/uploads/presign", json=no_media), 415, "UNSUPPORTED_MEDIA")
    error_of(gateway.http.post("/api/uploads/presign", json=wanted | {"size": 0}), 422, "INVALID_OPTIONS")
    path = gateway.create(100)
    error_of(gateway.http.post(f"{path}/complete"), 409, "CONFLICT")
    error_of(gateway.http.post(f"{path}/parts", json={"numbers": [1]}), 409, "CONFLICT")
    assert gateway.files() == []


# Gateways that are killed.


@pytest.fixture
def pair(tmp_path: Path, redis_server: RedisServer) -> Iterator[tuple[GatewayProcess, GatewayProcess]]:
    """Two gateways over one folder and one Redis."""
    prefix = f"{{tus-kill-{os.getpid()}-{next(_prefixes)}}}"
    with (
        gateway_process(tmp_path / "data", redis_server.url, prefix, free_port()) as one,
        gateway_process(tmp_path / "data", redis_server.url, prefix, free_port()) as other,
    ):
        yield one, other
    redis_server.forget(prefix)


def leftovers(root: Path) -> list[str]:
    """What lies in the storage and is no whole upload, once what killed gateways had begun is reaped."""
    storage = LocalStorage(root)
    storage.check()
    storage.reap(SystemClock().now_ms() + 1000)
    storage.close()
    found = (path.relative_to(root) for path in root.rglob("*") if path.is_file() and path.name != ".lock")
    return sorted(str(path) for path in found if path.parts[0] != "uploads")


def test_another_gateway_goes_on_where_a_killed_one_was(pair: tuple[GatewayProcess, GatewayProcess]) -> None:
    dice = random.Random(20)
    root = pair[0].root
    for number in range(4):
        whole = film(dice.randrange(3 * MIB, 30 * MIB), seed=number)
        at = 0
        first = Gateway(pair[at].url, root)
        with first.http:
            path = first.create(len(whole))
        for _ in range(6):
            with httpx2.Client(base_url=pair[at].url, timeout=PATIENCE_S) as client:
                offset = offset_when_free(client, path)
            if offset == len(whole):
                break
            cut = dice.randrange(offset, len(whole) + 1)
            with Wire(pair[at].url, path, offset, len(whole) - offset) as wire:
                wire.socket.sendall(whole[offset:cut])
                if dice.random() < 0.3:
                    pair[at].kill()
                    pair[at].start()
            at = 1 - at
        else:
            with httpx2.Client(base_url=pair[at].url, timeout=PATIENCE_S) as client:
                offset = offset_when_free(client, path)
                headers = BYTES | {"Upload-Offset": str(offset)}
                assert client.patch(path, content=whole[offset:], headers=headers).status_code == 204
        with httpx2.Client(base_url=pair[at].url, timeout=PATIENCE_S) as client:
            answer = fields(client.get(path))
            content = client.get(answer["publicUrl"]).content
            assert hashlib.sha256(content).digest() == hashlib.sha256(whole).digest()
    assert leftovers(root) == []


UPLOADS = 50
AT_ONCE = 5


def test_uploads_of_a_real_client_come_through_cuts_and_restarts(
    tmp_path: Path, redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """tus-js-client under Node.js, through a proxy that resets every connection when an upload asks for harm; now and
    then the gateway is killed and started again as well."""
    program = tmp_path / "tus"
    shutil.copytree(Path(__file__).with_name("tus"), program, ignore=shutil.ignore_patterns("node_modules"))
    install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(install, cwd=program, check=True, capture_output=True, timeout=300)
    prefix = f"{{tus-node-{os.getpid()}}}"
    root = tmp_path / "data"
    harm = kills = 0
    done: dict[int, dict[str, Any]] = {}
    failed: list[dict[str, Any]] = []
    with (
        gateway_process(root, redis_server.url, prefix, free_port()) as gateway,
        FaultProxy(gateway.port) as proxy,
    ):
        proxy.delay(0.004)  # so that an upload takes a while
        endpoint = f"http://127.0.0.1:{proxy.port}/api/uploads"
        command = ["node", "uploads.mjs", endpoint, str(UPLOADS), str(AT_ONCE), "7"]
        with subprocess.Popen(command, cwd=program, stdout=subprocess.PIPE, text=True) as client:
            assert client.stdout is not None
            for line in client.stdout:
                said = json.loads(line)
                if "harm" in said:
                    harm += 1
                    proxy.cut()
                    if said["harm"] % 10 == 0:
                        kills += 1
                        gateway.kill()
                        gateway.start()
                elif "done" in said:
                    done[said["done"]] = said
                else:
                    failed.append(said)
        assert client.returncode == 0
        right = 0
        with httpx2.Client(base_url=gateway.url, timeout=PATIENCE_S) as http:
            for said in done.values():
                answer = fields(http.get(urlsplit(said["url"]).path))
                content = (root / answer["filePath"]).read_bytes()
                assert (len(content), answer["size"]) == (said["size"], said["size"])
                right += hashlib.sha256(content).hexdigest() == said["sha256"]
    redis_server.forget(prefix)
    with capsys.disabled():
        print(f"\ntus-js-client: {right} of {UPLOADS} uploads whole, with {harm} cuts and {kills} kills")
    assert (right, failed) == (UPLOADS, [])
    assert harm >= UPLOADS // 2
    assert kills >= 3
    assert leftovers(root) == []


def offset_when_free(client: httpx2.Client, path: str) -> int:
    """What HEAD says, once the lease of a killed gateway has run out."""
    answers: list[httpx2.Response] = []

    def answered() -> bool:
        answers.append(client.head(path, headers=TUS))
        return answers[-1].status_code != 423

    assert eventually(answered)
    assert answers[-1].status_code == 200, answers[-1].headers
    return int(answers[-1].headers["upload-offset"])

"""Presigned uploads: a client PUTs the parts to a real S3 server by itself, and the gateway judges what lies there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx2
import pytest

from contract.gateway_server import MP4, PATIENCE_S, error_of, fields
from flowscale.clocks import SystemClock
from flowscale.keys.base import AccessStore, Key, Scope
from flowscale.keys.memory import MemoryAccessStore
from flowscale.keys.tokens import digest, new_token
from flowscale.queues.base import QueuePolicy
from flowscale.queues.memory import MemoryQueue
from flowscale.settings import GatewaySettings, Settings
from flowscale.storage.opening import open_storage
from flowscale_api.app import create_app
from flowscale_api.server import Server
from s3_servers import MotoServer, S3Server

MIB = 1024**2
FILM = MP4 + bytes(range(251)) * 80_000  # three parts of 8 MiB, the last shorter


@pytest.fixture(scope="module")
def bucket_server() -> Iterator[S3Server]:
    with MotoServer() as server:
        yield server


@contextmanager
def serving(server: S3Server, bucket: str, access: AccessStore | None = None) -> Iterator[httpx2.Client]:
    """With a store of keys it asks for them."""
    clock = SystemClock()
    storage = open_storage(server.settings(bucket))
    auth: Literal["none", "keys"] = "none" if access is None else "keys"
    settings = Settings(gateway=GatewaySettings(host="127.0.0.1", port=0, max_upload_bytes=80 * MIB, auth=auth))
    queue = MemoryQueue(QueuePolicy(), clock)
    app = create_app(settings=settings, queue=queue, storage=storage, clock=clock, access=access)
    try:
        with (
            Server(app, host="127.0.0.1", port=0) as gateway,
            httpx2.Client(base_url=gateway.url, timeout=PATIENCE_S) as http,
        ):
            yield http
    finally:
        storage.close()


@pytest.fixture
def bucket(bucket_server: S3Server) -> Iterator[str]:
    name = bucket_server.make_bucket()
    yield name
    bucket_server.empty(name)


@pytest.fixture
def http(bucket_server: S3Server, bucket: str) -> Iterator[httpx2.Client]:
    with serving(bucket_server, bucket) as client:
        yield client


def stored_keys(server: S3Server, bucket: str) -> list[str]:
    client = server.client()
    try:
        return [found["Key"] for found in client.list_objects_v2(Bucket=bucket).get("Contents", [])]
    finally:
        client.close()


def begin(http: httpx2.Client, content: bytes, name: str = "clip.mp4") -> dict[str, Any]:
    answer = http.post("/api/uploads/presign", json={"filename": name, "size": len(content), "projectId": "p"})
    assert answer.status_code == 201, answer.text
    return fields(answer)


def put(begun: dict[str, Any], urls: list[dict[str, Any]], content: bytes) -> None:
    for part in urls:
        start = (part["number"] - 1) * begun["partSize"]
        answer = httpx2.put(part["url"], content=content[start : start + part["size"]], timeout=PATIENCE_S)
        assert answer.status_code == 200, answer.text


def test_parts_sent_to_the_storage_are_the_upload_of_a_form(
    http: httpx2.Client, bucket_server: S3Server, bucket: str
) -> None:
    begun = begin(http, FILM)
    assert (begun["parts"], begun["partSize"]) == (3, 8 * MIB)
    assert [part["size"] for part in begun["urls"]] == [8 * MIB, 8 * MIB, len(FILM) - 16 * MIB]
    assert all(urlsplit(part["url"]).port == bucket_server.port for part in begun["urls"])
    path = f"/api/uploads/{begun['fileId']}"
    put(begun, [begun["urls"][1]], FILM)
    error = error_of(http.post(f"{path}/complete"), 409, "CONFLICT")
    assert error["details"] == {"missing": [1, 3], "missingCount": 2}
    assert fields(http.get(path))["complete"] is False
    more = fields(http.post(f"{path}/parts", json={"numbers": [3, 1]}))["urls"]
    assert [part["number"] for part in more] == [1, 3]
    put(begun, more, FILM)
    answer = fields(http.post(f"{path}/complete"))
    key = f"uploads/{begun['fileId']}/clip.mp4"
    assert (answer["filePath"], answer["size"], answer["mimetype"]) == (key, len(FILM), "video/mp4")
    assert fields(http.post(f"{path}/complete")) == answer  # its answer was lost
    assert fields(http.get(path)) == answer | {"complete": True}
    assert http.get(f"/{key}").content == FILM
    assert stored_keys(bucket_server, bucket) == [key]
    assert bucket_server.left_over(bucket) == []


def test_a_part_of_another_size_is_missing(http: httpx2.Client) -> None:
    begun = begin(http, FILM)
    put(begun, begun["urls"][:2], FILM)
    # A server that checks signatures refuses it; one that does not is found out when the upload is completed.
    httpx2.put(begun["urls"][2]["url"], content=b"short", timeout=PATIENCE_S)
    error = error_of(http.post(f"/api/uploads/{begun['fileId']}/complete"), 409, "CONFLICT")
    assert error["details"]["missing"] == [3]


@pytest.mark.parametrize("content", [b"#!/bin/sh\n" * 1000, b"\x1a\x45\xdf\xa3\x84\x42\x82\x81webm" + bytes(5000)])
def test_content_of_another_kind_than_the_name_says_is_deleted(
    http: httpx2.Client, bucket_server: S3Server, bucket: str, content: bytes
) -> None:
    begun = begin(http, content)
    put(begun, begun["urls"], content)
    path = f"/api/uploads/{begun['fileId']}"
    error_of(http.post(f"{path}/complete"), 415, "UNSUPPORTED_MEDIA")
    error_of(http.post(f"{path}/complete"), 410, "UPLOAD_GONE")
    assert stored_keys(bucket_server, bucket) == []
    assert bucket_server.left_over(bucket) == []


def test_an_upload_that_is_ended_leaves_nothing(http: httpx2.Client, bucket_server: S3Server, bucket: str) -> None:
    begun = begin(http, FILM)
    put(begun, begun["urls"][:1], FILM)
    path = f"/api/uploads/{begun['fileId']}"
    assert http.delete(path).status_code == 204
    error_of(http.post(f"{path}/complete"), 410, "UPLOAD_GONE")
    error_of(http.post(f"{path}/parts", json={"numbers": [1]}), 410, "UPLOAD_GONE")
    assert bucket_server.left_over(bucket) == []


def test_what_cannot_be_is_refused(http: httpx2.Client, bucket_server: S3Server, bucket: str) -> None:
    begun = begin(http, FILM)
    path = f"/api/uploads/{begun['fileId']}"
    assert error_of(http.post(f"{path}/parts", json={"numbers": [1, 4]}), 409, "CONFLICT")["details"] == {"parts": 3}
    for numbers in ([], [1] * 101, ["1"], [0.5]):
        error_of(http.post(f"{path}/parts", json={"numbers": numbers}), 422, "INVALID_OPTIONS")
    assert http.head(path, headers={"Tus-Resumable": "1.0.0"}).status_code == 404
    wanted = {"filename": "clip.mp4", "size": 80 * MIB + 1}
    error_of(http.post("/api/uploads/presign", json=wanted), 413, "FILE_TOO_LARGE")
    error_of(http.post("/api/uploads/presign", json={"filename": "clip", "size": 5}), 415, "UNSUPPORTED_MEDIA")
    assert http.delete(path).status_code == 204
    assert bucket_server.left_over(bucket) == []


def test_a_resumable_upload_goes_to_a_bucket_too(http: httpx2.Client, bucket_server: S3Server, bucket: str) -> None:
    tus = {"Tus-Resumable": "1.0.0"}
    bytes_ = tus | {"Content-Type": "application/offset+octet-stream"}
    path = http.post("/api/uploads", headers=tus | {"Upload-Length": str(len(FILM))}).headers["location"]
    offset = 0
    for size in (100, 9 * MIB, 5 * MIB, len(FILM)):
        data = FILM[offset : offset + size]
        answer = http.patch(path, content=data, headers=bytes_ | {"Upload-Offset": str(offset)})
        assert answer.status_code == 204, answer.text
        offset += len(data)
        assert int(http.head(path, headers=tus).headers["upload-offset"]) == offset
    found = fields(http.get(path))
    assert http.get(f"/{found['filePath']}").content == FILM
    assert stored_keys(bucket_server, bucket) == [found["filePath"]]
    assert bucket_server.left_over(bucket) == []


def test_what_a_key_of_a_project_sends_is_the_projects(bucket_server: S3Server, bucket: str) -> None:
    store = MemoryAccessStore(SystemClock())
    headers = {}
    for project in ("p", "other"):
        token = new_token()
        key = Key(token.key_id, digest(token.secret), project, frozenset({Scope.RENDER}), project, 0)
        asyncio.run(store.add(key))
        headers[project] = {"Authorization": f"Bearer {token}"}
    with serving(bucket_server, bucket, store) as http:
        http.headers.update(headers["other"])
        error_of(
            http.post("/api/uploads/presign", json={"filename": "a.mp4", "size": 5, "projectId": "p"}),
            403,
            "FORBIDDEN",
        )
        http.headers.update(headers["p"])
        begun = begin(http, FILM)
        put(begun, begun["urls"], FILM)
        path = f"/api/uploads/{begun['fileId']}"
        error_of(http.post(f"{path}/complete", headers=headers["other"]), 404, "FILE_NOT_FOUND")
        stored = fields(http.post(f"{path}/complete"))
        assert http.get(f"/{stored['filePath']}").content == FILM
        error_of(http.get(f"/{stored['filePath']}", headers=headers["other"]), 404, "FILE_NOT_FOUND")
        assert httpx2.get(stored["publicUrl"]).content == FILM  # a browser's, without a key
    assert asyncio.run(store.owner(begun["fileId"])) == "p"

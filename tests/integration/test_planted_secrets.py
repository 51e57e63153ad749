"""Secrets are planted wherever people keep them, and renders succeed and fail in every way. Then all that was written
is looked through: logs at debug level, records, answers, spans. None may hold a planted value."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import httpx2
import pytest

from flowscale.redaction import REDACTED
from integration.bucket_site import BucketSite
from integration.frontend import Frontend
from integration.leased import make_clip
from integration.operator_site import site as operator_site
from integration.processes import until
from integration.program import FLOWSCALE
from integration.test_storage_modes import environment_of
from otlp_receiver import OtlpReceiver
from redis_server import RedisServer
from s3_faults import FaultyS3
from s3_servers import VersityGateway

SOURCES = "127.0.0.2"
SIGNED = {
    "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
    "X-Amz-Credential": "planted-credential/20260101/eu/s3/aws4_request",
    "X-Amz-Security-Token": "planted-session+token/==",
    "X-Amz-Signature": "planted5ignature0f0a0client",
    "sig": "planted-azure-sig",
    "token": "planted-url-token",
    "response-content-disposition": "planted-query-value",
}
"""The query of a client's presigned URL."""

PLANTED = {
    "REDIS_PASSWORD": "planted-redis-pa55word",
    "SUPABASE_SERVICE_KEY": "planted-supabase-service-key",
    "SUPABASE_ANON_KEY": "planted-supabase-anon-key",
    "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20planted-collector-key,x-api-key=planted-api-key",
}
"""Settings beside the bucket's own key."""


@dataclass
class Sources:
    """Another host: /film.mp4 is one, /refused is 403, /moved leads on with a token, /noise and /cut are no films."""

    clip: bytes
    asked: list[str] = field(default_factory=list)
    port: int = 0

    def url(self, path: str) -> str:
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in SIGNED.items())
        return f"http://{SOURCES}:{self.port}{path}?{query}"


@contextmanager
def serving(clip: Path) -> Iterator[Sources]:
    sources = Sources(clip.read_bytes())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sources.asked.append(self.path)
            path = urlsplit(self.path).path
            status = {"/refused": 403, "/moved": 302}.get(path, 200)
            body = {"/film.mp4": sources.clip, "/cut": sources.clip[: len(sources.clip) // 2]}.get(path, b"noise" * 99)
            self.send_response(status)
            if status == 302:
                self.send_header("Location", f"http://{SOURCES}:{sources.port}/refused?token=planted-moved-token")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Of no use in a test's output."""

    with ThreadingHTTPServer((SOURCES, 0), Handler) as server:
        sources.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield sources
        server.shutdown()
        thread.join()


class Search:
    """Texts by where they stand, and what must be in none of them."""

    def __init__(self, secrets: list[str]) -> None:
        self.secrets = {form for secret in secrets for form in (secret, quote(secret, safe=""))}
        self.texts: list[tuple[str, str]] = []
        self.let_off: set[str] = set()  # answers whose purpose is to give access

    def add(self, where: str, text: str) -> None:
        self.texts.append((where, text))

    def hear(self, client: httpx2.Client) -> None:
        def told(answer: httpx2.Response) -> None:
            answer.read()
            where = f"{answer.request.method} {answer.request.url.path}"
            if where not in self.let_off:
                self.add(f"the answer to {where}", f"{answer.text}\n{answer.headers}")

        client.event_hooks = {"request": [], "response": [told]}

    def finds(self) -> list[str]:
        return [
            f"{where}: {secret}: ...{text[max(0, at - 100) : at + len(secret) + 40]}..."
            for where, text in self.texts
            for secret in self.secrets
            if (at := text.find(secret)) >= 0
        ]


def records(redis: RedisServer, prefix: str) -> Iterator[tuple[str, str]]:
    """All that lies in Redis, but for specs: those hold the address that is to be fetched."""
    with redis.admin() as admin:
        reads: dict[str, Callable[[bytes], Any]] = {
            "hash": lambda key: {name: text for name, text in admin.hgetall(key).items() if name != b"spec"},
            "list": lambda key: admin.lrange(key, 0, -1),
            "stream": admin.xrange,
            "zset": lambda key: admin.zrange(key, 0, -1),
            "set": admin.smembers,
            "string": admin.get,
        }
        for key in admin.scan_iter(match=f"{prefix}*", count=1000):
            yield f"redis {key.decode(errors='replace')}", repr(reads[admin.type(key).decode()](key))


def test_gateway_and_worker_tell_no_secret(tmp_path: Path) -> None:
    clip = make_clip(tmp_path, seconds=5)
    with ExitStack() as stack:
        receiver = stack.enter_context(OtlpReceiver())
        sources = stack.enter_context(serving(clip))
        redis = stack.enter_context(RedisServer(password=PLANTED["REDIS_PASSWORD"]))
        server = stack.enter_context(VersityGateway())
        service = stack.enter_context(FaultyS3(server))
        bucket = server.make_bucket()
        environment = {
            "PATH": os.environ["PATH"],
            "QUEUE_MODE": "redis",
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(redis.port),
            "FLOWSCALE_FFMPEG": shutil.which("ffmpeg") or "",
            "FLOWSCALE_FFMPEG_THREADS": "1",
            "FLOWSCALE_LOG_LEVEL": "debug",
            "FLOWSCALE_DOWNLOAD_ALLOW_NETWORKS": f"{SOURCES}/32",
            **receiver.environment,
            **PLANTED,
            **environment_of(service.settings(bucket)),
        }
        place = BucketSite(tmp_path, server, service, bucket, environment, stack)
        headers = {"Authorization": "Bearer planted-client-key", "Cookie": "session=planted-cookie"}
        search = Search([server.secret, server.key_id, "planted"])
        frontend = place.gateway()
        frontend.http.headers.update(headers)
        search.let_off = {"POST /api/uploads/presign"}
        search.hear(frontend.http)
        fleet = place.fleet()

        # A presigned upload, whose signatures the gateway made itself; and one that is refused.
        asked = {"filename": "clip.mp4", "size": clip.stat().st_size}
        presigned = frontend.http.post("/api/uploads/presign", json=asked)
        assert presigned.status_code in (200, 201), presigned.text
        signatures = [value for name, value in _queries(presigned.json()) if name == "X-Amz-Signature"]
        assert signatures
        search.secrets |= set(signatures)
        wanting = frontend.http.post(f"/api/uploads/{presigned.json()['fileId']}/complete")
        assert wanting.status_code == 409, wanting.text

        # Renders that come to a good end.
        uploaded = frontend.execute(frontend.upload(clip), trim={"start": 0, "end": 0.4})
        fetched = _execute(frontend, sources.url("/film.mp4"))
        for job_id in (uploaded, fetched):
            assert frontend.wait(job_id)["status"] == "done"
        # Downloads that are refused, led astray, or are no films.
        failed = {path: _execute(frontend, sources.url(path)) for path in ("/refused", "/moved", "/noise", "/cut")}
        for path, job_id in failed.items():
            assert frontend.wait(job_id)["status"] == "error", path
        # Nobody answers there.
        closed = sources.url("/film.mp4").replace(f":{sources.port}/", ":9/")
        assert frontend.wait(_execute(frontend, closed))["status"] == "error"
        # What the gateway refuses itself.
        for body in (
            {"inputFileUrl": "https://user:planted-user@host/film.mp4?token=planted-refused"},
            {"inputFileUrl": sources.url("/film.mp4"), "planted": {"planted": "planted"}},
        ):
            refused = httpx2.post(f"{frontend.http.base_url}/api/execute", json=body, headers=headers)
            assert refused.status_code in (400, 422)
        frontend.http.get("/api/jobs", params={"token": "planted-own-query", "state": "done"})
        frontend.http.get("/nowhere", params={"access": "planted-own-query"})
        # Somebody has mistaken a secret for a path, and for a name.
        lost_way = {"User-Agent": PLANTED["SUPABASE_SERVICE_KEY"], "Host": f"{PLANTED['SUPABASE_ANON_KEY']}:80"}
        for path in (f"/api/jobs/{PLANTED['REDIS_PASSWORD']}", f"/{PLANTED['REDIS_PASSWORD']}"):
            assert httpx2.get(f"{frontend.http.base_url}{path}", headers=lost_way).status_code == 404
        # The key is wrong, then the bucket is gone, then the whole service, then the queue.
        source = frontend.upload(clip)
        right, server.secret = server.secret, "planted-other-secret"
        server.kill()
        server.start()
        wrong = frontend.http.post("/api/execute", json={"inputFileUrl": sources.url("/film.mp4")}).json()["jobId"]
        assert frontend.wait(wrong)["error"]["code"] == "STORAGE_ERROR"
        assert frontend.http.post("/api/execute", json={"sourcePath": source}).status_code == 503
        server.kill()
        server.secret = right
        server.start()
        server.empty(bucket)
        _drop(server, bucket)
        lost = frontend.http.post("/api/execute", json={"inputFileUrl": sources.url("/film.mp4")}).json()["jobId"]
        assert frontend.wait(lost)["error"]["code"] == "STORAGE_ERROR"
        assert frontend.http.post("/api/execute", json={"sourcePath": source}).status_code >= 400
        service.go()
        assert frontend.http.post("/api/execute", json={"sourcePath": source}).status_code == 503
        service.come_back()
        for name, text in records(redis, "{flowscale}"):
            search.add(name, text)
        redis.kill()
        until(lambda: fleet.events("chore.unreachable"), "the fleet to miss the queue")
        assert frontend.http.get(f"/api/jobs/{uploaded}").status_code == 503
        redis.start()
        until(lambda: frontend.http.get(f"/api/jobs/{uploaded}").status_code == 200, "the queue to be back")
        fleet.stop()
        until(lambda: receiver.named("attempt", job_id=lost), "the last attempt's span")
        # Nobody lets these in.
        stranger = place.gateway(REDIS_PASSWORD="planted-wrong-password", STORAGE_TYPE="local")
        search.hear(stranger.http)
        assert stranger.http.get("/readyz").status_code == 503

        for log in tmp_path.rglob("*.log"):
            search.add(log.name, log.read_text())
        for number, spans in enumerate(receiver.bodies):
            search.add(f"spans {number}", spans.decode("latin-1"))
        assert any("planted-url-token" in path for path in sources.asked), "nothing was planted"
        assert any(each["authorization"] == "Bearer planted-collector-key" for each in receiver.headers)
        assert sum("lease." in text or "execution.failed" in text for _, text in search.texts) > 0
        assert any(where.startswith("redis ") and "attempts" in text for where, text in search.texts)
        assert search.finds() == []


def test_programs_that_cannot_start_tell_no_secret(tmp_path: Path) -> None:
    """What they say goes to stderr without a log."""
    environment = {"PATH": os.environ["PATH"], "STORAGE_DIR": str(tmp_path), **PLANTED}
    for command, more in (
        ("api", {"REDIS_URL": "redis://:planted-url-password@host:x"}),
        ("api", {"S3_SECRET_ACCESS_KEY": "planted-secret", "STORAGE_TYPE": "s3", "S3_BUCKET": "b"}),
        ("api", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://user:planted-user@collector:4318"}),
        ("api", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}),
        ("worker", {}),
    ):
        ended = subprocess.run(
            [FLOWSCALE, command], env={**environment, **more}, capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert ended.returncode != 0
        assert ended.stderr
        assert "planted" not in ended.stdout + ended.stderr


def test_the_operator_tells_no_secret(tmp_path: Path) -> None:
    with RedisServer(password=PLANTED["REDIS_PASSWORD"]) as redis, operator_site(redis, tmp_path) as place:
        settings = {**PLANTED, "FLOWSCALE_LOG_LEVEL": "debug"}
        operator = place.leading(**settings)
        place.start(2)
        redis.kill()
        place.until_condition("SourceHealthy", "False", "QueueUnavailable")
        redis.start()
        place.until_condition("SourceHealthy", "True", "Fresh")
        told = [repr(each) for each in place.api.all("events")] + [repr(place.status)]
        operator.terminate()
        search = Search(["planted", "Bearer secret"])
        search.add("the operator's log", "\n".join(operator.text))
        search.add("events and status", "\n".join(told))
        assert operator.text
        assert search.finds() == []


@pytest.mark.parametrize("form", ["json", "text"])
def test_the_memory_mode_tells_no_secret(
    form: str, start: Callable[..., Any], connect: Callable[[str], Frontend], tmp_path: Path
) -> None:
    clip = make_clip(tmp_path, seconds=2)
    with serving(clip) as sources:
        program = start(
            "api",
            FLOWSCALE_LOG_LEVEL="debug",
            FLOWSCALE_LOG_FORMAT=form,
            FLOWSCALE_DOWNLOAD_ALLOW_NETWORKS=f"{SOURCES}/32",
            **PLANTED,
        )
        frontend = connect(program.url)
        search = Search(["planted"])
        search.hear(frontend.http)
        for path, status in (("/film.mp4", "done"), ("/refused", "error"), ("/cut", "error")):
            assert frontend.wait(_execute(frontend, sources.url(path)))["status"] == status
        search.add("log", program.log.read_text())
        assert search.finds() == []
        assert REDACTED not in program.log.read_text(), "a line needed mending: let it not say so in the first place"


def _execute(frontend: Frontend, url: str) -> str:
    body = {"inputFileUrl": url, "trim": {"start": 0, "end": 0.4}}
    answer = frontend.http.post("/api/execute", json=body)
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["jobId"]
    return job_id


def _queries(found: Any) -> Iterator[tuple[str, str]]:
    """Of every URL in a JSON answer."""
    if isinstance(found, str) and "?" in found:
        yield from parse_qsl(urlsplit(found).query)
    elif isinstance(found, dict):
        for value in found.values():
            yield from _queries(value)
    elif isinstance(found, list):
        for value in found:
            yield from _queries(value)


def _drop(server: VersityGateway, bucket: str) -> None:
    client = server.client()
    try:
        client.delete_bucket(Bucket=bucket)
    finally:
        client.close()

"""`flowscale doctor` before real servers and folders, good and bad: its rows, its exit code, and that nothing stays."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from http_relay import Answer, HttpRelay, Request
from integration.program import FLOWSCALE
from redis_server import REDIS_7, REDIS_8, VALKEY, RedisServer
from s3_faults import FaultyS3
from s3_servers import Endpoint, VersityGateway, free_port

PATIENCE_S = 120.0
"""For anything here to happen: reaching it is a failure."""

STORAGE_ROWS = ("put", "range", "link", "multipart", "abort", "presign", "delete")

Row = Mapping[str, str]


def doctor(folder: Path, *words: str, **environment: str) -> tuple[int, dict[str, Row]]:
    """Its exit code, and its rows by name."""
    return rows_of(examine(folder, "--json", *words, **environment))


def examine(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run([FLOWSCALE, "doctor", *words], folder, environment)


def run(
    command: Sequence[str | Path], folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


def rows_of(ended: subprocess.CompletedProcess[str]) -> tuple[int, dict[str, Row]]:
    assert "Traceback" not in ended.stderr, ended.stderr
    rows: list[Row] = json.loads(ended.stdout)
    assert len({row["check"] for row in rows}) == len(rows)
    for row in rows:
        assert row["seen"]
        assert bool(row["remedy"]) == (row["verdict"] in ("warn", "FAIL")), row
    assert (ended.returncode == 1) == any(row["verdict"] == "FAIL" for row in rows)
    return ended.returncode, {row["check"]: row for row in rows}


def verdicts(rows: Mapping[str, Row], of: str) -> dict[str, str]:
    return {name.partition(".")[2]: row["verdict"] for name, row in rows.items() if name.startswith(f"{of}.")}


def everything_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def in_bucket(endpoint: Endpoint, bucket: str, **changes: str) -> dict[str, str]:
    """The environment of a service over this bucket."""
    return {
        "STORAGE_TYPE": endpoint.type,
        "S3_BUCKET": bucket,
        "S3_REGION": endpoint.region,
        "S3_ENDPOINT_URL": endpoint.url,
        "S3_ACCESS_KEY_ID": endpoint.key_id,
        "S3_SECRET_ACCESS_KEY": endpoint.secret,
        **changes,
    }


def left_in(endpoint: Endpoint, bucket: str) -> list[str]:
    client = endpoint.client()
    try:
        objects = [found["Key"] for found in client.list_objects_v2(Bucket=bucket).get("Contents", [])]
    finally:
        client.close()
    return objects + endpoint.left_over(bucket)


def over(server: RedisServer, **changes: str) -> dict[str, str]:
    return {"QUEUE_MODE": "redis", "REDIS_URL": server.url, **changes}


def keys_in(server: RedisServer) -> int:
    with server.admin() as admin:
        count: int = admin.dbsize()
        return count


@pytest.fixture(scope="module")
def bucket_server() -> Iterator[VersityGateway]:
    with VersityGateway() as server:
        yield server


# --- a good one ---


def test_a_good_machine_has_no_failure_and_keeps_nothing(tmp_path: Path) -> None:
    code, rows = doctor(tmp_path)
    assert code == 0
    assert verdicts(rows, "storage") == {"reach": rows["storage.reach"]["verdict"]} | dict.fromkeys(
        STORAGE_ROWS, "ok"
    ) | {"presign": "skipped"}
    assert rows["storage.reach"]["verdict"] in ("ok", "warn")  # the disk may be nearly full
    assert rows["queue.mode"]["verdict"] == "warn"
    assert {"ffmpeg", "ffprobe", "encoders", "render-mp4", "render-webm", "render-mov"} <= {
        name for name, verdict in verdicts(rows, "tools").items() if verdict == "ok"
    }
    assert "libx264" in rows["tools.encoders"]["seen"]
    assert verdicts(rows, "clock") == {"queue": "skipped", "storage": "skipped"}
    assert everything_in(tmp_path) == []


def test_what_was_there_stays(tmp_path: Path) -> None:
    kept = tmp_path / "data" / "uploads" / ("0" * 32) / "clip.mp4"
    kept.parent.mkdir(parents=True)
    kept.write_text("precious")
    before = everything_in(tmp_path)
    assert doctor(tmp_path, "--for", "gateway")[0] == 0
    assert everything_in(tmp_path) == before
    assert kept.read_text() == "precious"


def test_the_table_has_a_remedy_under_what_needs_one_and_no_colours_in_a_pipe(tmp_path: Path) -> None:
    ended = examine(tmp_path, "--for", "gateway", STORAGE_DIR="/dev/null")
    assert ended.returncode == 1
    lines = ended.stdout.splitlines()
    (at,) = [index for index, line in enumerate(lines) if line.startswith("storage.reach")]
    assert lines[at].split()[1] == "FAIL"
    assert "STORAGE_DIR" in lines[at + 1] or "Make it" in lines[at + 1]
    assert lines[at + 1].startswith(" ")
    assert "\x1b" not in ended.stdout + ended.stderr
    assert "1 failed" in ended.stderr


def test_a_gateway_needs_no_ffmpeg(tmp_path: Path) -> None:
    code, rows = doctor(tmp_path, "--for", "gateway", PATH="")
    assert code == 0
    assert verdicts(rows, "tools") == {}


# --- what nothing can be tried with ---


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [
        ((), {"FLOWSCALE_MAX_UPLOAD": "1"}, "did you mean FLOWSCALE_MAX_UPLOAD_BYTES?"),
        ((), {"STORAGE_TYPE": "s3"}, "S3_BUCKET"),
        (("--for", "kitchen"), {}, "--for"),
    ],
)
def test_bad_settings_and_words_are_told_as_ever_and_end_with_2(
    tmp_path: Path, words: tuple[str, ...], environment: dict[str, str], said: str
) -> None:
    ended = examine(tmp_path, *words, **environment)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr


# --- folders ---


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("precious")
    code, rows = doctor(tmp_path, "--for", "gateway")
    assert code == 1
    assert verdicts(rows, "storage") == {"reach": "FAIL"} | dict.fromkeys(STORAGE_ROWS, "skipped")
    assert (tmp_path / "data").read_text() == "precious"


def test_a_folder_that_cannot_be_written_in(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    namespace = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    read_only = [*namespace, "sh", "-c", f'mount -t tmpfs -o ro tmpfs "{tmp_path / "data"}" && exec "$@"', "sh"]
    code, rows = rows_of(run([*read_only, FLOWSCALE, "doctor", "--json", "--for", "worker"], tmp_path, {}))
    assert code == 1
    found = verdicts(rows, "storage")
    assert found["put"] == "FAIL"
    assert {found[name] for name in STORAGE_ROWS[1:]} == {"skipped"}
    assert "Read-only" in rows["storage.put"]["seen"]
    assert rows["tools.scratch"]["verdict"] == "FAIL"
    assert {rows[f"tools.render-{form}"]["verdict"] for form in ("mp4", "webm", "mov")} == {"skipped"}


def test_a_shared_folder(tmp_path: Path) -> None:
    (tmp_path / "share").mkdir()
    code, rows = doctor(tmp_path, "--for", "gateway", STORAGE_TYPE="nfs", STORAGE_DIR=str(tmp_path / "share"))
    assert code == 0
    assert {verdicts(rows, "storage")[name] for name in STORAGE_ROWS} == {"ok", "skipped"}
    assert rows["clock.storage"]["verdict"] == "ok"
    assert everything_in(tmp_path) == ["share"]


def test_a_shared_folder_that_is_not_mounted(tmp_path: Path) -> None:
    code, rows = doctor(tmp_path, "--for", "gateway", STORAGE_TYPE="nfs", STORAGE_DIR=str(tmp_path / "share"))
    assert code == 1
    assert "Mount it" in rows["storage.reach"]["remedy"]
    assert everything_in(tmp_path) == []


# --- buckets ---


def test_a_good_bucket(bucket_server: VersityGateway, tmp_path: Path) -> None:
    bucket = bucket_server.make_bucket()
    environment = in_bucket(bucket_server, bucket, S3_PREFIX="ours/", S3_PUBLIC_BASE_URL="")
    code, rows = doctor(tmp_path, "--for", "gateway", **environment)
    assert code == 0, rows
    assert set(verdicts(rows, "storage").values()) == {"ok"}
    assert rows["clock.storage"]["verdict"] == "ok"
    assert left_in(bucket_server, bucket) == []
    assert everything_in(tmp_path) == []


def test_links_that_lead_nowhere(bucket_server: VersityGateway, tmp_path: Path) -> None:
    bucket = bucket_server.make_bucket()
    closed = in_bucket(bucket_server, bucket, S3_PUBLIC_BASE_URL=f"{bucket_server.url}/{bucket}")
    code, rows = doctor(tmp_path, "--for", "gateway", **closed)  # it gives nothing to who has no key
    assert code == 1
    assert "403" in rows["storage.link"]["seen"]
    assert "S3_PUBLIC_BASE_URL" in rows["storage.link"]["remedy"]
    assert rows["storage.delete"]["verdict"] == "ok"
    assert left_in(bucket_server, bucket) == []


@pytest.mark.parametrize(
    ("wrong", "code_seen"),
    [
        ({"S3_ACCESS_KEY_ID": "nobody"}, "XAdminUserNotFound"),  # this server's word for it
        ({"S3_SECRET_ACCESS_KEY": "guessed"}, "SignatureDoesNotMatch"),
        ({"S3_BUCKET": "another-bucket"}, "NoSuchBucket"),
    ],
)
def test_a_bucket_that_refuses_is_one_row_and_few_calls(
    bucket_server: VersityGateway, tmp_path: Path, wrong: dict[str, str], code_seen: str
) -> None:
    bucket = bucket_server.make_bucket()
    with FaultyS3(bucket_server) as counted:
        code, rows = doctor(tmp_path, "--for", "gateway", **(in_bucket(counted, bucket) | wrong))
        assert sum(counted.calls.values()) <= 5
    assert code == 1
    found = verdicts(rows, "storage")
    assert found == {"reach": "ok", "put": "FAIL"} | dict.fromkeys(STORAGE_ROWS[1:], "skipped")
    assert code_seen in rows["storage.put"]["seen"]
    assert "the key is right" in rows["storage.put"]["remedy"]
    assert left_in(bucket_server, bucket) == []


class ForbiddingS3(HttpRelay, Endpoint):
    """Before a server: a key that may not do this one thing."""

    def __init__(self, server: Endpoint, operation: str) -> None:
        HttpRelay.__init__(self, server.port)
        self.type, self.region, self.path = server.type, server.region, server.path
        self.key_id, self.secret = server.key_id, server.secret
        self._operation = operation

    async def answer(self, request: Request) -> Answer | None:
        return Answer(403, "AccessDenied", "No.") if request.operation == self._operation else None


def test_a_key_that_may_not_delete_is_told_with_what_is_left(bucket_server: VersityGateway, tmp_path: Path) -> None:
    bucket = bucket_server.make_bucket()
    with ForbiddingS3(bucket_server, "DeleteObject") as forbidding:
        code, rows = doctor(tmp_path, "--for", "gateway", **in_bucket(forbidding, bucket))
    assert code == 1
    assert "AccessDenied" in rows["storage.delete"]["seen"]
    left = left_in(bucket_server, bucket)
    assert len(left) == 3
    assert all(key in rows["storage.left"]["seen"] for key in left)


@pytest.mark.parametrize(
    ("operation", "row", "skipped"),
    [
        ("CreateMultipartUpload", "multipart", {"abort", "presign"}),
        ("GetObject", "range", set()),
        ("ListMultipartUploads", "abort", set()),
    ],
)
def test_a_key_that_may_not_do_one_thing_leaves_nothing(
    bucket_server: VersityGateway, tmp_path: Path, operation: str, row: str, skipped: set[str]
) -> None:
    bucket = bucket_server.make_bucket()
    with ForbiddingS3(bucket_server, operation) as forbidding:
        code, rows = doctor(tmp_path, "--for", "gateway", **in_bucket(forbidding, bucket))
    assert code == 1
    found = verdicts(rows, "storage")
    assert (found["put"], found[row], found["delete"]) == ("ok", "FAIL", "ok")
    assert skipped <= {name for name, verdict in found.items() if verdict == "skipped"}
    assert left_in(bucket_server, bucket) == []


def test_a_storage_that_is_down(tmp_path: Path) -> None:
    endpoint = Endpoint(free_port())
    code, rows = doctor(tmp_path, "--for", "gateway", **in_bucket(endpoint, "bucket"))
    assert code == 1
    assert verdicts(rows, "storage") == {"reach": "FAIL"} | dict.fromkeys(STORAGE_ROWS, "skipped")
    assert "S3_ENDPOINT_URL" in rows["storage.reach"]["remedy"]
    assert rows["clock.storage"]["verdict"] == "skipped"


def test_a_storage_that_never_answers(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = Endpoint(silent.getsockname()[1])
        code, rows = doctor(tmp_path, "--for", "gateway", **in_bucket(endpoint, "bucket"))
    assert code == 1
    assert "in time" in rows["storage.reach"]["seen"]
    assert {verdicts(rows, "storage")[name] for name in STORAGE_ROWS} == {"skipped"}


class StuckS3(HttpRelay, Endpoint):
    """Before a server: does not pass on the `nth` call of one operation until it is told to go on."""

    def __init__(self, server: Endpoint, operation: str, nth: int = 1) -> None:
        HttpRelay.__init__(self, server.port)
        self.type, self.region, self.path = server.type, server.region, server.path
        self.key_id, self.secret = server.key_id, server.secret
        self.stuck, self.go_on = threading.Event(), threading.Event()
        self._operation = operation
        self._left = nth

    async def answer(self, request: Request) -> Answer | None:
        if request.operation == self._operation and not self.go_on.is_set():
            self._left -= 1
            if self._left <= 0:
                self.stuck.set()
                await asyncio.to_thread(self.go_on.wait, PATIENCE_S)
        return None


def test_a_storage_that_hangs_later_is_told_and_nothing_waits_for_it(
    bucket_server: VersityGateway, tmp_path: Path
) -> None:
    bucket = bucket_server.make_bucket()
    with StuckS3(bucket_server, "UploadPart", nth=2) as stuck:
        code, rows = doctor(tmp_path, "--for", "gateway", **in_bucket(stuck, bucket))
        assert stuck.stuck.is_set()
        assert left_in(bucket_server, bucket) == []
        stuck.go_on.set()
    assert code == 1
    found = verdicts(rows, "storage")
    assert (found["link"], found["multipart"]) == ("ok", "FAIL")
    assert {found[name] for name in ("abort", "presign", "delete")} == {"skipped"}
    assert "no answer within" in rows["storage.multipart"]["seen"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing(bucket_server: VersityGateway, tmp_path: Path, number: signal.Signals) -> None:
    bucket = bucket_server.make_bucket()
    with StuckS3(bucket_server, "UploadPart", nth=2) as stuck:
        process = subprocess.Popen(
            [FLOWSCALE, "doctor"],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], **in_bucket(stuck, bucket)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            assert stuck.stuck.wait(PATIENCE_S)
            assert left_in(bucket_server, bucket) != []
            process.send_signal(number)
            time.sleep(1.0)  # the lead of the signal: it is to be heard before the call ends
            stuck.go_on.set()
            said, _ = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
            process.wait()
    assert process.returncode != 0
    assert "Traceback" not in said
    assert "storage.multipart" not in said
    assert left_in(bucket_server, bucket) == []
    assert everything_in(tmp_path) == []


# --- the queue's server ---


@pytest.mark.parametrize("served_by", [REDIS_7, REDIS_8, VALKEY])
def test_a_good_queue(tmp_path: Path, served_by: str) -> None:
    with RedisServer(served_by) as server:
        code, rows = doctor(tmp_path, "--for", "gateway", **over(server))
        assert keys_in(server) == 0
    assert code == 0
    found = verdicts(rows, "queue")
    assert found.pop("workers") == "warn"  # there is none
    assert found.pop("latency") in ("ok", "warn")  # a busy machine may be slow
    assert set(found.values()) == {"ok"}
    assert rows["queue.persistence"]["seen"] == "appendonly yes"
    assert rows["clock.queue"]["verdict"] == "ok"


def test_a_queue_that_is_held_up(own_redis: RedisServer, tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], **over(own_redis)}
    subprocess.run([FLOWSCALE, "queue", "pause"], env=environment, cwd=tmp_path, check=True, capture_output=True)
    code, rows = doctor(tmp_path, "--for", "gateway", **over(own_redis))
    assert code == 0
    assert rows["queue.handing-out"]["verdict"] == "warn"
    assert rows["queue.round-trip"]["verdict"] == "ok"
    assert keys_in(own_redis) == 2  # the pause, and that the audit log has it


@pytest.mark.parametrize(
    ("options", "row", "seen", "remedy"),
    [
        (
            {"maxmemory": 100_000_000, "maxmemory_policy": "allkeys-lru"},
            "queue.policy",
            "allkeys-lru",
            "set maxmemory-policy noeviction",
        ),
        ({"append_only": False}, "queue.persistence", "neither", "set appendonly yes"),
        (
            {"append_only": False, "config": ["save 3600 1"]},
            "queue.persistence",
            "snapshots alone (save 3600 1)",
            "set appendonly yes",
        ),
        (
            {"append_only": False, "forbidden": ("CONFIG",)},
            "queue.persistence",
            "could not be read",
            "appendonly yes",
        ),
        ({"forbidden": ("INFO",)}, "queue.policy", "could not be read", "noeviction"),
    ],
)
def test_a_server_that_may_lose_jobs_is_warned_of(
    tmp_path: Path, options: dict[str, Any], row: str, seen: str, remedy: str
) -> None:
    with RedisServer(**options) as server:
        code, rows = doctor(tmp_path, "--for", "gateway", **over(server))
        assert keys_in(server) == 0
    assert code == 0
    assert rows[row]["verdict"] == "warn"
    assert seen in rows[row]["seen"]
    assert remedy in rows[row]["remedy"]
    assert rows["queue.round-trip"]["verdict"] == "ok"


def test_a_wrong_password(tmp_path: Path) -> None:
    with RedisServer(password="right") as server:
        wrong = {"QUEUE_MODE": "redis", "REDIS_PORT": str(server.port), "REDIS_PASSWORD": "wrong"}
        code, rows = doctor(tmp_path, "--for", "gateway", **wrong)
    assert code == 1
    found = verdicts(rows, "queue")
    assert found.pop("server") == "FAIL"
    assert set(found.values()) == {"skipped"}
    assert "REDIS_PASSWORD" in rows["queue.server"]["remedy"]
    assert "right" not in str(rows["queue.server"])
    assert rows["clock.queue"]["verdict"] == "skipped"


@pytest.mark.parametrize(
    ("rights", "verdict"),
    [
        ("~{flowscale}* &{flowscale}* +@all -@dangerous +info", "ok"),
        ("~{flowscale}* &{flowscale}* +@all -@dangerous +info -evalsha", "FAIL"),
        ("~{flowscale}* resetchannels +@all -@dangerous +info", "FAIL"),
        ("~other* &* +@all", "FAIL"),
    ],
)
def test_the_round_trip_finds_what_our_user_may_not(tmp_path: Path, rights: str, verdict: str) -> None:
    with RedisServer(users=[f"render on >secret {rights}"]) as server:
        url = f"redis://render:secret@127.0.0.1:{server.port}/0"
        code, rows = doctor(tmp_path, "--for", "gateway", **over(server, REDIS_URL=url))
        assert keys_in(server) == 0
    assert rows["queue.round-trip"]["verdict"] == verdict
    assert (code == 1) == (verdict == "FAIL")
    if verdict == "FAIL":
        assert "FLOWSCALE_REDIS_PREFIX" in rows["queue.round-trip"]["remedy"]


def test_a_server_that_is_frozen(own_redis: RedisServer, tmp_path: Path) -> None:
    own_redis.freeze()
    code, rows = doctor(tmp_path, "--for", "gateway", **over(own_redis))
    own_redis.thaw()
    assert code == 1
    assert "did not answer in time" in rows["queue.server"]["seen"]


# --- FFmpeg ---


def program(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_no_ffmpeg(tmp_path: Path) -> None:
    code, rows = doctor(tmp_path, "--for", "worker", PATH="")
    assert code == 1
    found = verdicts(rows, "tools")
    assert found.pop("ffmpeg") == "FAIL"
    assert set(found.values()) == {"skipped"}
    assert "apt-get install ffmpeg" in rows["tools.ffmpeg"]["remedy"]
    assert everything_in(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "seen"),
    [("exit 1", "does not run"), ("echo ffmpeg version 4.4.2 Copyright", "4.4.2")],
)
def test_an_ffmpeg_that_is_broken_or_too_old(tmp_path: Path, text: str, seen: str) -> None:
    (tmp_path / "work").mkdir()
    code, rows = doctor(tmp_path / "work", FLOWSCALE_FFMPEG=program(tmp_path, "old", text))
    assert code == 1
    assert rows["tools.ffmpeg"]["verdict"] == "FAIL"
    assert seen in rows["tools.ffmpeg"]["seen"]
    assert {rows[f"tools.render-{form}"]["verdict"] for form in ("mp4", "webm", "mov")} == {"skipped"}
    assert everything_in(tmp_path / "work") == []


def test_an_ffmpeg_without_an_encoder(tmp_path: Path) -> None:
    real = subprocess.run(["/bin/sh", "-c", "command -v ffmpeg"], capture_output=True, text=True, check=True)
    less = f'exec {real.stdout.strip()} "$@" | grep -v "libvpx-vp9 "'  # of the lists alone: it encodes as ever
    script = f'case "$*" in *-encoders*) {less} ;; *) exec {real.stdout.strip()} "$@" ;; esac'
    code, rows = doctor(tmp_path, FLOWSCALE_FFMPEG=program(tmp_path, "less", script))
    assert code == 1
    assert rows["tools.encoders"]["seen"] == "missing: libvpx-vp9"
    assert rows["tools.render-webm"]["verdict"] == "ok"

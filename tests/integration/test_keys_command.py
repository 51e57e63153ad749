"""`flowscale keys`, the gateways that ask for what it makes, and the command line that sends it: real processes, a
real Redis."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

import httpx2
import pytest

from integration.program import FLOWSCALE, Program, probe, running
from redis_server import RedisServer

_prefixes = count(1)
ADMIN_KEY = "the-admin-key-of-the-setting-0123456789"


@dataclass
class Service:
    """Two gateways over one Redis, and the program beside them."""

    gateways: list[Program]
    environment: dict[str, str]
    folder: Path
    secrets: list[str] = field(default_factory=list)

    def run(self, *words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = {"PATH": os.environ["PATH"], **self.environment, **environment}
        ended = subprocess.run(
            [FLOWSCALE, *words], cwd=self.folder, env=variables, capture_output=True, text=True, check=False
        )
        self.said = ended.stderr
        return ended

    def key(self, *words: str) -> str:
        ended = self.run("keys", "create", *words)
        assert ended.returncode == 0, ended.stderr
        key = ended.stdout.strip()
        assert re.fullmatch(r"fsk_[0-9a-f]{16}_[A-Za-z0-9_-]{43}", key)
        self.secrets.append(key.split("_", 2)[2])
        assert self.secrets[-1] not in ended.stderr
        return key

    def statuses(self, key: str, path: str = "/api/jobs") -> list[int]:
        """What each gateway answers."""
        headers = {"Authorization": f"Bearer {key}"}
        return [httpx2.get(f"{gateway.url}{path}", headers=headers).status_code for gateway in self.gateways]


@pytest.fixture
def service(redis_server: RedisServer, tmp_path: Path) -> Iterator[Service]:
    settings = redis_server.settings(prefix=f"{{keys-{next(_prefixes)}}}")
    files = tmp_path / "files"
    files.mkdir()
    environment = {
        "QUEUE_MODE": "redis",
        "REDIS_HOST": settings.host,
        "REDIS_PORT": str(settings.port),
        "FLOWSCALE_REDIS_PREFIX": settings.prefix,
    }
    asking = {"FLOWSCALE_AUTH": "keys", "FLOWSCALE_ADMIN_KEY": ADMIN_KEY, "STORAGE_TYPE": "nfs"}
    with ExitStack() as stack:
        gateways = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            started = running("api", tmp_path / name, **environment, **asking, STORAGE_DIR=str(files))
            gateways.append(stack.enter_context(started))
        made = Service(gateways, environment, tmp_path)
        yield made
        for gateway in gateways:
            log = gateway.log.read_text()
            assert not [secret for secret in (*made.secrets, ADMIN_KEY) if secret in log]
            assert "signature=" not in log
    redis_server.forget(settings.prefix)


def test_a_key_is_good_on_every_gateway_until_it_is_revoked(service: Service) -> None:
    key = service.key("the web shop", "--scope", "render", "--project", "shop")
    key_id = key.split("_")[1]
    assert f'"id": "{key_id}"' in service.said
    assert "audit.key_created" in service.said
    assert '"scopes": ["render"]' in service.said
    told = service.run("keys", "create", "a reader", "--scope", "read", FLOWSCALE_LOG_FORMAT="text")
    service.secrets.append(told.stdout.strip().split("_", 2)[2])
    assert "scopes=['read']" in told.stderr
    assert service.run("keys", "revoke", told.stdout.split("_")[1]).returncode == 0
    assert service.statuses(key) == [200, 200]
    assert service.statuses(key, "/api/admin/session") == [403, 403]
    listed = service.run("keys", "list").stdout
    assert re.search(rf"{key_id} +the web shop +render +shop +\d{{4}}-", listed)
    assert json.loads(service.run("keys", "list", "--json").stdout)[0]["project"] == "shop"
    ended = service.run("keys", "revoke", key_id)
    assert ended.returncode == 0
    assert "audit.key_revoked" in ended.stderr
    assert service.statuses(key) == [401, 401]
    assert service.run("keys", "list").stdout == "No keys.\n"
    again = service.run("keys", "revoke", key_id)
    assert again.returncode == 1
    assert "[KEY_NOT_FOUND]" in again.stderr


def test_a_login_is_good_on_every_gateway_and_dies_with_its_key(service: Service) -> None:
    key = service.key("leaver", "--scope", "admin")
    with httpx2.Client() as browser:
        one, two = (f"{gateway.url}/api/admin/session" for gateway in service.gateways)
        assert browser.post(one, json={"key": key}).status_code == 200
        service.secrets.append(browser.cookies["flowscale_session"])
        token = browser.get(two).json()["csrfToken"]
        assert token == browser.get(one).json()["csrfToken"]
        service.run("keys", "revoke", key.split("_")[1])
        assert [browser.get(url).status_code for url in (one, two)] == [401, 401]


def test_wrong_keys_are_counted_by_all_gateways_together(service: Service) -> None:
    right = service.key("right", "--scope", "read")
    answers = [status for _ in range(6) for status in service.statuses("fsk_" + "0" * 16 + "_" + "A" * 43)]
    assert answers == [401] * 10 + [429] * 2
    assert service.statuses(right) == [200, 200]


def test_the_command_line_sends_its_key(service: Service) -> None:
    url = service.gateways[0].url
    key = service.key("ci", "--scope", "read")
    refused = service.run("jobs", "list", "--url", url)
    assert (refused.returncode, "[UNAUTHORIZED]" in refused.stderr) == (1, True)
    assert "FLOWSCALE_API_KEY" in refused.stderr
    assert "Bearer" not in refused.stderr  # which a program would want to know
    for wrong, words in (("fsk_" + "0" * 16 + "_" + "A" * 43, ("jobs", "list")), (key, ("jobs", "remove", "job_1"))):
        refused = service.run(*words, "--url", url, FLOWSCALE_API_KEY=wrong)
        assert refused.returncode == 1
        assert "It is the key in FLOWSCALE_API_KEY." in refused.stderr
    assert service.run("jobs", "list", "--url", url, FLOWSCALE_API_KEY=key).stdout == "No jobs.\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("x", "--scope", "admin", "--project", "p"), "An admin key sees the whole installation"),
        (("", "--scope", "read"), "The name must be"),
        (("x\n", "--scope", "read"), "The name must be"),
        (("x", "--scope", "read", "--project", ""), "A project must be"),
    ],
)
def test_what_makes_no_key(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    """Before anything is asked of a server: there is none here."""
    ended = alone("keys", "create", *words, folder=tmp_path, QUEUE_MODE="redis", REDIS_PORT="1")
    assert ended.returncode == 1
    assert message in ended.stderr


def test_an_unknown_scope_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    ended = alone("keys", "create", "x", "--scope", "write", folder=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.endswith("Invalid value for '--scope': 'write' is not one of 'admin', 'render', 'read'.\n")


def test_in_memory_there_are_no_keys_but_the_settings(tmp_path: Path) -> None:
    for words in (("create", "x", "--scope", "read"), ("list",), ("revoke", "0" * 16)):
        ended = alone("keys", *words, folder=tmp_path)
        assert ended.returncode == 1
        assert "FLOWSCALE_ADMIN_KEY" in ended.stderr
        assert ended.stderr.endswith("[SETTINGS]\n")


def test_one_process_renders_for_its_settings_key(start: Callable[..., Program], clips: Path, tmp_path: Path) -> None:
    """Upload, render and download by the command line, where every step of it needs a key."""
    program = start("api", FLOWSCALE_AUTH="keys", FLOWSCALE_ADMIN_KEY=ADMIN_KEY)
    words = ("render", clips / "bigbuckbunny.mp4", "--end", "1", "--size", "320x180", "--url", program.url)
    refused = alone(*words, "-o", "no.mp4", folder=tmp_path)
    assert (refused.returncode, "[UNAUTHORIZED]" in refused.stderr) == (1, True)
    ended = alone(*words, "-o", "yes.mp4", folder=tmp_path, FLOWSCALE_API_KEY=ADMIN_KEY)
    assert ended.returncode == 0, ended.stderr
    assert probe(tmp_path / "yes.mp4")["video"]["width"] == 320
    assert not (tmp_path / "no.mp4").exists()
    log = program.log.read_text()
    assert ADMIN_KEY not in log
    assert "signature=" not in log


def test_one_process_that_asks_for_keys_has_one(tmp_path: Path) -> None:
    ended = alone("api", folder=tmp_path, FLOWSCALE_AUTH="keys")
    assert ended.returncode == 1
    assert "FLOWSCALE_ADMIN_KEY" in ended.stderr


def test_a_key_that_is_too_short_stops_the_start(tmp_path: Path) -> None:
    ended = alone("api", folder=tmp_path, FLOWSCALE_ADMIN_KEY="short-and-secret")
    assert ended.returncode == 1
    assert "FLOWSCALE_ADMIN_KEY: must have at least 32 characters, not 16" in ended.stderr
    assert "openssl rand -base64 33" in ended.stderr
    assert "short-and-secret" not in ended.stderr


def alone(*words: str | Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {"PATH": os.environ["PATH"], "PORT": "0", **environment}
    return subprocess.run([FLOWSCALE, *words], cwd=folder, env=variables, capture_output=True, text=True, check=False)


def test_the_audit_log_has_what_is_done_by_the_command_line(service: Service) -> None:
    assert service.run("queue", "pause").returncode == 0
    assert service.run("queue", "resume").returncode == 0
    assert service.run("webhooks", "replay", "msg_none").returncode != 0
    admin = {"Authorization": f"Bearer {ADMIN_KEY}"}
    entries = httpx2.get(f"{service.gateways[0].url}/api/admin/audit", headers=admin).json()["entries"]
    assert [(entry["action"], entry["target"], entry["outcome"]) for entry in entries] == [
        ("replay-webhook", "msg_none", "NOT_FOUND"),
        ("resume", None, "ok"),
        ("pause", None, "ok"),
    ]
    assert all("by the command line at" in entry["actor"] for entry in entries)


def test_the_audit_log_tells_keys_of_one_name_apart(service: Service) -> None:
    keys = [service.key("night shift", "--scope", "admin") for _ in range(2)]
    for key in keys:
        answer = httpx2.post(
            f"{service.gateways[0].url}/api/admin/queue/resume", headers={"Authorization": f"Bearer {key}"}
        )
        assert answer.status_code == 200, answer.text
    # Somebody has mistaken a key for a job's id.
    mistaken = f"{service.gateways[0].url}/api/admin/jobs/{ADMIN_KEY}/promote"
    admin = {"Authorization": f"Bearer {ADMIN_KEY}"}
    assert httpx2.post(mistaken, headers=admin).status_code == 404
    audit = httpx2.get(f"{service.gateways[0].url}/api/admin/audit", headers=admin)
    assert ADMIN_KEY not in audit.text
    assert [entry["actor"].partition(" at ")[0] for entry in audit.json()["entries"]] == [
        "FLOWSCALE_ADMIN_KEY",
        *(f"night shift (key {key.split('_')[1]})" for key in reversed(keys)),
    ]


@pytest.mark.parametrize("answer", [b"", b"a page", b"[1]"])
def test_an_answer_that_is_no_flowscales_is_told_in_a_sentence(service: Service, answer: bytes) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            ended = service.run("jobs", "list", FLOWSCALE_URL=f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
    assert ended.returncode != 0
    assert "is it a FlowScale server?" in ended.stderr
    assert "Traceback" not in ended.stderr

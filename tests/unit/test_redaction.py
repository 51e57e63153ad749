"""What is taken out of texts, and what is left."""

from __future__ import annotations

import base64
import io
import json
import logging
import subprocess
import sys

import pytest
from pydantic import SecretStr

from flowscale import logs, redaction
from flowscale.queues.redis.connections import describe
from flowscale.redaction import REDACTED, Redactor
from flowscale.settings import Settings

WEBHOOK_SECRET = " ".join("whsec_" + base64.b64encode(bytes([fill]) * 32).decode() for fill in (1, 2))
"""Two, as while receivers change from one to the other."""

SECRET = 's3cr"et/p@ss wörd+&='


@pytest.fixture
def redact() -> Redactor:
    return Redactor([SECRET, "short"])


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        json.dumps({"password": SECRET}),
        json.dumps({"password": SECRET}, ensure_ascii=False),
        repr(ValueError(SECRET)),
        "s3cr%22et%2Fp%40ss%20w%C3%B6rd%2B%26%3D",
        "s3cr%22et%2Fp%40ss+w%C3%B6rd%2B%26%3D",
    ],
)
def test_a_known_secret_is_taken_out_however_it_is_written(redact: Redactor, text: str) -> None:
    shown = redact(f"before {text} after")
    assert REDACTED in shown
    assert "s3cr" not in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://host/film.mp4?token=planted&x=1 next", "https://host/film.mp4?[redacted] next"),
        ('{"url":"https://host/film.mp4?a=planted"}', '{"url":"https://host/film.mp4?[redacted]"}'),
        ("https://host/film.mp4#planted", "https://host/film.mp4?[redacted]"),
        ("redis://user:planted@host:6379/0", "redis://[redacted]@host:6379/0"),
        ("redis://:planted@host", "redis://[redacted]@host"),
        ("GET /b/k?X-Amz-Algorithm=A&X-Amz-Credential=planted%2F1&X-Amz-Signature=planted", None),
        ("X-Amz-Security-Token=planted", "X-Amz-Security-Token=[redacted]"),
        ("/blob?sv=1&sig=planted&se=2", "/blob?sv=1&sig=[redacted]&se=2"),
        ("/outputs/a.mp4?access=planted", "/outputs/a.mp4?access=[redacted]"),
        ("Authorization: AWS4-HMAC-SHA256 Credential=planted, Signature=planted", "Authorization: [redacted]"),
        ("{'Authorization': 'Bearer planted', 'Accept': '*/*'}", "{'Authorization': [redacted]', 'Accept': '*/*'}"),
        ("(b'authorization', b'Bearer planted')", "(b'authorization', [redacted]')"),
        ('{"headers": "{\\"cookie\\": \\"planted\\"}"}', None),
        ("sent Bearer plantedplanted to it", "sent Bearer [redacted] to it"),
        ("GET /api/jobs/fsk_0123456789abcdef_plantedplanted 404", "GET /api/jobs/fsk_0123456789abcdef_[redacted] 404"),
        ("signed by whsec_plantedplanted=", "signed by whsec_[redacted]"),
        ("flowscale_session=planted.planted; Path=/", "flowscale_session=[redacted]; Path=/"),
        ("{'X-CSRF-Token': 'plantedplanted'}", "{'X-CSRF-Token': '[redacted]'}"),
    ],
)
def test_what_gives_access_by_its_form_is_taken_out(redact: Redactor, text: str, expected: str | None) -> None:
    shown = redact(text)
    assert "planted" not in shown
    assert expected is None or shown == expected


@pytest.mark.parametrize(
    "text",
    [
        "GET /api/jobs/job_1700000000000_0123 200",
        "The gateway listens on http://127.0.0.1:3000",
        "a short word; x=1, size=2; token of a kind; no authorization",
        "/tmp/x.mp4: moov atom not found",
        "the bucket https://s3.example/bucket/key is gone",
    ],
)
def test_the_rest_stays_as_it_is(redact: Redactor, text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_line_holds_a_secret_whoever_wrote_it(form: str) -> None:
    out = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        logs.configure("debug", "json" if form == "json" else "text", out, ["planted-secret"])
        log = logs.get("test")
        log.info("test.said", "It is planted-secret", url="https://host/?q=planted", more={"a": ["planted-secret"]})
        logging.getLogger("library").warning("it was %s", "planted-secret")
        try:
            local = "planted-secret"
            raise ValueError(f"no {local}")
        except ValueError as error:
            log.exception("test.failed", "It failed", error)
            logging.getLogger("library").exception("it failed")
    finally:
        root.handlers[:], level = before
        root.setLevel(level)
        redaction.protect(())
    text = out.getvalue()
    assert "planted" not in text
    assert text.count(REDACTED) >= 6
    assert "Traceback" in text


def test_a_crash_is_told_as_ever_without_secrets() -> None:
    program = """
import threading
from flowscale import crashes, redaction
crashes.redact_crashes()
redaction.protect(["planted-secret"])
thread = threading.Thread(target=lambda: int("planted-secret"))
thread.start()
thread.join()
raise ValueError("planted-secret at https://host/x?planted-query")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "planted" not in ended.stderr
    assert ended.stderr.count("Traceback") == 2
    assert ended.stderr.count(REDACTED) == 3
    assert "ValueError: [redacted] at https://host/x?[redacted]" in ended.stderr


def test_every_secret_setting_is_known_to_the_redactor() -> None:
    environment = {
        "REDIS_URL": "redis://:planted%2Fin%25url@host",
        "S3_ACCESS_KEY_ID": "planted-id",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20planted-header",
        "FLOWSCALE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "FLOWSCALE_WEBHOOK_URL": "https://hooks.example.com/planted-in-path",
        "FLOWSCALE_PUBLIC_URL": "https://video.example.com",
    }
    secret_names = {
        str(field.alias)
        for group in (dict(Settings())[name] for name in Settings.model_fields)
        for field in type(group).model_fields.values()
        if SecretStr in getattr(field.annotation, "__args__", (field.annotation,))
    }
    planted = {name: f"planted-{name}-that-is-long-enough" for name in secret_names - environment.keys()}
    secrets = set(Settings.load(environment | planted).secrets())
    assert len(secret_names) >= 9
    assert set(planted.values()) <= secrets
    assert environment["REDIS_URL"] not in secrets
    assert {"planted/in%url", "planted%2Fin%25url", "planted-id", "Bearer planted-header"} <= secrets
    assert {*WEBHOOK_SECRET.split(), "https://hooks.example.com/planted-in-path"} <= secrets


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://127.0.0.1:6399", "redis://127.0.0.1:6399/0"),
        ("redis://127.0.0.1:6399/0", "redis://127.0.0.1:6399/0"),
        ("redis://user:planted-pw@127.0.0.1:6397/0", "redis://127.0.0.1:6397/0"),
        ("redis+sentinel://:planted-pw@one,two/main", "redis+sentinel://one:26379,two:26379/main/0"),
    ],
)
def test_the_log_says_which_server_of_the_queue_is_meant_and_not_by_which_password(url: str, told: str) -> None:
    settings = Settings.load({"REDIS_URL": url})
    redactor = Redactor(settings.secrets())
    assert redactor(describe(settings.redis)) == told
    assert "planted" not in redactor(f"no answer from {url}")
    assert not settings.redis.address.password or redactor("planted-pw was refused") == f"{REDACTED} was refused"

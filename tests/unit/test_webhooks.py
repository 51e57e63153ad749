"""What of webhooks needs no network: who is told, signatures, the settings, and when to try again."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from flowscale.clocks import SystemClock
from flowscale.errors import InvalidOptions, SettingsError
from flowscale.jobs import Target
from flowscale.queues.outbox import CLAIM_MS
from flowscale.settings import Settings, WebhookSettings
from flowscale.testing import START_MS, a_job
from flowscale.webhooks.deliveries import (
    Claim,
    Delivery,
    DeliveryState,
    Ended,
    delivery_id,
    own_target,
    target_in,
    url_target,
)
from flowscale.webhooks.payload import body_of, ping_body
from flowscale.webhooks.retrying import (
    GIVE_UP_MS,
    JITTER,
    LONGEST_WAIT_SECONDS,
    WAITS_SECONDS,
    Answer,
    judge,
    next_wait_ms,
)
from flowscale.webhooks.sending import TRY_SECONDS
from flowscale.webhooks.signing import read_secrets, signed_headers
from flowscale_api.webhooks.targets import targets_of

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OWN = "https://hooks.example/own"
ON = WebhookSettings.model_validate({"urls": (OWN,), "secret": SECRET})
INSIDE = WebhookSettings.model_validate({"urls": (OWN,), "secret": SECRET, "allow_networks": "10.0.0.0/8"})

PUBLIC = {"FLOWSCALE_PUBLIC_URL": "https://video.example"}


def test_the_installation_s_endpoints_are_told_and_the_job_s_own() -> None:
    assert targets_of(ON, None) == (own_target(OWN),)
    assert targets_of(ON, "https://client.example/x") == (own_target(OWN), url_target("https://client.example/x"))
    assert targets_of(WebhookSettings(), None) == ()
    assert own_target(OWN).url is None
    assert targets_of(INSIDE, "http://10.1.2.3/x")[1] == url_target("http://10.1.2.3/x")


def test_what_goes_to_one_host_has_one_name_whatever_its_path() -> None:
    name = url_target("https://client.example/a?b").name
    assert url_target("https://CLIENT.example:443/c").name == name
    assert url_target("https://client.example:8443/a?b").name != name
    assert url_target("http://client.example/a?b").name != name


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://hooks.example/",
        "https://user:word@hooks.example/",
        "ftp://hooks.example/",
        "https://hooks.example:22/",
        "https://",
        "hooks.example",
        "https://hooks.example/ x",
        "https://hooks.example/\n",
        "https://" + "h" * 2100,
        "https://..example/",
        "https://[::1/",
    ],
)
def test_a_webhook_url_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(InvalidOptions) as caught:
        targets_of(ON, url)
    (fault,) = caught.value.details["faults"]
    assert fault["path"] == "$.webhookUrl"
    assert "user:word" not in caught.value.message


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.0.0.1:8080", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "169.254.169.254"),
        *("192.168.0.1", "0.0.0.0", "[::1]", "[fe80::1]", "[::ffff:10.0.0.1]", "[64:ff9b::7f00:1]"),
    ],
)
def test_an_address_of_no_public_host_and_no_allowed_network_is_refused_at_once(scheme: str, host: str) -> None:
    for settings in (ON, INSIDE):
        with pytest.raises(InvalidOptions, match="leads nowhere on the public internet") as caught:
            targets_of(settings, f"{scheme}://{host}/x")
        (fault,) = caught.value.details["faults"]
        assert fault["path"] == "$.webhookUrl"
        assert "FLOWSCALE_WEBHOOK_ALLOW_NETWORKS" in fault["message"]


@pytest.mark.parametrize("host", ["1.1.1.1", "[2606:4700::1111]"])
def test_http_is_refused_where_no_allowed_network_has_the_host(host: str) -> None:
    for settings in (ON, INSIDE):
        assert targets_of(settings, f"https://{host}/x")[1] == url_target(f"https://{host}/x")
        with pytest.raises(InvalidOptions, match="must begin with https://"):
            targets_of(settings, f"http://{host}/x")
    # A name may lead inside: that is known when it is called.
    assert targets_of(INSIDE, "http://receiver.inside/x")[1] == url_target("http://receiver.inside/x")


def test_without_a_secret_a_webhook_url_is_refused_and_says_so() -> None:
    with pytest.raises(InvalidOptions, match="FLOWSCALE_WEBHOOK_SECRET"):
        targets_of(WebhookSettings(), "https://client.example/x")


@given(st.binary(max_size=200), st.lists(st.binary(min_size=24, max_size=64), min_size=1, max_size=3))
def test_every_secret_signs_as_standard_webhooks_verifies(body: bytes, secrets: list[bytes]) -> None:
    now_ms = SystemClock().now_ms()  # the verifier reads the machine's clock too
    told = json.dumps({"text": base64.b64encode(body).decode()}).encode()
    headers = dict(signed_headers(secrets, "msg_1", now_ms, told))
    for secret in secrets:
        assert Webhook(base64.b64encode(secret).decode()).verify(told, headers) == json.loads(told)


@pytest.mark.parametrize(
    "text", ["secret", "whsec_", "whsec_####", "whsec_" + base64.b64encode(b"x" * 23).decode(), SECRET[6:]]
)
def test_a_secret_of_another_form_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load({"FLOWSCALE_WEBHOOK_SECRET": f"{SECRET} {text}", **PUBLIC})
    assert caught.value.message.startswith("FLOWSCALE_WEBHOOK_SECRET: secret 2 must be whsec_")
    assert SECRET not in caught.value.message


def test_several_secrets_are_read() -> None:
    assert read_secrets(f"{SECRET}  {SECRET}\n") == (bytes(range(32)),) * 2


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"FLOWSCALE_WEBHOOK_URL": OWN, **PUBLIC}, "FLOWSCALE_WEBHOOK_SECRET: FLOWSCALE_WEBHOOK_URL needs a secret"),
        ({"FLOWSCALE_WEBHOOK_SECRET": SECRET}, "FLOWSCALE_PUBLIC_URL: webhooks"),
        (
            {"FLOWSCALE_WEBHOOK_SECRET": SECRET, "FLOWSCALE_WEBHOOK_URL": "http://hooks.example?token", **PUBLIC},
            "FLOWSCALE_WEBHOOK_ALLOW_NETWORKS: FLOWSCALE_WEBHOOK_URL has an http:// address",
        ),
        (
            {"FLOWSCALE_WEBHOOK_SECRET": SECRET, "FLOWSCALE_WEBHOOK_URL": f"{OWN},https://u:token@h/", **PUBLIC},
            "FLOWSCALE_WEBHOOK_URL: address 2 must be a plain http:// or https:// one",
        ),
        (
            {"FLOWSCALE_WEBHOOK_SECRET": SECRET, "FLOWSCALE_WEBHOOK_URL": f"{OWN}, {OWN}", **PUBLIC},
            "FLOWSCALE_WEBHOOK_URL: the same address stands there twice",
        ),
        ({"FLOWSCALE_WEBHOOK_ALLOW_NETWORKS": "10.0.0.0/99"}, "FLOWSCALE_WEBHOOK_ALLOW_NETWORKS: "),
    ],
)
def test_settings_that_cannot_work_stop_the_start(environment: dict[str, str], line: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load(environment)
    assert caught.value.message.startswith(line)
    assert "token" not in caught.value.message


def test_a_bucket_s_own_address_needs_no_public_url_of_the_gateway() -> None:
    bucket = {
        "STORAGE_TYPE": "s3",
        "S3_BUCKET": "videos",
        "S3_PUBLIC_BASE_URL": "https://cdn.example",
        "FLOWSCALE_WEBHOOK_SECRET": SECRET,
    }
    assert Settings.load(bucket).webhooks.secrets == (bytes(range(32)),)


def a_claim(tries: int, *, since_ms: int = START_MS, now_ms: int = START_MS) -> Claim:
    job_id = a_job().id
    target = Target("own" + "0" * 12)
    ended = Ended(job_id, since_ms)
    return Claim(Delivery(delivery_id(job_id, 1, target.name), target, ended, since_ms, tries=tries), "token", now_ms)


@given(st.integers(1, 10), st.floats(0, 1, exclude_max=True), st.none() | st.integers(0, 10**9))
def test_waits_follow_the_table_within_bounds(tries: int, chance: float, retry_after: int | None) -> None:
    wait_ms = next_wait_ms(a_claim(tries), retry_after, chance)
    assert wait_ms is not None
    base_ms = WAITS_SECONDS[tries - 1] * 1000
    asked_ms = min(retry_after or 0, LONGEST_WAIT_SECONDS) * 1000
    assert max(base_ms * (1 - JITTER) - 1, asked_ms) <= wait_ms <= max(base_ms * (1 + JITTER), asked_ms)


@given(st.floats(0, 1, exclude_max=True))
def test_the_whole_table_is_tried_whatever_its_jitter(chance: float) -> None:
    now_ms = START_MS
    for tries in range(1, len(WAITS_SECONDS) + 1):
        wait_ms = next_wait_ms(a_claim(tries, now_ms=now_ms), None, chance)
        assert wait_ms is not None
        now_ms += wait_ms
    assert now_ms <= START_MS + GIVE_UP_MS
    assert next_wait_ms(a_claim(len(WAITS_SECONDS) + 1, now_ms=now_ms), None, chance) is None


@pytest.mark.parametrize(
    ("answer", "state", "fault"),
    [
        (Answer(204), DeliveryState.DELIVERED, None),
        (Answer(302), DeliveryState.PENDING, "it answered 302"),
        (Answer(404), DeliveryState.PENDING, "it answered 404"),
        (Answer(410), DeliveryState.FAILED, "it answered 410, which is for good"),
        (Answer(None, "no answer"), DeliveryState.PENDING, "no answer"),
    ],
)
def test_what_an_answer_means(answer: Answer, state: DeliveryState, fault: str | None) -> None:
    outcome = judge(answer, a_claim(1), 0.5)
    assert (outcome.state, outcome.fault, outcome.status) == (state, fault, answer.status)


def test_an_id_names_its_endpoint_and_other_texts_none() -> None:
    job_id = a_job().id
    assert target_in(delivery_id(job_id, 12, own_target(OWN).name)) == own_target(OWN).name
    for text in (
        "",
        job_id,
        f"msg_{job_id}_0_own000000000000",
        f"msg_{job_id}_1_own00000000000g",
        f"msg_{job_id}_1_own000000000000\n",
    ):
        assert target_in(text) is None


def test_a_claim_lasts_longer_than_a_try() -> None:
    assert CLAIM_MS >= 2 * TRY_SECONDS * 1000


def test_bodies() -> None:
    job_id = a_job().id
    assert json.loads(body_of(Ended(job_id, START_MS), None)) == {
        "type": "job.done",
        "timestamp": "2023-11-14T22:13:20.000Z",
        "data": {"jobId": job_id, "status": "done"},
    }
    assert json.loads(ping_body(START_MS)) == {"type": "ping", "timestamp": "2023-11-14T22:13:20.000Z", "data": {}}

"""Logging in and out, who needs no key, how many wrong ones are taken, and what the log says of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import httpx2
import pytest

from contract.access_site import ADMIN_KEY, Site, site_at
from contract.gateway_server import error_of, eventually, fields, running
from flowscale.clocks import iso_utc
from flowscale.keys.base import FAILURES_AT_ONCE, SESSION_MS, Scope


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_at(tmp_path) as made:
        yield made


@pytest.mark.parametrize("name", ["admin", "setting"])
def test_a_login_lasts_half_a_day_and_tells_who_it_is(site: Site, name: str) -> None:
    before = site.gateway.gateway.clock.now_ms()
    with site.client() as client:
        answer = client.post("/api/admin/session", json={"key": f" {site.keys[name]}\n"})
        given = fields(answer)
        cookie = answer.headers["set-cookie"]
        site.secrets.append(client.cookies["flowscale_session"])
        who = "admin" if name == "admin" else "FLOWSCALE_ADMIN_KEY"
        assert given | {"expiresAt": ""} == {
            "ok": True,
            "name": who,
            "scopes": ["admin", "render", "read"],
            "expiresAt": "",
        }
        assert given["expiresAt"] >= iso_utc(before + SESSION_MS)
        assert {"HttpOnly", "SameSite=strict", "Path=/", f"Max-Age={SESSION_MS // 1000}"} <= set(cookie.split("; "))
        assert "Secure" not in cookie
        found = fields(client.get("/api/admin/session"))
        assert found | {"csrfToken": ""} == {
            "ok": True,
            "name": who,
            "scopes": ["admin", "render", "read"],
            "csrfToken": "",
            "readOnly": False,
            "loginNeeded": False,
        }
        assert client.delete("/api/admin/session", headers={"X-CSRF-Token": found["csrfToken"]}).status_code == 200
    lines = {line["event"]: line for line in map(fields_of, site.gateway.log.getvalue().splitlines())}
    assert lines["audit.login"]["name"] == lines["audit.logout"]["name"] == who
    assert lines["audit.login"]["address"] == "127.0.0.1"


def test_a_copied_cookie_does_not_outlive_the_next_login(site: Site) -> None:
    with site.client() as client, site.client() as thief:
        client.post("/api/admin/session", json={"key": ADMIN_KEY})
        thief.cookies.set("flowscale_session", client.cookies["flowscale_session"])
        assert thief.get("/api/admin/session").status_code == 200
        client.post("/api/admin/session", json={"key": ADMIN_KEY})
        assert thief.get("/api/admin/session").status_code == 401
        assert client.get("/api/admin/session").status_code == 200


def test_over_https_the_cookie_stays_there(site: Site) -> None:
    with site.client(**{"X-Forwarded-Proto": "https"}) as client:
        answer = client.post("/api/admin/session", json={"key": ADMIN_KEY})
        assert "; Secure" in answer.headers["set-cookie"]
        site.secrets.append(answer.headers["set-cookie"].split("=")[1].split(";")[0])


def test_the_cookie_keeps_to_the_prefix_of_the_address(tmp_path: Path) -> None:
    with site_at(tmp_path, public_url="https://example.com/video/") as site, site.client() as client:
        answer = client.post("/api/admin/session", json={"key": ADMIN_KEY})
        assert "; Path=/video;" in answer.headers["set-cookie"]


def test_only_an_admin_key_logs_in(site: Site) -> None:
    with site.client() as client:
        for name, status, code in (
            ("render", 403, "FORBIDDEN"),
            ("mine", 403, "FORBIDDEN"),
            ("revoked", 401, "UNAUTHORIZED"),
        ):
            answer = client.post("/api/admin/session", json={"key": site.keys[name]})
            error_of(answer, status, code)
            assert "set-cookie" not in answer.headers
        half = site.key("half", Scope.ADMIN, project="mine")
        error_of(client.post("/api/admin/session", json={"key": half}), 403, "FORBIDDEN")
        error_of(client.get("/api/admin/session", headers={"Authorization": f"Bearer {half}"}), 403, "FORBIDDEN")
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            error_of(client.post("/api/admin/session", json={"key": ADMIN_KEY}, headers=headers), 403, "CSRF_REFUSED")


def test_a_key_that_is_revoked_takes_its_logins_along(site: Site) -> None:
    key = site.key("leaver", Scope.ADMIN)
    with site.logged_in(key) as (client, _):
        site.revoke(key)
        error_of(client.get("/api/admin/session"), 401, "UNAUTHORIZED")


def test_a_cookie_that_we_did_not_make_opens_nothing(site: Site) -> None:
    with site.logged_in() as (client, _):
        name, _, seal = client.cookies["flowscale_session"].partition(".")
        for forged in (name, f"{name}.", f"{name}.{seal[:-1]}", f"{name}x.{seal}", f".{seal}", f"{name}.{'A' * 43}"):
            with site.client(Cookie=f"flowscale_session={forged}") as other:
                error_of(other.get("/api/admin/session"), 401, "UNAUTHORIZED")


def test_a_login_opens_the_render_api_for_looking_alone(site: Site) -> None:
    """The page of the queue follows jobs there; the rules against pages of strangers hold below /api/admin."""
    with site.logged_in() as (client, _):
        assert client.get("/api/jobs").status_code == 200
        job = f"/api/jobs/{site.theirs['job_id']}"
        for change in ("/api/execute", f"{job}/cancel", f"{job}/retry"):
            error_of(client.post(change, json={}), 401, "UNAUTHORIZED")


@pytest.mark.parametrize(
    "path",
    ["/admin", "/admin?x=1", "/admin/"],
)
def test_a_page_leads_to_the_login_and_the_login_is_there(site: Site, path: str) -> None:
    with site.client() as client:
        answer = client.get(path)
        assert answer.status_code == 302
        location = answer.headers["location"]
        assert "//" not in location
        assert not location.startswith("/")  # whatever prefix a proxy has put before it stays
        assert urljoin(f"https://example.com/video{path}", location).startswith("https://example.com/video/admin/login")
        page = client.get(urljoin(f"{site.gateway.url}{path}", location))
        assert page.status_code == 200
        policy = page.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert "<script type" in page.text
        assert "style=" not in page.text
        assert " on" + "click" not in page.text
        for name in ("login.css", "login.js"):
            assert f'"{name}"' in page.text
            assert client.get(f"/admin/{name}").status_code == 200
    with site.logged_in() as (client, _):
        answer = client.get("/admin")
        assert (answer.status_code, answer.headers["location"]) == (302, "admin/queues")
        assert client.get("/admin/").headers["location"] == "queues"


def test_wrong_keys_are_taken_for_a_while_and_then_must_wait(site: Site) -> None:
    with site.client("fsk_" + "0" * 16 + "_" + "A" * 43) as guesser, site.client(site.keys["render"]) as right:
        for _ in range(FAILURES_AT_ONCE):
            error_of(guesser.get("/api/jobs"), 401, "UNAUTHORIZED")
        answer = guesser.get("/api/jobs")
        error_of(answer, 429, "TOO_MANY_ATTEMPTS")
        assert 1 <= int(answer.headers["retry-after"]) <= 6
        # A key that was made here is let in whatever else comes from its address; what may have been chosen is not
        # looked at.
        assert right.get("/api/jobs").status_code == 200
        error_of(guesser.post("/api/admin/session", json={"key": ADMIN_KEY}), 429, "TOO_MANY_ATTEMPTS")
        assert guesser.post("/api/admin/session", json={"key": site.keys["admin"]}).status_code == 200
        site.secrets.append(guesser.cookies["flowscale_session"])
        # Of another address nothing is held against it.
        with site.client(ADMIN_KEY, **{"X-Forwarded-For": "2001:db8::1"}) as elsewhere:
            assert elsewhere.get("/api/admin/session").status_code == 200
    assert eventually(lambda: bool(site.gateway.log_lines("audit.refused")))
    assert {line["reason"] for line in site.gateway.log_lines("audit.refused")} == {"wrong_key", "too_many"}


def test_this_machines_user_needs_no_key_in_dev(tmp_path: Path) -> None:
    with running(tmp_path, page=True, trust_loopback=True, cors_origins=("*",)) as gateway:
        found = gateway.http.get("/api/admin/session")
        assert "access-control-allow-origin" not in found.headers  # `*` is not for what lies here
        assert fields(found)["name"] == "local"
        csrf = {"X-CSRF-Token": fields(found)["csrfToken"]}
        error_of(gateway.http.delete("/api/admin/session"), 403, "CSRF_REFUSED")
        assert gateway.http.delete("/api/admin/session", headers=csrf).status_code == 200
        error_of(
            gateway.http.delete("/api/admin/session", headers=csrf | {"Origin": "https://evil.example"}),
            403,
            "CSRF_REFUSED",
        )
        assert gateway.http.get("/admin").headers["location"] == "admin/queues"
        # A name that leads here without being ours (DNS rebinding), and whatever came through a proxy.
        for headers in ({"Host": "evil.example"}, {"X-Forwarded-For": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1"}):
            error_of(gateway.http.get("/api/admin/session", headers=headers), 401, "UNAUTHORIZED")
        preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "DELETE"}
        assert gateway.http.options("/api/admin/session", headers=preflight).status_code == 405


def test_dev_that_listens_everywhere_asks_for_a_key(tmp_path: Path) -> None:
    with running(tmp_path, trust_loopback=True) as gateway:
        gate = gateway.gateway.gate
        gate.settings = gate.settings.model_copy(update={"host": "0.0.0.0"})
        error_of(gateway.http.get("/api/admin/session"), 401, "UNAUTHORIZED")


def test_a_frontend_of_another_origin_may_send_its_key(tmp_path: Path) -> None:
    with site_at(tmp_path, cors_origins=("https://app.example",)) as site, site.client() as browser:
        asked = {
            "Origin": "https://app.example",
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "authorization",
        }
        answer = browser.options("/api/jobs", headers=asked)
        assert answer.status_code == 204
        assert "authorization" in answer.headers["access-control-allow-headers"].lower()
        assert "access-control-allow-credentials" not in answer.headers
        # It reads why it was refused.
        refused = browser.get("/api/jobs", headers={"Origin": "https://app.example"})
        assert refused.headers["access-control-allow-origin"] == "https://app.example"


def fields_of(line: str) -> dict[str, str]:
    import json

    found: dict[str, str] = json.loads(line)
    return found


def test_the_log_tells_every_refusal_once(site: Site) -> None:
    def reasons(call: httpx2.Response) -> list[str]:
        lines = site.gateway.log_lines("audit.refused")
        request = call.headers["x-request-id"]
        return [line["reason"] for line in lines if line["request_id"] == request]

    with site.client() as nobody, site.client(site.keys["mine"]) as mine, site.client(site.keys["read"]) as reader:
        assert reasons(nobody.get("/api/jobs")) == ["no_key"]
        assert reasons(reader.post("/api/execute", json={})) == ["scope"]
        assert reasons(mine.get(f"/{site.theirs['upload']}")) == ["project"]
        assert reasons(nobody.get(f"/{site.theirs['upload']}?signature=x&expires=1")) == ["link"]
    with site.logged_in() as (client, csrf):
        assert reasons(client.delete("/api/admin/session")) == ["csrf"]
        elsewhere = {"X-CSRF-Token": csrf, "Sec-Fetch-Site": "cross-site"}
        assert reasons(client.delete("/api/admin/session", headers=elsewhere)) == ["other_site"]

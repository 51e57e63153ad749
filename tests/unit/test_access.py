"""Keys, seals, addresses and origins: what decides who may, without a server."""

from __future__ import annotations

import re

import pytest
from starlette.requests import Request

from flowscale.keys.base import Key, Scope
from flowscale.keys.seals import Purpose, Seals
from flowscale.keys.tokens import digest, is_key_id, new_token, read_token, same
from flowscale_api.access.browsers import comes_from_elsewhere, is_from_this_machine
from flowscale_api.access.file_links import LINK_SECONDS, STEP_SECONDS, link_fits, link_query
from flowscale_api.access.gate import limited_address
from flowscale_api.access.rules import login_address

KEY = "outputs/job_1700000000000_" + "0" * 32 + "/" + "1" * 32 + "/clip.mp4"


def request(
    path: str = "/", *, query: str = "", host: str = "127.0.0.1:3000", client: str = "127.0.0.1", **headers: str
) -> Request:
    named = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Request(
        {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in named.items()],
            "client": (client, 1),
        }
    )


def test_a_token_is_read_as_it_was_made_and_is_256_bits() -> None:
    token = new_token()
    assert read_token(str(token)) == token
    assert is_key_id(token.key_id)
    assert len(token.secret) * 6 >= 256
    assert new_token() != token
    assert token.secret not in repr(token)


@pytest.mark.parametrize("text", ["", "fsk_", "fsk_0_A", "FSK_" + "0" * 16 + "_" + "A" * 43, "ä"])
def test_what_is_no_token(text: str) -> None:
    assert read_token(text) is None
    assert read_token(str(new_token()) + text + "\n") is None


def test_texts_are_compared_whatever_they_hold() -> None:
    assert same("ä", "ä")
    assert not same("ä", "a")
    assert not same("", "a")


def test_scopes_include_those_below_them() -> None:
    def allowed(*scopes: Scope) -> set[Scope]:
        return set(Key("0", "", "", frozenset(scopes), None, 0).allowed)

    assert allowed(Scope.ADMIN) == {Scope.ADMIN, Scope.RENDER, Scope.READ}
    assert allowed(Scope.RENDER) == {Scope.RENDER, Scope.READ}
    assert allowed(Scope.READ) == {Scope.READ}
    assert allowed() == set()
    of_a_project = Key("0", "", "", frozenset({Scope.ADMIN}), "project", 0)
    assert of_a_project.allowed == {Scope.RENDER, Scope.READ}


def test_a_key_and_its_secret_are_not_printed() -> None:
    assert digest("s") not in repr(Key("0", digest("s"), "", frozenset(), None, 0))
    assert "secret" not in repr(Seals(b"x" * 32))


def test_a_seal_is_of_one_text_one_purpose_and_one_secret() -> None:
    seals = Seals(b"x" * 32)
    seal = seals.of(Purpose.FILE, "text")
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", seal)
    assert seals.fits(seal, Purpose.FILE, "text")
    assert not seals.fits(seal, Purpose.CSRF, "text")
    assert not seals.fits(seal, Purpose.FILE, "other")
    assert not seals.fits("", Purpose.FILE, "text")
    assert not Seals(b"y" * 32).fits(seal, Purpose.FILE, "text")


@pytest.mark.parametrize("now_s", [0, 1, STEP_SECONDS - 1, STEP_SECONDS, 1_700_000_000])
def test_an_address_is_good_for_a_day_and_an_hour_at_most(now_s: int) -> None:
    seals = Seals(b"x" * 32)
    query = link_query(seals, KEY, now_s * 1000)

    def good_after(seconds: int) -> bool:
        return link_fits(seals, request(query=query), KEY, (now_s + seconds) * 1000)

    assert good_after(0)
    assert good_after(LINK_SECONDS - 1)
    assert not good_after(LINK_SECONDS + STEP_SECONDS)
    assert not link_fits(seals, request(query=query), KEY.replace("clip", "other"), now_s * 1000)


@pytest.mark.parametrize("expires", ["", "x", "-1", "9" * 13, "1e9", "٣", " 1"])
def test_an_expiry_that_is_no_number_of_ours_opens_nothing(expires: str) -> None:
    seals = Seals(b"x" * 32)
    seal = seals.of(Purpose.FILE, f"{KEY}\n{expires}")
    from urllib.parse import quote

    assert not link_fits(seals, request(query=f"expires={quote(expires)}&signature={seal}"), KEY, 0)


@pytest.mark.parametrize(
    ("address", "counted_by"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("unknown", "unknown"),
        ("x" * 1000, "x" * 64),
    ],
)
def test_what_failures_are_counted_by(address: str, counted_by: str) -> None:
    assert limited_address(address) == counted_by


@pytest.mark.parametrize(
    ("listens_on", "asked", "is_own"),
    [
        ("127.0.0.1", request(), True),
        ("127.0.0.1", request(host="localhost:3000"), True),
        ("localhost", request(host="localhost"), True),
        ("::1", request(host="[::1]:3000", client="::1"), True),
        ("0.0.0.0", request(), False),
        ("127.0.0.1", request(host="evil.example"), False),
        ("127.0.0.1", request(host="localhost.evil.example"), False),
        ("127.0.0.1", request(host=""), False),
        ("127.0.0.1", request(client="10.0.0.1"), False),
        ("127.0.0.1", request(x_forwarded_for="127.0.0.1"), False),
        ("127.0.0.1", request(forwarded="for=1.2.3.4"), False),
    ],
)
def test_who_sits_at_this_machine(listens_on: str, asked: Request, is_own: bool) -> None:
    assert is_from_this_machine(asked, listens_on) is is_own


@pytest.mark.parametrize(
    ("asked", "public_url", "elsewhere"),
    [
        (request(), None, False),
        (request(origin="http://127.0.0.1:3000"), None, False),
        (request(host="a.example", origin="https://a.example"), None, False),  # TLS ended before us
        (request(host="a.example", origin="https://a.example:443"), None, False),
        (request(host="a.example", origin="https://a.example:8443"), None, True),
        (request(host="10.0.0.1:3000", origin="https://a.example"), "https://a.example/video", False),
        (request(origin="null"), None, True),
        (request(origin="http://127.0.0.1:3001"), None, True),
        (request(origin="http://127.0.0.1:3000", sec_fetch_site="same-origin"), None, False),
        (request(origin="http://127.0.0.1:3000", sec_fetch_site="cross-site"), None, True),
        (request(sec_fetch_site="same-site"), None, True),
        (request(sec_fetch_site="none"), None, False),
        (request(origin="http://["), None, True),
        (request(origin="http://a.example:port"), None, True),
    ],
)
def test_what_a_page_of_another_origin_sent(asked: Request, public_url: str | None, elsewhere: bool) -> None:
    assert comes_from_elsewhere(asked, public_url) is elsewhere


@pytest.mark.parametrize(
    ("path", "query", "location"),
    [
        ("/admin", "", "admin/login"),
        ("/admin", "x=1", "admin/login"),
        ("/admin/", "", "../admin/login"),
        ("/admin/queues", "", "../admin/login?next=queues"),
        ("/admin/queues", "state=error&q=a", "../admin/login?next=queues%3Fstate%3Derror%26q%3Da"),
        ("/admin/queues/jobs/job_1", "", "../../../admin/login?next=queues%2Fjobs%2Fjob_1"),
        ("/admin//evil.example", "", "../../admin/login?next=evil.example"),
    ],
)
def test_the_way_to_the_login_is_relative(path: str, query: str, location: str) -> None:
    assert login_address(request(path, query=query)) == location

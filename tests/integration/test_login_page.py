"""/admin/login in a real browser against a real server: by keyboard, in both themes, and what a wrong key says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from integration.browser import visit
from integration.program import Program, running

ADMIN_KEY = "the-admin-key-of-the-setting-0123456789"
ERROR_OF_THE_NETWORK = "Failed to load resource"  # Chromium says so itself of every answer from 400 on
SOON_MS = 15_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with running("api", tmp_path_factory.mktemp("api"), FLOWSCALE_ADMIN_KEY=ADMIN_KEY) as program:
        yield program


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_with_the_keyboard_alone(browser: Browser, server: Program, theme: str) -> None:
    with visit(browser, f"{server.url}/admin", color_scheme=theme, viewport={"width": 390, "height": 844}) as visited:
        page = visited.page
        assert page.url == f"{server.url}/admin/login"
        key = page.get_by_label("Admin key")
        expect(key).to_be_focused()
        page.keyboard.type("a wrong one")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("not known here", timeout=SOON_MS)
        expect(key).to_be_focused()
        expect(key).to_have_attribute("aria-invalid", "true")
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name="Show")).to_be_focused()
        page.keyboard.press("Space")
        expect(key).to_have_attribute("type", "text")
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.type(ADMIN_KEY)
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name="Log in")).to_be_focused()
        with page.expect_navigation(timeout=SOON_MS):
            page.keyboard.press("Enter")
        assert page.url == f"{server.url}/admin/queues"
        cookies = page.context.cookies()
        assert [(each["name"], each["httpOnly"], each["sameSite"]) for each in cookies] == [
            ("flowscale_session", True, "Strict")
        ]
        assert page.evaluate("document.cookie") == ""
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390
        assert [text for text in visited.complaints if ERROR_OF_THE_NETWORK not in text] == []
        assert visited.origins() == {server.url}


def test_the_page_asks_who_is_there_without_being_refused(browser: Browser, server: Program) -> None:
    def refusals() -> int:
        return server.log.read_text().count('"audit.refused"')

    with visit(browser, f"{server.url}/docs") as visited:
        page = visited.page
        before = refusals()
        with page.expect_response("**/admin/login.json") as asked:
            page.goto(f"{server.url}/admin/login")
        assert asked.value.json() == {"ok": True, "loggedIn": False}
        assert refusals() == before
        assert visited.complaints == []
        page.goto(f"{server.url}/admin/queues")
        expect(page).to_have_url(f"{server.url}/admin/login?next=queues")
        assert refusals() == before + 1  # of the page that was asked for


@pytest.mark.parametrize(
    ("following", "path"),
    [
        ("queues%3Fstate%3Derror", "/admin/queues?state=error"),
        ("https%3A%2F%2Fevil.example%2Fadmin%2F", "/admin/queues"),
        ("%2F%2Fevil.example%2Fadmin%2F", "/admin/queues"),
        ("..%2Fdocs", "/admin/queues"),
        ("javascript%3Aalert(1)", "/admin/queues"),
    ],
)
def test_it_goes_on_to_pages_of_ours_alone(browser: Browser, server: Program, following: str, path: str) -> None:
    with visit(browser, f"{server.url}/admin/login?next={following}") as visited:
        page = visited.page
        page.get_by_label("Admin key").fill(ADMIN_KEY)
        with page.expect_navigation(timeout=SOON_MS):
            page.get_by_role("button", name="Log in").click()
        assert page.url == f"{server.url}{path}"


def test_who_is_logged_in_comes_by_links_of_other_sites_too(browser: Browser, server: Program) -> None:
    """The browser sends no cookie with the link itself (SameSite=Strict); the login page asks again, and goes on."""
    with visit(browser, f"{server.url}/admin/login") as visited:
        page = visited.page
        page.get_by_label("Admin key").fill(ADMIN_KEY)
        with page.expect_navigation(timeout=SOON_MS):
            page.get_by_role("button", name="Log in").click()
        elsewhere = server.url.replace("127.0.0.1", "localhost")  # another site, to a browser
        page.goto(f"{elsewhere}/docs")
        page.evaluate("url => { location.href = url }", f"{server.url}/admin?from=elsewhere")
        page.wait_for_url(f"{server.url}/admin/queues", timeout=SOON_MS)
        asked = [request for request in visited.requests if request.url.startswith(f"{server.url}/admin/login")]
        assert asked, "it came past the login page"

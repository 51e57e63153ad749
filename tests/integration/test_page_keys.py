"""The page at `/` where the service asks for keys: it asks for one when it needs it, and keeps it for the tab."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from integration.accessibility import Axe
from integration.browser import Visit, visit
from integration.program import Program, running
from integration.test_page import ERROR_OF_THE_NETWORK, RENDERED_MS, SOON_MS, choose, expect_state, press_render, trim

KEY = "the-admin-key-of-the-setting-0123456789"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("dev")
    with running("dev", folder, FLOWSCALE_AUTH="keys", FLOWSCALE_ADMIN_KEY=KEY) as program:
        yield program


@pytest.fixture
def seen(browser: Browser, server: Program) -> Iterator[Visit]:
    with visit(browser, server.url) as visited:
        yield visited
    assert [text for text in visited.complaints if ERROR_OF_THE_NETWORK not in text] == []


def ask_for_render(page: Page, clips: Path) -> None:
    choose(page, clips / "bigbuckbunny.mp4", length="5.31")
    trim(page, "1", "2")
    press_render(page)
    expect(page.get_by_role("dialog")).to_be_visible(timeout=SOON_MS)


def give(page: Page, key: str) -> None:
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_role("button", name="Use this key").click()


def test_key_is_asked_for_and_the_render_goes_on(seen: Visit, clips: Path, axe: Axe) -> None:
    page = seen.page
    ask_for_render(page, clips)
    expect(page.get_by_label("Key", exact=True)).to_be_focused()
    assert axe.grave_findings(page) == []
    give(page, "clé")
    expect(page.get_by_label("Key", exact=True)).to_have_accessible_description(re.compile("signs of ASCII"))
    give(page, "a-wrong-one")
    expect(page.locator("#key-fault")).to_contain_text("not known here", timeout=SOON_MS)
    assert axe.grave_findings(page) == []
    give(page, KEY)
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect_state(page, "done", RENDERED_MS)
    expect(page.locator("#curl")).to_contain_text("Authorization: Bearer $FLOWSCALE_API_KEY")
    assert KEY not in page.content()

    page.reload()  # the tab keeps it
    expect(page.locator("#recent-list button").first).to_contain_text("bigbuckbunny.mp4", timeout=SOON_MS)
    choose(page, clips / "bigbuckbunny.mp4", length="5.31")
    trim(page, "1", "2")
    press_render(page)
    expect_state(page, "done", RENDERED_MS)
    assert page.evaluate("() => JSON.stringify(localStorage)").count(KEY) == 0
    for request in seen.requests:
        assert KEY not in request.url


def test_who_gives_no_key_is_told_why_and_is_asked_again(seen: Visit, clips: Path) -> None:
    page = seen.page
    ask_for_render(page, clips)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect_state(page, "error", SOON_MS)
    expect(page.locator("#job-detail")).to_have_text(
        "This service asks for a key, and none was given. Try again to give one."
    )
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("dialog")).to_be_visible(timeout=SOON_MS)
    give(page, KEY)
    expect_state(page, "done", RENDERED_MS)

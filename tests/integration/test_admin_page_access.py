"""The page at /admin/queues and those who may not see it, or not any more."""

from __future__ import annotations

import json
import subprocess

import httpx2
from playwright.sync_api import Browser, expect

from integration.accessibility import Axe
from integration.admin_site import SOON_MS, AdminSite, expect_live, log_in
from integration.browser import visit
from integration.leased import Stage
from integration.program import FLOWSCALE


def keys(site: AdminSite, *words: str) -> str:
    """`flowscale keys`, as an operator would."""
    command = [str(FLOWSCALE), "keys", *words]
    return subprocess.run(command, env=site.site.environment, check=True, capture_output=True, text=True).stdout


def test_without_a_login_the_page_is_only_a_way_to_the_login(site: AdminSite) -> None:
    for path in (
        "/admin",
        "/admin/queues",
        "/admin/queues?state=error",
        f"/admin/queues/jobs/job_1700000000000_{'0' * 32}",
    ):
        answer = httpx2.get(f"{site.url}{path}", follow_redirects=False)
        assert (answer.status_code, answer.content) == (302, b"")
        assert not answer.headers["location"].startswith(("/", "http"))
        assert "login" in answer.headers["location"]


def test_login_leads_on_to_what_was_asked_for(site: AdminSite, browser: Browser) -> None:
    site.ask("wanted")
    with site.visit(browser, "queues?state=waiting&q=wanted") as seen:
        expect(seen.page).to_have_url(f"{site.url}/admin/queues?state=waiting&q=wanted")
        expect(seen.page.get_by_role("searchbox")).to_have_value("wanted")


def test_revoked_key_ends_the_page_at_the_login(site: AdminSite, browser: Browser, axe: Axe) -> None:
    made = json.loads(keys(site, "create", "night shift", "--scope", "admin", "--json"))
    with visit(browser, f"{site.url}/admin/queues?state=error") as seen:
        page = seen.page
        log_in(page, made["key"])
        expect_live(page)
        expect(page.locator("#who")).to_have_text("night shift")
        keys(site, "revoke", made["id"])
        site.ask("news")  # the stream is asked at each event whether it may go on
        expect(page).to_have_url(f"{site.url}/admin/login?next=queues%3Fstate%3Derror&ended=yes", timeout=SOON_MS)
        expect(page.get_by_role("status")).to_contain_text("Your login has ended")
        assert axe.grave_findings(page) == []
        page.goto(f"{site.url}/admin/queues")  # the dead login's cookie comes with it
        expect(page).to_have_url(f"{site.url}/admin/login?next=queues&ended=yes")
        page.goto(f"{site.url}/admin/queues?state=error")
        log_in(page)
        expect(page).to_have_url(f"{site.url}/admin/queues?state=error")


def test_logging_out_ends_it_for_good(site: AdminSite, browser: Browser) -> None:
    with site.visit(browser) as seen:
        page = seen.page
        expect_live(page)
        page.get_by_role("button", name="Log out").click()
        expect(page).to_have_url(f"{site.url}/admin/login", timeout=SOON_MS)
        page.goto(f"{site.url}/admin/queues")
        expect(page).to_have_url(f"{site.url}/admin/login?next=queues")
        expect(page.get_by_role("status")).to_be_hidden()  # nothing was lost


def test_job_is_followed_where_the_render_api_asks_for_keys(stage: Stage, browser: Browser) -> None:
    with AdminSite(stage, FLOWSCALE_AUTH="keys") as site:
        job_id = site.ask("behind-keys", 3)
        site.fleet()
        with site.visit(browser, f"queues?job={job_id}") as seen:
            page = seen.page
            expect(page.locator(".state.big")).to_have_text("Done", timeout=90_000)
            page.wait_for_function("() => document.querySelector('video').readyState >= 1", timeout=SOON_MS)


def test_key_that_may_not_is_told_so_in_plain_words(site: AdminSite, browser: Browser, axe: Axe) -> None:
    made = json.loads(keys(site, "create", "shop", "--scope", "render", "--json"))
    with visit(browser, f"{site.url}/admin/login") as seen:
        page = seen.page
        page.get_by_label("Admin key", exact=True).fill(made["key"])
        page.get_by_role("button", name="Log in").click()
        fault = page.get_by_role("alert")
        expect(fault).to_contain_text("it needs the scope admin", timeout=SOON_MS)
        expect(fault.locator("code")).to_have_text("admin")
        assert "`" not in fault.inner_text()
        assert axe.grave_findings(page) == []

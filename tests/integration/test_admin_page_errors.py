"""What a browser is shown below /admin where there is no page: the queue is away, or the address leads nowhere."""

from __future__ import annotations

from playwright.sync_api import Browser, expect

from integration.accessibility import Axe
from integration.admin_site import SOON_MS, AdminSite, count_of, expect_live
from integration.browser import visit
from integration.leased import Stage
from integration.prefix_proxy import PrefixProxy
from integration.test_admin_page import expect_no_sideways_scroll
from redis_server import RedisServer

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


def test_page_asked_for_while_the_queue_is_away_says_so_and_comes_by_itself(
    stage: Stage, own_redis: RedisServer, browser: Browser, axe: Axe
) -> None:
    with AdminSite(stage, own_redis) as site:
        site.ask("still-there")
        with site.visit(browser) as seen:
            page = seen.page
            expect_live(page)
            own_redis.stop()
            answer = page.reload()
            assert answer is not None
            assert answer.status == 503
            assert int(answer.headers["retry-after"]) > 0
            assert answer.headers["cache-control"] == "no-store"
            expect(page.get_by_role("heading", level=1)).to_have_text("The queue cannot be reached")
            expect(page.get_by_role("status")).to_contain_text("tried again by itself")
            expect(page.locator("main")).to_contain_text("QUEUE_UNAVAILABLE")
            # Nobody has said who is there: nothing of the inside is told.
            told = page.content()
            for inside in (str(own_redis.port), "127.0.0.1", "REDIS_", "still-there"):
                assert inside not in told
            assert axe.grave_findings(page) == []
            expect_no_sideways_scroll(page)
            own_redis.start()
            expect_live(page)
            expect(count_of(page, "Waiting")).to_have_text("1", timeout=SOON_MS)


def test_address_that_leads_nowhere_is_a_page_with_a_way_on(site: AdminSite, browser: Browser, axe: Axe) -> None:
    for nowhere in ("nowhere", "queues/nowhere/at/all"):
        with visit(browser, f"{site.url}/admin/{nowhere}") as seen:
            page = seen.page
            expect(page.get_by_role("heading", level=1)).to_have_text("There is nothing at this address")
            assert page.evaluate("() => getComputedStyle(document.querySelector('.card')).display") == "grid"
            assert axe.grave_findings(page) == []
            expect_no_sideways_scroll(page)
            page.get_by_role("link", name="Go to the queue").click()
            expect(page).to_have_url(f"{site.url}/admin/login?next=queues", timeout=SOON_MS)


def test_job_that_cannot_be_is_a_page_for_who_is_logged_in(site: AdminSite, browser: Browser) -> None:
    with site.visit(browser) as seen:
        page = seen.page
        answer = page.goto(f"{site.url}/admin/queues/jobs/job_<script>")
        assert answer is not None
        assert answer.status == 404
        expect(page.locator("main")).to_contain_text("JOB_NOT_FOUND")
        expect(page.locator("main script")).to_have_count(0)


def test_error_pages_hold_below_a_path_of_a_proxys(site: AdminSite, browser: Browser) -> None:
    with (
        PrefixProxy(site.port, "/video/render") as proxy,
        visit(browser, f"{proxy.url}/admin/no/where") as seen,
    ):
        assert seen.page.evaluate("() => getComputedStyle(document.querySelector('.card')).display") == "grid"
        assert proxy.strays == []


def test_only_browsers_that_open_an_address_are_shown_pages(site: AdminSite) -> None:
    http = site.frontend.http
    page = http.get("/admin/nowhere", headers=BROWSER)
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    for path, headers in (
        ("/admin/nowhere", {"Accept": "*/*"}),
        ("/admin/nowhere", {"Accept": "application/json"}),
        ("/admin/nowhere", {"Accept": "text/html;q=0, */*"}),
        ("/admin/assets/nothing.js", BROWSER),
        ("/administration", BROWSER),
        ("/api/admin/nowhere", BROWSER),
        ("/api/jobs/nowhere", BROWSER),
        ("/nowhere", BROWSER),
    ):
        answer = http.get(path, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json"), path
        assert answer.json()["ok"] is False
    assert http.post("/admin/queues", headers=BROWSER).headers["content-type"] == "application/json"

"""The page at /admin/queues in a real browser, on the real stack: what it shows, in every state it can be in."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from fault_proxy import FaultProxy
from flowscale.origins import Origin
from integration.accessibility import Axe
from integration.admin_site import (
    RENDERED_MS,
    SOON_MS,
    AdminSite,
    count_of,
    expect_job,
    expect_live,
    expect_state,
    open_job,
    press,
    row,
)
from integration.leased import Stage
from redis_server import RedisServer

WIDTHS = (390, 1440)


def expect_no_sideways_scroll(page: Page) -> None:
    """At every width, and at the end the wide one."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_queue_without_jobs_and_workers_says_so(site: AdminSite, browser: Browser, axe: Axe) -> None:
    with site.visit(browser) as seen:
        page = seen.page
        expect_live(page)
        expect(page.locator("#jobs")).to_contain_text("No jobs yet.")
        expect(page.locator("#workers")).to_contain_text("No worker reports.")
        expect(page.locator("#hour-words")).to_contain_text(re.compile("0 jobs came|Nothing was read"))
        expect(page.get_by_role("button", name="Retry all failed")).to_be_disabled()
        page.get_by_role("link", name="Failed").click()
        expect(page.locator("#jobs")).to_contain_text("No job is failed.")
        assert axe.grave_findings(page) == []
        expect_no_sideways_scroll(page)
        assert seen.origins() == {site.url}


def test_figures_and_list_follow_a_render_by_themselves(site: AdminSite, browser: Browser, axe: Axe) -> None:
    with site.visit(browser) as seen:
        page = seen.page
        expect_live(page)
        site.ask("holiday", projectId="summer", priority="high")
        expect(count_of(page, "Waiting")).to_have_text("1", timeout=SOON_MS)
        expect(row(page, "holiday")).to_contain_text("next", timeout=SOON_MS)
        site.fleet(2)
        expect(page.locator("#workers li")).to_contain_text("2 at once", timeout=SOON_MS)
        expect(count_of(page, "Done")).to_have_text("1", timeout=RENDERED_MS)
        expect(row(page, "holiday")).to_contain_text("Done", timeout=SOON_MS)
        expect(row(page, "holiday")).to_contain_text("summer")
        expect(page.locator("#workers li").first).to_contain_text("heard")
        expect(page.locator("#workers li").first).to_contain_text("up")
        expect(page.locator("#workers li").first).to_contain_text("Idle", timeout=SOON_MS)
        page.get_by_text("As a table").click()
        expect(page.locator("#hour-rows tr")).to_have_count(60)
        expect(page.locator("#server")).to_contain_text("Redis")
        assert axe.grave_findings(page) == []
        expect_no_sideways_scroll(page)
        assert seen.count("/api/admin/overview") == 0
        assert seen.count("/api/admin/events") == 1  # one stream, and no polling beside it


def test_page_of_a_job_follows_it_to_its_output(site: AdminSite, browser: Browser, axe: Axe) -> None:
    site.fleet()
    site.ask("long-film", seconds=6, resize={"width": 320, "height": 180}, quality="low")
    with site.visit(browser, permissions=["clipboard-read", "clipboard-write"]) as seen:
        page = seen.page
        open_job(page, "long-film")
        expect_state(page, "Running", RENDERED_MS)
        expect(page.get_by_role("progressbar", name="Progress")).to_be_visible()
        expect(page.locator("#job-percent")).not_to_have_text("0 %", timeout=RENDERED_MS)
        expect(page.locator("#log-lines")).not_to_be_empty()
        assert axe.grave_findings(page) == []

        expect_state(page, "Done", RENDERED_MS)
        video = page.get_by_label("What the job made")
        height = video.evaluate(
            """async (video) => {
                if (video.readyState < 1) await new Promise((done) => video.addEventListener("loadedmetadata", done));
                return video.videoHeight;
            }"""
        )
        assert height == 180
        for fact in ("Accepted", "Started", "Ended"):
            expect(page.get_by_role("region", name="Facts")).to_contain_text(
                re.compile(rf"{fact}\d{{1,2}} [A-Z][a-z]+ 20\d\d, \d\d:\d\d:\d\d [A-Z]")
            )
        asked = page.locator("section", has=page.get_by_role("heading", name="Asked for"))
        expect(asked).to_contain_text(re.compile("320.{3}180"))
        expect(asked).to_contain_text("0 s to 6 s")
        expect(page.locator("section", has=page.get_by_role("heading", name="Source"))).to_contain_text(
            re.compile("FileMP4, .*h264")
        )
        expect(page.locator(".timeline li").first).to_contain_text("Accepted")
        expect(page.locator(".timeline li").last).to_contain_text("Done")
        expect(page.locator(".attempts li")).to_contain_text("Succeeded")

        command = page.locator("pre.command")
        expect(command).to_contain_text("-filter_complex")
        page.get_by_role("button", name="Copy command").click()
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate("() => navigator.clipboard.readText()") == command.text_content()
        assert axe.grave_findings(page) == []
        expect_no_sideways_scroll(page)


def test_page_of_a_failed_job_shows_every_attempt(site: AdminSite, browser: Browser, axe: Axe, tmp_path: Path) -> None:
    job_id = site.ask_for_nonsense("no-film", tmp_path, projectId="summer")
    site.fleet()
    site.ended(job_id)
    with site.visit(browser, f"queues?state=error&job={job_id}") as seen:
        page = seen.page
        expect_job(page, "no-film")
        expect_state(page, "Failed")
        why = page.get_by_role("region", name="Why it ended")
        expect(why).to_contain_text("INVALID_MEDIA")
        expect(why).to_contain_text("a retry will not help")
        expect(page.locator(".attempts li")).to_contain_text("INVALID_MEDIA")
        message = site.ended(job_id)["error"]["message"]
        assert page.locator("main").inner_text().count(message) == 1  # said once
        expect(page.locator("#hour-words")).to_be_hidden()
        assert axe.grave_findings(page) == []
        expect_no_sideways_scroll(page)
        page.get_by_role("link", name="← Jobs").click()
        expect(page.get_by_role("link", name="Failed")).to_have_attribute("aria-current", "true")
        expect(row(page, "no-film")).to_contain_text("INVALID_MEDIA", timeout=SOON_MS)
        expect(row(page, "no-film")).to_contain_text(message)
        expect(page.locator("#hour-words")).to_contain_text("1 job came, 0 ended well, 1 in error", timeout=SOON_MS)


def test_attempts_keep_their_own_logs(site: AdminSite, browser: Browser) -> None:
    site.ask("twice-tried")
    job_id = site.fail("STORAGE_ERROR", "the bucket refused", lines=("first words", "last words"), retryable=True)
    with site.visit(browser, f"queues?job={job_id}") as seen:
        page = seen.page
        expect_state(page, "Delayed")
        expect(page.locator(".attempts li")).to_contain_text("the bucket refused")
        expect(page.get_by_role("region", name="Log of attempt 1")).to_have_text("first words\nlast words")
        expect(page.get_by_role("button", name="Promote")).to_be_visible()


def test_job_is_called_by_its_source_where_it_has_no_label(site: AdminSite, browser: Browser) -> None:
    job_id = site.frontend.execute(site.site.source, trim={"start": 0, "end": 1})
    name = site.site.source.rpartition("/")[2]
    assert site.frontend.job(job_id)["label"] == name
    with site.visit(browser, f"queues?q={name}") as seen:
        page = seen.page
        open_job(page, name)
        dialog = press(page, "Cancel")
        expect(dialog).to_contain_text(f"“{name}”")


def test_job_leads_to_its_trace(site: AdminSite, browser: Browser) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    traced = site.put("traced", origin=Origin.read("abc", f"00-{trace}-b7ad6b7169203331-01", None))
    other = site.put("not traced")
    assert site.frontend.http.get(f"/api/admin/jobs/{other}").json()["traceId"] is None
    with site.visit(browser, f"queues?job={traced}") as seen:
        expect_job(seen.page, "traced")
        expect(seen.page.get_by_role("region", name="Facts")).to_contain_text(f"Trace{trace}")


def test_jobs_are_found_by_all_they_are_known_by(site: AdminSite, browser: Browser, tmp_path: Path) -> None:
    night = site.ask("night-ride", projectId="autumn")
    site.ask("morning-walk", projectId="summer")
    failed = site.ask_for_nonsense("noon", tmp_path)
    with site.visit(browser) as seen:
        page = seen.page
        search = page.get_by_role("searchbox")
        for words, found in (
            (night, "night-ride"),
            ("autumn", "night-ride"),
            ("rid nigh", "night-ride"),
            ("WALK", "morning-walk"),
        ):
            search.fill(words)
            expect(page.locator("#jobs-total")).to_have_text("1 job matches", timeout=SOON_MS)
            expect(page.locator("#jobs tbody tr")).to_have_count(1)
            expect(row(page, found)).to_be_visible()
        site.fleet()
        site.ended(failed)
        search.fill("invalid_media")
        expect(row(page, "noon")).to_be_visible(timeout=SOON_MS)

        page.reload()
        expect(page.get_by_role("searchbox")).to_have_value("invalid_media")
        expect(page.locator("#jobs tbody tr")).to_have_count(1, timeout=SOON_MS)
        open_job(page, "noon")
        page.go_back()
        expect(page.locator("#jobs-total")).to_have_text("1 job matches", timeout=SOON_MS)
        page.get_by_role("searchbox").fill("nothing like it")
        expect(page.locator("#jobs")).to_contain_text("No job matches “nothing like it”.", timeout=SOON_MS)


def test_long_lists_are_turned_page_by_page(site: AdminSite, browser: Browser) -> None:
    for number in range(1, 121):
        site.ask(f"clip-{number:03}")
    with site.visit(browser) as seen:
        page = seen.page
        words = page.locator("#pager-words")
        expect(words).to_have_text("1 to 50 of 120", timeout=SOON_MS)
        expect(row(page, "clip-120")).to_be_visible()
        page.get_by_role("button", name="Older").click()
        expect(words).to_have_text("51 to 100 of 120", timeout=SOON_MS)
        page.get_by_role("button", name="Older").click()
        expect(words).to_have_text("101 to 120 of 120", timeout=SOON_MS)
        expect(row(page, "clip-001")).to_be_visible()
        expect(page.get_by_role("button", name="Older")).to_be_disabled()

        page.reload()
        expect(words).to_have_text("101 to 120 of 120", timeout=SOON_MS)
        page.go_back()
        expect(words).to_have_text("51 to 100 of 120", timeout=SOON_MS)
        open_job(page, "clip-051")
        page.get_by_role("link", name="← Jobs").click()
        expect(words).to_have_text("51 to 100 of 120", timeout=SOON_MS)
        page.get_by_role("button", name="Newest").click()
        expect(words).to_have_text("1 to 50 of 120", timeout=SOON_MS)


def test_page_that_is_cut_off_says_so_and_comes_back(site: AdminSite, browser: Browser, axe: Axe) -> None:
    with FaultProxy(site.port) as line, site.visit(browser, base=f"http://127.0.0.1:{line.port}") as seen:
        page = seen.page
        expect_live(page)
        line.refuse()
        expect(page.locator("#live")).to_have_text("Not live", timeout=SOON_MS)
        expect(page.locator("#stale-words")).to_contain_text("The connection to the gateway was lost")
        assert axe.grave_findings(page) == []
        expect_no_sideways_scroll(page)
        site.ask("meanwhile")
        line.pass_through()
        page.get_by_role("button", name="Try now").click()
        expect_live(page)
        expect(page.locator("#stale")).to_be_hidden()
        expect(count_of(page, "Waiting")).to_have_text("1", timeout=SOON_MS)
        expect(row(page, "meanwhile")).to_be_visible(timeout=SOON_MS)


def test_lost_queue_is_an_error_with_its_code_and_a_way_on(
    stage: Stage, own_redis: RedisServer, browser: Browser, axe: Axe
) -> None:
    with AdminSite(stage, own_redis) as site:
        site.ask("still-there")
        with site.visit(browser) as seen:
            page = seen.page
            expect_live(page)
            own_redis.stop()
            page.get_by_role("link", name="Waiting").click()
            fault = page.locator("#jobs").get_by_role("alert")
            expect(fault).to_contain_text("QUEUE_UNAVAILABLE", timeout=SOON_MS)
            expect(page.locator("#stale-words")).to_contain_text("QUEUE_UNAVAILABLE", timeout=SOON_MS)
            assert axe.grave_findings(page) == []
            own_redis.start()
            fault.get_by_role("button", name="Try again").click()
            expect(row(page, "still-there")).to_be_visible(timeout=SOON_MS)
            expect_live(page)


def test_server_that_may_lose_jobs_is_warned_of(stage: Stage, browser: Browser, axe: Axe) -> None:
    with (
        RedisServer(append_only=False, maxmemory=200 * 1024**2, maxmemory_policy="allkeys-lru") as server,
        AdminSite(stage, server) as site,
        site.visit(browser) as seen,
    ):
        warnings = seen.page.get_by_role("region", name="Warnings of the queue's server")
        expect(warnings).to_contain_text("noeviction", timeout=SOON_MS)
        expect(warnings.get_by_role("listitem")).to_have_count(2)
        expect(seen.page.locator("#server")).to_contain_text("allkeys-lru")
        assert axe.grave_findings(seen.page) == []


def test_unknown_job_is_said_to_be_none(site: AdminSite, browser: Browser, axe: Axe) -> None:
    with site.visit(browser, f"queues?job=job_1700000000000_{'0' * 32}") as seen:
        expect(seen.page.locator("#job-view").get_by_role("alert")).to_contain_text("JOB_NOT_FOUND", timeout=SOON_MS)
        assert axe.grave_findings(seen.page) == []


def test_keyboard_alone_reaches_everything(site: AdminSite, browser: Browser) -> None:
    site.ask("by-keyboard")
    with site.visit(browser) as seen:
        page = seen.page
        expect_live(page)
        expect(row(page, "by-keyboard")).to_be_visible(timeout=SOON_MS)
        page.locator("body").press("Tab")
        expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        pause = page.get_by_role("button", name="Pause queue")
        expect(pause).to_be_focused()
        assert pause.evaluate("(button) => getComputedStyle(button).outlineStyle") == "solid"
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_be_visible()
        expect(page.get_by_role("button", name="Go back")).to_be_focused()  # what is grave is not one key away
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
        expect(pause).to_be_focused()
        row(page, "by-keyboard").locator(".job-link").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#job-heading")).to_be_focused(timeout=SOON_MS)
        for _ in range(2):
            page.keyboard.press("Tab")
        expect(page.get_by_role("button", name="Promote")).to_be_focused()


HOSTILE = "<img src=x onerror=document.title='owned'>"


def test_what_clients_and_logs_say_is_text_and_never_markup(site: AdminSite, browser: Browser) -> None:
    site.put(HOSTILE, project_id=HOSTILE)
    job_id = site.fail(f"<b>{HOSTILE}", f"<script>{HOSTILE}</script>", lines=(HOSTILE, "</pre><svg onload=alert(1)>"))
    with site.visit(browser) as seen:
        page = seen.page
        expect(page.locator("#jobs tbody tr")).to_contain_text(f"<script>{HOSTILE}</script>", timeout=SOON_MS)
        expect(page.locator("#jobs tbody tr")).to_contain_text(HOSTILE)
        expect(page.locator("#jobs .job-link")).to_have_text(HOSTILE)
        page.get_by_role("searchbox").fill(f"{HOSTILE}zzz")
        expect(page.locator("#jobs")).to_contain_text(f"{HOSTILE}zzz", timeout=SOON_MS)
        page.goto(f"{site.url}/admin/queues?job={job_id}")
        expect_job(page, HOSTILE)
        expect(page.get_by_role("region", name="Log of attempt 1")).to_contain_text("</pre><svg", timeout=SOON_MS)
        expect(page.locator("main :is(img, script, b, svg[onload])")).to_have_count(0)
        assert page.title() != "owned"
        assert page.evaluate("() => document.querySelectorAll('[onerror], [onload]').length") == 0


def test_policy_lets_in_nothing_from_outside_and_no_frame(site: AdminSite) -> None:
    answer = site.frontend.http.get("/admin/queues")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    again = site.frontend.http.get("/admin/queues", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    named = set(re.findall(r'"assets/([^"]+\.js)"', answer.text))
    folder = files("flowscale_api").joinpath("web", "admin")
    modules = {f"admin/{entry.name}" for entry in folder.iterdir() if entry.name.endswith(".js")}
    assert named - {"dom.js", "http.js", "words.js"} == modules
    for name in named:
        assert site.frontend.http.get(f"/admin/assets/{name}").status_code == 200, name
    assert not re.search(r"""(?:src|href)=["'](?:/|https?:)""", answer.text)
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=", answer.text)


def test_every_event_of_the_page_is_a_document_of_its_interface(site: AdminSite) -> None:
    """The page reads the stream by itself, so it is held to the form that browsers' own reader takes."""
    with site.frontend.http.stream("GET", "/api/admin/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        data = next(line.removeprefix("data:") for line in answer.iter_lines() if line.startswith("data:"))
        assert set(json.loads(data)) >= {"now", "queue", "workers", "server", "warnings", "readOnly"}

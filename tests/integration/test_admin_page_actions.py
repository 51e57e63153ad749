"""Every action of the page at /admin/queues: asked for, confirmed, done for real, and refused where it must be."""

from __future__ import annotations

import re
from datetime import datetime

from playwright.sync_api import Browser, Locator, Page, expect

from integration.accessibility import Axe
from integration.admin_site import (
    RENDERED_MS,
    SOON_MS,
    AdminSite,
    confirm,
    count_of,
    expect_live,
    expect_state,
    open_job,
    press,
    row,
)
from integration.leased import Stage
from integration.prefix_proxy import PrefixProxy
from integration.processes import until


def facts(page: Page) -> Locator:
    return page.get_by_role("region", name="Facts")


def test_failed_job_is_retried(site: AdminSite, browser: Browser, axe: Axe) -> None:
    site.ask("unlucky")
    job_id = site.fail("DISK_FULL", "no room is left")
    with site.visit(browser, f"queues?job={job_id}") as seen:
        page = seen.page
        dialog = press(page, "Retry")
        expect(dialog).to_contain_text("queued again")
        assert axe.grave_findings(page) == []
        dialog.get_by_role("button", name="Retry the job").click()
        expect(page.locator("#notice")).to_contain_text("“unlucky” was queued again", timeout=SOON_MS)
        expect_state(page, "Waiting")
        expect(facts(page)).not_to_contain_text("Waited")
        expect(page.locator(".timeline li").last).to_contain_text("Queued again")
        site.fleet()
        expect_state(page, "Done", RENDERED_MS)
        expect(page.locator("#notice")).to_be_hidden()  # what it said is overtaken
        expect(page.locator(".attempts li")).to_have_count(2)
        assert [words.split("\n")[-1] for words in page.locator(".timeline .what").all_inner_texts()] == [
            *("Accepted", "Started", "Failed", "Queued again", "Started", "Done")
        ]
        job = site.frontend.http.get(f"/api/admin/jobs/{job_id}").json()
        queued = next(each["at"] for each in job["timeline"] if each["what"] == "queued again")
        waited = datetime.fromisoformat(job["startedAt"]) - datetime.fromisoformat(queued)
        expect(facts(page)).to_contain_text(f"Waited{waited.total_seconds():.1f} s")
    assert site.ended(job_id)["status"] == "done"


def test_waiting_and_running_jobs_are_cancelled(site: AdminSite, browser: Browser) -> None:
    running = site.ask("runs", seconds=300)
    site.fleet()
    waiting = site.ask("waits")
    site.frontend.wait(running, "running")
    with site.visit(browser) as seen:
        page = seen.page
        for label in ("waits", "runs"):
            open_job(page, label)
            press(page, "Cancel").get_by_role("button", name="Cancel the job").click()
            expect_state(page, "Cancelled", RENDERED_MS)
            page.get_by_role("link", name="← Jobs").click()
            expect(page.locator("#notice")).to_be_hidden()  # it spoke of what is not looked at any more
        expect(row(page, "runs")).to_contain_text("Cancelled", timeout=SOON_MS)
    for job_id in (running, waiting):
        assert site.ended(job_id)["error"]["code"] == "CANCELLED"


def test_done_job_is_removed_with_its_output(site: AdminSite, browser: Browser) -> None:
    job_id = site.ask("to-be-forgotten")
    site.fleet()
    site.ended(job_id)
    assert site.site.outputs(job_id)
    with site.visit(browser, f"queues?job={job_id}") as seen:
        page = seen.page
        dialog = press(page, "Remove")
        expect(dialog).to_contain_text("This cannot be undone.")
        dialog.get_by_role("button", name="Go back").click()
        expect(dialog).to_be_hidden()
        assert site.frontend.job(job_id)["status"] == "done"
        confirm(page, "Remove", "Remove the job")
        expect(page.locator("#jobs")).to_contain_text("No jobs yet.", timeout=SOON_MS)
        expect(page.locator("#notice")).to_contain_text("“to-be-forgotten” was removed")
        page.get_by_role("link", name="Failed").click()
        expect(page.locator("#notice")).to_be_hidden()
    assert site.frontend.http.get(f"/api/jobs/{job_id}").status_code == 404
    until(lambda: not site.site.outputs(job_id), "the output to be deleted")


def test_waiting_job_is_promoted(site: AdminSite, browser: Browser) -> None:
    for label in ("first", "second", "third"):
        site.ask(label)
    with site.visit(browser) as seen:
        page = seen.page
        open_job(page, "third")
        confirm(page, "Promote", "Promote the job")
        page.get_by_role("link", name="← Jobs").click()
        expect(row(page, "third")).to_contain_text("next", timeout=SOON_MS)
        expect(row(page, "first")).to_contain_text("2 in line")


def test_failed_jobs_are_retried_together(site: AdminSite, browser: Browser, axe: Axe) -> None:
    for number, code in enumerate(("DISK_FULL", "DISK_FULL", "OUT_OF_MEMORY")):
        site.ask(f"lost-{number}")
        site.fail(code, "it went wrong")
    with site.visit(browser, "queues?state=error&q=DISK_FULL") as seen:
        page = seen.page
        expect_live(page)
        dialog = press(page, "Retry all failed")
        expect(dialog.get_by_label("Error code")).to_have_value("DISK_FULL")
        expect(dialog.get_by_role("button", name="Go back")).to_be_focused()  # much at once is not one key away
        assert axe.grave_findings(page) == []
        dialog.get_by_role("button", name="Retry failed jobs").click()
        expect(page.locator("#notice")).to_contain_text("2 failed jobs were queued again.", timeout=SOON_MS)
        expect(count_of(page, "Failed")).to_have_text("1", timeout=SOON_MS)
        expect(count_of(page, "Waiting")).to_have_text("2")


def test_queue_is_paused_and_resumed(site: AdminSite, browser: Browser, axe: Axe) -> None:
    with site.visit(browser) as seen:
        page = seen.page
        expect_live(page)
        dialog = press(page, "Pause queue")
        expect(dialog.get_by_role("button", name="Go back")).to_be_focused()
        pause = dialog.get_by_role("button", name="Pause the queue")
        expect(pause).not_to_have_class(re.compile("grave"))  # it can be undone
        pause.click()
        expect(dialog).to_be_hidden(timeout=SOON_MS)
        expect(page.locator("#paused")).to_contain_text("Paused", timeout=SOON_MS)
        assert axe.grave_findings(page) == []
        job_id = site.ask("patient")
        site.fleet()
        expect(row(page, "patient")).to_contain_text("Waiting", timeout=SOON_MS)
        confirm(page, "Resume queue", "Resume the queue")
        expect(page.locator("#paused")).to_be_hidden(timeout=SOON_MS)
        expect(row(page, "patient")).to_contain_text("Done", timeout=RENDERED_MS)
    assert site.ended(job_id)["status"] == "done"


def test_refusal_is_said_in_the_dialog_with_its_code(site: AdminSite, browser: Browser, axe: Axe) -> None:
    job_id = site.ask("too-late")
    with site.visit(browser, f"queues?job={job_id}") as seen:
        page = seen.page
        dialog = press(page, "Promote")
        site.fail("DISK_FULL", "meanwhile it failed")
        dialog.get_by_role("button", name="Promote the job").click()
        fault = dialog.get_by_role("alert")
        expect(fault).to_contain_text("CONFLICT", timeout=SOON_MS)
        expect(fault).to_contain_text("look at it again")
        assert axe.grave_findings(page) == []
        dialog.get_by_role("button", name="Go back").click()
        expect_state(page, "Failed")


def test_read_only_gateway_offers_nothing_and_says_why(stage: Stage, browser: Browser, axe: Axe) -> None:
    with AdminSite(stage, FLOWSCALE_ADMIN_READ_ONLY="true") as site:
        site.ask("only-to-be-seen")
        with site.visit(browser) as seen:
            page = seen.page
            expect_live(page)
            expect(page.locator("#read-only")).to_be_visible()
            expect(page.locator("#queue-actions")).to_have_text("Read only: this gateway changes nothing.")
            open_job(page, "only-to-be-seen")
            expect(page.locator("#job-view .actions")).to_have_text("Read only: this gateway changes nothing.")
            expect(page.locator("#job-view .actions button")).to_have_count(0)
            assert axe.grave_findings(page) == []


def test_page_works_below_a_path_of_a_proxys(site: AdminSite, browser: Browser) -> None:
    job_id = site.ask("far-below")
    site.fleet()
    site.ended(job_id)
    with PrefixProxy(site.port, "/video/render") as proxy, site.visit(browser, "", base=proxy.url) as seen:
        page = seen.page
        expect(page).to_have_url(f"{proxy.url}/admin/queues")
        expect_live(page)
        open_job(page, "far-below")
        expect(page.get_by_label("What the job made")).to_have_js_property("error", None)
        page.wait_for_function("() => document.querySelector('video').readyState >= 1", timeout=SOON_MS)
        confirm(page, "Remove", "Remove the job")
        page.goto(f"{proxy.url}/admin/queues/jobs/{job_id}")
        expect(page).to_have_url(f"{proxy.url}/admin/queues?job={job_id}")
        expect(page.locator("#job-view").get_by_role("alert")).to_contain_text("JOB_NOT_FOUND", timeout=SOON_MS)
        assert proxy.strays == []

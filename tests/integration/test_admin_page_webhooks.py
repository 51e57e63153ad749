"""Webhooks on the page of a job: what became of each, and sending one again."""

from __future__ import annotations

import base64
import re
from typing import Any

from playwright.sync_api import Browser, expect

from integration.admin_site import SOON_MS, AdminSite, expect_job
from integration.leased import Stage
from webhook_receiver import HOST, Receiver, Reply

HOSTILE = b"<img src=x onerror=document.title='owned'>"


def test_webhook_is_sent_again_from_the_page(stage: Stage, browser: Browser) -> None:
    with Receiver(Reply(500, body=HOSTILE), Reply(204)) as receiver, AdminSite(stage, **settings(receiver)) as site:
        site.ask("announced")
        job_id = site.fail("DISK_FULL", "no room is left")
        with site.visit(browser, f"queues?job={job_id}") as seen:
            page = seen.page
            expect_job(page, "announced")
            webhooks = page.get_by_role("region", name="Webhooks")
            expect(webhooks).to_contain_text("last answer 500", timeout=SOON_MS)
            # Who receives it is told, and nothing of the address that may be a token.
            expect(webhooks.locator(".host")).to_have_text(HOST)
            assert "/" not in webhooks.locator(".host").inner_text()
            assert page.get_by_role("button", name=re.compile(f"^Send again: .* to {re.escape(HOST)}$")).count() == 1
            expect(webhooks).to_contain_text(HOSTILE.decode())
            page.get_by_role("button", name=re.compile("^Send again")).click()
            page.get_by_role("dialog").get_by_role("button", name="Send it again").click()
            expect(page.locator("#notice")).to_contain_text("will be sent again", timeout=SOON_MS)
            expect(webhooks).to_contain_text("Delivered", timeout=SOON_MS)
        assert len(set(receiver.ids())) == 1


def settings(receiver: Receiver) -> dict[str, Any]:
    return {
        "FLOWSCALE_WEBHOOK_URL": receiver.url,
        "FLOWSCALE_WEBHOOK_SECRET": "whsec_" + base64.b64encode(bytes(32)).decode(),
        "FLOWSCALE_WEBHOOK_ALLOW_NETWORKS": f"{HOST}/32",
        "FLOWSCALE_PUBLIC_URL": "http://127.0.0.1",
    }

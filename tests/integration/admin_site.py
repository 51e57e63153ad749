"""The page of the queue on the real stack, for tests: Redis, a gateway, a fleet with a real FFmpeg, a browser.

with AdminSite(stage) as site, site.visit(browser) as seen:
    site.render("holiday")
    expect(row(seen.page, "holiday")).to_contain_text("Done")
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from playwright.sync_api import Browser, Locator, Page, expect

from flowscale import names
from flowscale.clocks import SystemClock
from flowscale.jobs import Failure, Job, RetryPolicy
from flowscale.queues.base import QueuePolicy
from flowscale.queues.redis import open_work_queue
from integration.browser import Visit, visit
from integration.frontend import Frontend
from integration.leased import Fleet, Site, Stage
from redis_server import RedisServer

SOON_MS = 20_000  # the page and the server answer, on a busy machine too
RENDERED_MS = 90_000

STATES = ("Waiting", "Delayed", "Running", "Done", "Failed")

ADMIN_KEY = "correct horse battery staple of the tests"
BEARER = {"Authorization": f"Bearer {ADMIN_KEY}"}

ERROR_OF_THE_NETWORK = "Failed to load resource"  # Chromium says so itself of every answer from 400 on


class AdminSite:
    """One queue with its gateway. `environment` is the gateway's; `server` another Redis than the stage's."""

    def __init__(self, stage: Stage, server: RedisServer | None = None, *, port: int | None = None, **environment: str):
        self.site: Site = stage.site(server, port=port)
        self._environment = {"FLOWSCALE_ADMIN_KEY": ADMIN_KEY, **environment}
        self.frontend: Frontend

    def __enter__(self) -> Self:
        self.site.__enter__()
        self.frontend = self.site.gateway(**self._environment)
        self.frontend.http.headers.update(BEARER)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._cancel_all()
        finally:
            self.site.__exit__(kind, error, trace)

    def _cancel_all(self) -> None:
        """Whatever waits or runs still: the site's own end wants every job ended."""
        for status in ("queued", "running"):
            while jobs := self.frontend.http.get("/api/jobs", params={"status": status, "limit": 100}).json()["jobs"]:
                for job in jobs:
                    self.frontend.http.post(f"/api/jobs/{job['jobId']}/cancel").raise_for_status()
                if status == "running":
                    self.frontend.wait(jobs[0]["jobId"])

    @property
    def url(self) -> str:
        return str(self.frontend.http.base_url).rstrip("/")

    @property
    def port(self) -> int:
        return self.frontend.http.base_url.port or 0

    def fleet(self, workers: int = 1) -> Fleet:
        return self.site.fleet(workers).ready(workers)

    def ask(self, label: str, seconds: float = 0.4, **options: Any) -> str:
        """A render of the first seconds of the clip, which takes as long; the job's id."""
        trim = {"start": 0, "end": seconds}
        return self.frontend.execute(self.site.source, outputName=label, trim=trim, **options)

    def ask_for_nonsense(self, label: str, folder: Path, **options: Any) -> str:
        """A render of what looks like a video at its beginning, and is none."""
        file = folder / "nonsense.mp4"
        file.write_bytes(b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + bytes(4096))
        return self.frontend.execute(self.frontend.upload(file), outputName=label, **options)

    def put(self, label: str, **fields: Any) -> str:
        """A waiting job with whatever label, straight into the queue: the gateway would make it harmless."""
        now_ms = SystemClock().now_ms()
        spec = {"sources": [{"key": self.site.source}], "outputName": label}
        job = Job(id=names.job_id(now_ms, uuid.uuid4().hex), spec=spec, created_ms=now_ms, **fields)
        with ThreadPoolExecutor(1) as elsewhere:  # Playwright's loop runs in this thread
            elsewhere.submit(self.site.ask, lambda queue: queue.enqueue(job)).result()
        return job.id

    def fail(self, code: str, message: str, *, lines: tuple[str, ...] = (), retryable: bool = False) -> str:
        """Take the next job as a worker does, log the lines and fail; one that may be retried is so in an hour."""
        policy = QueuePolicy(retry=RetryPolicy(base_delay_ms=3_600_000))
        queue = open_work_queue(self.site.settings, policy, SystemClock())
        try:
            execution = queue.fetch(f"played-{uuid.uuid4().hex[:6]}", 5)
            assert execution is not None, "no job waits"
            queue.progress(execution, 20, lines)
            queue.fail(execution, Failure(code, message, retryable))
            return execution.job.id
        finally:
            queue.close()

    def ended(self, job_id: str) -> dict[str, Any]:
        """The job as the gateway tells it. (Playwright's loop runs in this thread: `Site.ask` cannot.)"""
        return self.frontend.wait(job_id)

    @contextmanager
    def visit(
        self, browser: Browser, where: str = "queues", *, base: str | None = None, **options: Any
    ) -> Iterator[Visit]:
        """The page in a fresh profile, which logs in on the way there. `base`: of a proxy before the gateway. What
        scripts complain of is a failure."""
        with visit(browser, f"{base or self.url}/admin/{where}", **options) as seen:
            log_in(seen.page)
            yield seen
        assert [text for text in seen.complaints if ERROR_OF_THE_NETWORK not in text] == []


def log_in(page: Page, key: str = ADMIN_KEY) -> None:
    """On the login page; it leads on to the page that was asked for."""
    page.get_by_label("Admin key", exact=True).fill(key)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#counts")).to_be_attached(timeout=SOON_MS)


def row(page: Page, label: str) -> Locator:
    """The line of the list with this label."""
    return page.locator("#jobs tbody tr").filter(
        has=page.locator(".job-link", has_text=re.compile(f"^{re.escape(label)}$"))
    )


def count_of(page: Page, state: str) -> Locator:
    """The figure of a state, `All` or one of STATES."""
    tile = page.locator("#counts .count").filter(has=page.locator(".count-name", has_text=re.compile(f"^{state}$")))
    return tile.locator(".figure")


def expect_live(page: Page) -> None:
    expect(page.locator("#live")).to_have_attribute("data-live", "live", timeout=SOON_MS)
    expect(page.locator("#counts .figure").first).not_to_have_text("…", timeout=SOON_MS)


def open_job(page: Page, label: str) -> None:
    row(page, label).locator(".job-link").click(timeout=SOON_MS)
    expect_job(page, label)


def expect_job(page: Page, label: str) -> None:
    expect(page.locator("#job-heading")).to_have_text(label, timeout=SOON_MS)


def expect_state(page: Page, state: str, timeout_ms: int = SOON_MS) -> None:
    """Of the job that is shown."""
    expect(page.locator(".state.big")).to_have_text(state, timeout=timeout_ms)


def press(page: Page, words: str) -> Locator:
    """The action's button; the dialog that then asks."""
    page.get_by_role("button", name=words, exact=True).click(timeout=SOON_MS)
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    return dialog


def confirm(page: Page, words: str, yes: str) -> None:
    """Press the button and confirm; the result is said."""
    dialog = press(page, words)
    dialog.get_by_role("button", name=yes, exact=True).click()
    expect(dialog).to_be_hidden(timeout=SOON_MS)
    expect(page.locator("#notice")).to_be_visible()

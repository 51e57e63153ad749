"""A real browser for tests: Debian's Chromium under Playwright, and a record of what a page did in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

CHROMIUM = "/usr/bin/chromium"

FLAGS = (
    "--headless",
    "--no-sandbox",  # tests may run as root, where Chromium's sandbox does not start
    "--disable-gpu",
    # The rest: no request of the browser's own, so that every request seen is the page's.
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, for as long as the block lasts."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """One page in a fresh profile, and what it did: its complaints on the console, and its requests."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def bodies(self, path: str) -> list[Any]:
        """The JSON bodies of what was posted to this path, oldest first."""
        posts = [request for request in self.requests if request.method == "POST"]
        return [request.post_data_json for request in posts if urlsplit(request.url).path == path]

    def count(self, path: str) -> int:
        """How many requests went to this path."""
        return sum(urlsplit(request.url).path == path for request in self.requests)

    def begun_uploads(self) -> list[Request]:
        """The requests that began an upload."""
        return [
            request
            for request in self.requests
            if request.method == "POST" and urlsplit(request.url).path in ("/api/upload", "/api/uploads")
        ]

    def origins(self) -> set[str]:
        """Scheme and host of every request that left the page (`blob:` and `data:` stay in it)."""
        parts = [urlsplit(request.url) for request in self.requests]
        return {f"{part.scheme}://{part.netloc}" for part in parts if part.scheme not in ("blob", "data")}


@contextmanager
def visit(browser: Browser, url: str, **options: Any) -> Iterator[Visit]:
    """Open the address in a profile of its own; `options` are those of Playwright's `new_context`."""
    context = browser.new_context(**options)
    try:
        visited = Visit(context.new_page())
        page = visited.page
        # Playwright cannot call built-in methods, hence the lambdas around `append`.
        page.on("request", lambda request: visited.requests.append(request))
        page.on("pageerror", lambda error: visited.complaints.append(f"uncaught: {error}"))
        page.on("console", visited.hear)
        page.goto(url)
        yield visited
    finally:
        context.close()

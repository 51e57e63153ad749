"""How soon the page of the queue is there, and how soon a search is, with 100,000 jobs in Redis.

    python -m bench.admin_page [--jobs 100000] [--visits 15]

The jobs are written by the queue's own code into a server of this run. Each visit is a fresh profile of a headless
Chromium on this machine, so nothing is kept from the visit before. Times are the browser's own: first paint and first
contentful paint from the beginning of the navigation; the list, when its first row is in the page; a search from the
input event to the answer's rows being in the page, its pause for typing included. Targets: 1 s to the first paint,
300 ms for a search.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Browser, Page
from rich.console import Console
from rich.table import Table

from flowscale import names
from flowscale.clocks import SystemClock
from flowscale.jobs import Job
from flowscale.queues.base import QueuePolicy
from flowscale.queues.redis import open_job_queue
from flowscale.settings import RedisSettings
from integration.admin_site import ADMIN_KEY
from integration.browser import chromium, visit
from integration.program import running
from redis_server import RedisServer

AT_ONCE = 8
WORDS = ("harbour", "meadow", "lantern", "granite", "orchard", "thunder", "velvet", "compass", "saffron", "glacier")
PATIENCE_MS = 60_000

PAINTS = (
    """() => Object.fromEntries(performance.getEntriesByType("paint").map((each) => [each.name, each.startTime]))"""
)

LISTED = """async () => {
    const found = () => document.querySelector("#jobs tbody tr");
    while (!found()) await new Promise(requestAnimationFrame);
    return performance.now();
}"""

SEARCHED = """async (words) => {
    const total = document.getElementById("jobs-total");
    const before = total.textContent;
    const input = document.getElementById("search-words");
    const began = performance.now();
    input.value = words;
    input.dispatchEvent(new Event("input", { bubbles: true }));
    while (total.textContent === before) await new Promise(requestAnimationFrame);
    return performance.now() - began;
}"""
"""Each search has another number of matches than the one before, so that its answer is told by the total."""


async def fill(settings: RedisSettings, count: int) -> list[str]:
    """Put so many jobs on the queue; their ids."""
    queue = open_job_queue(settings, QueuePolicy(max_waiting=2 * count), SystemClock())
    numbers = iter(range(count))
    ids: list[str] = []

    async def some() -> None:
        for number in numbers:
            at_ms = SystemClock().now_ms()
            label = f"{WORDS[number % 10]}-{WORDS[number // 10 % 10]}-{number:06}"
            spec = {"sources": [{"key": names.upload_key("0" * 32, "clip.mp4")}], "outputName": label}
            job = Job(
                id=names.job_id(at_ms, uuid.uuid4().hex),
                spec=spec,
                created_ms=at_ms,
                project_id=f"project-{number % 97}",
            )
            await queue.enqueue(job)
            ids.append(job.id)

    try:
        await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    finally:
        await queue.close()
    return ids


def searches(ids: Sequence[str]) -> list[tuple[str, str]]:
    """What is looked for, and the words for it; each has another number of matches than the one before."""
    return [
        ("nothing", "zeppelin"),
        ("an id", ids[len(ids) // 2]),
        ("a word of labels", "gran"),
        ("a label, whole", f"{WORDS[1]}-{WORDS[0]}-000001"),
        ("two words", "gran harb"),
        ("a project and a word", "project-42 lant"),
    ]


def look(browser: Browser, url: str, wanted: Sequence[tuple[str, str]]) -> dict[str, float]:
    """One visit; times in ms."""
    with visit(browser, f"{url}/admin/login") as seen:
        page: Page = seen.page
        page.set_default_timeout(PATIENCE_MS)
        assert page.request.post(f"{url}/api/admin/session", data={"key": ADMIN_KEY}).ok
        page.goto(f"{url}/admin/queues", wait_until="commit")
        listed = page.evaluate(LISTED)
        times = {name.replace("-", " "): at for name, at in page.evaluate(PAINTS).items()}
        times["the list"] = listed
        for name, words in wanted:
            times[f"search: {name}"] = page.evaluate(SEARCHED, words)
        return times


def show(figures: Sequence[dict[str, float]], jobs: int, console: Console) -> None:
    table = Table(title=f"The page with {jobs:,} jobs, {len(figures)} visits (ms)")
    for name in ("", "median", "p95", "worst"):
        table.add_column(name, justify="left" if not name else "right")
    for name in figures[0]:
        values = sorted(each[name] for each in figures)
        p95 = values[min(len(values) - 1, int(0.95 * len(values)))]
        table.add_row(name, *(f"{value:.0f}" for value in (statistics.median(values), p95, values[-1])))
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--visits", type=int, default=15)
    arguments = parser.parse_args()
    console = Console(width=110)
    with RedisServer() as server, tempfile.TemporaryDirectory() as folder:
        settings = server.settings()
        console.print(f"Writing {arguments.jobs:,} jobs ...")
        ids = asyncio.run(fill(settings, arguments.jobs))
        environment = {
            "QUEUE_MODE": "redis",
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(server.port),
            "FLOWSCALE_ADMIN_KEY": ADMIN_KEY,
        }
        with running("api", Path(folder), **environment) as gateway, chromium() as browser:
            wanted = searches(ids)
            figures = [look(browser, gateway.url, wanted) for _ in range(arguments.visits)]
        show(figures, arguments.jobs, console)


if __name__ == "__main__":
    main()

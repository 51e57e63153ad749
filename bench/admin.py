"""What the admin API takes over very many jobs, and what an open page and scrapes cost the gateway.

    PYTHONPATH=tests .venv/bin/python -m bench.admin [--jobs N] [--rounds N] [--seconds S] [--only search|cost]

    search     questions over real HTTP to `flowscale api` over a real Redis that holds N jobs (100,000); beside them a
               client that asks Redis PING all the while: how long it waited at most is how long a step held Redis up
    cost       GET /api/jobs/{id} 200 times a second, on time whatever the answers take (latency counts from when a
               request was due); alone, with a page open (its stream, its list every 5 s), and with /metrics scraped
               every 15 s and every second. Rounds take turns. Processor time is that of the gateway's process alone

Prints tables: medians, with the least and most of the rounds. Asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import statistics
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import psutil
import uvloop

from flowscale.clocks import SystemClock
from flowscale.jobs import Job, Output
from flowscale.names import job_id, output_key
from flowscale.queues.base import QueuePolicy
from flowscale.queues.redis import RedisJobQueue, open_job_queue, open_work_queue
from flowscale.specs import RenderSpec, Source
from flowscale_cli.screen import table
from integration.program import running
from redis_server import RedisServer

ADMIN_KEY = "a key of no less than thirty-two characters"
BEARER = {"Authorization": f"Bearer {ADMIN_KEY}"}
BEARER_LINE = f"Authorization: Bearer {ADMIN_KEY}\r\n"

JOBS = 100_000
PROJECTS = 100
LABELS = ("morning", "evening", "harbour", "mountain", "street", "concert", "interview", "market", "forest", "festival")
CANCELLED, DONE = 8_000, 2_000
AT_ONCE = 64
ASKED = 30
"""Times each question is asked."""

RATE = 200
"""Requests a second beside which the cost is measured."""

CONNECTIONS = 8
LIST_SECONDS = 5.0
"""How often an open page asks for its list anew."""

POLICY = QueuePolicy(max_waiting=10 * JOBS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each round of the cost")
    parser.add_argument("--only", choices=("search", "cost"))
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flowscale-bench-")))
        server = stack.enter_context(RedisServer())
        began = time.monotonic()
        ids = uvloop.run(fill(server, arguments.jobs))
        print(f"{len(ids)} jobs in Redis after {time.monotonic() - began:.0f} s, {memory(server)} MiB\n")
        address = {"QUEUE_MODE": "redis", "REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(server.port)}
        gateway = stack.enter_context(running("api", folder, FLOWSCALE_ADMIN_KEY=ADMIN_KEY, **address))
        host = gateway.url.removeprefix("http://")
        if arguments.only != "cost":
            searches(server, host, ids)
        if arguments.only != "search":
            costs(host, gateway.process.pid, ids[-1000:], arguments.rounds, arguments.seconds)


def memory(server: RedisServer) -> int:
    return int(server.info()["used_memory"]) // 1024**2


async def fill(server: RedisServer, count: int) -> list[str]:
    """Jobs of many projects and labels, most of which wait; their ids, oldest first."""
    queue = open_job_queue(server.settings(), POLICY, SystemClock())
    jobs = [new_job(number) for number in range(count)]
    try:
        await each(jobs, queue)
        for job in jobs[:CANCELLED]:
            await queue.cancel(job.id)
        await asyncio.to_thread(finish, server, min(DONE, max(0, count - CANCELLED)))
    finally:
        await queue.close()
    return [job.id for job in jobs]


async def each(jobs: Sequence[Job], queue: RedisJobQueue) -> None:
    left = iter(jobs)

    async def work() -> None:
        for job in left:
            await queue.enqueue(job)

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))


def finish(server: RedisServer, count: int) -> None:
    work = open_work_queue(server.settings(), POLICY, SystemClock())
    for _ in range(count):
        execution = work.fetch("worker-1", 0)
        if execution is None:
            break
        key = output_key(execution.job.id, execution.id, "clip.mp4")
        work.commit(execution, Output(key, 1_000, "video/mp4", 1_000))
    work.close()


def new_job(number: int) -> Job:
    now_ms = SystemClock().now_ms()
    label = f"{LABELS[number % len(LABELS)]}_{LABELS[number // 10 % len(LABELS)]}-{number % 1000:03}"
    spec = RenderSpec(sources=(Source(key=f"uploads/{'5' * 32}/clip.mp4"),), output_name=label).to_record()
    return Job(job_id(now_ms, uuid4().hex), spec, now_ms, project_id=f"project-{number % PROJECTS:02}")


# Search.


def searches(server: RedisServer, host: str, ids: Sequence[str]) -> None:
    connection = http.client.HTTPConnection(host)
    middle = ids[len(ids) // 2]
    questions = {
        "the newest 50": "jobs?limit=50",
        "the newest 50 that wait": "jobs?limit=50&state=waiting",
        "a page in the middle": f"jobs?limit=50&cursor={middle}",
        "a job's id": f"jobs?q={middle}",
        "a project (1 of 100)": "jobs?q=project-42",
        "a project and its state": "jobs?q=project-42&state=error",
        "a word of a label (1 of 1000)": "jobs?q=042",
        "a word of a label (2 of 10)": "jobs?q=harbour",
        "two common words": f"jobs?q={quote('harbour market')}",
        "an error code": "jobs?q=cancelled",
        "a word of every job": "jobs?q=project",
        "two words of every job": f"jobs?q={quote('project job_')}",
        "a word of none": "jobs?q=nothing-like-it",
        "overview": "overview",
        "history": "history",
        "a job": f"jobs/{middle}",
    }
    rows = [("QUESTION", "MATCHING", "MEDIAN MS", "P99 MS", "PING WAITED AT MOST MS")]
    for name, path in questions.items():
        first = ask(connection, path)[1]
        with pings(server) as waited:
            took = [ask(connection, path)[0] for _ in range(ASKED)]
        rows.append(
            (
                name,
                str(first.get("total", "")),
                f"{statistics.median(took):.1f}",
                f"{worst(took):.1f}",
                f"{max(waited):.1f}",
            )
        )
    with pings(server) as waited:
        time.sleep(1)  # how long PING waits beside nothing
    rows.append(("(nothing asked)", "", "", "", f"{max(waited):.1f}"))
    table(rows)
    print(f"\nFirst event of /api/admin/events: {first_event(host):.1f} ms\n")
    connection.close()


def ask(connection: http.client.HTTPConnection, path: str) -> tuple[float, dict[str, object]]:
    """ms, and the answer."""
    began = time.perf_counter()
    connection.request("GET", f"/api/admin/{path}", headers=BEARER)
    answer = connection.getresponse()
    body = answer.read()
    took = (time.perf_counter() - began) * 1000
    if answer.status != 200:
        raise SystemExit(f"{path}: {answer.status} {body[:300]!r}")
    found: dict[str, object] = json.loads(body)
    return took, found


def first_event(host: str) -> float:
    """ms from the request to the first event."""
    connection = http.client.HTTPConnection(host)
    began = time.perf_counter()
    connection.request("GET", "/api/admin/events")
    answer = connection.getresponse()
    answer.readline()
    took = (time.perf_counter() - began) * 1000
    connection.close()
    return took


@contextmanager
def pings(server: RedisServer) -> Iterator[list[float]]:
    """How long each of many PINGs took, in ms."""
    waited: list[float] = [0.0]
    over = threading.Event()

    def ping() -> None:
        client = server.admin()
        while not over.is_set():
            began = time.perf_counter()
            client.ping()
            waited.append((time.perf_counter() - began) * 1000)
            over.wait(0.001)
        client.close()

    thread = threading.Thread(target=ping)
    thread.start()
    try:
        yield waited
    finally:
        over.set()
        thread.join()


def worst(values: Sequence[float]) -> float:
    """The 99th of a hundred."""
    return sorted(values)[min(len(values) - 1, round(len(values) * 0.99))]


# Cost.


Beside = Callable[[str], Coroutine[Any, Any, None]]
"""What goes on beside the requests until it is cancelled; it is given the gateway's host and port."""


@dataclass
class Rounds:
    """What was measured of one kind of round, a value each."""

    name: str
    beside: Beside
    p50: list[float] = field(default_factory=list)  # ms
    p99: list[float] = field(default_factory=list)  # ms
    processor: list[float] = field(default_factory=list)  # % of one core


def costs(host: str, pid: int, ids: Sequence[str], rounds: int, seconds: float) -> None:
    kinds = [
        Rounds("alone", nothing),
        Rounds("a page is open", page),
        Rounds("/metrics every 15 s", partial(scrapes, 15.0)),
        Rounds("/metrics every second", partial(scrapes, 1.0)),
    ]
    process = psutil.Process(pid)
    uvloop.run(measure(host, process, ids, min(5.0, seconds), nothing))  # warm
    for _ in range(rounds):
        for kind in kinds:
            took, busy = uvloop.run(measure(host, process, ids, seconds, kind.beside))
            kind.p50.append(statistics.median(took))
            kind.p99.append(worst(took))
            kind.processor.append(busy)
    alone = kinds[0]
    rows: list[tuple[str, ...]] = [
        (f"{RATE}/s OF GET /api/jobs/{{id}}", "P50 MS", "P99 MS", "PROCESSOR %", "MORE THAN ALONE")
    ]
    for kind in kinds:
        more = [100 * (with_it / without - 1) for with_it, without in zip(kind.processor, alone.processor, strict=True)]
        figures = (kind.p50, kind.p99, kind.processor)
        rows.append((kind.name, *map(spread, figures), "" if kind is alone else f"{spread(more)} %"))
    table(rows)


def spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


async def measure(
    host: str, process: psutil.Process, ids: Sequence[str], seconds: float, beside: Beside
) -> tuple[list[float], float]:
    """ms of each request, from when it was due; the gateway's processor time in % of one core."""
    other = asyncio.create_task(beside(host))
    due: asyncio.Queue[tuple[float, str] | None] = asyncio.Queue()
    took: list[float] = []
    loop = asyncio.get_running_loop()
    clients = [asyncio.create_task(_client(host, due, took)) for _ in range(CONNECTIONS)]
    began, before = loop.time(), sum(process.cpu_times()[:2])
    for number in range(int(seconds * RATE)):
        at = began + number / RATE
        if (ahead := at - loop.time()) > 0:
            await asyncio.sleep(ahead)
        due.put_nowait((at, ids[number % len(ids)]))
    for _ in clients:
        due.put_nowait(None)
    await asyncio.gather(*clients)
    busy = 100 * (sum(process.cpu_times()[:2]) - before) / seconds  # for the same requests, however long they took
    if other.done():
        other.result()
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)
    return took, busy


async def _client(host: str, due: asyncio.Queue[tuple[float, str] | None], took: list[float]) -> None:
    loop = asyncio.get_running_loop()
    async with connected(host) as (reader, writer):
        while (request := await due.get()) is not None:
            at, job = request
            await fetch(reader, writer, f"/api/jobs/{job}")
            took.append((loop.time() - at) * 1000)


@asynccontextmanager
async def connected(host: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    name, _, port = host.partition(":")
    reader, writer = await asyncio.open_connection(name, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()


async def fetch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> bytes:
    """The body; over a connection that stays."""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\n{BEARER_LINE}\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"{path}: {head[:200]!r}")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return await reader.readexactly(int(lengths[0].partition(b":")[2]))


async def nothing(_host: str) -> None:
    return


async def page(host: str) -> None:
    """What an open page does: it watches, and asks for what it shows."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_watch(host))
        group.create_task(_list(host))


async def _watch(host: str) -> None:
    async with connected(host) as (reader, writer):
        writer.write(f"GET /api/admin/events HTTP/1.1\r\nHost: bench\r\n{BEARER_LINE}\r\n".encode())
        while await reader.read(65_536):
            continue


async def _list(host: str) -> None:
    async with connected(host) as (reader, writer):
        for path in ("overview", "history"):
            await fetch(reader, writer, f"/api/admin/{path}")
        while True:
            await fetch(reader, writer, "/api/admin/jobs?limit=50")
            await asyncio.sleep(LIST_SECONDS)


async def scrapes(every: float, host: str) -> None:
    async with connected(host) as (reader, writer):
        while True:
            await fetch(reader, writer, "/metrics")
            await asyncio.sleep(every)


if __name__ == "__main__":
    main()

"""The queue's server: whether it is reached, keeps jobs, and lets our user do all that gateways and workers do.

The round trip is a job that goes from a gateway's queue to a worker's and back, by the same scripts, under keys that
begin with our prefix and a name of their own: no worker hears of it.
"""

# The package's, not the standard library's.
# ruff: noqa: A005

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from flowscale import names
from flowscale.clocks import SystemClock
from flowscale.errors import FlowScaleError
from flowscale.jobs import Job, JobState, Output
from flowscale.queues.base import Figures, QueuePolicy
from flowscale.queues.redis import Keys, RedisJobQueue, RedisWorkQueue, open_job_queue
from flowscale.queues.redis.connections import describe, gateway_client, worker_client
from flowscale.queues.redis.driving import Driver
from flowscale.queues.redis.scripts import Operation, command
from flowscale.queues.redis.server import ServerFacts, facts_from, warnings
from flowscale.settings import RedisSettings, Settings
from flowscale_cli.checks import CALL_SECONDS, Finding, OutOfTime, Verdict, fault, skipped, within
from flowscale_cli.screen import size_text

PINGS = 5
"""The latency is the middle one's."""

SLOW_MS = 100.0
"""A gateway's call makes several round trips and must end within 1.8 s, or its client is told 503."""

FULL_SHARE = 0.9
"""Of the server's memory: past it, new jobs will soon be refused (QUEUE_FULL)."""

HEAR_SECONDS = 0.05
"""For a look at an empty queue that also begins to listen."""

SERVER = "queue.server"
OTHERS = (
    "queue.latency",
    "queue.policy",
    "queue.persistence",
    "queue.memory",
    "queue.round-trip",
    "queue.workers",
    "queue.handing-out",
)

_Answer = TypeVar("_Answer")

_UNKNOWN = ServerFacts("redis", "", "", 0, None, None, None)
"""Of a server that says nothing of itself: nothing is warned of."""

_LOOK_INTO = "Look into the server's log."


def check(settings: Settings) -> Generator[Finding, None, None]:
    if settings.queue.mode == "memory":
        yield Finding(
            "queue.mode",
            Verdict.WARN,
            "memory: one process, and no job survives its restart",
            "For more than trying: QUEUE_MODE=redis, and REDIS_URL or REDIS_HOST, for gateways and workers alike.",
        )
        return
    try:
        said = within(CALL_SECONDS, lambda: ask(settings.redis, _look()))
    except FlowScaleError as error:
        yield fault(SERVER, error, _LOOK_INTO)
        yield from skipped(OTHERS, "the queue's server cannot be used")
        return
    except OutOfTime:
        yield _too_late(SERVER)
        yield from skipped(OTHERS, "the queue's server does not answer")
        return
    yield _server(said, describe(settings.redis))
    yield from (_latency(settings.redis), _policy(said), _persistence(said), _memory(said))
    yield _round_trip(settings.redis)
    yield from _standing(settings.redis)


def ask(settings: RedisSettings, operation: Operation[_Answer]) -> _Answer:
    """Run an operation as a gateway would. Raises QueueUnavailable."""

    async def run() -> _Answer:
        driver = Driver(gateway_client(settings), describe(settings))
        try:
            return await driver.do(operation)
        finally:
            await driver.close()

    return asyncio.run(run())


@dataclass(frozen=True, slots=True)
class _Said:
    """What the server says of itself. None: it may not be asked."""

    info: Mapping[str, Any] | None
    save: str | None  # when it writes snapshots; "": never

    @property
    def facts(self) -> ServerFacts:
        return facts_from(self.info or {}, self.save)


def _look() -> Operation[_Said]:
    yield (command("PING"),)
    info, config = yield (command("INFO", forgiving=True), command("CONFIG GET", "save", forgiving=True))
    save = None if config is None else config.get("save", config.get(b"save"))
    return _Said(info, save.decode() if isinstance(save, bytes) else save)


def _risk(**known: Any) -> str:
    """What is warned of (flowscale.queues.redis.server) for these facts alone; nothing is ""."""
    return " ".join(warnings(replace(_UNKNOWN, **known)))


def _server(said: _Said, where: str) -> Finding:
    facts = said.facts
    if not facts.version:
        return _unread(SERVER, f"{where} answers; its version", "INFO")
    seen = f"{facts.program} {facts.version} at {where}"
    if _risk(program=facts.program, version=facts.version):
        return Finding(SERVER, Verdict.FAIL, seen, "7.0 or newer is needed: run Redis 7, Redis 8 or Valkey.")
    return Finding(SERVER, Verdict.OK, seen)


def _latency(settings: RedisSettings) -> Finding:
    clock = SystemClock()
    took: list[float] = []

    def ping() -> Operation[None]:
        for _ in range(PINGS):
            begun = clock.monotonic()
            yield (command("PING"),)
            took.append((clock.monotonic() - begun) * 1000)

    try:
        within(CALL_SECONDS, lambda: ask(settings, ping()))
    except FlowScaleError as error:
        return fault("queue.latency", error, _LOOK_INTO)
    except OutOfTime:
        return _too_late("queue.latency")
    middle = sorted(took)[len(took) // 2]
    if middle > SLOW_MS:
        advice = "Run it nearer to gateways and workers, and see that it is not overloaded."
        return Finding("queue.latency", Verdict.WARN, f"{middle:.0f} ms for a round trip", advice)
    return Finding("queue.latency", Verdict.OK, f"{middle:.1f} ms for a round trip")


def _policy(said: _Said) -> Finding:
    facts = said.facts
    if facts.maxmemory is None or facts.maxmemory_policy is None:
        return _unread("queue.policy", "maxmemory-policy", "INFO")
    limit = f"of {size_text(facts.maxmemory)}" if facts.maxmemory else "without a maxmemory"
    seen = f"{facts.maxmemory_policy} {limit}"
    if risk := _risk(maxmemory=facts.maxmemory, maxmemory_policy=facts.maxmemory_policy):
        return Finding("queue.policy", Verdict.WARN, seen, risk)
    return Finding("queue.policy", Verdict.OK, seen)


def _persistence(said: _Said) -> Finding:
    name, facts = "queue.persistence", said.facts
    if facts.persistent is None:
        return _unread(name, "whether it saves anything", "INFO and CONFIG GET")
    info = said.info or {}
    if risk := _risk(persistent=facts.persistent):
        return Finding(name, Verdict.WARN, "neither appendonly nor snapshots", risk)
    failing = [each for each in ("aof_last_write_status", "rdb_last_bgsave_status") if info.get(each, "ok") != "ok"]
    if failing:
        advice = "Make room on the server's disk, or look into its log: it may refuse jobs until it can save."
        return Finding(name, Verdict.FAIL, f"saving fails ({', '.join(failing)})", advice)
    if info.get("aof_enabled") == 1:
        return Finding(name, Verdict.OK, "appendonly yes")
    return Finding(
        name,
        Verdict.WARN,
        f"snapshots alone (save {said.save})",
        "A crash of the server forgets the jobs since the last snapshot; set appendonly yes.",
    )


def _memory(said: _Said) -> Finding:
    name = "queue.memory"
    info = said.info or {}
    if "used_memory" not in info:
        return _unread(name, "its memory", "INFO")
    used, most = int(info["used_memory"]), int(info.get("maxmemory") or info.get("total_system_memory") or 0)
    if not most:
        return Finding(name, Verdict.OK, f"{size_text(used)} used")
    seen = f"{size_text(used)} used of {size_text(most)}"
    if used > FULL_SHARE * most:
        advice = "Raise maxmemory or give it more memory; a full server takes no jobs. FLOWSCALE_JOB_RETENTION keeps "
        return Finding(name, Verdict.WARN, seen, f"{advice}ended jobs for a shorter time.")
    return Finding(name, Verdict.OK, seen)


def _round_trip(settings: RedisSettings) -> Finding:
    name = "queue.round-trip"
    clock = SystemClock()
    begun = clock.monotonic()
    try:
        state = within(CALL_SECONDS, lambda: asyncio.run(_send_a_job(settings)))
    except FlowScaleError as error:
        return fault(name, error, _LOOK_INTO)
    except OutOfTime:
        return _too_late(name)
    if state is not JobState.DONE:
        return Finding(name, Verdict.FAIL, f"a job that should be done is {state}", _LOOK_INTO)
    ms = (clock.monotonic() - begun) * 1000
    return Finding(name, Verdict.OK, f"a job queued, fetched, done and removed, {ms:.0f} ms")


async def _send_a_job(settings: RedisSettings) -> JobState | None:
    """The state it ends in; None when it was not handed out."""
    clock = SystemClock()
    where = describe(settings)
    keys = Keys(f"{settings.prefix}:doctor:{secrets.token_hex(8)}")
    job = Job(names.job_id(clock.now_ms(), secrets.token_hex(16)), {}, clock.now_ms())
    jobs = RedisJobQueue(gateway_client(settings), keys, QueuePolicy(), clock, where)
    work = RedisWorkQueue(worker_client(settings), keys, QueuePolicy(), clock, where)
    driver = Driver(gateway_client(settings), where)
    try:
        work.fetch("doctor", HEAR_SECONDS)  # nothing is there; it listens, for which our user may lack the channel
        await jobs.enqueue(job)
        execution = work.fetch("doctor", CALL_SECONDS / 10)
        if execution is None:
            return None
        work.progress(execution, 50, ["half"])
        work.renew(execution)
        work.commit(execution, Output(names.output_key(job.id, execution.id, "doctor.mp4"), 1, "video/mp4", 1))
        await jobs.events(job.id, 0, 0)
        return (await jobs.get(job.id)).state
    finally:
        try:
            await driver.do(_forget(keys, job))
        finally:
            work.close()
            await jobs.close()
            await driver.close()


def _forget(keys: Keys, job: Job) -> Operation[None]:
    """Every key that the job, its worker and its queue can have made."""
    made = {
        *keys.job_keys(job.id, job.priority),
        *keys.owned_by_rq(job.id),
        *keys.beside(job.id),
        *keys.lines,
        *keys.idempotency,
        *keys.reports,
        *(keys.every_job, keys.queues, keys.turns, keys.aside, keys.untidy, keys.suspended),
    }
    yield (command("DEL", *sorted(made)),)


def _standing(settings: RedisSettings) -> Iterator[Finding]:
    async def read() -> Figures:
        jobs = open_job_queue(settings, QueuePolicy(), SystemClock())
        try:
            return await jobs.figures()
        finally:
            await jobs.close()

    workers, handing_out = OTHERS[-2:]
    try:
        figures = within(CALL_SECONDS, lambda: asyncio.run(read()))
    except FlowScaleError as error:
        yield fault(workers, error, _LOOK_INTO)
        yield from skipped((handing_out,), f"{workers} failed")
        return
    except OutOfTime:
        yield _too_late(workers)
        yield from skipped((handing_out,), f"{workers} failed")
        return
    yield _workers(workers, figures)
    depth = figures.depth
    seen = f"{depth.waiting} waiting, {depth.running} running, {depth.delayed} to be retried"
    if figures.paused:
        yield Finding(handing_out, Verdict.WARN, f"paused: {seen}", "`flowscale queue resume` hands out jobs again.")
    else:
        yield Finding(handing_out, Verdict.OK, seen)


def _workers(name: str, figures: Figures) -> Finding:
    reports = {worker: report for worker, (report, _age_ms) in figures.workers.items()}
    able = [report for report in reports.values() if report.problem is None]
    if not reports:
        advice = "Start one with `flowscale worker`, with the same settings. Until then jobs wait."
        return Finding(name, Verdict.WARN, "none has reported", advice)
    seen = f"{len(able)} of {len(reports)} ready, {sum(report.slots for report in able)} renders at once"
    problems = [f"{worker}: {report.problem}" for worker, report in reports.items() if report.problem is not None]
    if problems:
        return Finding(name, Verdict.WARN, seen, " ".join(problems))
    return Finding(name, Verdict.OK, seen)


def _unread(name: str, what: str, asked: str) -> Finding:
    advice = f"Allow our user {asked}, or look for yourself: noeviction, appendonly yes, version 7.0 or newer."
    return Finding(name, Verdict.WARN, f"{what} could not be read: the server forbids {asked}", advice)


def _too_late(name: str) -> Finding:
    advice = "Look at the server, at the network to it, and at what resolves its name."
    return Finding(name, Verdict.FAIL, f"no answer within {CALL_SECONDS:.0f} s", advice)

"""What the queue's server says of itself, and what is to be warned of. Pure but for the two readers at the end."""

# The library is typed in part.
# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import redis
from redis import asyncio as aio
from redis.exceptions import ResponseError

from flowscale.queues.admin_view import ServerReading

OLDEST = (7, 0)
"""Scripts name their keys and flags as servers know them since 7.0."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """None: the server does not say."""

    program: str  # "redis", "valkey"
    version: str
    run_id: str  # another after each start; "" where it is not told
    uptime_s: int
    maxmemory: int | None  # bytes; 0: as much as there is
    maxmemory_policy: str | None
    persistent: bool | None  # whether jobs outlive a restart, all or most of them
    append_only: bool | None = None
    used_memory: int | None = None  # bytes


def facts_from(info: Mapping[str, Any], save: str | None = None) -> ServerFacts:
    """From INFO, and from `CONFIG GET save` where that is allowed. INFO tells of the append-only file alone: without
    it, and without `save`, whether anything is persisted is not known."""
    append_only = info.get("aof_enabled")
    persistent = True if append_only == 1 else None if append_only is None or save is None else bool(save.strip())
    version = info.get("valkey_version") or info.get("redis_version") or ""
    maxmemory = info.get("maxmemory")
    policy = info.get("maxmemory_policy")
    return ServerFacts(
        program="valkey" if "valkey_version" in info else "redis",
        version=str(version),
        run_id=str(info.get("run_id", "")),
        uptime_s=int(info.get("uptime_in_seconds", 0)),
        maxmemory=None if maxmemory is None else int(maxmemory),
        maxmemory_policy=None if policy is None else str(policy),
        persistent=persistent,
        append_only=None if append_only is None else append_only == 1,
        used_memory=None if info.get("used_memory") is None else int(info["used_memory"]),
    )


def reading_of(facts: ServerFacts) -> ServerReading:
    """The facts as people are shown them."""
    kept = {None: None, True: "snapshots", False: "none"}[facts.persistent]
    return ServerReading(
        kind="redis",
        version=f"{facts.program} {facts.version}" if facts.version else None,
        memory_bytes=facts.used_memory,
        memory_limit_bytes=facts.maxmemory,
        policy=facts.maxmemory_policy,
        persistence="append-only" if facts.append_only else kept,
    )


def warnings(facts: ServerFacts) -> tuple[str, ...]:
    """A sentence for each thing that may lose jobs."""
    found = []
    if facts.maxmemory and facts.maxmemory_policy not in (None, "noeviction"):
        found.append(
            f"The queue's server may throw away jobs when its memory is full (maxmemory-policy is "
            f"{facts.maxmemory_policy}); set maxmemory-policy noeviction."
        )
    if facts.persistent is False:
        found.append("A restart of the queue's server forgets every job: it saves nothing; set appendonly yes.")
    if (number := _number(facts.version)) is not None and number < OLDEST:
        found.append(f"The queue's server is {facts.program} {facts.version}; 7.0 or newer is needed.")
    return tuple(found)


def _number(version: str) -> tuple[int, int] | None:
    try:
        major, minor, *_ = version.split(".")
        return int(major), int(minor)
    except ValueError:
        return None


Reading: TypeAlias = Generator[tuple[str, ...], Any, ServerFacts]


def _reading() -> Reading:
    """Yields commands, is sent their answers (or a ResponseError), returns the facts. Only INFO must be allowed."""
    info = yield ("INFO",)
    if isinstance(info, ResponseError):
        raise info
    if info.get("aof_enabled") == 1:
        return facts_from(info)
    answer = yield ("CONFIG GET", "save")
    return facts_from(info, None if isinstance(answer, ResponseError) else _saved(answer))


def _saved(answer: Mapping[Any, Any]) -> str | None:
    value = answer.get("save", answer.get(b"save"))
    return value.decode() if isinstance(value, bytes) else value


async def read_facts(client: aio.Redis) -> ServerFacts:
    """Raises redis.RedisError."""
    reading = _reading()
    answer: Any = None
    try:
        while True:
            words = reading.send(answer)
            try:
                answer = await client.execute_command(*words)
            except ResponseError as error:
                answer = error
    except StopIteration as ended:
        facts: ServerFacts = ended.value
        return facts


def read_facts_now(client: redis.Redis) -> ServerFacts:
    """As read_facts, in a worker."""
    reading = _reading()
    answer: Any = None
    try:
        while True:
            words = reading.send(answer)
            try:
                answer = client.execute_command(*words)
            except ResponseError as error:
                answer = error
    except StopIteration as ended:
        facts: ServerFacts = ended.value
        return facts

"""This machine's clock beside those of the queue's server and of the storage.

Leases, retries and the times of jobs are counted on the queue's server alone. But files are deleted by their age, which
this machine's clock tells of times that the storage gave them, and a bucket refuses what is signed at another time.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx2

from flowscale import names
from flowscale.clocks import SystemClock
from flowscale.errors import FlowScaleError
from flowscale.queues.redis.scripts import Operation, command
from flowscale.settings import Settings
from flowscale.storage.opening import open_storage
from flowscale_cli.checks import CALL_SECONDS, Finding, OutOfTime, Verdict, folders_as_found, within
from flowscale_cli.checks.queue import ask
from flowscale_cli.checks.storage import HTTP_SECONDS, endpoint_of, folders_of

MOST_SECONDS = 15 * 60.0
"""S3 refuses what was signed further away (RequestTimeTooSkewed), and files are kept as long beyond their age."""

NOTABLE_SECONDS = 5.0
"""Clocks that are kept by NTP differ by well under a second; Date headers are whole seconds, and answers take time."""

_REMEDY = "Have NTP set the clocks of both (Debian, Ubuntu: sudo apt-get install chrony)."

QUEUE, STORAGE = "clock.queue", "clock.storage"


@dataclass(frozen=True, slots=True)
class _Reading:
    """Their clock, and ours before and after it was asked for; Unix ms."""

    theirs: float
    before: int
    after: int

    @property
    def ahead_seconds(self) -> float:
        return (self.theirs - (self.before + self.after) / 2) / 1000


def check(settings: Settings) -> Generator[Finding, None, None]:
    if settings.queue.mode == "redis":
        yield _compared(QUEUE, "the queue's server", lambda: _of_queue(settings))
    else:
        yield Finding(QUEUE, Verdict.SKIPPED, "not applicable: the queue is in memory")
    match settings.storage.type:
        case "local":
            yield Finding(STORAGE, Verdict.SKIPPED, "not applicable: the files are on this machine")
        case "nfs":
            yield _compared(STORAGE, "the shared folder's server", lambda: _of_folder(settings))
        case _:
            yield _compared(STORAGE, "the storage", lambda: _of_bucket(settings))


def _compared(name: str, whose: str, read: Callable[[], _Reading | None]) -> Finding:
    try:
        reading = within(CALL_SECONDS, read)
    except (FlowScaleError, httpx2.TransportError, OutOfTime):
        return Finding(name, Verdict.SKIPPED, f"{whose} could not be asked for the time")
    if reading is None:
        return Finding(name, Verdict.SKIPPED, f"{whose} does not tell the time")
    ahead = reading.ahead_seconds
    seen = f"{whose} is {abs(ahead):.1f} s {'ahead' if ahead >= 0 else 'behind'}"
    if abs(ahead) >= MOST_SECONDS:
        return Finding(name, Verdict.FAIL, seen, _REMEDY)
    if abs(ahead) >= NOTABLE_SECONDS:
        return Finding(name, Verdict.WARN, seen, _REMEDY)
    return Finding(name, Verdict.OK, seen)


def _of_queue(settings: Settings) -> _Reading:
    def look() -> Operation[_Reading]:
        yield (command("PING"),)  # so that connecting is not counted
        before = SystemClock().now_ms()
        ((seconds, microseconds),) = yield (command("TIME"),)
        return _Reading(int(seconds) * 1000 + int(microseconds) / 1000, before, SystemClock().now_ms())

    return ask(settings.redis, look())


def _of_bucket(settings: Settings) -> _Reading | None:
    before = SystemClock().now_ms()
    answer = httpx2.get(endpoint_of(settings.storage), timeout=HTTP_SECONDS)
    after = SystemClock().now_ms()
    try:
        said = parsedate_to_datetime(answer.headers["date"])
    except (KeyError, ValueError):
        return None
    return _Reading(said.timestamp() * 1000 + 500, before, after)  # half of the second it does not tell


def _of_folder(settings: Settings) -> _Reading:
    """The time that a file is given there when it is written."""
    key = names.upload_key(secrets.token_hex(16), "doctor-clock.mp4")
    with folders_as_found(*folders_of(settings.storage.dir)):
        storage = open_storage(settings.storage)
        try:
            before = SystemClock().now_ms()
            with storage.writer(key, 1) as writer:
                writer.write(b"0")
                stored = writer.commit()
            after = SystemClock().now_ms()
            storage.delete(key)
        finally:
            storage.close()
    return _Reading(stored.modified_ms, before, after)

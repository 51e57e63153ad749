"""What queued jobs wait for beside their turns: told by one reading for all who ask."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from flowscale.errors import QueueUnavailable
from flowscale.queues.base import WORKER_SEEN_MS, Depth, Figures, QueuePolicy, WorkerReport
from flowscale.queues.memory import MemoryQueue
from flowscale.testing import FakeClock
from flowscale_api.jobs.standstill import KEPT_SECONDS, Standstill, what_is_waited_for
from flowscale_api.schemas import WaitsFor

ABLE = WorkerReport("w", 0, "/usr/bin/ffmpeg", "5.1")
UNABLE = replace(ABLE, problem="FFmpeg is not there")


def figures(*, paused: bool = False, **workers: tuple[WorkerReport, int]) -> Figures:
    return Figures(Depth(1, 0, 0), None, paused, 0, workers=workers)


@pytest.mark.parametrize(
    ("reading", "waits_for"),
    [
        (figures(w=(ABLE, 0)), None),
        (figures(w=(ABLE, WORKER_SEEN_MS), x=(UNABLE, 0)), None),
        (figures(w=(ABLE, WORKER_SEEN_MS + 1)), WaitsFor.WORKER),
        (figures(w=(UNABLE, 0)), WaitsFor.WORKER),
        (figures(), WaitsFor.WORKER),
        (figures(paused=True), WaitsFor.RESUME),
        (figures(paused=True, w=(ABLE, 0)), WaitsFor.RESUME),
    ],
)
def test_a_reading_says_what_is_waited_for(reading: Figures, waits_for: WaitsFor | None) -> None:
    assert what_is_waited_for(reading) == waits_for


class Counting(MemoryQueue):
    """A queue in memory that counts what it is asked, and can be away."""

    asked = 0
    away = False

    async def figures(self) -> Figures:
        self.asked += 1
        if self.away:
            raise QueueUnavailable("away")
        return await super().figures()


async def test_one_reading_serves_all_who_wait_for_a_while() -> None:
    clock = FakeClock()
    queue = Counting(QueuePolicy(), clock)
    standstill = Standstill(queue, clock)
    await queue.pause()
    assert set(await asyncio.gather(*(standstill.waits_for() for _ in range(50)))) == {WaitsFor.RESUME}
    await queue.resume()
    queue.report(replace(ABLE, at_ms=clock.now_ms()))
    assert await standstill.waits_for() == WaitsFor.RESUME
    assert queue.asked == 1
    clock.advance(KEPT_SECONDS)
    assert await standstill.waits_for() is None
    queue.away = True
    clock.advance(KEPT_SECONDS)
    assert await standstill.waits_for() is None  # what could not be read is not known
    assert queue.asked == 3

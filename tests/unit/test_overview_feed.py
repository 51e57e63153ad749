"""One reading for all who watch, and how a stream begins and ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from flowscale.errors import QueueUnavailable
from flowscale_api.admin.feed import PING, Feed


async def always() -> bool:
    return True


class Source:
    """What is watched: it changes when told."""

    def __init__(self) -> None:
        self.value = 0
        self.away = False
        self.reads = 0
        self.read_again = asyncio.Event()

    async def read(self) -> tuple[str, bytes]:
        self.reads += 1
        self.read_again.set()
        if self.away:
            raise QueueUnavailable("away")
        return str(self.value), b"%d" % self.value

    async def another_reading(self, times: int = 2) -> None:
        for _ in range(times):
            self.read_again.clear()
            await self.read_again.wait()


async def following(stream: AsyncIterator[bytes]) -> bytes:
    return await asyncio.wait_for(anext(stream), 30)


async def test_readers_share_one_reading_and_are_told_changes_alone() -> None:
    source, feed, stopping = Source(), Feed(look_s=0.001, ping_s=60), asyncio.Event()
    first, second = (feed.stream(source.read, stopping, always) for _ in range(2))
    assert await following(first) == await following(second) == b"0"
    begun = source.reads
    waiting = asyncio.create_task(following(first)), asyncio.create_task(following(second))
    await source.another_reading()
    assert not waiting[0].done()
    source.value = 1
    assert list(await asyncio.gather(*waiting)) == [b"1", b"1"]
    assert source.reads > begun
    assert feed.readers == 2
    stopping.set()
    assert [event async for event in first] == [event async for event in second] == []
    assert feed.readers == 0


async def test_the_reading_ends_with_the_last_reader_and_begins_anew() -> None:
    source, feed, stopping = Source(), Feed(look_s=0.001, ping_s=60), asyncio.Event()
    stream = feed.stream(source.read, stopping, always)
    assert await following(stream) == b"0"
    await stream.aclose()
    await asyncio.sleep(0)
    reads = source.reads
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert source.reads <= reads + 1
    source.value = 7
    again = feed.stream(source.read, stopping, always)
    assert await following(again) == b"7"  # never what an earlier reading left
    await again.aclose()


async def test_silence_is_filled_and_a_queue_that_is_away_ends_it() -> None:
    source, feed, stopping = Source(), Feed(look_s=0.02, ping_s=0.001), asyncio.Event()
    stream = feed.stream(source.read, stopping, always)
    while await following(stream) != b"0":
        continue
    assert await following(stream) == PING
    source.away = True
    assert {event async for event in stream} <= {PING}
    source.away = False
    back = feed.stream(source.read, stopping, always)
    while await following(back) != b"0":
        continue
    await back.aclose()


async def test_who_may_not_go_on_is_told_nothing_more() -> None:
    source, feed, stopping = Source(), Feed(look_s=0.001, ping_s=60), asyncio.Event()
    allowed = [True]

    async def may_go_on() -> bool:
        return allowed[0]

    stream = feed.stream(source.read, stopping, may_go_on)
    assert await following(stream) == b"0"
    allowed[0] = False
    source.value = 1
    assert [event async for event in stream] == []


async def test_a_reader_of_whom_nothing_can_be_found_out_is_let_go() -> None:
    async def unknown() -> bool:
        raise QueueUnavailable("away")

    source, feed = Source(), Feed(look_s=0.001, ping_s=60)
    assert [event async for event in feed.stream(source.read, asyncio.Event(), unknown)] == []
    assert feed.readers == 0

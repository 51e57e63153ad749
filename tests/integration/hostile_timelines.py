"""MP4 films whose times, sizes and sounds are absurd, or change in the middle."""

from __future__ import annotations

import struct

from integration.hostile_boxes import (
    MDAT_AT,
    SCALE,
    Track,
    edit_list,
    film,
    png,
    same_size,
    sizes,
    table,
)
from integration.hostile_cases import (
    BAD,
    DAMAGED,
    DONE,
    H264,
    OVER,
    PICTURE,
    RENDERED,
    SLOW,
    Cases,
    Workshop,
)

cases = Cases("timeline")

HUGE = png(7680, 4320, depth=1, colour=0)
"""A frame of 8K in a few KB."""

cases.add("header says 10 hours", RENDERED, film(Track(duration=36_000 * SCALE), duration=36_000 * SCALE))
cases.add("header says a negative time", DAMAGED, film(Track(duration=-5), duration=-5))
cases.add("no time passes", frozenset({DONE, "EMPTY_OUTPUT", "INVALID_MEDIA"}), film(Track(delta=0)))
cases.add("no samples", BAD, film(Track(count=0)))
cases.add("time units: none a second", DAMAGED, film(Track(scale=0), scale=0))
cases.add("time units: 4 thousand million a second", DAMAGED, film(Track(scale=0xFFFFFFFF), scale=0xFFFFFFFF))
cases.add("a million frames a second", DAMAGED, film(Track(scale=1_000_000, delta=1, count=50)))
cases.add("a frame in 1,000 s", RENDERED, film(Track(scale=1, delta=1_000, count=2)))
cases.add("a frame that lasts 10 days", OVER, film(Track(scale=1, delta=864_000, count=1)))
cases.add(
    "a small frame that lasts 5 h",
    DAMAGED,
    film(Track(scale=1, delta=18_000, count=1)),
    spec={"trim": {"start": 17_999, "end": 18_000}},
)
cases.add(
    "two 8K frames 5 h apart", OVER, lambda _: film(huge_pair(), data=HUGE), settings={"max_decoded_pixels": 10**12}
)


def huge_pair() -> Track:
    tables = {
        b"stsz": same_size(len(HUGE), 3),
        b"stts": table(b"stts", (1, 40), (1, 18_000 * SCALE), (1, 40)),
        b"stco": table(b"stco", *[(MDAT_AT,)] * 3),
    }
    return Track(count=3, width=7680, height=4320, tables=tables)


def holed(seconds: int, rate: int = 8_000, channels: int = 1) -> bytes:
    """Sound of 0.2 s with a hole of `seconds` in the middle."""
    tables = {
        b"stts": table(b"stts", (rate // 10, 1), (1, rate * seconds), (rate // 10 - 1, 1)),
        b"stsc": table(b"stsc", (1, rate // 10, 1)),
        b"stco": table(b"stco", (MDAT_AT,), (MDAT_AT,)),
    }
    count = rate // 10 * 2
    return film(
        Track(rate=rate, channels=channels, count=count, delta=1, scale=rate, tables=tables),
        data=bytes(2 * channels * count),
    )


cases.add("sound with a hole of 4 h", OVER, holed(14_000), says="The sound is missing")
cases.add("stereo sound with a hole of 11 min", RENDERED | SLOW, holed(690, 48_000, 2))
cases.add(
    "edit list: absurd", DAMAGED, film(Track(edits=edit_list((2**62, 2**62), (2**63, -1), (0, -(2**63)), version=1)))
)
cases.add("edit list: starts in 2 days", DAMAGED, film(Track(edits=edit_list((200_000_000, -1), (200, 0)))))
cases.add("edit list: 20,000 edits", DAMAGED | SLOW, lambda _: film(Track(edits=edit_list(*[(1, 0)] * 20_000))))
cases.add("edit list: longer than the file", DAMAGED, film(Track(edits=edit_list((200, 0), declared=0x0FFFFFFF))))

turn = struct.pack(">9i", 46341, 46341, 0, -46341, 46341, 0, 0, 0, 0x40000000)
cases.add("turned by 45 degrees", RENDERED, film(Track(matrix=turn)))
nearly = struct.pack(">9i", 400, 65535, 0, -65535, 400, 0, 0, 0, 0x40000000)
cases.add("turned by 89.65 degrees", RENDERED, film(Track(matrix=nearly)))
cases.add("a matrix of zeros", DAMAGED, film(Track(matrix=bytes(36))))
cases.add("another codec than it says", BAD, film(Track(codec=b"M8RG")), says="magicyuv")
cases.add("said to be 65535x65535", DAMAGED, film(Track(width=0xFFFF, height=0xFFFF)))
cases.add("frames of another size in the middle", DAMAGED, lambda _: changing())


def changing() -> bytes:
    small, large = png(32, 24), png(320, 240)
    frames = [small, large, small, large, small]
    starts = [MDAT_AT + sum(map(len, frames[:index])) for index in range(5)]
    tables = {b"stsz": sizes(*map(len, frames)), b"stco": table(b"stco", *((start,) for start in starts))}
    return film(Track(width=32, height=24, tables=tables), data=b"".join(frames))


def sound_at(rate: int, channels: int = 1, count: int = 4_000) -> bytes:
    return film(
        Track(rate=rate, channels=channels, count=count, delta=1, scale=max(1, rate)), data=bytes(2 * channels * count)
    )


cases.add("sound at 1 Hz", DAMAGED, sound_at(1, count=100))
cases.add("sound at 65,535 Hz", DAMAGED, sound_at(65_535))
cases.add("sound of 64 channels", DAMAGED, sound_at(8_000, channels=64))
cases.add("sound of 60,000 channels", DAMAGED, sound_at(8_000, channels=60_000, count=8))


@cases.made("pixels of 1:10000", RENDERED)
def thin_pixels(workshop: Workshop) -> bytes:
    return workshop.ffmpeg("thin.mp4", *PICTURE, "-vf", "setsar=1/10000", *H264).read_bytes()


@cases.made("8K, thousands of frames", frozenset({"LIMIT_EXCEEDED"}), settings={"max_decoded_pixels": 10**11})
def large_and_long(_: Workshop) -> bytes:
    count = 4_000
    return film(Track(count=count, width=7680, height=4320, tables={b"stsz": same_size(len(HUGE), count)}), data=HUGE)

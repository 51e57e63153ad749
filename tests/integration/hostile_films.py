"""MP4 and QuickTime files whose boxes lie, point elsewhere, or claim more than there is."""

from __future__ import annotations

import struct

from integration.hostile_boxes import (
    FRAME,
    MDAT_AT,
    Track,
    alias,
    box,
    compressed_movie,
    edit_list,
    film,
    ftyp,
    full_box,
    movie,
    same_size,
    sizes,
    table,
)
from integration.hostile_cases import (
    BAD,
    DAMAGED,
    DONE,
    OVER,
    REFUSED,
    RENDERED,
    Cases,
    Workshop,
)

cases = Cases("mp4")

ONE_CHUNK = {b"stco": table(b"stco", (MDAT_AT,))}


def crowd(count: int) -> Track:
    """`count` samples of one byte, all in one chunk: claimed in a few bytes of tables."""
    return Track(
        count=count,
        delta=1,
        tables={b"stsz": same_size(1, count), b"stsc": table(b"stsc", (1, count, 1)), **ONE_CHUNK},
    )


cases.add("as it should be", RENDERED, film(Track()))


@cases.made("sample data in the canary film, by alias", BAD, lure=True)
def alias_absolute(workshop: Workshop) -> bytes:
    return film(Track(reference=alias(str(workshop.canary.film))))


@cases.made("sample data in the canary film, by relative alias", BAD, lure=True)
def alias_relative(workshop: Workshop) -> bytes:
    return film(Track(reference=alias(f"/{workshop.scratch_to_canary}", level=(4, 1))))


@cases.made("sample data at a url", BAD | {DONE}, lure=True)
def data_at_url(workshop: Workshop) -> bytes:
    return film(Track(reference=full_box(b"url ", workshop.canary.url.encode() + b"/a.mov\0")))


@cases.made("reference movie", BAD, lure=True)
def reference_movie(workshop: Workshop) -> bytes:
    target = f"file://{workshop.canary.film}".encode() + b"\0"
    record = full_box(b"rdrf", b"url ", struct.pack(">I", len(target)), target)
    return ftyp(b"qt  ") + box(b"moov", box(b"rmra", box(b"rmda", record)))


cases.add("40 million samples in 700 bytes", REFUSED, film(crowd(40_000_000)))
cases.add("10 million samples in 700 bytes", REFUSED, film(crowd(10_000_000)))
cases.add("12 tracks of 8 million samples", REFUSED, film(*(crowd(8_000_000) for _ in range(12))))
cases.add(
    "8 million samples and an edit list",
    REFUSED,
    film(Track(count=8_000_000, delta=1, edits=edit_list((4_000_000, 5)), tables=crowd(8_000_000).tables)),
)
cases.add(
    "a million samples of one byte",
    DAMAGED,
    film(crowd(1_000_000), data=bytes(1_000_000)),
    settings={"max_frames": 300_000},
)
cases.add("4 thousand million samples", REFUSED, film(crowd(0xFFFFFFFF)))
cases.add("stsz far longer than the file", DAMAGED, film(Track(tables={b"stsz": table(b"stsz", (0, 0x7FFFFFFF))})))
cases.add(
    "stts far longer than the file",
    DAMAGED,
    film(Track(tables={b"stts": table(b"stts", (5, 40), declared=0x0FFFFFFF)})),
)
cases.add(
    "stsc far longer than the file",
    DAMAGED,
    film(Track(tables={b"stsc": table(b"stsc", (1, 1, 1), declared=0x0FFFFFFF)})),
)
cases.add(
    "stco far longer than the file",
    DAMAGED,
    film(Track(tables={b"stco": table(b"stco", (MDAT_AT,), declared=0x1FFFFFFF)})),
)
cases.add("samples of 2 GB", BAD, film(Track(tables={b"stsz": sizes(*[0x7FFFFFFF] * 5)})))
cases.add("samples far behind the end", BAD, film(Track(tables={b"stco": table(b"stco", *[(0xFFFFFFF0,)] * 5)})))
cases.add(
    "compressed moov that unpacks to 60 MB",
    REFUSED,
    lambda _: (
        ftyp()
        + box(b"mdat", FRAME)
        + compressed_movie(
            movie([Track(count=15_000_000, tables={b"stsz": same_size(0, 15_000_000) + bytes(60_000_000)})])
        )
    ),
)
cases.add("fragment of 40 million samples", DAMAGED, lambda _: fragmented(40_000_000))


def fragmented(count: int) -> bytes:
    """A film in fragments; its one `trun` claims `count` samples and says nothing of each."""
    extends = box(b"mvex", full_box(b"trex", struct.pack(">5I", 1, 1, 40, len(FRAME), 0)))
    empty = Track(count=0, tables={name: table(name) for name in (b"stts", b"stsc", b"stco")})
    head = ftyp() + movie([empty], extra=extends)
    run = full_box(b"trun", struct.pack(">Ii", count, 0), flags=1)
    moof = box(
        b"moof",
        full_box(b"mfhd", struct.pack(">I", 1)),
        box(b"traf", full_box(b"tfhd", struct.pack(">I", 1), flags=0x20000), run),
    )
    return head + moof + box(b"mdat", FRAME)


def nested(depth: int) -> bytes:
    inner = b""
    for _ in range(depth):
        inner = box(b"trak", inner)
    return inner


cases.add("boxes nested 10,000 deep", BAD, lambda _: ftyp() + box(b"moov", nested(10_000)))
cases.add("meta boxes nested", BAD, lambda _: ftyp() + box(b"moov", *[box(b"udta", box(b"meta", bytes(4)))] * 5_000))
cases.add("a box of size 0 in moov", DAMAGED, film(Track(), extra=box(b"udta", b"abc", size=0)))
cases.add(
    "a box of size 1 and 2^63 bytes", DAMAGED, film(Track(), extra=box(b"udta", struct.pack(">Q", 2**63), size=1))
)
cases.add("a box of size 2", DAMAGED, film(Track(), extra=box(b"udta", b"abc", size=2)))
cases.add("a box of 4 GB in moov", DAMAGED, film(Track(), extra=box(b"udta", b"abc", size=0xFFFFFFFF)))
cases.add("half a million empty boxes", DAMAGED, lambda _: film(Track(), extra=box(b"free") * 500_000))
cases.add("20 tracks", OVER, film(*(Track(number=number) for number in range(1, 21))), says="more streams")
cases.add("3,000 tracks", OVER, lambda _: film(*[Track()] * 3_000), says="more streams")

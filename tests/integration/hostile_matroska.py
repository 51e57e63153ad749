"""Matroska and WebM files whose elements lie, nest, multiply, or carry what is none of a film's business."""

from __future__ import annotations

import zlib

from integration import hostile_elements as ebml
from integration.hostile_boxes import FRAME, png
from integration.hostile_cases import BAD, DAMAGED, DONE, OVER, REFUSED, RENDERED, Cases, Workshop
from integration.hostile_elements import FRAMES, element, film, info, number, png_track, real, segment, tag

cases = Cases("matroska")

cases.add("as it should be", RENDERED, film())
cases.add(
    "200 streams",
    OVER,
    film(tracks=element(ebml.TRACKS, *(png_track(index=index) for index in range(1, 201)))),
    says="more streams",
)
cases.add("3 million empty tracks", REFUSED, lambda _: film(tracks=element(ebml.TRACKS, b"\xae\x80" * 3_000_000)))
cases.add(
    "a million empty chapters",
    DAMAGED,
    lambda _: film(element(ebml.CHAPTERS, element(b"\x45\xb9", b"\xb6\x80" * 1_000_000))),
)
cases.add("3 million voids", RENDERED, lambda _: film(b"\xec\x80" * 3_000_000))
cases.add("a void of 2^55 bytes", DAMAGED, film(element(ebml.VOID, declared=2**55)))
cases.add("everything of unknown size", RENDERED, lambda _: unknown_sizes())
cases.add("a segment of 2^55 bytes", BAD, segment(info(), element(ebml.TRACKS, png_track()), FRAMES, declared=2**55))
cases.add(
    "a block of 2^40 bytes",
    DAMAGED,
    film(frames=element(ebml.CLUSTER, number(b"\xe7", 0), element(ebml.SIMPLE_BLOCK, b"\x81\0\0\x80", declared=2**40))),
)
cases.add(
    "codec data of 2^32 bytes",
    DAMAGED,
    film(tracks=element(ebml.TRACKS, png_track(element(b"\x63\xa2", declared=2**32)))),
)
cases.add("a tag of 2^33 bytes", DAMAGED, film(element(ebml.TAGS, element(b"\x45\xa3", declared=2**33))))
cases.add("doc type of another kind behind", BAD, ebml.head(b"webm")[:-9] + b"\0" * 200)


def unknown_sizes() -> bytes:
    blocks = b"".join(ebml.block(at) for at in (0, 40, 80))
    tracks = element(ebml.TRACKS, png_track())
    return (
        ebml.head()
        + ebml.SEGMENT
        + ebml.UNKNOWN
        + info()
        + tracks
        + ebml.CLUSTER
        + ebml.UNKNOWN
        + number(b"\xe7", 0)
        + blocks
    )


@cases.made("tags nested 5,000 deep", DAMAGED)
def nested_tags(_: Workshop) -> bytes:
    inner = b""
    for _depth in range(5_000):
        inner = ebml.simple_tag(b"a", b"b", inner)
    return film(element(ebml.TAGS, element(ebml.TAG, inner)))


@cases.made("12,000 tags", frozenset({DONE, "TIMEOUT_ERROR"}))
def many_tags(_: Workshop) -> bytes:
    tags = (ebml.simple_tag(b"n%06d" % index, b"v") for index in range(12_000))
    return film(element(ebml.TAGS, element(ebml.TAG, *tags)))


@cases.made("30 fonts attached", RENDERED)
def fonts(_: Workshop) -> bytes:
    files = (ebml.attachment(b"../../etc/font%d.ttf" % index, b"font/ttf", bytes(999), index) for index in range(1, 31))
    return film(element(ebml.ATTACHMENTS, *files))


@cases.made("an attachment that is a playlist", RENDERED)
def attached_playlist(workshop: Workshop) -> bytes:
    text = f"#EXTM3U\n#EXTINF:1,\nfile://{workshop.canary.film}\n".encode()
    return film(element(ebml.ATTACHMENTS, ebml.attachment(b"/etc/cron.d/x", b"application/x-mpegurl", text, 9)))


@cases.made("a picture attached that unpacks to 400 million pixels", frozenset({DONE}) | REFUSED)
def attached_picture(_: Workshop) -> bytes:
    bomb = png(20_000, 20_000, depth=1, colour=0)
    return film(element(ebml.ATTACHMENTS, ebml.attachment(b"cover.png", b"image/png", bomb, 9)))


# The one tag that a probe reads: what it says must stay one value of one field.
FORGED = {
    "alpha_mode that imitates fields": b"1|index=7|codec_type=audio|width=99999|rotation=90|sample_rate=x",
    "alpha_mode that imitates escapes": b"1\\|index=7\\\\|width=99999|pix_fmt=movie=/etc/passwd",
    "alpha_mode that imitates lines": b"1\npacket|stream_index=0|pts_time=99999.0\nstream|index=3",
    "alpha_mode that imitates an end of text": b"1\0|index=7",
}
for label, text in FORGED.items():
    cases.add(label, RENDERED, film(element(ebml.TAGS, tag(b"alpha_mode", text, target=1))))
cases.add(
    "alpha_mode on a picture without alpha", RENDERED, film(element(ebml.TAGS, tag(b"alpha_mode", b"1", target=1)))
)

cases.add("time unit of 2^63 ns", DAMAGED, film(about=info(scale=2**63)))
cases.add("time unit of 0 ns", DAMAGED, film(about=info(scale=0)))
cases.add("duration not a number", RENDERED, film(about=info(real(b"\x44\x89", float("nan")))))
cases.add("duration without end", DAMAGED, film(about=info(real(b"\x44\x89", float("inf")))))
cases.add("header says 10 hours", RENDERED, film(about=info(real(b"\x44\x89", 36_000_000.0))))
cases.add("cluster at 2^60", DAMAGED, film(frames=ebml.cluster(ebml.block(0), at=2**60)))
cases.add(
    "frames at one time",
    frozenset({DONE, "EMPTY_OUTPUT", "INVALID_MEDIA"}),
    film(frames=ebml.cluster(*[ebml.block(0)] * 5)),
)
cases.add("frames backwards", DAMAGED, film(frames=ebml.cluster(*(ebml.block(at) for at in (30_000, 100, 0, -30_000)))))
cases.add("frames of 1 ns", DAMAGED, film(tracks=element(ebml.TRACKS, png_track(number(b"\x23\xe3\x83", 1)))))
cases.add(
    "shown at 1:10000",
    DAMAGED,
    film(tracks=element(ebml.TRACKS, png_track(video=number(b"\x54\xb0", 1) + number(b"\x54\xba", 10_000)))),
)
cases.add(
    "said to be 2^32 wide",
    DAMAGED,
    film(tracks=element(ebml.TRACKS, ebml.picture_track(width=2**32 - 1, height=2**32 - 1))),
)
cases.add(
    "laced blocks that lie",
    DAMAGED,
    film(
        frames=ebml.cluster(*(ebml.block(0, b"\xff" + bytes([255]) * 40, flags=flags) for flags in (0x82, 0x84, 0x86)))
    ),
)


@cases.made("blocks that unpack", DAMAGED)
def packed_blocks(_: Workshop) -> bytes:
    packing = element(b"\x6d\x80", element(b"\x62\x40", element(b"\x50\x34", number(b"\x42\x54", 0))))
    bomb = zlib.compress(bytes(12_000_000), 9)
    return film(
        tracks=element(ebml.TRACKS, png_track(packing)),
        frames=ebml.cluster(*(ebml.block(at, bomb) for at in range(20))),
    )


cases.add("no tracks", BAD, segment(info(), FRAMES))
cases.add("no blocks", BAD, segment(info(), element(ebml.TRACKS, png_track())))
cases.add("only a header", BAD, ebml.head())
cases.add("frames with garbage between", DAMAGED, film(FRAME * 20))

"""MP4 films that carry what is none of a film's business: nasty tags, covers, subtitles, other files."""

from __future__ import annotations

import struct
import zlib

from integration.hostile_boxes import (
    Track,
    box,
    film,
    full_box,
    png,
    png_chunk,
    same_size,
)
from integration.hostile_cases import (
    DONE,
    H264,
    OVER,
    PICTURE,
    REFUSED,
    RENDERED,
    TONE,
    Cases,
    Workshop,
)

cases = Cases("passenger")


@cases.made("5,000 tags of the film", RENDERED)
def many_tags(_: Workshop) -> bytes:
    names = [f"name.{index:06d}".encode() for index in range(5_000)]
    keys = full_box(b"keys", struct.pack(">I", len(names)), *(box(b"mdta", name) for name in names))
    items = (
        box(struct.pack(">I", index + 1), box(b"data", struct.pack(">II", 1, 0), b"v")) for index in range(len(names))
    )
    handler = full_box(b"hdlr", struct.pack(">I4s12x", 0, b"mdta"), b"\0")
    return film(Track(), extra=box(b"meta", handler, keys, box(b"ilst", *items)))


NASTY = {
    "shell": "$(touch /tmp/x) `id` ; rm -rf / & | > < \\ ' \"",
    "filter graph": "movie=/etc/passwd[a];[a]overlay=x='if(1,2)':y=0,drawtext=textfile=/etc/passwd",
    "compact lines": "x\npacket|stream_index=0|pts_time=99999.0|duration_time=9\nstream|index=7|width=9\n",
    "escapes": "\x1b[2J\x1b]0;title\x07\x1b[31m\r\n\t\v\x7f\x9b",
    "format strings": "%s%n%d {0} ${HOME} %(message)s",
    "right to left": "\u202egpj.4pm\u2066\u2069\ufeff",
    "one megabyte": "A" * 1_000_000,
}


def tagged(text: str) -> bytes:
    content = text.encode()
    item = box(b"data", struct.pack(">II", 1, 0), content)
    items = box(b"ilst", *(box(kind, item) for kind in (b"\xa9nam", b"\xa9cmt", b"\xa9ART", b"desc")))
    handler = full_box(b"hdlr", struct.pack(">I4s12x", 0, b"mdir"), b"\0")
    return film(Track(), extra=box(b"udta", full_box(b"meta", handler, items)))


for label, text in NASTY.items():
    cases.add(f"tags with {label}", RENDERED, tagged(text))


@cases.made("cover only", REFUSED | {DONE})
def cover_only(workshop: Workshop) -> bytes:
    picture = workshop.ffmpeg("cover.png", *PICTURE, "-frames:v", "1")
    return workshop.ffmpeg(
        "cover.m4a",
        *TONE,
        "-i",
        str(picture),
        "-map",
        "0:a",
        "-map",
        "1:v",
        "-c:v",
        "copy",
        "-c:a",
        "aac",
        "-disposition:v:0",
        "attached_pic",
        "-f",
        "mp4",
    ).read_bytes()


@cases.made("cover that unpacks to 400 million pixels", frozenset({DONE}) | REFUSED)
def cover_bomb(_: Workshop) -> bytes:
    item = box(b"covr", box(b"data", struct.pack(">II", 14, 0), png(20_000, 20_000, depth=1, colour=0)))
    handler = full_box(b"hdlr", struct.pack(">I4s12x", 0, b"mdir"), b"\0")
    return film(Track(), extra=box(b"udta", full_box(b"meta", handler, box(b"ilst", item))))


@cases.made("zip behind the film", RENDERED)
def zip_polyglot(workshop: Workshop) -> bytes:
    return workshop.clip() + b"PK\x03\x04" + bytes(26) + b"PK\x05\x06" + bytes(18)


cases.add("script in a box behind the film", RENDERED, film(Track()) + box(b"free", b"\n#!/bin/sh\nid\n"))
cases.add(
    "frames whose text unpacks to 120 MB",
    frozenset({DONE, "TIMEOUT_ERROR"}),
    lambda _: with_frame(png(64, 48, extra=png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(120_000_000), 1)))),
)


def with_frame(frame: bytes) -> bytes:
    return film(Track(tables={b"stsz": same_size(len(frame), 5)}), data=frame)


@cases.made("17 sounds", OVER, says="more streams")
def many_sounds(workshop: Workshop) -> bytes:
    maps = [word for _ in range(17) for word in ("-map", "1:a")]
    return workshop.clip("sounds.mp4", "-map", "0:v", *maps, "-t", "0.2")


@cases.made("subtitles that name a path", RENDERED)
def subtitled(workshop: Workshop) -> bytes:
    text = workshop.folder / "path.srt"
    text.write_text(f"1\n00:00:00,000 --> 00:00:01,000\nfile://{workshop.canary.film} {{\\img}}{workshop.canary.url}\n")
    return workshop.ffmpeg("subtitled.mp4", *PICTURE, "-i", str(text), *H264, "-c:s", "mov_text").read_bytes()

"""Matroska and WebM files written element by element, so that any size or number can lie (RFC 8794, RFC 9559)."""

from __future__ import annotations

import struct

from integration.hostile_boxes import FRAME

EBML = b"\x1a\x45\xdf\xa3"
SEGMENT = b"\x18\x53\x80\x67"
INFO = b"\x15\x49\xa9\x66"
TRACKS = b"\x16\x54\xae\x6b"
TRACK = b"\xae"
CLUSTER = b"\x1f\x43\xb6\x75"
SIMPLE_BLOCK = b"\xa3"
VOID = b"\xec"
TAGS = b"\x12\x54\xc3\x67"
TAG = b"\x73\x73"
SIMPLE_TAG = b"\x67\xc8"
CHAPTERS = b"\x10\x43\xa7\x70"
ATTACHMENTS = b"\x19\x41\xa4\x69"
ATTACHED_FILE = b"\x61\xa7"

UNKNOWN = b"\x01\xff\xff\xff\xff\xff\xff\xff"
"""A size that is not known: the element reaches to the end of what holds it."""


def size(value: int) -> bytes:
    return (1 << 56 | value).to_bytes(8, "big")


def element(identifier: bytes, *parts: bytes, declared: int | None = None) -> bytes:
    """An element; `declared` overrides the size in its header."""
    content = b"".join(parts)
    return identifier + size(len(content) if declared is None else declared) + content


def number(identifier: bytes, value: int) -> bytes:
    return element(identifier, value.to_bytes(8, "big"))


def real(identifier: bytes, value: float) -> bytes:
    return element(identifier, struct.pack(">d", value))


def head(doc_type: bytes = b"matroska") -> bytes:
    return element(EBML, number(b"\x42\x86", 1), element(b"\x42\x82", doc_type), number(b"\x42\x87", 4))


def info(*more: bytes, scale: int = 1_000_000) -> bytes:
    return element(INFO, number(b"\x2a\xd7\xb1", scale), *more)


def picture_track(
    *more: bytes,
    index: int = 1,
    codec: bytes = b"V_MPEG4/ISO/AVC",
    width: int = 64,
    height: int = 48,
    video: bytes = b"",
) -> bytes:
    sides = element(b"\xe0", number(b"\xb0", width), number(b"\xba", height), video)
    return element(
        TRACK,
        number(b"\xd7", index),
        number(b"\x73\xc5", index),
        number(b"\x83", 1),
        element(b"\x86", codec),
        sides,
        *more,
    )


def png_track(*more: bytes, index: int = 1, width: int = 64, height: int = 48, video: bytes = b"") -> bytes:
    """A track whose blocks are PNG pictures: Matroska's form of a codec known by four characters."""
    private = struct.pack("<IiiHH4sIIIII", 40, width, height, 1, 24, b"MPNG", 0, 0, 0, 0, 0)
    return picture_track(
        element(b"\x63\xa2", private),
        *more,
        index=index,
        codec=b"V_MS/VFW/FOURCC",
        width=width,
        height=height,
        video=video,
    )


def block(at: int, data: bytes = FRAME, *, index: int = 1, flags: int = 0x80) -> bytes:
    return element(SIMPLE_BLOCK, bytes([0x80 | index]), struct.pack(">hB", at, flags), data)


def cluster(*blocks: bytes, at: int = 0) -> bytes:
    return element(CLUSTER, number(b"\xe7", at), *blocks)


FRAMES = cluster(*(block(at) for at in (0, 40, 80, 120, 160)))


def segment(*parts: bytes, doc_type: bytes = b"matroska", declared: int | None = None) -> bytes:
    return head(doc_type) + element(SEGMENT, *parts, declared=declared)


def film(*between: bytes, tracks: bytes | None = None, frames: bytes = FRAMES, about: bytes | None = None) -> bytes:
    """Five black pictures in 0.2 s; `between` stands between the tracks and the pictures."""
    described = element(TRACKS, png_track()) if tracks is None else tracks
    return segment(info() if about is None else about, described, *between, frames)


def tag(name: bytes, value: bytes, *, target: int | None = None) -> bytes:
    """A tag of the file, or of the track whose UID is `target`."""
    targets = element(b"\x63\xc0", number(b"\x63\xc5", target)) if target is not None else element(b"\x63\xc0")
    return element(TAG, targets, simple_tag(name, value))


def simple_tag(name: bytes, value: bytes, *nested: bytes) -> bytes:
    return element(SIMPLE_TAG, element(b"\x45\xa3", name), element(b"\x44\x87", value), *nested)


def attachment(name: bytes, mime: bytes, content: bytes, number_: int) -> bytes:
    return element(
        ATTACHED_FILE,
        element(b"\x46\x6e", name),
        element(b"\x46\x60", mime),
        element(b"\x46\x5c", content),
        number(b"\x46\xae", number_),
    )

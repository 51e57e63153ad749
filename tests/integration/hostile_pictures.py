"""Pictures that claim or unpack to more than anybody should draw."""

from __future__ import annotations

import struct
import zlib

from integration.hostile_boxes import png, png_chunk
from integration.hostile_cases import BAD, DAMAGED, DONE, H264, OVER, PICTURE, REFUSED, RENDERED, Cases, Workshop

cases = Cases("picture")

ONE_SECOND = {"trim": {"start": 0, "end": 1}}

cases.add("as it should be", RENDERED, png(64, 48), spec=ONE_SECOND)
cases.add("png header of 30000x30000", OVER, png(30_000, 30_000, rows=b"\0" * 100), says="30000x30000")
cases.add("png header of 2^31", REFUSED, png(2**31 - 1, 2**31 - 1, rows=b"\0"))
cases.add("png header of 0x0", BAD, png(0, 0, rows=b"\0"))
cases.add("png of 20000x20000 zeros", OVER, lambda _: png(20_000, 20_000, depth=1, colour=0), says="20000x20000")
cases.add("png of 1x1", RENDERED, png(1, 1), spec=ONE_SECOND)
cases.add("png of 3x3", RENDERED, png(3, 3), spec=ONE_SECOND)
cases.add("png of 30000x1", OVER, png(30_000, 1), spec=ONE_SECOND)
cases.add("png of 1x30000", OVER, png(1, 30_000), spec=ONE_SECOND)
cases.add(
    "png of 8K in 16 bit with alpha",
    frozenset({"LIMIT_EXCEEDED"}),  # it would take more memory than a render has by default
    lambda _: png(7680, 4320, depth=16, colour=6),
    spec={"trim": {"start": 0, "end": 0.1}},
)
cases.add(
    "png of 8K made small",
    RENDERED,
    lambda _: png(7680, 4320, depth=16, colour=6),
    spec={"resize": {"width": 64, "height": 48}, **ONE_SECOND},
)
cases.add("png with alpha", RENDERED, png(64, 48, colour=6), spec=ONE_SECOND)
cases.add("png of one shade of grey in 1 bit", RENDERED, png(64, 48, depth=1, colour=0), spec=ONE_SECOND)
cases.add("png with too little in it", DAMAGED, png(64, 48, rows=b"\0" * 200), spec=ONE_SECOND)
cases.add("png with too much in it", DAMAGED, lambda _: png(64, 48, rows=bytes(300_000_000)), spec=ONE_SECOND)


def text_of(size: int) -> bytes:
    return png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(size), 1))


cases.add(
    "png with a text that unpacks to 1 GB",
    DAMAGED,
    lambda _: png(64, 48, extra=text_of(1_000_000_000)),
    spec=ONE_SECOND,
)
cases.add("png with a text that unpacks to 120 MB", DAMAGED, lambda _: png(64, 48, extra=text_of(120_000_000)))
cases.add("png with six texts of 60 MB", DAMAGED, lambda _: png(64, 48, extra=text_of(60_000_000) * 6))
cases.add(
    "png with a profile that unpacks to 1 GB",
    DAMAGED,
    lambda _: png(64, 48, extra=png_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1_000_000_000), 1))),
    spec=ONE_SECOND,
)
cases.add(
    "png with a profile that unpacks to 120 MB",
    DAMAGED,
    lambda _: png(64, 48, extra=png_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(120_000_000), 1))),
)
cases.add(
    "png with a chunk of 2 GB", DAMAGED, png(64, 48, extra=struct.pack(">I", 0x7FFFFFFF) + b"zTXt"), spec=ONE_SECOND
)
cases.add("png 3,000 times in a row", DAMAGED, lambda _: png(64, 48) * 3_000, spec=ONE_SECOND)
cases.add("gif called png", BAD, lambda workshop: workshop.ffmpeg("a.gif", *PICTURE).read_bytes())
cases.add(
    "svg behind a png's first bytes",
    BAD,
    lambda workshop: b"\x89PNG\r\n\x1a\n<svg><image href='file://" + bytes(workshop.canary.film) + b"'/></svg>",
)
cases.add("webp header of 16383x16383", REFUSED, lambda workshop: resized_webp(workshop))
cases.add(
    "webp canvas of 16777216x16777216", REFUSED, b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0\xff\xff\xff\xff\xff\xff"
)
cases.add("jpeg of 30000x30000 in its header", REFUSED, lambda workshop: resized_jpeg(workshop, 30_000, 30_000))
cases.add("jpeg of 65535x1 in its header", DAMAGED, lambda workshop: resized_jpeg(workshop, 65_535, 1), spec=ONE_SECOND)
cases.add(
    "jpeg with 2,000 scans",
    frozenset({DONE, "TIMEOUT_ERROR", "INVALID_MEDIA"}),
    lambda workshop: many_scans(workshop),
    spec=ONE_SECOND,
)
cases.add("animated webp", DAMAGED, lambda workshop: animated_webp(workshop), spec=ONE_SECOND)
cases.add("jpeg cut at 50 %", DAMAGED, lambda workshop: jpeg(workshop)[: len(jpeg(workshop)) // 2], spec=ONE_SECOND)
cases.add(
    "a film called jpeg",
    BAD,
    lambda workshop: b"\xff\xd8\xff\xe0" + workshop.ffmpeg("b.mp4", *PICTURE, *H264).read_bytes(),
)


def jpeg(workshop: Workshop) -> bytes:
    return workshop.ffmpeg("a.jpg", *PICTURE, "-frames:v", "1").read_bytes()


def webp(workshop: Workshop) -> bytes:
    return workshop.ffmpeg("a.webp", *PICTURE, "-frames:v", "1", "-c:v", "libwebp").read_bytes()


def resized_jpeg(workshop: Workshop, width: int, height: int) -> bytes:
    content = jpeg(workshop)
    at = content.index(b"\xff\xc0") + 5
    return content[:at] + struct.pack(">HH", height, width) + content[at + 4 :]


def resized_webp(workshop: Workshop) -> bytes:
    content = webp(workshop)
    at = content.index(b"\x9d\x01\x2a") + 3
    return content[:at] + struct.pack("<HH", 16_383, 16_383) + content[at + 4 :]


def many_scans(workshop: Workshop) -> bytes:
    """A progressive JPEG of 4000x4000 whose every scan says in a few bytes that nothing changes."""
    content = jpeg(workshop)
    quantiser = content[content.index(b"\xff\xdb") : content.index(b"\xff\xc0")]
    frame = struct.pack(">2sHBHHB9B", b"\xff\xc2", 17, 8, 4_000, 4_000, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0)
    # One code of one bit: 0xE0, an end of band that holds for 2^14 blocks and the 14 bits that follow more.
    codes = struct.pack(">2sHB16BB", b"\xff\xc4", 20, 0x10, 1, *[0] * 15, 0xE0)
    scan = struct.pack(">2sHBBBBBB", b"\xff\xda", 8, 1, 1, 0x00, 1, 63, 0) + (b"\x7f\xfe" * 40)
    return b"\xff\xd8" + quantiser + frame + codes + scan * 2_000 + b"\xff\xd9"


def animated_webp(workshop: Workshop) -> bytes:
    still = webp(workshop)[12:]
    frame = (
        bytes(6) + (63).to_bytes(3, "little") + (47).to_bytes(3, "little") + (40).to_bytes(3, "little") + b"\0" + still
    )

    def chunk(kind: bytes, content: bytes) -> bytes:
        return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)

    canvas = b"\x02\0\0\0" + (63).to_bytes(3, "little") + (47).to_bytes(3, "little")
    body = b"WEBP" + chunk(b"VP8X", canvas) + chunk(b"ANIM", bytes(6)) + chunk(b"ANMF", frame) * 3
    return chunk(b"RIFF", body)

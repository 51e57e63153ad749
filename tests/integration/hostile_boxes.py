"""QuickTime and MP4 files written box by box, so that any number in them can lie (ISO/IEC 14496-12)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

SCALE = 1000
"""Time units a second in the films made here."""

UNITY = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
"""The display matrix that changes nothing."""


def box(kind: bytes, *parts: bytes, size: int | None = None) -> bytes:
    """A box; `size` overrides the true size in its header."""
    content = b"".join(parts)
    return struct.pack(">I", 8 + len(content) if size is None else size) + kind + content


def full_box(kind: bytes, *parts: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def ftyp(brand: bytes = b"isom") -> bytes:
    return box(b"ftyp", brand, b"\0\0\2\0", b"isom", b"mp42")


def table(kind: bytes, *rows: tuple[int, ...], declared: int | None = None) -> bytes:
    """A table of 32-bit numbers; `declared` overrides the count in its header."""
    numbers = [number & 0xFFFFFFFF for row in rows for number in row]
    return full_box(kind, struct.pack(f">I{len(numbers)}I", len(rows) if declared is None else declared, *numbers))


def sizes(*each: int) -> bytes:
    """stsz with one size for each sample."""
    return full_box(b"stsz", struct.pack(f">II{len(each)}I", 0, len(each), *each))


def same_size(size: int, count: int) -> bytes:
    """stsz that says in 12 bytes how large `count` samples are."""
    return full_box(b"stsz", struct.pack(">II", size, count))


def png(
    width: int, height: int, *, depth: int = 8, colour: int = 2, extra: bytes = b"", rows: bytes | None = None
) -> bytes:
    """A black PNG; `rows` overrides its uncompressed picture, `extra` are chunks before it."""
    samples = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    if rows is None:
        rows = bytes((1 + (width * depth * samples + 7) // 8) * height)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)),
            extra,
            png_chunk(b"IDAT", zlib.compress(rows, 1)),
            png_chunk(b"IEND", b""),
        )
    )


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


FRAME = png(64, 48)
"""A sample of the picture tracks: FFmpeg and QuickTime read PNG frames."""

MDAT_AT = len(ftyp()) + 8
"""Where the sample data begins in a film of `film`."""


@dataclass(frozen=True, slots=True)
class Track:
    """A track of `count` black pictures (or of 16-bit mono sound, when `rate` is set). Every table can be given."""

    count: int = 5
    delta: int = 40
    rate: int = 0  # Hz; sound when not 0
    channels: int = 1
    codec: bytes = b"png "
    width: int = 64
    height: int = 48
    scale: int = SCALE
    duration: int | None = None
    edits: bytes = b""
    matrix: bytes = UNITY
    reference: bytes = full_box(b"url ", flags=1)  # flags 1: in this file
    number: int = 1
    tables: dict[bytes, bytes] = field(default_factory=dict)
    tags: bytes = b""

    def boxes(self) -> bytes:
        duration = self.count * self.delta if self.duration is None else self.duration
        header = struct.pack(">IIIII8xHHHH", 0, 0, self.number, 0, duration & 0xFFFFFFFF, 0, 0, 0, 0)
        header += self.matrix + struct.pack(">II", self.width << 16, self.height << 16)
        kind, media = (b"soun", full_box(b"smhd", bytes(4))) if self.rate else (b"vide", full_box(b"vmhd", bytes(8)))
        return box(
            b"trak",
            full_box(b"tkhd", header, flags=3),
            self.edits,
            box(
                b"mdia",
                full_box(b"mdhd", struct.pack(">IIIIHH", 0, 0, self.scale, duration & 0xFFFFFFFF, 0x55C4, 0)),
                full_box(b"hdlr", struct.pack(">I4s12x", 0, kind), b"\0"),
                box(
                    b"minf",
                    media,
                    box(b"dinf", full_box(b"dref", struct.pack(">I", 1), self.reference)),
                    box(b"stbl", *(self._default_tables() | self.tables).values()),
                ),
            ),
            self.tags,
        )

    def _default_tables(self) -> dict[bytes, bytes]:
        if self.rate:
            entry = box(
                self.codec if self.codec != b"png " else b"sowt",
                struct.pack(">6xH8xHHHHI", 1, self.channels, 16, 0, 0, (self.rate & 0xFFFF) << 16),
            )
            size = 2 * self.channels
        else:
            entry = box(
                self.codec,
                struct.pack(
                    ">6xH16xHHIIIH32xHh", 1, self.width & 0xFFFF, self.height & 0xFFFF, 72 << 16, 72 << 16, 0, 1, 24, -1
                ),
            )
            size = len(FRAME)
        return {
            b"stsd": full_box(b"stsd", struct.pack(">I", 1), entry),
            b"stts": table(b"stts", (self.count, self.delta)),
            b"stsc": table(b"stsc", (1, 1, 1)) if not self.rate else table(b"stsc", (1, self.count, 1)),
            b"stsz": same_size(size, self.count),
            b"stco": b""
            if b"stco" in self.tables
            else table(b"stco", *[(MDAT_AT,)] * (1 if self.rate else self.count)),
        }


def film(
    *tracks: Track, data: bytes = FRAME, duration: int | None = None, scale: int = SCALE, extra: bytes = b""
) -> bytes:
    """ftyp, the data, then moov with the tracks; `extra` are further boxes of moov."""
    return ftyp() + box(b"mdat", data) + movie(tracks, duration=duration, scale=scale, extra=extra)


def movie(tracks: Sequence[Track], *, duration: int | None = None, scale: int = SCALE, extra: bytes = b"") -> bytes:
    length = duration if duration is not None else max((track.count * track.delta for track in tracks), default=0)
    header = struct.pack(">IIIIIH10x", 0, 0, scale, length & 0xFFFFFFFF, 0x10000, 0x100)
    mvhd = full_box(b"mvhd", header, UNITY, bytes(24), struct.pack(">I", len(tracks) + 1))
    return box(b"moov", mvhd, *(track.boxes() for track in tracks), extra)


def edit_list(*edits: tuple[int, int], version: int = 0, declared: int | None = None) -> bytes:
    """edts; each edit is (duration, media time), played at normal speed."""
    form = ">QqI" if version else ">IiI"
    rows = b"".join(struct.pack(form, duration, start, 0x10000) for duration, start in edits)
    count = len(edits) if declared is None else declared
    return box(b"edts", full_box(b"elst", struct.pack(">I", count), rows, version=version))


def compressed_movie(movie_box: bytes) -> bytes:
    """moov holding `movie_box` compressed (QuickTime's cmov)."""
    packed = zlib.compress(movie_box, 1)
    return box(
        b"moov",
        box(b"cmov", box(b"dcom", b"zlib"), box(b"cmvd", struct.pack(">I", len(movie_box)), packed)),
    )


def alias(path: str, *, level: tuple[int, int] = (1, 1)) -> bytes:
    """A QuickTime alias record that names another file, absolutely and by its steps up and down (`alis` of a dref)."""
    name = path.rsplit("/", 1)[-1].encode()
    folder, plain = path.rsplit("/", 1)[0].encode(), path.encode()
    record = struct.pack(">4xHHHB27sI2xH", 0, 2, 0, 4, b"disk".ljust(27, b"\0"), 0, 0)
    record += struct.pack(">IB63s", 0, min(63, len(name)), name[:63].ljust(63, b"\0"))
    record += struct.pack(">I12xhh16x", 0, *level)

    def entry(kind: int, text: bytes) -> bytes:
        return struct.pack(">HH", kind, len(text)) + text + b"\0" * (len(text) % 2)

    record += entry(0, folder) + entry(2, plain.lstrip(b"/").replace(b"/", b":")) + entry(18, plain)
    record += struct.pack(">hH", -1, 0)
    return full_box(b"alis", record)

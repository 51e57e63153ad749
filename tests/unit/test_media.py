"""Sniffing: the allow-list by content, and nothing else, however it is dressed up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowscale.media import AVI, JPEG, MEDIA_TYPES, MKV, MOV, MP4, PNG, SNIFF_BYTES, WEBM, WEBP, MediaType, sniff


def box(kind: bytes, content: bytes = b"", size: int | None = None) -> bytes:
    return (8 + len(content) if size is None else size).to_bytes(4, "big") + kind + content


def ftyp(brand: bytes, *compatible: bytes) -> bytes:
    return box(b"ftyp", brand + b"\0\0\2\0" + b"".join(compatible))


def element(identifier: bytes, content: bytes) -> bytes:
    return identifier + (0x4000 | len(content)).to_bytes(2, "big") + content


def ebml(*elements: bytes) -> bytes:
    return element(b"\x1a\x45\xdf\xa3", b"".join(elements)) + b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff"


VERSION = element(b"\x42\x86", b"\x01")
# The beginnings of files made by FFmpeg 5.1 of its test picture and tone.
REAL = {
    "mp4": (MP4, "000000206674797069736f6d0000020069736f6d69736f32617663316d70343100000008667265650000157e6d646174"),
    "fragmented mp4": (MP4, "000000246674797069736f6d0000020069736f6d69736f3669736f32617663316d703431000002ed6d6f6f76"),
    "m4a": (MP4, "0000001c667479704d344120000002004d34412069736f6d69736f32000000086672656500000eb16d646174"),
    "mov": (MOV, "000000146674797071742020000002007174202000000008776964650000157e6d646174000002ad0605ffff"),
    "mkv": (MKV, "1a45dfa3a34286810142f7810142f2810442f381084282886d6174726f736b614287810442858102185380670100"),
    "webm": (WEBM, "1a45dfa39f4286810142f7810142f2810442f381084282847765626d4287810442858102185380670100000000"),
    "avi": (AVI, "5249464668450000415649204c495354ca2200006864726c6176696838000000409c0000a861000000000000100900"),
    "jpeg": (JPEG, "ffd8ffe000104a46494600010200000100010000fffe00104c61766335392e33372e31303000ffdb004300080606"),
    "png": (PNG, "89504e470d0a1a0a0000000d4948445200000040000000400802000000250be68900000009704859730000000100"),
    "webp": (WEBP, "524946462a03000057454250565038201e0300003016009d012a400040003e9140974825a422212e1b6aa8b01209"),
}
REFUSED_REAL = {
    "avif": "00000020667479706176696600000000617669666d6966316d6961664d413141000000f96d65746100000000",
    "flv": "464c5601010000000900000000120000b80000000000000002000a6f6e4d657461446174610800000008000864",
    "gif": "47494638396140004000f71f310000002400004800006c0000900000b40000d80000fc000000240024240048",
    "mp3": "49443304000000000023545353450000000f0000034c61766635392e32372e3130300000000000000000000000",
    "mp3 without tags": "fffb40c00000000000000000000000000000000000000000000000000000",
    "ogg": "4f676753000200000000000000009a92d05a0000000090850f80011e01766f726269730000000001",
    "mpeg-ts": "474011100042f0250001c10000ff01ff0001fc80144812010646466d70656709536572766963653031777c43ca",
    "wav": "52494646168a000057415645666d7420100000000100010044ac000088580100020010004c4953541a000000",
}


@pytest.mark.parametrize("name", REAL)
def test_real_files_of_every_allowed_type(name: str) -> None:
    expected, head = REAL[name]
    assert sniff(bytes.fromhex(head)) is expected


@pytest.mark.parametrize("name", REFUSED_REAL)
def test_real_files_of_other_types(name: str) -> None:
    assert sniff(bytes.fromhex(REFUSED_REAL[name])) is None


MOVIE = box(b"moov", box(b"mvhd", bytes(100)))


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (ftyp(b"mp42", b"isom") + MOVIE, MP4),
        (ftyp(b"M4V ", b"mp42") + MOVIE, MP4),
        (ftyp(b"3gp5") + MOVIE, MP4),
        (ftyp(b"isom", b"qt  ") + MOVIE, MP4),
        (ftyp(b"qt  ", b"isom") + MOVIE, MOV),
        (box(b"free", bytes(24)) + ftyp(b"isom") + MOVIE, MP4),
        (box(b"skip") + ftyp(b"qt  ") + MOVIE, MOV),
        (box(b"wide") + box(b"mdat", bytes(8), size=9_000_000), MOV),
        (box(b"mdat", bytes(8), size=9_000_000), MOV),
        (box(b"mdat", (2**33).to_bytes(8, "big"), size=1) + bytes(16), MOV),
        (box(b"mdat", bytes(64), size=0), MOV),
        (MOVIE, MOV),
        (box(b"pnot", bytes(12)) + box(b"PICT", bytes(20)) + MOVIE, MOV),
        (box(b"free", bytes(SNIFF_BYTES - 12)) + b"\0\0\0\x14", MOV),  # cut off within a box's header
        (box(b"free", bytes(SNIFF_BYTES), size=100_000)[:SNIFF_BYTES], MOV),
    ],
)
def test_boxes(head: bytes, expected: MediaType) -> None:
    assert sniff(head) is expected


@pytest.mark.parametrize("brand", [b"avif", b"avis", b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"crx ", b"jxl "])
def test_pictures_in_boxes_are_refused(brand: bytes) -> None:
    assert sniff(ftyp(brand, b"isom", b"mp42") + MOVIE) is None


@pytest.mark.parametrize(
    "head",
    [
        box(b"ftyp", b"isom"),  # too short to have a version
        box(b"ftyp", b"isom\0\0\2\0", size=1),
        box(b"ftyp", b"isom\0\0\2\0", size=0),
        box(b"ftyp", b"\0\0\0\0\0\0\2\0"),
        box(b"ftyp", b"iso", size=32),
        box(b"free", size=4) + MOVIE,
        box(b"free", size=0) + bytes(100),
        box(b"free", bytes(12)),  # nothing but filler, and the file ends
        box(b"styp", b"msdh\0\0\0\0msdh") + box(b"moof", bytes(64)),  # a segment without its beginning
        box(b"jP  ", b"\r\n\x87\n") + ftyp(b"jp2 "),
        box(b"\0\0\0\0", bytes(8)),
        b"\0" * SNIFF_BYTES,
    ],
)
def test_boxes_that_are_no_film(head: bytes) -> None:
    assert sniff(head) is None


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (ebml(VERSION, element(b"\x42\x82", b"webm")), WEBM),
        (ebml(VERSION, element(b"\x42\x82", b"matroska")), MKV),
        (ebml(element(b"\x42\x82", b"webm\0\0\0\0")), WEBM),
        (ebml(element(b"\xec", bytes(3000)), element(b"\x42\x82", b"webm")), WEBM),  # after a long Void
        (ebml(element(b"\xbf", bytes(4)), VERSION, element(b"\x42\x82", b"matroska")), MKV),  # after a checksum
        (b"\x1a\x45\xdf\xa3\xff" + VERSION + element(b"\x42\x82", b"webm"), WEBM),  # of unknown size
        (ebml(element(b"\x42\x82", b"other")), None),
        (ebml(element(b"\x42\x82", b"")), None),
        (ebml(VERSION), None),
        (ebml(VERSION) + element(b"\x42\x82", b"webm"), None),  # outside the header
        (ebml(element(b"\xec", bytes(5000)), element(b"\x42\x82", b"webm"))[:SNIFF_BYTES], None),
        (ebml(element(b"\x42\x82", b"matroska"))[:12], None),
        (b"\x1a\x45\xdf\xa3", None),
        (b"\x1a\x45\xdf\xa3\x84\xec\xff\0\0", None),  # an element of unknown size
        (b"\x1a\x45\xdf\xa3\x84\x00\x81\0\0", None),  # no element id
        (b"\x1a\x45\xdf\xa3\x00\0\0\0\0", None),  # no size
    ],
)
def test_ebml(head: bytes, expected: MediaType | None) -> None:
    assert sniff(head) is expected


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"RIFF\x00\x01\0\0AVI LIST\xca\0\0\0hdrl", AVI),
        (b"RIFF\x00\x01\0\0AVI JUNK\xca\0\0\0", AVI),
        (b"RIFF\x00\x01\0\0AVIXLIST\xca\0\0\0movi", AVI),
        (b"RIFF\x00\x01\0\0WEBPVP8L\x10\0\0\0", WEBP),
        (b"RIFF\x00\x01\0\0WEBPVP8X\x0a\0\0\0", WEBP),
        (b"RIFF\x00\x01\0\0WEBPVP9 \x0a\0\0\0", None),
        (b"RIFF\x00\x01\0\0AVI fmt \x0a\0\0\0", None),
        (b"RIFF\x00\x01\0\0WAVEfmt \x10\0\0\0", None),
        (b"RIFX\x00\x01\0\0AVI LIST\xca\0\0\0hdrl", None),
        (b"RIFF\x00\x01\0\0AVI ", None),
        (b"\xff\xd8\xff\xdb\x00\x43\x00", JPEG),
        (b"\xff\xd8\xff\xff\x00\x43\x00", None),
        (b"\xff\xd8\xff\x00\x00", None),
        (b"\xff\xd8\xff", None),
        (b"\x89PNG\r\n\x1a\n\0\0\0\x04CgBI", None),
        (b"\x89PNG\r\n\x1a\n", None),
        (b"\x8aMNG\r\n\x1a\n\0\0\0\x1cMHDR", None),
    ],
)
def test_riff_and_pictures(head: bytes, expected: MediaType | None) -> None:
    assert sniff(head) is expected


TEXTS = [
    b"",
    b"hello\n",
    b"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:10,\nfile:///etc/passwd\n",
    b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    b"file '/etc/passwd'\nfile 'b.mp4'\n",
    b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"/>',
    b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    b"[Script Info]\nScriptType: v4.00+\n",
    b"1\n00:00:00,000 --> 00:00:01,000\nhello\n",
    b"#!/bin/sh\nrm -rf /\n",
    b";FFMETADATA1\n",
]
# Scripts in the clothes of a film: the four characters where a film has them.
DRESSED_UP = [
    b"#EXTmoov\n#EXTINF:10,\nfile:///etc/passwd\n",
    b"#abcftypisom    isom\nfile '/etc/passwd'\n",
    b"####mdat\nfile:///etc/passwd\n",
    b"####free" + b"#EXTM3U\n" * 600,
    b"RIFF####AVI LIST####hdrl\nffconcat version 1.0\n",
    b"RIFF####WEBPVP8 \n",
    "####moov é".encode("latin-1"),
]


@pytest.mark.parametrize("head", [*TEXTS, *DRESSED_UP])
def test_text_is_never_media(head: bytes) -> None:
    assert sniff(head) is None
    assert sniff((head * 500)[:SNIFF_BYTES]) is None


@pytest.mark.parametrize(
    "head",
    [
        b"PK\x03\x04\x14\0\0\0\x08\0" + bytes(64),
        b"\x7fELF\x02\x01\x01" + bytes(64),
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n\0",
        b"\x1f\x8b\x08\0\0\0\0\0\0\x03",
        b"fLaC\0\0\0\x22" + bytes(34),
        b"\0\0\x01\xba\x44\0\x04\0\x04\x01",  # MPEG program stream
        b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9",  # ASF
        b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0",
        b"II*\0\x08\0\0\0",
        b"\xff\x4f\xff\x51\0\x29",  # JPEG 2000 code stream
        "#EXTM3U\nfile:///etc/passwd\n".encode("utf-16"),
        "moov".encode("utf-16-be") + bytes(8),
    ],
)
def test_other_binary_files(head: bytes) -> None:
    assert sniff(head) is None


@given(st.binary(max_size=SNIFF_BYTES))
def test_any_bytes_have_an_answer(head: bytes) -> None:
    assert sniff(head) in (None, *MEDIA_TYPES)


STARTS = st.sampled_from(
    [b"\x1a\x45\xdf\xa3", b"RIFF", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"\0\0\0\x20ftyp", b"\0\0\0\x08free"]
)


@given(STARTS, st.binary(max_size=200))
def test_any_bytes_after_a_known_beginning_have_an_answer(start: bytes, rest: bytes) -> None:
    assert sniff(start + rest) in (None, *MEDIA_TYPES)


@given(st.sampled_from(sorted(REAL)), st.data())
def test_a_file_cut_short_is_itself_or_nothing(name: str, data: st.DataObject) -> None:
    expected, head = REAL[name]
    whole = bytes.fromhex(head)
    assert sniff(whole[: data.draw(st.integers(0, len(whole)))]) in (None, expected)


@given(st.text(min_size=1))
def test_no_printable_text_is_media(text: str) -> None:
    printable = "".join(character for character in text if character.isprintable())
    assert sniff(printable.encode()) is None


def test_types_are_told_apart_by_name_mime_and_extension() -> None:
    assert len({kind.name for kind in MEDIA_TYPES}) == len(MEDIA_TYPES) == 8
    assert len({kind.mime for kind in MEDIA_TYPES}) == len(MEDIA_TYPES)
    extensions = [extension for kind in MEDIA_TYPES for extension in kind.extensions]
    assert len(set(extensions)) == len(extensions)
    assert {kind for kind in MEDIA_TYPES if kind.is_still} == {JPEG, PNG, WEBP}

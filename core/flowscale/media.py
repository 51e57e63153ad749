"""What a file is, judged by its first bytes and by nothing that a client says of it; pure.

Only the contract's upload allow-list is known. A type also names the FFmpeg demuxer that the file is to be
opened with, so that FFmpeg never guesses: a guess is what makes a playlist or a script out of an upload.

Sources: ISO/IEC 14496-12 and the QuickTime File Format (boxes, brands), RFC 8794 and 9559 (EBML, Matroska),
the WebM container guidelines, RFC 9649 (WebP), ITU-T T.81 (JPEG), the PNG specification, Microsoft's AVI RIFF
reference.
"""

from __future__ import annotations

from dataclasses import dataclass

SNIFF_BYTES = 4096
"""Leading bytes to hand to `sniff`; fewer only if the file is shorter."""


@dataclass(frozen=True, slots=True)
class MediaType:
    """A kind of file that may be uploaded."""

    name: str
    mime: str
    demuxer: str  # FFmpeg's `-f` for reading it
    extensions: tuple[str, ...]  # with the dot; the first is the one to give
    is_still: bool = False  # one picture, no time


MP4 = MediaType("mp4", "video/mp4", "mov", (".mp4", ".m4v"))
MOV = MediaType("mov", "video/quicktime", "mov", (".mov", ".qt"))
WEBM = MediaType("webm", "video/webm", "matroska", (".webm",))
MKV = MediaType("mkv", "video/x-matroska", "matroska", (".mkv",))
AVI = MediaType("avi", "video/x-msvideo", "avi", (".avi",))
JPEG = MediaType("jpeg", "image/jpeg", "jpeg_pipe", (".jpg", ".jpeg"), is_still=True)
PNG = MediaType("png", "image/png", "png_pipe", (".png",), is_still=True)
WEBP = MediaType("webp", "image/webp", "webp_pipe", (".webp",), is_still=True)

MEDIA_TYPES = (MP4, MOV, WEBM, MKV, AVI, JPEG, PNG, WEBP)

_MIME_BY_EXTENSION = {extension: media.mime for media in MEDIA_TYPES for extension in media.extensions}

_PNG_START = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_WEBP_CHUNKS = {b"VP8 ", b"VP8L", b"VP8X"}

# Boxes that may stand before the one that tells what the file is.
_FILLERS = {b"wide", b"free", b"skip", b"pnot", b"PICT"}
# Still pictures and their sequences in the same boxes: HEIF and its kin, AVIF, Canon's raw, JPEG 2000 and XS.
_IMAGE_BRANDS = {
    *(b"mif1", b"mif2", b"mif3", b"miaf", b"msf1", b"1pic", b"pred"),
    *(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"),
    *(b"avif", b"avis", b"avio", b"avci", b"avcs", b"vvic", b"vvis", b"jpeg", b"jpgs"),
    *(b"crx ", b"jp2 ", b"jpx ", b"jpm ", b"jph ", b"jxl ", b"jxs ", b"j2ki", b"j2is"),
}

_EBML_HEADER = b"\x1a\x45\xdf\xa3"
_EBML_DOC_TYPE = b"\x42\x82"

_CONTROLS = frozenset(range(0x20)) - frozenset(b"\t\n\v\f\r\x1b")  # those that text has no use for


def mime_of(name: str) -> str:
    """The type to serve a stored file as, by its extension, which was given by its content."""
    dot = name.rfind(".")
    return _MIME_BY_EXTENSION.get(name[dot:].lower(), "application/octet-stream")


def sniff(head: bytes) -> MediaType | None:
    """The type of a file that begins with `head` (its first SNIFF_BYTES); None for all that is not allowed."""
    if _CONTROLS.isdisjoint(head):
        return None  # text, whatever it imitates: every allowed format has small numbers near its beginning
    if head[:3] == b"\xff\xd8\xff" and 0xC0 <= head[3:4].ljust(1, b"\0")[0] <= 0xFE:
        return JPEG
    if head.startswith(_PNG_START):
        return PNG
    if head[:4] == b"RIFF":
        return _riff(head)
    if head.startswith(_EBML_HEADER):
        return {b"webm": WEBM, b"matroska": MKV}.get(_ebml_doc_type(head) or b"")
    return _boxes(head)


def _riff(head: bytes) -> MediaType | None:
    form = head[8:12]
    if form == b"WEBP" and head[12:16] in _WEBP_CHUNKS:
        return WEBP
    if form in (b"AVI ", b"AVIX") and head[12:16] in (b"LIST", b"JUNK"):
        return AVI
    return None


def _boxes(head: bytes) -> MediaType | None:
    """MP4 and QuickTime: the first `ftyp` decides; media without one is QuickTime from before it existed."""
    at = 0
    while at + 8 <= len(head):
        size = int.from_bytes(head[at : at + 4], "big")
        kind = head[at + 4 : at + 8]
        if kind == b"ftyp":
            return _brand(head[at + 8 : at + 12]) if 16 <= size <= SNIFF_BYTES else None
        header = 8
        if size == 1:
            header, size = 16, int.from_bytes(head[at + 8 : at + 16], "big")
        if kind == b"mdat" and size == 0:
            return MOV  # it reaches to the end of the file
        if size < header:
            return None
        if kind in (b"mdat", b"moov"):
            return MOV
        if kind not in _FILLERS:
            return None
        at += size
    return MOV if at + 8 > SNIFF_BYTES else None  # fillers as far as we can see, and nothing that contradicts


def _brand(brand: bytes) -> MediaType | None:
    if len(brand) < 4 or brand in _IMAGE_BRANDS or not all(0x20 <= byte < 0x7F for byte in brand):
        return None
    return MOV if brand == b"qt  " else MP4


def _ebml_doc_type(head: bytes) -> bytes | None:
    """The DocType in the EBML header that `head` begins with; None where there is none, or none in sight."""
    read = _ebml_size(head, len(_EBML_HEADER))
    if read is None:
        return None
    size, at = read
    end = len(head) if size is None else min(len(head), at + size)
    while at < end:
        width = 9 - head[at].bit_length()  # leading zero bits say how many bytes the id has
        if width > 4:
            return None
        element = head[at : at + width]
        read = _ebml_size(head, at + width)
        if read is None:
            return None
        length, at = read
        if length is None:
            return None
        if element == _EBML_DOC_TYPE:
            return head[at : at + length].rstrip(b"\0") if at + length <= end else None
        at += length
    return None


def _ebml_size(head: bytes, at: int) -> tuple[int | None, int] | None:
    """An element's size (None: unknown, all value bits set) and where its content begins; None if cut off."""
    if at >= len(head) or head[at] == 0:
        return None
    width = 9 - head[at].bit_length()
    if at + width > len(head):
        return None
    bits = 7 * width
    value = int.from_bytes(head[at : at + width], "big") & ((1 << bits) - 1)
    return (None if value == (1 << bits) - 1 else value), at + width

"""What a client may ask for: the typed options, the execute request, and RenderSpec, their one normal form; pure.

Both requests (execute here, execute-plan in plans.py) become a RenderSpec, which is what a job carries and a
worker renders. It holds numbers, enums and storage keys we made: no client text in it ever reaches FFmpeg.
`output_name` and `project_id` are labels for people; a URL goes to the downloader only.
"""

from __future__ import annotations

import re
from enum import StrEnum
from fractions import Fraction
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from flowscale import names
from flowscale.errors import InvalidOptions, InvalidPath, MissingSource, UnsupportedOption
from flowscale.jobs import Priority
from flowscale.validation import Strict

MAX_SOURCES = 16
"""Sources joined in one render; each is one open decoder in the FFmpeg process."""

MAX_SIDE = 7680
"""Longest side of an output in pixels (8K UHD)."""

MIN_SIDE = 16
"""Shortest side of an output in pixels: one macroblock of H.264."""

MAX_SECONDS = 24 * 3600.0
"""Latest point in time that an option may name."""

MAX_URL = 2048
"""Longest address of a source in characters."""

Label = Annotated[str, Field(max_length=200)]
Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS)]
Speed = Annotated[float, Field(ge=0.25, le=4)]
Volume = Annotated[float, Field(ge=0, le=2)]
Side = Annotated[int, Field(ge=MIN_SIDE, le=MAX_SIDE)]
NoFilters = Annotated[
    Any,  # whatever it is, `refuse_filters` is to say that it is not accepted
    Field(
        description="Raw FFmpeg text in the service this replaces: only an empty list is accepted.",
        json_schema_extra={"anyOf": [{"type": "array", "items": {}, "maxItems": 0}, {"type": "null"}]},
    ),
]


class Fit(StrEnum):
    CONTAIN = "contain"  # whole picture, padded to exactly the size asked for
    COVER = "cover"  # fills the size, what hangs over is cropped
    FILL = "fill"  # stretched to the size
    INSIDE = "inside"  # whole picture, as large as fits within the size, not padded


class Format(StrEnum):
    MP4 = "mp4"
    WEBM = "webm"
    MOV = "mov"

    @property
    def media_type(self) -> str:
        return {"mp4": "video/mp4", "webm": "video/webm", "mov": "video/quicktime"}[self.value]


class Quality(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    LOSSLESS = "lossless"


class Trim(Strict):
    """The part of the source to keep, in seconds of the source (of all sources joined, where there are several)."""

    start: Seconds = 0.0
    """Seconds; the nearest frame begins the result."""

    end: Seconds
    """Seconds, greater than start. Past the end of the source it means the end: 86400 is always the end."""

    @field_validator("end")
    @classmethod
    def _after_start(cls, end: float, info: ValidationInfo) -> float:
        start = info.data.get("start")
        if start is not None and microseconds(end) <= microseconds(start):
            raise PydanticCustomError("trim_order", "must be greater than trim.start ({start})", {"start": start})
        return end


class Resize(Strict):
    """Size in pixels. Odd numbers are rounded down to even ones, which 4:2:0 video needs."""

    width: Side
    height: Side
    fit: Fit = Fit.CONTAIN
    """`contain` (default) shows all of it with black bars, `cover` fills the size and crops, `fill` stretches, `inside`
    is as large as fits, without bars."""


class Audio(Strict):
    """Volume as a factor; fades in seconds of the output."""

    volume: Volume = 1.0
    """Factor; 1 by default."""

    fade_in: Seconds = 0.0
    """Seconds at the beginning of the result."""

    fade_out: Seconds = 0.0
    """Seconds at the end of the result."""

    mute: bool = False
    """Leave the sound out."""


class Source(Strict):
    """Where a source comes from: a stored object (`key`) or another host (`url`); exactly one is set."""

    key: str | None = None
    url: str | None = None


class Cut(Strict):
    """A piece of one source on the output's timeline. Times in µs of the source."""

    source: int = 0
    start_us: int
    end_us: int
    speed: float = 1.0


class RenderSpec(Strict):
    """The normal form. `timeline` is set by plans only; otherwise all sources are joined, then trimmed and sped up."""

    sources: tuple[Source, ...]
    timeline: tuple[Cut, ...] = ()
    trim: Trim | None = None
    speed: float = 1.0
    resize: Resize | None = None
    frame_rate: tuple[int, int] | None = None  # numerator, denominator; None: the source's own
    audio: Audio = Audio()
    format: Format = Format.MP4
    quality: Quality = Quality.MEDIUM
    output_name: str = "output"  # without extension, already a safe name

    @property
    def file_name(self) -> str:
        return f"{self.output_name}.{self.format}"

    @classmethod
    def from_record(cls, record: Any) -> Self:
        """The spec of a job record. Raises ValueError when the record is not one we wrote."""
        return cls.model_validate(record, strict=False)

    def to_record(self) -> dict[str, Any]:
        """JSON form, as kept in the job record."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)


class ExecuteRequest(Strict):
    """The body of POST /api/execute. Exactly one of sourcePath, inputFileUrl and sources names what to render."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "sourcePath": "uploads/0f8fad5bd9cb469fa16570867728950e/holiday.mp4",
                    "trim": {"start": 1.5, "end": 4},
                    "resize": {"width": 1280, "height": 720, "fit": "contain"},
                    "quality": "high",
                }
            ]
        }
    )

    source_path: str | None = None
    """The `filePath` or `fileId` that an upload was answered with."""

    input_file_url: str | None = None
    """An http(s) address that the worker fetches, from the public internet only."""

    sources: Annotated[list[str], Field(max_length=MAX_SOURCES)] | None = None
    """Paths, ids or addresses, joined in this order: in the size of the first picture unless resize says otherwise, at
    the highest of their frame rates, with silence where one has no sound. trim and speed apply to the whole."""

    project_id: Label | None = None
    """A label of yours, given back with the job."""

    output_name: Label | None = None
    """A label for the result's file name; never a path, and its extension follows the format."""

    trim: Trim | None = None
    speed: Speed | None = None
    """2 is twice as fast; sound keeps its pitch."""

    resize: Resize | None = None
    audio: Audio | None = None
    format: Format | None = None
    """`mp4` (default) and `mov` hold H.264 and AAC, `webm` VP9 and Opus; sound is mono or stereo."""

    quality: Quality | None = None
    """`medium` by default. `lossless` keeps every pixel of the picture; sound is AAC or Opus at a high rate."""

    priority: Priority | None = None
    """`normal` by default. Higher ones run first, but every 8th job is the one that has waited longest."""

    webhook_url: str | None = None
    """An https address that is told by a signed message when the job has ended, where webhooks are set up."""

    filters: NoFilters = None

    def named_sources(self) -> list[str]:
        """The sources as the client named them, in order. Raises MissingSource, InvalidOptions, UnsupportedOption."""
        refuse_filters(self.filters, "$.filters")
        given = {
            "sourcePath": [self.source_path] if self.source_path else [],
            "inputFileUrl": [self.input_file_url] if self.input_file_url else [],
            "sources": self.sources or [],
        }
        used = [name for name, texts in given.items() if texts]
        if not used:
            raise MissingSource(
                "The request names nothing to render: give sourcePath (as /api/upload answered it), "
                "inputFileUrl or sources."
            )
        if len(used) > 1:
            message = f"only one of {' and '.join(used)} may be given"
            faults = [{"path": f"$.{name}", "message": message} for name in used]
            raise InvalidOptions(f"The request names its source twice: {message}.", details={"faults": faults})
        return given[used[0]]

    def to_spec(self, sources: tuple[Source, ...]) -> RenderSpec:
        """The normal form, over sources that were found."""
        return RenderSpec(
            sources=sources,
            trim=self.trim,
            speed=self.speed if self.speed is not None else 1.0,
            resize=self.resize,
            audio=self.audio or Audio(),
            format=self.format or Format.MP4,
            quality=self.quality or Quality.MEDIUM,
            output_name=output_stem(self.output_name),
        )


def refuse_filters(filters: Any, path: str) -> None:
    """Raises UnsupportedOption unless it is an empty list or absent."""
    if filters is not None and filters != []:
        raise UnsupportedOption(
            f"Raw FFmpeg filters are not accepted ({path}): use trim, speed, resize and audio, or send an empty list.",
            details={"faults": [{"path": path, "message": "only an empty list is accepted"}]},
        )


def output_stem(label: str | None) -> str:
    """A client's output name as a safe name without its extension."""
    name = names.safe_name(label or "", fallback="output")
    stem, dot, extension = name.rpartition(".")
    if dot and extension.lower() in {"mp4", "webm", "mov", "mkv", "avi", "m4v"}:
        name = names.safe_name(stem, fallback="output")
    return name[: names.MAX_NAME - 5]


def microseconds(seconds: float) -> int:
    """FFmpeg's own resolution: from here on times are whole numbers."""
    return round(seconds * 1_000_000)


def as_frame_rate(fps: float) -> tuple[int, int]:
    """Frames per second as numerator and denominator; 23.976, 29.97, 59.94 mean the NTSC rates n*1000/1001."""
    whole = round(fps)
    ntsc = round(fps * 1.001)
    if abs(fps - whole) > 1e-6 and abs(fps - ntsc * 1000 / 1001) < 0.006:
        return ntsc * 1000, 1001
    rate = Fraction(fps).limit_denominator(1001)
    return rate.numerator, rate.denominator


_UPLOAD_IN_URL = re.compile(r"/(uploads/[0-9a-f]{32}/[A-Za-z0-9_][A-Za-z0-9._-]*)\Z")


def stored_reference(text: str) -> str | None:
    """The text, if it is exactly an upload key (a `filePath`) or a bare file id (a `fileId`); else None."""
    return text if names.is_upload_key(text) or names.is_file_id(text) else None


def upload_key_in_url(url: str) -> str | None:
    """The upload key that a public URL of ours ends in (whatever host or prefix it is served under), or None."""
    parts = urlsplit(url)
    found = _UPLOAD_IN_URL.search(parts.path)
    return found.group(1) if found and names.is_upload_key(found.group(1)) else None


def checked_url(text: str) -> str:
    """An http(s) URL without credentials, at most MAX_URL long, else InvalidPath.

    Whether it may be fetched is the downloader's to say.
    """
    if len(text) > MAX_URL:
        raise InvalidPath(f"A source URL may have {MAX_URL} characters at most; this one has {len(text)}.")
    try:
        parts = urlsplit(text)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_fine = None, False
    if (
        parts is None
        or parts.scheme not in ("http", "https")
        or not parts.hostname
        or not port_is_fine
        or "@" in parts.netloc
        or any(ord(character) <= 32 or ord(character) == 127 for character in text)
    ):
        raise InvalidPath("A source URL must be a plain http:// or https:// address without user name or password.")
    return text

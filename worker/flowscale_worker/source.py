"""What is known of a media file: the facts of its streams, read from ffprobe's report; pure.

The report is ffprobe's `compact` form, a line for each packet, stream and the container. Durations and frame
counts come from the packets, because headers lie; headers serve for what packets cannot tell (codec, size).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction

from flowscale.errors import InvalidMedia, LimitExceeded

REPORT_ENTRIES = (
    "packet=stream_index,pts_time,dts_time,duration_time"
    ":stream=index,codec_type,codec_name,width,height,sample_aspect_ratio,pix_fmt,color_range,"
    "avg_frame_rate,r_frame_rate,channels,sample_rate"
    ":stream_disposition=attached_pic:stream_tags=alpha_mode:stream_side_data=rotation"
    ":format=start_time,nb_streams"
)
"""What ffprobe is asked for (`-show_entries`); `ReportReader` reads exactly this."""

STANDARD_RATES = tuple(
    Fraction(*rate)
    for rate in ((24000, 1001), (24, 1), (25, 1), (30000, 1001), (30, 1), (50, 1), (60000, 1001), (60, 1))
)
"""Frame rates that players and editors expect."""

MAX_RATE = Fraction(120)
"""Highest frame rate of an output; faster sources are thinned to it."""

MAX_STREAMS = 16
"""Streams of one file that are looked at; more is refused."""

LEAD_IN_SECONDS = 0.1
"""Longest lead-in of sound encoders: AAC 44 to 48 ms, MP3 25 ms, Opus 7 ms, and room for two in a row."""

MAX_SILENCE_BYTES = 256 * 1024**2
"""Most sound that fills one hole, as float samples: FFmpeg makes a hole's silence at once, in about 3 times that."""

_UNESCAPED_PART = re.compile(r"(?:[^|\\]|\\.)+")

_ALPHA = ("yuva", "rgba", "argb", "abgr", "bgra", "gbrap", "ya8", "ya16", "pal8")
_RGB = ("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "pal8", "gray", "ya", "mono")


@dataclass(frozen=True, slots=True)
class Picture:
    """A video stream. Width and height are as shown: rotation applied, pixels made square."""

    index: int
    codec: str
    width: int
    height: int
    pixel_format: str
    frame_rate: Fraction  # constant rate to render at
    frames: int
    end_us: int  # of the last frame, from the start of the file
    square_pixels: bool = True
    full_range: bool = False
    alpha: bool = False

    @property
    def is_rgb(self) -> bool:
        """Needs conversion to Y'CbCr (grey and palettes included)."""
        return self.pixel_format.startswith(_RGB)


@dataclass(frozen=True, slots=True)
class Sound:
    """An audio stream."""

    index: int
    codec: str
    channels: int
    sample_rate: int
    end_us: int  # of the last sample, from the start of the file


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """A media file: its first picture and first sound stream, either may be absent."""

    demuxer: str  # FFmpeg's name, forced on input
    still: bool  # a single picture without a length of its own
    picture: Picture | None
    sound: Sound | None
    origin_us: int = 0  # where the file's own timestamps begin; all other times count from there

    @property
    def end_us(self) -> int:
        """Length in µs; 0 for a still."""
        if self.still:
            return 0
        return max(self.picture.end_us if self.picture else 0, self.sound.end_us if self.sound else 0)


@dataclass(frozen=True, slots=True)
class SourceLimits:
    """The budget of one source, checked before anything is decoded for rendering."""

    max_seconds: float
    max_pixels: int
    max_frames: int
    max_decoded_pixels: int
    max_streams: int = MAX_STREAMS


@dataclass(slots=True)
class _Track:
    """What the packets of one stream add up to. Times in seconds, as ffprobe prints them."""

    packets: int = 0
    first: float = float("inf")
    last: float = float("-inf")
    end: float = float("-inf")
    hole: float = 0.0  # longest time from one packet to the next


@dataclass(slots=True)
class ReportReader:
    """Fed with the lines of a report; `finish` says what they mean.

    Raises LimitExceeded as soon as the packets pass the budget, so that a hostile file costs no more.
    """

    limits: SourceLimits
    tracks: dict[int, _Track] = field(default_factory=dict)
    streams: list[dict[str, str]] = field(default_factory=list)
    container: dict[str, str] = field(default_factory=dict)

    def feed(self, line: str) -> None:
        section, _, rest = line.partition("|")
        if section == "packet":
            self._packet(_fields(rest))
        elif section == "stream":
            self.streams.append(_fields(rest))
        elif section == "format":
            self.container = _fields(rest)

    def finish(self, demuxer: str, *, still: bool) -> SourceInfo:
        """Raises InvalidMedia when there is nothing to render, LimitExceeded over budget."""
        if len(self.streams) > self.limits.max_streams:
            raise LimitExceeded(
                f"The file has {len(self.streams)} streams; at most {self.limits.max_streams} are read."
            )
        start = self._start()
        picture = next(filter(None, (self._picture(one, start, still) for one in self.streams)), None)
        sound = next(filter(None, (self._sound(one, start) for one in self.streams)), None)
        if picture is None and sound is None:
            raise InvalidMedia("The file holds neither a picture nor sound that can be decoded.")
        origin_us = round(start * 1_000_000)
        info = SourceInfo(demuxer, still, picture, None if still else sound, origin_us)
        self._check_budget(info)
        return info

    def _start(self) -> float:
        """Where the file's timestamps begin, in seconds.

        Sound often begins a few ms before the picture with an encoder's lead-in (which players do not show where
        it has negative times); counted from there, every frame would lie between two frames of the output.
        """
        start = max(0.0, _number(self.container.get("start_time")) or 0.0)
        pictures = [_whole(one.get("index"), -1) for one in self.streams if one.get("codec_type") == "video"]
        firsts = [self.tracks[index].first for index in pictures[:1] if index in self.tracks]
        return next((first for first in firsts if start <= first <= start + LEAD_IN_SECONDS), start)

    def _packet(self, packet: dict[str, str]) -> None:
        track = self.tracks.setdefault(_whole(packet.get("stream_index"), -1), _Track())
        track.packets += 1
        if track.packets > self.limits.max_frames:
            raise LimitExceeded(f"The file has more than {self.limits.max_frames} frames in one stream.")
        time = _number(packet.get("pts_time"))
        if time is None:
            time = _number(packet.get("dts_time"))
        if time is None:
            return
        if track.packets > 1:
            track.hole = max(track.hole, time - track.last)
        track.first = min(track.first, time)
        track.last = max(track.last, time)
        track.end = max(track.end, time + (_number(packet.get("duration_time")) or 0.0))

    def _picture(self, stream: dict[str, str], start: float, still: bool) -> Picture | None:
        index = _whole(stream.get("index"), -1)
        track = self.tracks.get(index)
        width, height = _whole(stream.get("width")), _whole(stream.get("height"))
        if (
            stream.get("codec_type") != "video"
            or stream.get("disposition:attached_pic") == "1"
            or track is None
            or width <= 0
            or height <= 0
            or stream.get("codec_name", "unknown") == "unknown"
        ):
            return None
        pixel_aspect = _ratio(stream.get("sample_aspect_ratio"), ":")
        square = pixel_aspect is None or pixel_aspect == 1 or not Fraction(1, 10) < pixel_aspect < 10
        if not square and pixel_aspect is not None:
            width = max(2, round(width * pixel_aspect))
        turned = round(_number(stream.get("rotation")) or 0) % 180 == 90
        pixel_format = stream.get("pix_fmt", "unknown")
        return Picture(
            index=index,
            codec=stream["codec_name"],
            width=height if turned else width,
            height=width if turned else height,
            pixel_format=pixel_format,
            frame_rate=Fraction(25) if still else _constant_rate(stream, track),
            frames=track.packets,
            end_us=_length_us(track, start),
            square_pixels=square,
            full_range=stream.get("color_range") == "pc" or pixel_format.startswith("yuvj"),
            alpha=pixel_format.startswith(_ALPHA) or stream.get("tag:alpha_mode") == "1",
        )

    def _sound(self, stream: dict[str, str], start: float) -> Sound | None:
        index = _whole(stream.get("index"), -1)
        track = self.tracks.get(index)
        channels = _whole(stream.get("channels"))
        sample_rate = _whole(stream.get("sample_rate"))
        if stream.get("codec_type") != "audio" or track is None or channels <= 0 or sample_rate <= 0:
            return None
        hole = max(track.hole, track.first - start)
        if float("inf") > hole > MAX_SILENCE_BYTES / (4 * sample_rate * channels):
            raise LimitExceeded(f"The sound is missing for {hole:.0f} s, which is more silence than can be put there.")
        return Sound(
            index=index,
            codec=stream.get("codec_name", "unknown"),
            channels=channels,
            sample_rate=sample_rate,
            end_us=_length_us(track, start),
        )

    def _check_budget(self, info: SourceInfo) -> None:
        if info.end_us > self.limits.max_seconds * 1_000_000:
            raise LimitExceeded(
                f"The file is {info.end_us / 1e6:.0f} s long; at most {self.limits.max_seconds:.0f} s are rendered."
            )
        if not info.picture:
            return
        pixels = info.picture.width * info.picture.height
        if pixels > self.limits.max_pixels:
            raise LimitExceeded(
                f"The picture is {info.picture.width}x{info.picture.height}; "
                f"at most {self.limits.max_pixels} pixels are rendered."
            )
        # A frame that stays for hours is one packet and many frames of the result.
        frames = max(info.picture.frames, int(info.picture.end_us * info.picture.frame_rate / 1_000_000))
        if pixels * frames > self.limits.max_decoded_pixels:
            raise LimitExceeded(
                f"The file decodes to {pixels * frames} pixels; at most {self.limits.max_decoded_pixels} are rendered."
            )


def _fields(rest: str) -> dict[str, str]:
    """`a=1|b=2` as a dict.

    Values are numbers and FFmpeg's own names, but for one: the tag alpha_mode holds whatever the file's maker
    wrote. ffprobe writes a `|` within it as `\\|`; it begins no field here, and no field is ever said twice.
    """
    fields: dict[str, str] = {}
    for part in rest.split("|") if "\\" not in rest else _UNESCAPED_PART.findall(rest):
        name, equals, value = part.partition("=")
        if equals:
            fields.setdefault(name, value)
    return fields


def _whole(text: str | None, otherwise: int = 0) -> int:
    """A count of ffprobe's; `otherwise` for N/A and what is absurd."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 12 else otherwise


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if abs(value) < 1e9 else None  # a time of 30 years is no time; also inf and nan


def _ratio(text: str | None, separator: str) -> Fraction | None:
    numerator, _, denominator = (text or "").partition(separator)
    if not (numerator.isdigit() and denominator.isdigit()) or int(numerator) == 0 or int(denominator) == 0:
        return None
    return Fraction(int(numerator), int(denominator))


def _length_us(track: _Track, start: float) -> int:
    return max(0, round((track.end - start) * 1_000_000)) if track.end > float("-inf") else 0


def _constant_rate(stream: dict[str, str], track: _Track) -> Fraction:
    """The constant rate to render at: the stream's own where it has one, else the next standard rate above its mean."""
    declared = _ratio(stream.get("avg_frame_rate"), "/")
    base = _ratio(stream.get("r_frame_rate"), "/")
    span = track.last - track.first
    measured = (track.packets - 1) / span if track.packets > 1 and span > 0 else None
    if declared and declared == base and (measured is None or abs(measured / float(declared) - 1) < 0.01):
        return min(declared, MAX_RATE)
    mean = measured or float(declared or base or 25)
    # Variable: frames may come faster than the mean, but a rate just under the mean is the same rate misread.
    above = (rate for rate in STANDARD_RATES if rate >= mean * 0.99)
    return next(above, STANDARD_RATES[-1])

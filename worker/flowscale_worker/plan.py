"""From what was asked and what the sources are, to exactly what FFmpeg shall make; pure.

A plan is numbers only: which part of which file, at which speed, at which size, how long the result is. The
command builder turns it into arguments, the verifier holds the result against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from flowscale.errors import EmptyOutput, InvalidMedia, LimitExceeded
from flowscale.specs import Cut, Format, Quality, RenderSpec, Resize, microseconds
from flowscale_worker.geometry import Geometry, canvas_of, geometry_of
from flowscale_worker.source import MAX_RATE, Picture, Sound, SourceInfo, SourceLimits

STILL_US = 5_000_000
"""How long a still picture is shown when no trim says otherwise: 5 s."""

CLIPS_AT_ONCE = 8
"""Clips of 1080p that one FFmpeg process joins; fewer where pictures are larger."""

MAX_SOUND_RATE = 48_000
"""Hz; what AAC and Opus players all support."""

LOSSLESS_FORMATS = frozenset(
    {"yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le"},
)
"""Pixel formats that both lossless encoders take as they are; anything else becomes yuv444p."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One piece of the output's timeline."""

    source: int  # which of the files
    info: SourceInfo
    start_us: int  # in the source
    length_us: int  # in the source
    speed: float
    picture: Picture | None  # None where the source has none in this part
    sound: Sound | None  # likewise
    geometry: Geometry | None  # None without a picture
    frames: int  # of the output

    @property
    def output_us(self) -> int:
        return round(self.length_us / self.speed)

    @property
    def chooses_matrix(self) -> bool:
        """Whether we choose the matrix of its Y'CbCr (video's, BT.709), and must say so in the result.

        RGB has none, a JPEG or WebP has that of photographs, and what is laid over black went through RGB.
        """
        return self.picture is not None and (self.info.still or self.picture.is_rgb or self.picture.alpha)

    def exact_us(self, frame_rate: Fraction | None) -> Fraction:
        """How long it is among others: a whole number of frames, so that sound does not drift from picture."""
        return self.frames * 1_000_000 / frame_rate if frame_rate else Fraction(self.output_us)


@dataclass(frozen=True, slots=True)
class RenderPlan:
    """What FFmpeg shall make. One clip is rendered as it is; several are brought to one form and joined."""

    clips: tuple[Clip, ...]
    width: int | None  # None: sound only
    height: int | None
    frame_rate: Fraction
    pixel_format: str
    sound_rate: int | None  # Hz; None: no sound
    channels: int
    volume: float
    fade_in_us: int
    fade_out_us: int
    length_us: int  # what the result should measure
    container: Format
    quality: Quality
    says_matrix: bool  # all its pictures have the matrix we chose
    joined: bool  # each clip is brought to exactly its number of frames and samples

    @property
    def video_codec(self) -> str | None:
        if self.width is None:
            return None
        return "vp9" if self.container is Format.WEBM else "h264"

    @property
    def audio_codec(self) -> str | None:
        if self.sound_rate is None:
            return None
        return "opus" if self.container is Format.WEBM else "aac"


def make_plan(spec: RenderSpec, sources: tuple[SourceInfo, ...], limits: SourceLimits) -> RenderPlan:
    """The plan. Raises EmptyOutput when nothing is left, InvalidMedia when the sources cannot do it, LimitExceeded.

    What is made must keep the budget of a source: it is read back, and may well be somebody's next source.
    """
    if spec.resize and not any(source.picture for source in sources):
        raise InvalidMedia("The source has no picture, so it cannot be resized: leave resize out.")
    cuts = _cuts(spec, sources)
    used = [sources[cut.source] for cut in cuts]
    pictured = [source.picture for source in used if source.picture]
    with_sound = not spec.audio.mute and any(_sound_in(cut, source) for cut, source in zip(cuts, used, strict=True))
    if not pictured and not with_sound:
        raise EmptyOutput("The source has sound only and audio.mute removes it: nothing is left to render.")
    frame_rate = _frame_rate(spec, pictured)
    canvas = canvas_of(spec.resize, pictured[0]) if pictured else None
    clips = tuple(_clip(cut, sources[cut.source], spec.resize, canvas, frame_rate, len(cuts)) for cut in cuts)
    length_us = _length(clips, with_sound, frame_rate if canvas else None)
    size = (clips[0].geometry.width, clips[0].geometry.height) if len(clips) == 1 and clips[0].geometry else canvas
    _check_budget(size or (0, 0), length_us, frame_rate, limits)
    return RenderPlan(
        clips=clips,
        width=size[0] if size else None,
        height=size[1] if size else None,
        frame_rate=frame_rate,
        pixel_format=_pixel_format(spec.quality, pictured),
        sound_rate=_sound_rate(spec.format, used) if with_sound else None,
        channels=1 if all(source.sound is None or source.sound.channels == 1 for source in used) else 2,
        volume=spec.audio.volume,
        fade_in_us=min(microseconds(spec.audio.fade_in), length_us),
        fade_out_us=min(microseconds(spec.audio.fade_out), length_us),
        length_us=length_us,
        container=spec.format,
        quality=spec.quality,
        says_matrix=all(clip.chooses_matrix for clip in clips),
        joined=len(clips) > 1,
    )


def in_parts(plan: RenderPlan) -> tuple[RenderPlan, ...]:
    """The picture of a plan as plans of a few clips each, which joined give the whole.

    Every clip is an open decoder with its frames, 22 MB at 1080p: a hundred of them would need more memory than
    one render may use. A plan that fits, or has no picture, is its own only part.
    """
    pictures = [clip.picture.width * clip.picture.height for clip in plan.clips if clip.picture]
    size = max(2, min(CLIPS_AT_ONCE, CLIPS_AT_ONCE * 1920 * 1080 // max(pictures, default=1)))
    if len(plan.clips) <= size or plan.width is None:
        return (plan,)
    groups = [plan.clips[start : start + size] for start in range(0, len(plan.clips), size)]
    return tuple(
        replace(plan, clips=group, sound_rate=None, length_us=_joined_length(group, plan.frame_rate))
        for group in groups
    )


def sound_of(plan: RenderPlan) -> RenderPlan:
    """The plan without its picture."""
    return replace(plan, width=None, height=None)


def _check_budget(size: tuple[int, int], length_us: int, frame_rate: Fraction, limits: SourceLimits) -> None:
    if length_us > limits.max_seconds * 1_000_000:
        raise LimitExceeded(
            f"The result would be {length_us / 1e6:.0f} s long; at most {limits.max_seconds:.0f} s are made."
        )
    pixels, frames = size[0] * size[1], length_us * frame_rate // 1_000_000
    if pixels > limits.max_pixels:
        raise LimitExceeded(f"The result would be {size[0]}x{size[1]}; at most {limits.max_pixels} pixels are made.")
    if frames > limits.max_frames or pixels * frames > limits.max_decoded_pixels:
        raise LimitExceeded(
            f"The result would have {frames} frames of {size[0]}x{size[1]}, which is more than is made."
        )


def _clip(
    cut: Cut,
    info: SourceInfo,
    resize: Resize | None,
    canvas: tuple[int, int] | None,
    frame_rate: Fraction,
    count: int,
) -> Clip:
    length_us = shown_us = cut.end_us - cut.start_us
    picture = info.picture if info.still or (info.picture and info.picture.end_us > cut.start_us) else None
    if count == 1 and info.picture and not picture:
        raise EmptyOutput(_nothing_there(cut.start_us, info.picture.end_us))
    geometry = None
    if picture and canvas:
        geometry = geometry_of(picture, resize, canvas, alone=count == 1)
        if not info.still and count == 1:
            shown_us = min(length_us, picture.end_us - cut.start_us)
    frames = max(1, round(Fraction(shown_us, 1_000_000) / Fraction(cut.speed) * frame_rate)) if canvas else 0
    sound = _sound_in(cut, info)
    return Clip(cut.source, info, cut.start_us, length_us, cut.speed, picture, sound, geometry, frames)


def _sound_in(cut: Cut, info: SourceInfo) -> Sound | None:
    """The source's sound, if any of it falls into the cut."""
    return info.sound if info.sound and info.sound.end_us > cut.start_us else None


def _cuts(spec: RenderSpec, sources: tuple[SourceInfo, ...]) -> tuple[Cut, ...]:
    if spec.timeline:
        return tuple(_bounded(cut, sources[cut.source]) for cut in spec.timeline)
    if len(sources) == 1:
        end_us = microseconds(spec.trim.end) if spec.trim else _natural_end(sources[0])
        start_us = microseconds(spec.trim.start) if spec.trim else 0
        return (_bounded(Cut(start_us=start_us, end_us=end_us, speed=spec.speed), sources[0]),)
    return _cut_joined(spec, sources)


def _cut_joined(spec: RenderSpec, sources: tuple[SourceInfo, ...]) -> tuple[Cut, ...]:
    """The trim lies on the joined timeline; each source gives the part of it that falls there."""
    total_us = sum(map(_natural_end, sources))
    start_us = microseconds(spec.trim.start) if spec.trim else 0
    end_us = min(microseconds(spec.trim.end) if spec.trim else total_us, total_us)
    if start_us >= end_us:
        raise EmptyOutput(_nothing_there(start_us, total_us))
    cuts, offset_us = [], 0
    for index, source in enumerate(sources):
        length_us = _natural_end(source)
        begin, end = max(0, start_us - offset_us), min(length_us, end_us - offset_us)
        if begin < end:
            cuts.append(_bounded(Cut(source=index, start_us=begin, end_us=end, speed=spec.speed), source))
        offset_us += length_us
    return tuple(cuts)


def _natural_end(source: SourceInfo) -> int:
    return STILL_US if source.still else source.end_us


def _bounded(cut: Cut, source: SourceInfo) -> Cut:
    """The cut within what the source has, from its nearest frame on; a still has as much as is asked for."""
    if source.still:
        return cut
    if cut.start_us >= source.end_us:
        raise EmptyOutput(_nothing_there(cut.start_us, source.end_us))
    start_us = _nearest_frame(cut.start_us, source)
    end_us = min(start_us + cut.end_us - cut.start_us, source.end_us)
    return Cut(source=cut.source, start_us=start_us, end_us=end_us, speed=cut.speed)


def _nearest_frame(time_us: int, source: SourceInfo) -> int:
    """Between two frames, FFmpeg would show the later one twice and the sound would run ahead of it."""
    if source.picture is None:
        return time_us
    rate = source.picture.frame_rate
    nearest_us = round(round(time_us * rate / 1_000_000) * 1_000_000 / rate)
    return nearest_us if nearest_us < source.picture.end_us else time_us


def _nothing_there(start_us: int, end_us: int) -> str:
    return (
        f"Nothing is left to render: the part asked for starts at {start_us / 1e6:.3f} s, "
        f"and the source ends at {end_us / 1e6:.3f} s. Choose an earlier start."
    )


def _frame_rate(spec: RenderSpec, pictured: list[Picture]) -> Fraction:
    if spec.frame_rate:
        return Fraction(*spec.frame_rate)
    return min(max((picture.frame_rate for picture in pictured), default=Fraction(25)), MAX_RATE)


def _length(clips: tuple[Clip, ...], with_sound: bool, frame_rate: Fraction | None) -> int:
    """What the result should measure: joined clips are exact; a single one ends with its longer stream."""
    if len(clips) > 1:
        return _joined_length(clips, frame_rate)
    clip = clips[0]
    if clip.info.still:
        return clip.output_us
    ends = [stream.end_us for stream in (clip.picture, clip.sound if with_sound else None) if stream]
    return round(min(clip.length_us, max(ends) - clip.start_us) / clip.speed)


def _joined_length(clips: tuple[Clip, ...], frame_rate: Fraction | None) -> int:
    return round(sum(clip.exact_us(frame_rate) for clip in clips))


def _pixel_format(quality: Quality, pictured: list[Picture]) -> str:
    if quality is not Quality.LOSSLESS or not pictured:
        return "yuv420p"
    own = pictured[0].pixel_format
    return own if own in LOSSLESS_FORMATS else "yuv444p"


def _sound_rate(container: Format, sources: Sequence[SourceInfo]) -> int:
    """Opus is 48 kHz always; AAC keeps the first source's rate where players take it."""
    rates = [source.sound.sample_rate for source in sources if source.sound]
    return 44_100 if container is not Format.WEBM and rates[0] == 44_100 else MAX_SOUND_RATE

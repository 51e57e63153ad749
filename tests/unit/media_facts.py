"""Sources as a probe would describe them, for tests of what comes after the probe."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from flowscale.specs import RenderSpec, Source
from flowscale_worker.command import Allowance
from flowscale_worker.source import Picture, Sound, SourceInfo, SourceLimits

ALLOWANCE = Allowance(threads=2, max_pixels=7680 * 4320, max_output_bytes=10 * 1024**3)

LIMITS = SourceLimits(
    max_seconds=86_400, max_pixels=7680 * 4320, max_frames=2_000_000, max_decoded_pixels=4_000_000_000_000
)

HD = Picture(
    index=0,
    codec="h264",
    width=1280,
    height=720,
    pixel_format="yuv420p",
    frame_rate=Fraction(25),
    frames=250,
    end_us=10_000_000,
)
STEREO = Sound(index=1, codec="aac", channels=2, sample_rate=48_000, end_us=10_005_000)

CLIP = SourceInfo(demuxer="mov", still=False, picture=HD, sound=STEREO)
SILENT = replace(CLIP, sound=None)
SOUND_ONLY = SourceInfo(demuxer="mov", still=False, picture=None, sound=replace(STEREO, index=0))
STILL = SourceInfo(
    demuxer="png_pipe",
    still=True,
    picture=replace(HD, codec="png", pixel_format="rgba", frames=1, end_us=40_000, alpha=True),
    sound=None,
)
VP9_ALPHA = SourceInfo(
    demuxer="matroska", still=False, picture=replace(HD, codec="vp9", alpha=True), sound=replace(STEREO, codec="opus")
)
NTSC_MONO = SourceInfo(
    demuxer="avi",
    still=False,
    picture=replace(HD, width=641, height=361, frame_rate=Fraction(30000, 1001)),
    sound=replace(STEREO, channels=1, sample_rate=44_100),
)


def spec(count: int = 1, **options: object) -> RenderSpec:
    """A spec over `count` stored sources."""
    sources = tuple(Source(key=f"uploads/{index:032x}/clip.mp4") for index in range(count))
    return RenderSpec.model_validate({"sources": sources, **options})

"""Render: examine the sources, plan, encode (encode.py), verify. Files in, one verified file out; no queue, no storage.

The worker's execution and `flowscale render` both come through here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from flowscale.errors import EmptyOutput, InvalidMedia, LimitExceeded, NoOutput, RenderError
from flowscale.specs import Format, RenderSpec
from flowscale_worker.encode import encode
from flowscale_worker.kit import Kit
from flowscale_worker.plan import RenderPlan, make_plan
from flowscale_worker.probe import examine
from flowscale_worker.progress import FETCH_ENDS
from flowscale_worker.source import SourceInfo

DURATION_TOLERANCE_US = 50_000
"""Beside one frame: what AAC and Opus frames add at the ends."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A verified file."""

    path: Path
    size: int  # bytes
    duration_ms: int
    plan: RenderPlan


def render(spec: RenderSpec, files: Sequence[Path], folder: Path, kit: Kit) -> Rendered:
    """Render the files (in the order of the spec's sources) into a new file in `folder`.

    Raises RenderError of all kinds; LeaseLost or ShutDown when asked to stop. Leaves files in `folder`, which
    is the caller's to remove.
    """
    sources = tuple(_examine_one(number, file, len(files), kit) for number, file in enumerate(files, start=1))
    kit.examined(sources)
    kit.tell(FETCH_ENDS, [f"source {number}: {_describe(info)}" for number, info in enumerate(sources, start=1)])
    plan = make_plan(spec, sources, kit.source_limits)
    kit.tell(None, [f"making: {_describe_plan(plan)}"])
    output = folder / f"output.{plan.container}"
    encode(plan, files, output, kit)
    measured_us = verify(plan, output, kit)
    return Rendered(output, output.stat().st_size, round(measured_us / 1000), plan)


def _examine_one(number: int, file: Path, count: int, kit: Kit) -> SourceInfo:
    try:
        return examine(file, kit)
    except RenderError as error:
        if count > 1:
            raise type(error)(f"Source {number} of {count}: {error.message}") from error
        raise


def verify(plan: RenderPlan, output: Path, kit: Kit) -> int:
    """Hold the result against the plan; its length in µs. Raises NoOutput, EmptyOutput."""
    if not output.exists():
        raise NoOutput("FFmpeg ended well but wrote no file.")
    if output.stat().st_size == 0:
        raise EmptyOutput("FFmpeg wrote an empty file.")
    try:
        result = examine(output, kit)
    except (InvalidMedia, LimitExceeded) as error:
        raise NoOutput(f"The result could not be read back: {error.message}") from error
    fault = find_fault(plan, result)
    if fault:
        raise NoOutput(f"The result is not what was asked for: {fault}.")
    return result.end_us


def find_fault(plan: RenderPlan, result: SourceInfo) -> str | None:
    """The first way in which the result differs from the plan, or None."""
    demuxer = "matroska" if plan.container is Format.WEBM else "mov"
    if result.demuxer != demuxer:
        return f"its container is {result.demuxer}, not {demuxer}"
    if (result.picture.codec if result.picture else None) != plan.video_codec:
        return f"its picture is {result.picture.codec if result.picture else 'missing'}, not {plan.video_codec}"
    if (result.sound.codec if result.sound else None) != plan.audio_codec:
        return f"its sound is {result.sound.codec if result.sound else 'missing'}, not {plan.audio_codec}"
    if result.picture and (result.picture.width, result.picture.height) != (plan.width, plan.height):
        return f"it measures {result.picture.width}x{result.picture.height}, not {plan.width}x{plan.height}"
    if result.picture and result.picture.frames < 1:
        return "it has no frame"
    frame_us = Fraction(1_000_000) / plan.frame_rate if plan.video_codec else Fraction(0)
    if abs(result.end_us - plan.length_us) > frame_us + DURATION_TOLERANCE_US:
        return f"it lasts {result.end_us / 1e6:.3f} s, not {plan.length_us / 1e6:.3f} s"
    return None


def _describe_plan(plan: RenderPlan) -> str:
    parts = [f"{plan.length_us / 1e6:.3f} s"]
    if plan.width:
        parts.append(f"{plan.video_codec} {plan.width}x{plan.height} at {float(plan.frame_rate):.3f}/s")
    if plan.sound_rate:
        parts.append(f"{plan.audio_codec} {plan.sound_rate} Hz, {'mono' if plan.channels == 1 else 'stereo'}")
    if plan.joined:
        parts.append(f"{len(plan.clips)} pieces joined")
    return ", ".join(parts)


def _describe(info: SourceInfo) -> str:
    parts = []
    if info.picture:
        rate = f" at {float(info.picture.frame_rate):.3f}/s" if not info.still else ""
        parts.append(f"{info.picture.codec} {info.picture.width}x{info.picture.height}{rate}")
    if info.sound:
        parts.append(f"{info.sound.codec} {info.sound.sample_rate} Hz, {info.sound.channels} channels")
    length = "still picture" if info.still else f"{info.end_us / 1e6:.3f} s"
    return ", ".join([*parts, length])

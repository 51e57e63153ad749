"""Render: examine the sources, plan, encode, verify. Files in, one verified file out; no queue, no storage.

The worker's execution and `flowscale render` both come through here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from flowscale.errors import EmptyOutput, InvalidMedia, LimitExceeded, NoOutput
from flowscale.specs import Format, RenderSpec
from flowscale_worker import ffmpeg
from flowscale_worker.command import render_command
from flowscale_worker.failures import classify, clean_line
from flowscale_worker.kit import Kit, checked
from flowscale_worker.plan import RenderPlan, make_plan
from flowscale_worker.probe import examine
from flowscale_worker.progress import FETCH_ENDS, EncodeProgress
from flowscale_worker.source import SourceInfo

DURATION_TOLERANCE_US = 50_000
"""Beside one frame: what AAC and Opus frames add at the ends."""

LOG_LINES = 12
"""FFmpeg's last lines that go into a job's log."""


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
    sources = tuple(examine(file, kit) for file in files)
    kit.tell(FETCH_ENDS, [f"source {index}: {_describe(info)}" for index, info in enumerate(sources)])
    plan = make_plan(spec, sources, max_seconds=kit.settings.max_source_seconds)
    output = folder / f"output.{plan.container}"
    encode(plan, files, output, kit)
    measured_us = verify(plan, output, kit)
    return Rendered(output, output.stat().st_size, round(measured_us / 1000), plan)


def encode(plan: RenderPlan, files: Sequence[Path], output: Path, kit: Kit) -> None:
    """Run FFmpeg. Raises what its failure means."""
    progress = EncodeProgress(plan.length_us)

    def hear(line: str) -> None:
        if progress.feed(line):
            kit.tell(progress.percent)
            kit.watch(progress)

    seconds = kit.settings.render_timeout_seconds
    ended = checked(
        ffmpeg.run(
            kit.tools.ffmpeg,
            render_command(plan, [str(file) for file in files], str(output), kit.allowance),
            kit.limits(seconds),
            clock=kit.clock,
            on_line=hear,
            should_stop=kit.should_stop,
        ),
        "a render",
        seconds,
    )
    kit.tell(None, [clean_line(line, [str(output.parent)]) for line in ended.stderr[-LOG_LINES:]])
    if ended.returncode != 0:
        raise classify(ended.returncode, ended.stderr, doing="rendering", seconds=ended.seconds)
    if output.exists() and output.stat().st_size >= kit.settings.max_output_bytes * 0.99:
        raise LimitExceeded(f"The result is larger than the {kit.settings.max_output_bytes} bytes allowed.")


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


def _describe(info: SourceInfo) -> str:
    parts = []
    if info.picture:
        rate = f" at {float(info.picture.frame_rate):.3f}/s" if not info.still else ""
        parts.append(f"{info.picture.codec} {info.picture.width}x{info.picture.height}{rate}")
    if info.sound:
        parts.append(f"{info.sound.codec} {info.sound.sample_rate} Hz, {info.sound.channels} channels")
    length = "still picture" if info.still else f"{info.end_us / 1e6:.3f} s"
    return ", ".join([*parts, length])

"""The execute-plan request: a timeline from the frontend's editor, turned into a RenderSpec; pure.

A segment's cut is [source_start_ms, source_end_ms) of the source. The trim fields say the same again from the
editor's point of view and the output range says where it lands; the output is the segments joined in the order
of output_start_ms, so a gap between two output ranges closes, and an overlap is refused (ADR 0003).
"""

from __future__ import annotations

from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from flowscale.errors import InvalidOptions, MissingSource
from flowscale.specs import (
    MAX_SECONDS,
    Audio,
    Cut,
    Format,
    Label,
    NoFilters,
    RenderSpec,
    Resize,
    Side,
    Source,
    Speed,
    Volume,
    as_frame_rate,
    output_stem,
    refuse_filters,
)
from flowscale.validation import Strict

MAX_SEGMENTS = 100
"""Segments of one plan: each is one open input of the FFmpeg process."""

OVERLAP_TOLERANCE_MS = 50
"""Output ranges may overlap this much: editors round to a frame (40 ms at 25 fps) or to whole ms."""

Milliseconds = Annotated[float, Field(ge=0, le=MAX_SECONDS * 1000)]


class Snake(Strict):
    """The plan's own names are snake_case, as the editor writes them."""

    model_config = ConfigDict(alias_generator=None)


class Codec(StrEnum):
    H264 = "h264"
    LIBX264 = "libx264"
    VP9 = "vp9"
    LIBVPX_VP9 = "libvpx-vp9"

    @property
    def container(self) -> Format:
        return Format.MP4 if self in (Codec.H264, Codec.LIBX264) else Format.WEBM


class PlanSegment(Snake):
    segment_id: Label
    source_start_ms: Milliseconds
    """Where the cut begins in the source."""

    source_end_ms: Milliseconds
    """Where it ends; past the end of the source it is shortened to it."""

    output_start_ms: Milliseconds
    """Sets the order: segments are joined by it, and a gap between two closes."""

    output_end_ms: Milliseconds
    """Two segments must not overlap by more than 50 ms. The length follows from the cut and its speed."""

    trim_start_ms: Milliseconds
    """The editor's own account of the cut; the source range decides."""

    trim_end_ms: Milliseconds
    """Likewise."""

    source_duration_ms: Milliseconds
    """Likewise; the worker measures the source."""

    speed_multiplier: Speed | None = None
    filters: NoFilters = None

    @field_validator("source_end_ms", "output_end_ms")
    @classmethod
    def _after_start(cls, end: float, info: ValidationInfo) -> float:
        start_name = str(info.field_name).replace("_end_", "_start_")
        start = info.data.get(start_name)
        if start is not None and end <= start:
            raise PydanticCustomError(
                "range_order", "must be greater than {name} ({start})", {"name": start_name, "start": start}
            )
        return end


class PlanOutputFormat(Snake):
    width: Side
    height: Side
    fps: Annotated[float, Field(ge=1, le=120)]
    codec: Codec


class PlanAudio(Snake):
    preserve: bool
    """False leaves the sound out."""

    volume: Volume | None = None


class Plan(Snake):
    plan_id: Label
    source_video_id: Label
    timeline: Annotated[list[PlanSegment], Field(min_length=1, max_length=MAX_SEGMENTS)]
    output_format: PlanOutputFormat
    audio: PlanAudio | None = None
    metadata: dict[str, Any] | None = Field(default=None, description="Kept by the frontend; not read here.")


class PlanRequest(Strict):
    """The body of POST /api/execute-plan."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "sourceVideoUrl": "uploads/0f8fad5bd9cb469fa16570867728950e/holiday.mp4",
                    "plan": {
                        "plan_id": "plan-1",
                        "source_video_id": "holiday",
                        "timeline": [
                            {
                                "segment_id": "opening",
                                "source_start_ms": 1000,
                                "source_end_ms": 2500,
                                "output_start_ms": 0,
                                "output_end_ms": 1500,
                                "trim_start_ms": 1000,
                                "trim_end_ms": 2500,
                                "source_duration_ms": 5000,
                            }
                        ],
                        "output_format": {"width": 1280, "height": 720, "fps": 25, "codec": "h264"},
                    },
                }
            ]
        }
    )

    source_video_url: str | None = None
    """A `filePath`, a `fileId`, the `publicUrl` of an upload, or an http(s) address on the public internet."""

    plan: Plan
    project_id: Label | None = None
    output_name: Label | None = None
    webhook_url: str | None = None
    """An https address that is told by a signed message when the job has ended, where webhooks are set up."""

    def named_sources(self) -> list[str]:
        """The source as the client named it. Raises MissingSource, UnsupportedOption, InvalidOptions."""
        for index, segment in enumerate(self.plan.timeline):
            refuse_filters(segment.filters, f"$.plan.timeline[{index}].filters")
        self._refuse_overlaps()
        if not self.source_video_url:
            raise MissingSource("The request names nothing to render: give sourceVideoUrl.")
        return [self.source_video_url]

    def to_spec(self, sources: tuple[Source, ...]) -> RenderSpec:
        """The normal form, over the one source that was found."""
        output = self.plan.output_format
        audio = self.plan.audio
        cuts = tuple(
            Cut(
                start_us=round(segment.source_start_ms * 1000),
                end_us=round(segment.source_end_ms * 1000),
                speed=segment.speed_multiplier if segment.speed_multiplier is not None else 1.0,
            )
            for segment in sorted(self.plan.timeline, key=lambda one: one.output_start_ms)
        )
        return RenderSpec(
            sources=sources,
            timeline=cuts,
            resize=Resize(width=output.width, height=output.height),
            frame_rate=as_frame_rate(output.fps),
            audio=Audio(
                volume=audio.volume if audio and audio.volume is not None else 1.0,
                mute=not audio.preserve if audio else False,
            ),
            format=output.codec.container,
            output_name=output_stem(self.output_name),
        )

    def _refuse_overlaps(self) -> None:
        placed = sorted(enumerate(self.plan.timeline), key=lambda one: one[1].output_start_ms)
        faults = [
            {
                "path": f"$.plan.timeline[{index}].output_start_ms",
                "message": f"lies inside the output range of segment {before.segment_id[:60]!r}",
            }
            for (_, before), (index, segment) in pairwise(placed)
            if segment.output_start_ms < before.output_end_ms - OVERLAP_TOLERANCE_MS
        ]
        if faults:
            raise InvalidOptions(
                "The plan puts two segments at the same time of the output.", details={"faults": faults[:20]}
            )

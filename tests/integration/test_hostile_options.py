"""Hostile options: whatever a valid request says, its texts stay out of FFmpeg's arguments.

Every text that a client can send carries a token that occurs nowhere else; the arguments that come of the
request must not hold it, and must consist of a small alphabet and of filters from a short list.
"""

from __future__ import annotations

import json
import re
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowscale.errors import InvalidOptions, RenderError
from flowscale.plans import PlanRequest
from flowscale.specs import ExecuteRequest, RenderSpec, Source
from flowscale.validation import parse
from flowscale_worker.command import Allowance, render_command
from flowscale_worker.plan import make_plan
from flowscale_worker.source import Picture, Sound, SourceInfo
from unit.media_facts import LIMITS

TOKEN = "Zq7w"

ALPHABET = re.compile(r"[A-Za-z0-9_.,:;/=+*()\[\]-]+")
"""No space, quote, backslash, pipe, percent or bracket of another kind: nothing that needs or can undo escaping."""

FILTERS = frozenset(
    {
        *("aformat", "afade", "anull", "anullsrc", "apad", "aresample", "atempo", "atrim", "volume"),
        *("color", "concat", "crop", "format", "fps", "loop", "metadata", "pad", "premultiply", "scale", "setpts"),
        *("setsar", "sidedata", "tpad", "trim"),
    }
)
"""Every filter that a graph may have: none that opens a file or a host, none that evaluates a text."""

ALLOWANCE = Allowance(threads=2, max_pixels=7680 * 4320, max_output_bytes=10**10)

CLIENT_TEXT = st.builds(
    lambda before, after: f"{before}{TOKEN}{after}",
    st.sampled_from(["", "-i ", "movie=", "file:///", "'", "];[", "%{", "\n", "http://", "../", "|", "\\", "$(", "ü"]),
    st.text(max_size=30),
).filter(lambda text: text.isprintable() or "\n" in text)
NOTHING = st.none()


def number(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, allow_infinity=False)


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A JSON object with any of the fields."""
    return st.fixed_dictionaries({}, optional=fields)


SIDES = st.integers(16, 7680)
EXECUTE = st.fixed_dictionaries(
    {"sources": st.lists(CLIENT_TEXT, min_size=1, max_size=3)},
    optional={
        "projectId": CLIENT_TEXT,
        "outputName": CLIENT_TEXT,
        "trim": st.fixed_dictionaries({"start": number(0, 5), "end": number(5.001, 900)}),
        "speed": number(0.25, 4),
        "resize": st.fixed_dictionaries(
            {"width": SIDES, "height": SIDES}, optional={"fit": st.sampled_from(["contain", "cover", "fill", "inside"])}
        ),
        "audio": optional(volume=number(0, 2), fadeIn=number(0, 900), fadeOut=number(0, 900), mute=st.booleans()),
        "format": st.sampled_from(["mp4", "webm", "mov"]),
        "quality": st.sampled_from(["low", "medium", "high", "lossless"]),
        "priority": st.sampled_from(["high", "normal", "low"]),
        "filters": st.just([]),
    },
)


def segment(index: int, start: float, length: float, speed: float | None, label: str) -> dict[str, Any]:
    end = start + length
    facts = {"segment_id": label, "source_start_ms": start, "source_end_ms": end, "source_duration_ms": end}
    facts |= {"output_start_ms": index * 1000, "output_end_ms": index * 1000 + 1000}
    facts |= {"trim_start_ms": start, "trim_end_ms": end}
    return facts if speed is None else facts | {"speed_multiplier": speed}


SEGMENTS = st.lists(
    st.tuples(number(0, 5_000), number(1, 9_000), st.none() | number(0.25, 4), CLIENT_TEXT), min_size=1, max_size=4
).map(lambda pieces: [segment(index, *piece) for index, piece in enumerate(pieces)])
PLAN = st.fixed_dictionaries(
    {
        "sourceVideoUrl": CLIENT_TEXT,
        "plan": st.fixed_dictionaries(
            {
                "plan_id": CLIENT_TEXT,
                "source_video_id": CLIENT_TEXT,
                "timeline": SEGMENTS,
                "output_format": st.fixed_dictionaries(
                    {
                        "width": SIDES,
                        "height": SIDES,
                        "fps": number(1, 120),
                        "codec": st.sampled_from(["h264", "libx264", "vp9", "libvpx-vp9"]),
                    }
                ),
            },
            optional={
                "audio": st.fixed_dictionaries({"preserve": st.booleans()}, optional={"volume": number(0, 2)}),
                "metadata": st.dictionaries(CLIENT_TEXT, CLIENT_TEXT, max_size=2),
            },
        ),
    },
    optional={"projectId": CLIENT_TEXT, "outputName": CLIENT_TEXT},
)

# What a hostile file can make of the facts: FFmpeg's names are from its own lists, but for the codec's any will do.
PICTURES = st.builds(
    Picture,
    index=st.integers(0, 15),
    codec=st.sampled_from(["h264", "vp9", "png", "mjpeg", "vp8"]),
    width=st.integers(1, 7680),
    height=st.integers(1, 4320),
    pixel_format=st.sampled_from(["yuv420p", "yuvj420p", "rgb24", "pal8", "yuva420p", "gray", "yuv444p10le", TOKEN]),
    frame_rate=st.fractions(Fraction(1, 1000), 120, max_denominator=1001),
    frames=st.integers(1, 100_000),
    end_us=st.integers(1, 10**9),
    square_pixels=st.booleans(),
    full_range=st.booleans(),
    alpha=st.booleans(),
)
SOUNDS = st.builds(
    Sound,
    index=st.integers(0, 15),
    codec=st.just(TOKEN),
    channels=st.integers(1, 64),
    sample_rate=st.integers(1, 768_000),
    end_us=st.integers(1, 10**9),
)
INFOS = st.builds(
    SourceInfo,
    demuxer=st.sampled_from(["mov", "matroska", "avi", "png_pipe", "jpeg_pipe", "webp_pipe"]),
    still=st.just(False),
    picture=st.none() | PICTURES,
    sound=st.none() | SOUNDS,
    origin_us=st.integers(0, 10**9),
).filter(lambda info: info.picture is not None or info.sound is not None) | st.builds(
    SourceInfo, demuxer=st.just("png_pipe"), still=st.just(True), picture=PICTURES, sound=st.none()
)


def check_arguments(spec: RenderSpec, infos: list[SourceInfo]) -> None:
    try:
        plan = make_plan(spec, tuple(infos), LIMITS)
    except RenderError:
        return  # nothing is left to render; nothing will run
    files = [f"/scratch/{'0' * 32}/source-{index}" for index in range(len(infos))]
    arguments = render_command(plan, files, f"/scratch/{'0' * 32}/output.{plan.container}", ALLOWANCE)
    for argument in arguments:
        assert ALPHABET.fullmatch(argument), argument
        assert TOKEN.lower() not in argument.lower()
    graph = arguments[arguments.index("-filter_complex") + 1]
    without_labels = re.sub(r"\[[a-z0-9:]+\]", "", graph)
    used = {part.partition("=")[0] for part in re.split(r"[;,]", without_labels)}
    assert used <= FILTERS
    opened = [arguments[at + 1] for at, argument in enumerate(arguments) if argument == "-i"]
    assert set(opened) <= {f"file:{file}" for file in files}


def sources(request: ExecuteRequest | PlanRequest) -> tuple[Source, ...]:
    """What the gateway keeps of the sources at most: the client's own URL."""
    return tuple(Source(url=name) for name in request.named_sources())


# Many requests that are made here contradict themselves and are refused, which is no fault of the tests.
@settings(max_examples=300, suppress_health_check=[HealthCheck.filter_too_much])
@given(body=EXECUTE, infos=st.lists(INFOS, min_size=3, max_size=3))
def test_no_text_of_an_execute_request_reaches_ffmpeg(body: dict[str, Any], infos: list[SourceInfo]) -> None:
    request = parse(ExecuteRequest, json.dumps(body).encode())
    spec = request.to_spec(sources(request))
    check_arguments(spec, infos[: len(spec.sources)])


@settings(max_examples=300, suppress_health_check=[HealthCheck.filter_too_much])
@given(body=PLAN, info=INFOS)
def test_no_text_of_a_plan_reaches_ffmpeg(body: dict[str, Any], info: SourceInfo) -> None:
    request = parse(PlanRequest, json.dumps(body).encode())
    check_arguments(request.to_spec(sources(request)), [info])


@given(body=EXECUTE, extra=st.sampled_from(["filter", "ffmpegArgs", "-vf", "source_path", "options"]), text=CLIENT_TEXT)
def test_a_request_with_any_other_text_is_refused(body: dict[str, Any], extra: str, text: str) -> None:
    with pytest.raises(InvalidOptions) as refused:
        parse(ExecuteRequest, json.dumps({**body, extra: text}).encode())
    assert f"$.{extra}" in [fault["path"] for fault in refused.value.details["faults"]]

"""Golden command lines: what FFmpeg is told, to the letter, for each kind of request."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowscale.specs import Audio, Cut, Fit, Format, Quality, RenderSpec, Resize, Trim
from flowscale_worker.command import DEMUXERS, join_command, parts_list_text, probe_command, render_command
from flowscale_worker.filters import filter_graph, tempo_factors
from flowscale_worker.plan import in_parts, make_plan
from flowscale_worker.source import SourceInfo
from unit.media_facts import ALLOWANCE, CLIP, LIMITS, NTSC_MONO, SILENT, SOUND_ONLY, STILL, VP9_ALPHA, spec

PLAN_CUTS = (Cut(start_us=3_000_000, end_us=4_000_000), Cut(start_us=1_000_000, end_us=2_000_000, speed=2.0))

CASES: dict[str, tuple[RenderSpec, tuple[SourceInfo, ...]]] = {
    "whole-clip": (spec(), (CLIP,)),
    "trim": (spec(trim=Trim(start=1.5, end=4)), (CLIP,)),
    "speed-up": (spec(speed=2.0), (CLIP,)),
    "slow-down": (spec(speed=0.25, trim=Trim(start=0, end=2)), (CLIP,)),
    "contain": (spec(resize=Resize(width=640, height=640)), (CLIP,)),
    "cover": (spec(resize=Resize(width=640, height=640, fit=Fit.COVER)), (CLIP,)),
    "fill": (spec(resize=Resize(width=640, height=640, fit=Fit.FILL)), (CLIP,)),
    "inside": (spec(resize=Resize(width=641, height=641, fit=Fit.INSIDE)), (CLIP,)),
    "odd-size-mono-44k": (spec(), (NTSC_MONO,)),
    "volume-and-fades": (spec(audio=Audio(volume=0.5, fade_in=1, fade_out=2.5)), (CLIP,)),
    "mute": (spec(audio=Audio(mute=True)), (CLIP,)),
    "silent-source": (spec(), (SILENT,)),
    "sound-only": (spec(trim=Trim(start=0, end=3)), (SOUND_ONLY,)),
    "still-with-alpha": (spec(trim=Trim(start=0, end=2)), (STILL,)),
    "webm-with-alpha": (spec(format=Format.WEBM, quality=Quality.LOW), (VP9_ALPHA,)),
    "mov-high": (spec(format=Format.MOV, quality=Quality.HIGH), (CLIP,)),
    "mp4-lossless": (spec(quality=Quality.LOSSLESS), (CLIP,)),
    "webm-lossless": (spec(format=Format.WEBM, quality=Quality.LOSSLESS), (CLIP,)),
    "joined-sources": (spec(3, trim=Trim(start=8, end=21)), (CLIP, SILENT, SOUND_ONLY)),
    "plan": (
        spec(timeline=PLAN_CUTS, frame_rate=(30, 1), resize=Resize(width=640, height=360)),
        (CLIP,),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_golden_command(name: str, golden: Callable[[str, str], None]) -> None:
    wanted, sources = CASES[name]
    plan = make_plan(wanted, sources, LIMITS)
    files = [f"/scratch/source-{index}" for index in range(len(sources))]
    arguments = render_command(plan, files, f"/scratch/output.{plan.container}", ALLOWANCE)
    golden(f"commands/{name}.txt", "\n".join(arguments) + "\n")


def test_golden_join(golden: Callable[[str, str], None]) -> None:
    plan = make_plan(spec(timeline=PLAN_CUTS * 6), (CLIP,), LIMITS)
    parts = in_parts(plan)
    names = [f"part-{number}.mp4" for number in range(len(parts))]
    golden("commands/join-parts.ffconcat", parts_list_text(names, parts))
    arguments = join_command(plan, "/scratch/parts.ffconcat", "/scratch/sound.mp4", "/scratch/output.mp4", ALLOWANCE)
    golden("commands/join.txt", "\n".join(arguments) + "\n")


def test_golden_probe(golden: Callable[[str, str], None]) -> None:
    golden("commands/probe.txt", "\n".join(probe_command("/scratch/source-0", "mov", ALLOWANCE)) + "\n")


@pytest.mark.parametrize("demuxer", ["hls", "concat", "lavfi", "image2", "mov,mp4,m4a,3gp,3g2,mj2", ""])
def test_no_other_demuxer_can_be_named(demuxer: str) -> None:
    with pytest.raises(ValueError, match="not among the demuxers"):
        probe_command("/scratch/source-0", demuxer, ALLOWANCE)


def test_every_allowed_demuxer_can_be_probed() -> None:
    for demuxer in DEMUXERS:
        assert demuxer in probe_command("/scratch/source-0", demuxer, ALLOWANCE)


@given(st.floats(0.25, 4))
def test_tempo_factors_multiply_to_the_speed_and_stay_where_no_sample_is_skipped(speed: float) -> None:
    factors = tempo_factors(speed)
    assert math.isclose(math.prod(factors), speed)
    assert all(0.5 <= factor <= 2 for factor in factors)


def test_a_joined_plan_names_each_pad_once_as_output_and_once_as_input() -> None:
    plan = make_plan(spec(3), (CLIP, SILENT, SOUND_ONLY), LIMITS)
    graph = filter_graph(plan)
    for index in range(3):
        assert graph.count(f"[v{index}]") == graph.count(f"[a{index}]") == 2

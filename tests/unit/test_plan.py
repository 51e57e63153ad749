"""What a plan says, for any request: the right pixels, the right length, clear refusals."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowscale.errors import EmptyOutput, InvalidMedia, LimitExceeded
from flowscale.specs import Audio, Cut, Fit, Format, Quality, Resize, Trim
from flowscale_worker.geometry import fit_picture
from flowscale_worker.plan import RenderPlan, in_parts, make_plan, sound_of
from flowscale_worker.source import SourceInfo
from unit.media_facts import CLIP, HD, LIMITS, NTSC_MONO, SILENT, SOUND_ONLY, STEREO, STILL, spec

sides = st.integers(1, 8000)
targets = st.integers(8, 3840).map(lambda half: half * 2)


def plan_of(*sources: SourceInfo, **options: object) -> RenderPlan:
    return make_plan(spec(len(sources), **options), sources, LIMITS)


@given(sides, sides, targets, targets, st.sampled_from(Fit))
def test_every_fit_gives_even_pixels_within_bounds(width: int, height: int, wide: int, high: int, fit: Fit) -> None:
    geometry = fit_picture(width, height, (wide, high), fit)
    scaled = geometry.scale or (width, height)
    assert geometry.width % 2 == geometry.height % 2 == 0
    if fit is Fit.INSIDE:
        assert geometry.width <= wide
        assert geometry.height <= high
        assert geometry.width == wide or geometry.height == high
    else:
        assert (geometry.width, geometry.height) == (wide, high)
    if geometry.crop:
        assert geometry.crop[2] + wide <= scaled[0]
        assert geometry.crop[3] + high <= scaled[1]
    if geometry.pad:
        assert geometry.pad[2] + scaled[0] <= wide
        assert geometry.pad[3] + scaled[1] <= high


@given(st.integers(16, 4000), st.integers(16, 4000), targets, targets)
def test_contain_and_cover_keep_the_aspect_to_two_pixels(width: int, height: int, wide: int, high: int) -> None:
    for fit in (Fit.CONTAIN, Fit.COVER):
        scaled = fit_picture(width, height, (wide, high), fit).scale or (width, height)
        ideal = (max if fit is Fit.COVER else min)(wide / width, high / height)
        assert abs(scaled[0] - width * ideal) <= 2
        assert abs(scaled[1] - height * ideal) <= 2


@pytest.mark.parametrize(
    ("options", "seconds", "frames"),
    [
        ({}, 10.005, 250),
        ({"trim": Trim(start=2, end=5)}, 3, 75),
        ({"trim": Trim(start=2, end=50)}, 8.005, 200),
        ({"speed": 2.0}, 5.0025, 125),
        ({"speed": 0.5, "trim": Trim(start=0, end=1)}, 2, 50),
        ({"audio": Audio(mute=True)}, 10, 250),
        ({"frame_rate": (30000, 1001)}, 10.005, 300),
    ],
)
def test_length_and_frames(options: dict[str, object], seconds: float, frames: int) -> None:
    plan = plan_of(CLIP, **options)
    assert plan.length_us == round(seconds * 1e6)
    assert plan.clips[0].frames == frames


def test_an_odd_size_loses_its_last_column_and_row() -> None:
    plan = plan_of(NTSC_MONO)
    assert (plan.width, plan.height) == (640, 360)
    assert plan.clips[0].geometry is not None
    assert plan.clips[0].geometry.crop == (640, 360, 0, 0)


def test_an_odd_target_is_rounded_down() -> None:
    plan = plan_of(CLIP, resize=Resize(width=641, height=361, fit=Fit.FILL))
    assert (plan.width, plan.height) == (640, 360)


def test_a_still_is_shown_five_seconds_or_as_long_as_asked() -> None:
    assert plan_of(STILL).length_us == 5_000_000
    assert plan_of(STILL, trim=Trim(start=1, end=13)).length_us == 12_000_000
    assert plan_of(STILL).clips[0].frames == 125


def test_joined_sources_are_trimmed_on_the_joined_timeline() -> None:
    plan = plan_of(CLIP, SILENT, SOUND_ONLY, trim=Trim(start=8, end=21))
    pieces = [(clip.source, clip.start_us, clip.length_us) for clip in plan.clips]
    assert pieces == [(0, 8_000_000, 2_005_000), (1, 0, 10_000_000), (2, 0, 995_000)]
    assert plan.length_us == 13_000_000


def test_a_cut_begins_at_the_nearest_frame_and_keeps_its_length() -> None:
    clip = plan_of(CLIP, trim=Trim(start=1.53, end=2.53)).clips[0]
    assert (clip.start_us, clip.length_us, clip.frames) == (1_520_000, 1_000_000, 25)
    clip = plan_of(CLIP, trim=Trim(start=1.55, end=2.55)).clips[0]
    assert clip.start_us == 1_560_000


def test_a_trim_within_one_of_several_sources_is_a_single_clip() -> None:
    plan = plan_of(CLIP, SILENT, trim=Trim(start=12, end=13))
    assert [(clip.source, clip.start_us) for clip in plan.clips] == [(1, 2_000_000)]
    assert not plan.joined
    assert plan.audio_codec is None


def test_sound_that_ends_before_the_part_is_left_out() -> None:
    short_sound = replace(CLIP, sound=replace(STEREO, end_us=1_000_000))
    assert plan_of(short_sound, trim=Trim(start=2, end=3)).audio_codec is None
    assert plan_of(short_sound).audio_codec == "aac"


def test_a_plan_keeps_the_order_of_its_timeline_and_its_speeds() -> None:
    cuts = (Cut(start_us=3_000_000, end_us=4_000_000), Cut(start_us=0, end_us=2_000_000, speed=2.0))
    plan = plan_of(CLIP, timeline=cuts, resize=Resize(width=640, height=360))
    assert [clip.start_us for clip in plan.clips] == [3_000_000, 0]
    assert plan.length_us == 2_000_000


def test_codecs_follow_the_container() -> None:
    assert (plan_of(CLIP).video_codec, plan_of(CLIP).audio_codec) == ("h264", "aac")
    webm = plan_of(CLIP, format=Format.WEBM)
    assert (webm.video_codec, webm.audio_codec) == ("vp9", "opus")
    assert plan_of(SILENT).audio_codec is None
    assert plan_of(SOUND_ONLY).video_codec is None


@pytest.mark.parametrize(
    ("pixel_format", "lossless"),
    [("yuv420p", "yuv420p"), ("yuv444p10le", "yuv444p10le"), ("rgb24", "yuv444p"), ("yuvj420p", "yuv444p")],
)
def test_only_lossless_leaves_8_bit_420(pixel_format: str, lossless: str) -> None:
    source = replace(CLIP, picture=replace(HD, pixel_format=pixel_format))
    assert plan_of(source).pixel_format == "yuv420p"
    assert plan_of(source, quality=Quality.LOSSLESS).pixel_format == lossless


@pytest.mark.parametrize(
    ("sources", "options", "error", "words"),
    [
        ((CLIP,), {"trim": Trim(start=11, end=12)}, EmptyOutput, "starts at 11.000 s"),
        ((CLIP, CLIP), {"trim": Trim(start=30, end=31)}, EmptyOutput, "starts at 30.000 s"),
        ((SOUND_ONLY,), {"audio": Audio(mute=True)}, EmptyOutput, "nothing is left"),
        ((SOUND_ONLY,), {"resize": Resize(width=64, height=64)}, InvalidMedia, "no picture"),
        ((CLIP,), {"timeline": (Cut(start_us=20_000_000, end_us=21_000_000),)}, EmptyOutput, "20.000 s"),
    ],
)
def test_what_cannot_be_made_is_refused_in_words(
    sources: tuple[SourceInfo, ...], options: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        plan_of(*sources, **options)


def test_a_trim_after_the_picture_but_within_the_sound_is_refused() -> None:
    long_sound = replace(CLIP, sound=replace(STEREO, end_us=20_000_000))
    with pytest.raises(EmptyOutput, match=r"the source ends at 10\.000 s"):
        plan_of(long_sound, trim=Trim(start=12, end=15))


def test_too_long_a_result_is_refused() -> None:
    with pytest.raises(LimitExceeded, match="at most 30 s"):
        make_plan(spec(speed=0.25), (CLIP,), replace(LIMITS, max_seconds=30))


def test_fades_never_exceed_the_result() -> None:
    plan = plan_of(CLIP, trim=Trim(start=0, end=2), audio=Audio(fade_in=10, fade_out=10))
    assert plan.fade_in_us == plan.fade_out_us == plan.length_us == 2_000_000


def test_pixels_that_are_not_square_are_made_square() -> None:
    anamorphic = replace(CLIP, picture=replace(HD, width=1024, height=576, square_pixels=False))
    geometry = plan_of(anamorphic).clips[0].geometry
    assert geometry is not None
    assert geometry.scale == (1024, 576)


@given(st.fractions(min_value=Fraction(1), max_value=Fraction(120), max_denominator=1001))
def test_frames_follow_the_rate(rate: Fraction) -> None:
    plan = plan_of(CLIP, frame_rate=(rate.numerator, rate.denominator))
    assert plan.clips[0].frames == max(1, round(10 * rate))


def test_few_clips_are_rendered_at_once_and_many_in_parts_that_add_up() -> None:
    cuts = tuple(Cut(start_us=index * 90_000, end_us=index * 90_000 + 50_000) for index in range(100))
    plan = plan_of(CLIP, timeline=cuts, frame_rate=(30000, 1001))
    parts = in_parts(plan)
    assert [clip for part in parts for clip in part.clips] == list(plan.clips)
    assert max(len(part.clips) for part in parts) == 8
    assert abs(sum(part.length_us for part in parts) - plan.length_us) <= len(parts)
    assert all(part.audio_codec is None and part.joined for part in parts)
    assert sound_of(plan).video_codec is None
    assert in_parts(plan_of(CLIP, timeline=cuts[:8])) == (plan_of(CLIP, timeline=cuts[:8]),)


def test_large_pictures_are_joined_fewer_at_once() -> None:
    uhd = replace(CLIP, picture=replace(HD, width=3840, height=2160))
    assert [len(part.clips) for part in in_parts(plan_of(*[uhd] * 5))] == [2, 2, 1]


def test_the_sound_of_a_joined_clip_lasts_exactly_as_long_as_its_frames() -> None:
    cuts = tuple(Cut(start_us=index * 90_000, end_us=index * 90_000 + 50_000) for index in range(100))
    plan = plan_of(CLIP, timeline=cuts)
    assert plan.length_us == sum(clip.frames for clip in plan.clips) * 40_000


@pytest.mark.parametrize(
    "options",
    [
        {"resize": Resize(width=7680, height=7680)},
        {
            "resize": Resize(width=7680, height=4320),
            "trim": Trim(start=0, end=10),
            "frame_rate": (120, 1),
            "speed": 0.25,
        },
    ],
)
def test_a_result_over_the_budget_is_refused_before_it_is_made(options: dict[str, Any]) -> None:
    with pytest.raises(LimitExceeded, match="The result would"):
        make_plan(spec(**options), (CLIP,), replace(LIMITS, max_decoded_pixels=10**11))

"""How long renders take: which of them are alike, and what is learned of them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowscale.predictions import PROFILES_KEPT, SAMPLES_KEPT, SAMPLES_NEEDED, Learned, Lessons, profile_of
from flowscale.specs import Cut, Format, Quality, RenderSpec, Resize, Source, Trim

SOURCES = (Source(key="uploads/a/clip.mp4"),)


def spec(**options: object) -> dict[str, object]:
    return RenderSpec.model_validate({"sources": SOURCES, **options}).to_record()


def test_a_profile_says_what_is_made() -> None:
    assert profile_of(spec()) == "mp4-medium-source-~s"
    full = spec(
        format=Format.WEBM,
        quality=Quality.LOSSLESS,
        resize=Resize(width=1920, height=1080),
        trim=Trim(start=2, end=12),
        speed=2.0,
    )
    assert profile_of(full) == "webm-lossless-fhd-3s"
    assert profile_of(spec(resize=Resize(width=640, height=480))) == "mp4-medium-sd-~s"
    assert profile_of(spec(resize=Resize(width=720, height=1280))) == "mp4-medium-hd-~s"
    assert profile_of(spec(resize=Resize(width=3840, height=2160))) == "mp4-medium-uhd-~s"


def test_of_a_timeline_all_cuts_count() -> None:
    cuts = (Cut(start_us=0, end_us=3_000_000), Cut(start_us=1_000_000, end_us=11_000_000, speed=2.0))
    assert profile_of(spec(timeline=cuts)) == "mp4-medium-source-4s"


@pytest.mark.parametrize(
    ("seconds", "length"), [(0.5, "0s"), (1, "1s"), (2, "2s"), (3.9, "2s"), (4, "3s"), (86_400, "17s")]
)
def test_a_length_is_told_by_its_class(seconds: float, length: str) -> None:
    assert profile_of(spec(trim=Trim(end=seconds))).endswith(f"-{length}")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(["format", "quality", "resize", "trim", "timeline", "speed", "width", "height", "start", "end"])


@given(st.dictionaries(names, values | st.dictionaries(names, values) | st.lists(st.dictionaries(names, values))))
def test_whatever_the_record_holds_has_a_profile_that_is_one_word(record: dict[str, object]) -> None:
    assert re.fullmatch(r"[A-Za-z0-9]+-[A-Za-z0-9]+-(sd|hd|fhd|uhd|source)-(\d{1,2}|~)s", profile_of(record))


def test_it_predicts_the_mean_once_enough_have_been_seen() -> None:
    learned = Learned()
    for number in range(SAMPLES_NEEDED):
        assert learned.predicted_ms is None
        learned = learned.after(1_000 * number)
    assert learned.predicted_ms == 500 * (SAMPLES_NEEDED - 1)


@given(st.lists(st.integers(0, 10**8), min_size=1, max_size=200))
def test_the_mean_lies_among_what_was_seen(took: list[int]) -> None:
    learned = Learned()
    for ms in took:
        learned = learned.after(ms)
    assert learned.seen == min(len(took), SAMPLES_KEPT)
    assert min(took) - 1e-3 <= learned.mean_ms <= max(took) + 1e-3


def test_what_changed_is_learned_anew() -> None:
    learned = Learned()
    for ms in [60_000] * 500 + [1_000] * 5 * SAMPLES_KEPT:
        learned = learned.after(ms)
    assert learned.mean_ms < 1_500


def test_no_more_profiles_are_kept_than_that() -> None:
    lessons = Lessons()
    for number in range(PROFILES_KEPT + 1):
        for _ in range(SAMPLES_NEEDED):
            lessons.add(f"profile-{number}", 10)
    assert lessons.predicted_ms(f"profile-{PROFILES_KEPT - 1}") == 10
    assert lessons.predicted_ms(f"profile-{PROFILES_KEPT}") is None

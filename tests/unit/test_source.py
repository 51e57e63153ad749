"""Reading ffprobe's report: what counts, what is refused, and nothing that a file's text could smuggle in."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowscale.errors import InvalidMedia, LimitExceeded
from flowscale_worker.source import ReportReader, SourceInfo, SourceLimits

LIMITS = SourceLimits(max_seconds=100, max_pixels=4000 * 4000, max_frames=1000, max_decoded_pixels=10**10)
VIDEO = (
    "stream|index=0|codec_name=h264|codec_type=video|width=640|height=360|sample_aspect_ratio=1:1|pix_fmt=yuv420p"
    "|color_range=unknown|r_frame_rate=25/1|avg_frame_rate=25/1|disposition:attached_pic=0"
)
AUDIO = "stream|index=1|codec_name=aac|codec_type=audio|sample_rate=48000|channels=2|disposition:attached_pic=0"
CONTAINER = "format|nb_streams=2|start_time=0.000000"


def packets(stream: int, count: int, step: float, start: float = 0.0) -> list[str]:
    return [
        f"packet|stream_index={stream}|pts_time={start + index * step:.6f}|dts_time=N/A|duration_time={step:.6f}"
        for index in range(count)
    ]


def read(*lines: str, limits: SourceLimits = LIMITS, still: bool = False) -> SourceInfo:
    reader = ReportReader(limits)
    for line in lines:
        reader.feed(line)
    return reader.finish("mov", still=still)


def test_a_plain_clip() -> None:
    info = read(*packets(0, 50, 0.04), *packets(1, 94, 1024 / 48000), VIDEO, AUDIO, CONTAINER)
    assert info.picture is not None
    assert info.sound is not None
    assert (info.picture.frames, info.picture.frame_rate, info.picture.end_us) == (50, Fraction(25), 2_000_000)
    assert (info.sound.channels, info.sound.sample_rate) == (2, 48000)
    assert info.end_us == info.sound.end_us == 2_005_333


def test_lengths_come_from_packets_and_count_from_the_start_of_the_file() -> None:
    info = read(*packets(0, 50, 0.04, start=10), VIDEO, "format|nb_streams=1|start_time=10.000000")
    assert info.end_us == 2_000_000


def test_packets_may_come_in_decoding_order() -> None:
    lines = packets(0, 50, 0.04)
    assert read(*reversed(lines), VIDEO, CONTAINER).end_us == 2_000_000


@pytest.mark.parametrize(
    ("rotation", "size"), [("90", (360, 640)), ("-90", (360, 640)), ("180", (640, 360)), ("0", (640, 360))]
)
def test_rotation_turns_the_size(rotation: str, size: tuple[int, int]) -> None:
    picture = read(*packets(0, 2, 0.04), f"{VIDEO}|side_data|rotation={rotation}", CONTAINER).picture
    assert picture is not None
    assert (picture.width, picture.height) == size


def test_pixels_that_are_not_square_widen_the_picture() -> None:
    picture = read(*packets(0, 2, 0.04), VIDEO.replace("ratio=1:1", "ratio=16:11"), CONTAINER).picture
    assert picture is not None
    assert (picture.width, picture.height, picture.square_pixels) == (931, 360, False)


@pytest.mark.parametrize("ratio", ["0:1", "N/A", "1:10000", "9999:1", "", "-1:2"])
def test_absurd_pixel_shapes_count_as_square(ratio: str) -> None:
    picture = read(*packets(0, 2, 0.04), VIDEO.replace("ratio=1:1", f"ratio={ratio}"), CONTAINER).picture
    assert picture is not None
    assert (picture.width, picture.square_pixels) == (640, True)


@pytest.mark.parametrize(
    ("average", "base", "step", "expected"),
    [
        ("25/1", "25/1", 0.04, Fraction(25)),
        ("30000/1001", "30000/1001", 1001 / 30000, Fraction(30000, 1001)),
        ("12/1", "12/1", 1 / 12, Fraction(12)),  # constant and unusual: kept
        ("240/1", "240/1", 1 / 240, Fraction(120)),  # thinned
        ("27/1", "90000/1", 1 / 27, Fraction(30000, 1001)),  # variable: the next standard rate
        ("0/0", "0/0", 1 / 15, Fraction(24000, 1001)),
        ("1000/1", "1000/1", 0.04, Fraction(25)),  # the header lies, the packets do not
    ],
)
def test_a_constant_frame_rate_is_found(average: str, base: str, step: float, expected: Fraction) -> None:
    stream = VIDEO.replace("r_frame_rate=25/1", f"r_frame_rate={base}").replace("avg_frame_rate=25/1", "")
    picture = read(*packets(0, 200, step), f"{stream}|avg_frame_rate={average}", CONTAINER).picture
    assert picture is not None
    assert picture.frame_rate == expected


def test_cover_art_is_no_picture() -> None:
    art = VIDEO.replace("attached_pic=0", "attached_pic=1")
    info = read(*packets(0, 1, 0.04), *packets(1, 10, 0.02), art, AUDIO, CONTAINER)
    assert info.picture is None


def test_streams_without_packets_do_not_count() -> None:
    with pytest.raises(InvalidMedia, match="neither a picture nor sound"):
        read(VIDEO, AUDIO, CONTAINER)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([*packets(0, 1001, 0.01), VIDEO], "more than 1000 frames"),
        ([*packets(0, 11, 10.0), VIDEO], "110 s long"),
        (
            [*packets(0, 2, 0.04), VIDEO.replace("width=640", "width=9000").replace("height=360", "height=9000")],
            "9000x",
        ),
        ([*packets(0, 900, 0.1), VIDEO.replace("=640", "=4000").replace("=360", "=4000")], "decodes to"),
        ([f"stream|index={index}|codec_type=data" for index in range(17)], "17 streams"),
    ],
)
def test_over_budget(lines: list[str], words: str) -> None:
    with pytest.raises(LimitExceeded, match=words):
        read(*lines, CONTAINER)


def test_the_budget_ends_the_reading_early() -> None:
    reader = ReportReader(LIMITS)
    endless = iter(packets(0, 5000, 0.001))
    with pytest.raises(LimitExceeded):
        deque(map(reader.feed, endless), maxlen=0)
    assert len(list(endless)) == 5000 - 1001


@given(st.lists(st.text(max_size=80), max_size=20))
def test_no_text_breaks_the_reader(lines: list[str]) -> None:
    reader = ReportReader(LIMITS)
    with suppress(InvalidMedia, LimitExceeded):
        for line in lines:
            reader.feed(line)
        reader.finish("mov", still=False)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["packet", "stream", "format"]),
            st.lists(
                st.tuples(
                    st.sampled_from(
                        [
                            "index",
                            "stream_index",
                            "codec_type",
                            "codec_name",
                            "width",
                            "height",
                            "pts_time",
                            "dts_time",
                            "duration_time",
                            "sample_aspect_ratio",
                            "pix_fmt",
                            "avg_frame_rate",
                            "r_frame_rate",
                            "channels",
                            "sample_rate",
                            "rotation",
                            "start_time",
                        ]
                    ),
                    st.sampled_from(
                        [
                            "0",
                            "1",
                            "-1",
                            "N/A",
                            "nan",
                            "inf",
                            "-inf",
                            "1e308",
                            "99999999999999999999",
                            "25/1",
                            "0/0",
                            "1/0",
                            ":",
                            "video",
                            "audio",
                        ]
                    ),
                ),
                max_size=8,
            ),
        ),
        max_size=12,
    )
)
def test_no_field_value_breaks_the_reader(sections: list[tuple[str, list[tuple[str, str]]]]) -> None:
    reader = ReportReader(LIMITS)
    with suppress(InvalidMedia, LimitExceeded):
        for name, fields in sections:
            reader.feed("|".join([name, *(f"{key}={value}" for key, value in fields)]))
        reader.finish("mov", still=False)

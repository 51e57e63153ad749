"""Percentages from FFmpeg's reports: they never fall and are never invented."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flowscale_worker.progress import ENCODE_ENDS, FETCH_ENDS, EncodeProgress

REPORT = "frame=75\nfps=31.2\nout_time_us=1500000\nout_time_ms=1500000\nspeed=2.5x\nprogress=continue\n"


def fed(length_us: int, text: str) -> EncodeProgress:
    progress = EncodeProgress(length_us)
    for line in text.splitlines():
        progress.feed(line)
    return progress


def test_a_report_in_the_middle() -> None:
    progress = fed(3_000_000, REPORT)
    assert progress.percent == 50
    assert progress.speed == 2.5


def test_a_part_goes_on_where_the_one_before_ended() -> None:
    progress = EncodeProgress(3_000_000, before_us=1_500_000)
    assert progress.percent == 50
    progress.feed("out_time_us=1500000")
    assert progress.percent == ENCODE_ENDS


def test_a_report_is_complete_at_its_last_line_only() -> None:
    progress = EncodeProgress(3_000_000)
    assert [progress.feed(line) for line in REPORT.splitlines()] == [False] * 5 + [True]


def test_without_a_length_there_is_no_percentage() -> None:
    progress = fed(0, REPORT)
    assert progress.percent is None


def test_what_ffmpeg_does_not_know_changes_nothing() -> None:
    progress = fed(3_000_000, REPORT + "out_time_us=N/A\nspeed=N/A\nprogress=continue\n")
    assert (progress.percent, progress.speed) == (50, 2.5)


@given(st.lists(st.integers(-(10**9), 10**9)), st.integers(0, 10**9))
def test_it_never_falls_and_stays_within_the_encodes_share(times: list[int], length_us: int) -> None:
    progress = EncodeProgress(length_us)
    last = FETCH_ENDS
    for time_us in times:
        progress.feed(f"out_time_us={time_us}")
        if progress.percent is not None:
            assert last <= progress.percent <= ENCODE_ENDS
            last = progress.percent


@given(st.text())
def test_no_line_breaks_it(line: str) -> None:
    EncodeProgress(1).feed(line)

"""What FFmpeg's real words mean for a job. The texts are FFmpeg 5.1's own, as runs of it printed them."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowscale.errors import (
    DiskFull,
    FFmpegExit,
    InvalidMedia,
    LimitExceeded,
    OutOfMemory,
    RenderError,
    RenderTimeout,
)
from flowscale_worker.failures import classify, clean_line, truncation

MOOV = "[mov,mp4,m4a,3gp,3g2,mj2 @ 0x55f0c2d3d700] [error] moov atom not found"
INVALID = "[error] file:/scratch/source-0: Invalid data found when processing input"
NO_SPACE = "[error] av_interleaved_write_frame(): No space left on device"
NO_MEMORY = "[libx264 @ 0x5591] [error] malloc of size 26836992 failed"
PARTIAL = "[mov,mp4,m4a,3gp,3g2,mj2 @ 0x5591] [error] stream 0, offset 0x30: partial file"
WHITELIST = "[error] Codec (magicyuv) not on whitelist 'h264,hevc'"
PIXELS = "[png @ 0x5591] [error] Picture size 30000x30000 exceeds max_pixels 33177600"


@pytest.mark.parametrize(
    ("returncode", "stderr", "expected"),
    [
        (1, [MOOV, INVALID], InvalidMedia),
        (1, [INVALID], InvalidMedia),
        (1, [WHITELIST], InvalidMedia),
        (1, [PIXELS, INVALID], LimitExceeded),
        (1, [NO_SPACE, "[error] Conversion failed!"], DiskFull),
        (1, [NO_MEMORY], LimitExceeded),
        (69, ["[error] Decode error rate 1 exceeds maximum 0.1"], InvalidMedia),
        (-signal.SIGKILL, [], OutOfMemory),
        (-signal.SIGSEGV, ["[warning] something"], InvalidMedia),
        (-signal.SIGXCPU, [], RenderTimeout),
        (-signal.SIGXFSZ, [], LimitExceeded),
        (1, ["[error] File too large"], LimitExceeded),
        (1, [], FFmpegExit),
        (183, ["[error] A sentence nobody has seen before"], FFmpegExit),
    ],
)
def test_classes(returncode: int, stderr: list[str], expected: type[RenderError]) -> None:
    error = classify(returncode, stderr, doing="rendering", seconds=1.0)
    assert type(error) is expected
    assert error.message[0].isupper()


def test_only_what_may_pass_is_tried_again() -> None:
    retried = [classify(-9, [], doing="x", seconds=1), classify(1, [NO_SPACE], doing="x", seconds=1)]
    final = [classify(1, [INVALID], doing="x", seconds=1), classify(-11, [], doing="x", seconds=1)]
    assert all(error.retryable for error in retried)
    assert not any(error.retryable for error in final)


def test_a_message_quotes_ffmpegs_last_words_without_its_brackets() -> None:
    error = classify(1, [MOOV], doing="rendering", seconds=1)
    assert error.message.endswith("FFmpeg said: moov atom not found")


def test_truncation_is_seen_in_a_probe_that_succeeded() -> None:
    assert truncation(["[warning] harmless"]) is None
    assert isinstance(truncation([PARTIAL]), InvalidMedia)


@given(st.integers(-64, 255), st.lists(st.text(max_size=500), max_size=5))
def test_every_end_has_a_class_and_a_bounded_message(returncode: int, stderr: list[str]) -> None:
    error = classify(returncode, stderr, doing="rendering", seconds=1.0)
    assert isinstance(error, RenderError)
    assert len(error.message) < 400


def test_lines_for_people_name_no_folder_and_no_address() -> None:
    line = "[libx264 @ 0x55f0c2d3d700] [warning] file:/scratch/abc/output.mp4: \x1b[31mred\x00"
    assert clean_line(line, ["/scratch/abc"]) == "[libx264] [warning] output.mp4:  [31mred"

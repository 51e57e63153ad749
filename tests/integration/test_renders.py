"""What comes out, measured: pixels, frames and sound, for every option and every kind of source."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from flowscale.errors import InvalidMedia
from flowscale.specs import Audio, Cut, Fit, Format, Quality, Resize, Trim
from integration.pictures import ffmpeg, frame_numbers, loudness, luma, numbered, pitch, quadrants, rgb, samples
from integration.program import probe
from integration.rendering import Renderer

CODECS = {Format.MP4: ("h264", "aac"), Format.MOV: ("h264", "aac"), Format.WEBM: ("vp9", "opus")}
BLACK, TOLERANCE = 16, 6


@pytest.fixture
def render(tmp_path: Path) -> Renderer:
    return Renderer(tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder for media that several tests share."""
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="module")
def bars(made: Path) -> Path:
    return numbered(made / "bars.mp4")


@pytest.mark.parametrize("quality", Quality)
@pytest.mark.parametrize("container", Format)
def test_every_format_in_every_quality(clips: Path, render: Renderer, container: Format, quality: Quality) -> None:
    clip = clips / "bigbuckbunny.mp4"
    size = Resize(width=320, height=180)
    result = render(clip, format=container, quality=quality, trim=Trim(start=1, end=2), resize=size)
    found = probe(result.path)
    assert (found["video"]["codec_name"], found["audio"]["codec_name"]) == CODECS[container]
    assert (found["video"]["width"], found["video"]["height"]) == (320, 180)
    assert int(found["video"]["nb_read_frames"]) == 25
    assert found["video"]["pix_fmt"] == "yuv420p"
    assert float(found["duration"]) == pytest.approx(1, abs=0.05)
    assert ("webm" if container is Format.WEBM else container) in found["format_name"]


def test_better_quality_is_closer_to_the_source(clips: Path, render: Renderer) -> None:
    clip = clips / "carphone_pristine.mp4"
    kept: dict[str, Any] = {"trim": Trim(start=0, end=1), "resize": Resize(width=176, height=144, fit=Fit.FILL)}
    reference = render(clip, quality=Quality.LOSSLESS, **kept).path
    distances = [_distance(render(clip, quality=quality, **kept).path, reference) for quality in Quality]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] == 0


def _distance(one: Path, other: Path) -> float:
    first, second = (ffmpeg("-i", file, "-f", "rawvideo", "-pix_fmt", "gray", "-") for file in (one, other))
    assert len(first) == len(second)
    return sum(abs(a - b) for a, b in zip(first, second, strict=True)) / len(first)


@pytest.mark.parametrize("container", Format)
def test_lossless_gives_the_sources_own_pixels(bars: Path, render: Renderer, container: Format) -> None:
    result = render(bars, quality=Quality.LOSSLESS, format=container, audio=Audio(mute=True))
    hashes = [ffmpeg("-i", file, "-map", "0:v", "-f", "md5", "-") for file in (bars, result.path)]
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize(
    ("start", "end"), [(0, 1), (0.04, 0.08), (1, 2), (1.52, 3), (1.53, 3.01), (1.55, 2.03), (2, 9), (3.96, 4)]
)
def test_trim_is_exact_to_the_frame(bars: Path, render: Renderer, start: float, end: float) -> None:
    numbers = frame_numbers(render(bars, trim=Trim(start=start, end=end)).path)
    first = round(start * 25)
    assert numbers == list(range(first, min(first + round((end - start) * 25), 100)))


def test_trim_is_exact_where_keyframes_are_rare_and_frames_reordered(made: Path, render: Renderer) -> None:
    options = ["-c:v", "libx264", "-g", "250", "-bf", "3", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    clip = numbered(made / "rare.mp4", *options, seconds=8)
    assert frame_numbers(render(clip, trim=Trim(start=6.04, end=6.2)).path) == [151, 152, 153, 154]


def test_speed_two_halves_picture_and_sound_and_keeps_the_pitch(bars: Path, render: Renderer) -> None:
    result = render(bars, speed=2.0).path
    assert frame_numbers(result) == list(range(0, 100, 2))
    sound = samples(result)
    assert len(sound) / 48000 == pytest.approx(2, abs=0.05)
    assert pitch(sound, 0.5, 1.5) == pytest.approx(440, rel=0.02)


def test_speed_a_quarter_lasts_four_times(bars: Path, render: Renderer) -> None:
    result = render(bars, speed=0.25, trim=Trim(start=1, end=2)).path
    numbers = frame_numbers(result)
    assert len(numbers) == 100
    # Four of each; FFmpeg's rounding may give a frame to its neighbour.
    assert all(abs(numbers.count(number) - 4) <= 1 for number in range(25, 50))
    assert numbers == sorted(numbers)
    sound = samples(result)
    assert len(sound) / 48000 == pytest.approx(4, abs=0.05)
    assert pitch(sound, 1, 3) == pytest.approx(440, rel=0.02)


def test_contain_shows_all_with_black_bars(made: Path, render: Renderer) -> None:
    result = render(quadrants(made / "wide.mp4", 320, 180), resize=Resize(width=200, height=200))
    rows = luma(result.path, 200, 200)
    assert rows[10][100] == rows[190][100] == pytest.approx(BLACK, abs=TOLERANCE)
    assert _corners(rows[48:152]) == pytest.approx([50, 100, 150, 200], abs=TOLERANCE)


def test_cover_fills_the_frame_from_the_middle(made: Path, render: Renderer) -> None:
    result = render(quadrants(made / "tall.mp4", 180, 320), resize=Resize(width=200, height=200, fit=Fit.COVER))
    rows = luma(result.path, 200, 200)
    assert _corners(rows) == pytest.approx([50, 100, 150, 200], abs=TOLERANCE)
    assert rows[95][50] == pytest.approx(50, abs=TOLERANCE)
    assert rows[105][50] == pytest.approx(150, abs=TOLERANCE)


def test_fill_stretches(made: Path, render: Renderer) -> None:
    result = render(quadrants(made / "flat.mp4", 320, 180), resize=Resize(width=100, height=300, fit=Fit.FILL))
    rows = luma(result.path, 100, 300)
    assert _corners(rows) == pytest.approx([50, 100, 150, 200], abs=TOLERANCE)
    assert rows[145][10] == pytest.approx(50, abs=TOLERANCE)


@pytest.mark.parametrize(("width", "height", "expected"), [(200, 200, (200, 112)), (1000, 90, (160, 90))])
def test_inside_is_as_large_as_fits(
    made: Path, render: Renderer, width: int, height: int, expected: tuple[int, int]
) -> None:
    source = quadrants(made / "inside.mp4", 320, 180)
    result = render(source, resize=Resize(width=width, height=height, fit=Fit.INSIDE))
    assert _corners(luma(result.path, *expected)) == pytest.approx([50, 100, 150, 200], abs=TOLERANCE)


def _corners(rows: list[bytes]) -> list[int]:
    return [rows[y][x] for y in (5, -6) for x in (5, -6)]


def test_volume_and_fades_are_measurable(bars: Path, render: Renderer) -> None:
    before = loudness(samples(bars), 1.5, 2.5)
    after = samples(render(bars, audio=Audio(volume=0.5, fade_in=1, fade_out=1)).path)
    assert loudness(after, 1.5, 2.5) == pytest.approx(before / 2, rel=0.05)
    assert loudness(after, 0, 0.1) < before * 0.1
    assert loudness(after, 0.45, 0.55) == pytest.approx(before / 4, rel=0.15)
    assert loudness(after, 3.45, 3.55) == pytest.approx(before / 4, rel=0.15)
    assert loudness(after, 3.92, 4) < before * 0.1


def test_mute_leaves_no_sound(bars: Path, render: Renderer) -> None:
    found = probe(render(bars, audio=Audio(mute=True)).path)
    assert found["audio"] is None
    assert int(found["video"]["nb_read_frames"]) == 100


def test_a_source_without_sound(made: Path, render: Renderer) -> None:
    clip = numbered(made / "silent.mp4", tone=None)
    assert frame_numbers(render(clip, speed=2.0, audio=Audio(volume=2, fade_in=1)).path) == list(range(0, 100, 2))


@pytest.mark.parametrize("container", Format)
def test_a_source_with_sound_only(made: Path, render: Renderer, container: Format) -> None:
    ffmpeg("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:d=3,volume=0.5", made / "tone.mp4")
    result = render(made / "tone.mp4", trim=Trim(start=1, end=2), format=container)
    assert probe(result.path)["video"] is None
    assert pitch(samples(result.path), 0.2, 0.8) == pytest.approx(440, rel=0.02)
    assert result.duration_ms == pytest.approx(1000, abs=50)


@pytest.mark.parametrize("extension", ["png", "jpg", "webp"])
def test_a_still_picture_becomes_a_clip_in_its_own_colours(made: Path, render: Renderer, extension: str) -> None:
    still = made / f"still.{extension}"
    ffmpeg("-f", "lavfi", "-i", "color=c=#C04020:s=121x81", "-frames:v", "1", "-update", "1", still)
    result = render(still, trim=Trim(start=0, end=2), quality=Quality.HIGH)
    found = probe(result.path)
    assert (found["video"]["width"], found["video"]["height"], found["video"]["nb_read_frames"]) == (120, 80, "50")
    assert rgb(result.path, 60, 40, at=1.5) == pytest.approx((0xC0, 0x40, 0x20), abs=8)


def test_what_is_transparent_shows_black(made: Path, render: Renderer) -> None:
    still = made / "clear.png"
    ffmpeg("-f", "lavfi", "-i", "color=c=red:s=64x64,format=rgba,colorchannelmixer=aa=0", "-frames:v", "1", still)
    assert rgb(render(still, trim=Trim(start=0, end=0.2)).path, 32, 32) == pytest.approx((0, 0, 0), abs=6)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("alpha.webm", ["-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-auto-alt-ref", "0"]),
        ("alpha8.webm", ["-c:v", "libvpx", "-pix_fmt", "yuva420p", "-auto-alt-ref", "0"]),
        ("alpha.mov", ["-c:v", "prores_ks", "-pix_fmt", "yuva444p10le"]),
        ("alpha-rle.mov", ["-c:v", "qtrle", "-pix_fmt", "argb"]),
    ],
)
def test_half_transparent_video_is_laid_over_black(made: Path, render: Renderer, name: str, options: list[str]) -> None:
    source = "color=c=white:s=64x64:d=0.4,format=rgba,colorchannelmixer=aa=0.5"
    ffmpeg("-f", "lavfi", "-i", source, *options, made / name)
    assert rgb(render(made / name).path, 32, 32) == pytest.approx((128, 128, 128), abs=10)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_rotated_source_stands_upright(made: Path, render: Renderer, degrees: int) -> None:
    flat = quadrants(made / "upright.mp4", 160, 80)
    turned = made / f"rotated-{degrees}.mp4"
    ffmpeg("-i", flat, "-c", "copy", "-metadata:s:v", f"rotate={degrees}", turned)
    size = (160, 80) if degrees == 180 else (80, 160)
    shown = luma(turned, *size)  # FFmpeg's own player turns it
    result = render(turned)
    assert (result.plan.width, result.plan.height) == size
    assert _corners(luma(result.path, *size)) == pytest.approx(_corners(shown), abs=TOLERANCE)


def test_pixels_that_are_not_square_become_square(made: Path, render: Renderer) -> None:
    ffmpeg("-i", quadrants(made / "square.mp4", 180, 144), "-vf", "setsar=16/9", made / "anamorphic.mp4")
    found = probe(render(made / "anamorphic.mp4").path)["video"]
    assert (found["width"], found["height"], found["sample_aspect_ratio"]) == (320, 144, "1:1")


def test_variable_frame_rate_becomes_constant_with_every_frame_in_its_time(made: Path, render: Renderer) -> None:
    sparse = made / "variable.mp4"
    keep = "select='if(between(n,25,74),not(mod(n,5)),1)'"
    options = ["-vf", keep, "-fps_mode", "vfr", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    numbered(sparse, *options)
    result = render(sparse)
    rate = float(result.plan.frame_rate)
    numbers = frame_numbers(result.path)
    assert len(numbers) == pytest.approx(4 * rate, abs=1)
    for index, number in enumerate(numbers):
        assert -0.5 / rate - 0.2 <= number / 25 - index / rate <= 0.5 / rate + 0.001
    assert all(before <= after for before, after in pairwise(numbers))


@pytest.mark.parametrize("quality", [Quality.MEDIUM, Quality.LOSSLESS])
def test_ten_bit_sources(made: Path, render: Renderer, quality: Quality) -> None:
    clip = made / "ten.mkv"
    options = ["-vf", "format=yuv420p10le", "-c:v", "libx265", "-x265-params", "log-level=none", "-preset", "ultrafast"]
    numbered(clip, *options, "-c:a", "flac", seconds=1)
    result = render(clip, quality=quality)
    expected = "yuv420p10le" if quality is Quality.LOSSLESS else "yuv420p"
    assert probe(result.path)["video"]["pix_fmt"] == expected
    assert frame_numbers(result.path) == list(range(25))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("clip.avi", ["-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj420p", "-c:a", "pcm_s16le"]),
        ("clip.mkv", ["-c:v", "libx264", "-c:a", "pcm_s16le"]),
        ("clip.webm", ["-c:v", "libvpx", "-b:v", "2M", "-c:a", "libvorbis"]),
        ("clip9.webm", ["-c:v", "libvpx-vp9", "-cpu-used", "8", "-deadline", "realtime", "-c:a", "libopus"]),
        ("clip.mov", ["-c:v", "prores_ks", "-c:a", "pcm_s24le"]),
        ("hevc.mp4", ["-c:v", "libx265", "-x265-params", "log-level=none", "-preset", "ultrafast", "-c:a", "alac"]),
        ("clip-aac.mkv", ["-c:v", "libx264", "-c:a", "aac"]),
        ("mpeg4.mp4", ["-c:v", "mpeg4", "-q:v", "2", "-c:a", "aac"]),
        ("av1.mp4", ["-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime", "-c:a", "aac"]),
    ],
)
def test_containers_and_codecs_of_cameras_phones_and_editors(
    made: Path, render: Renderer, name: str, options: list[str]
) -> None:
    result = render(numbered(made / name, "-vf", "format=yuv420p", *options, seconds=2), trim=Trim(start=0.4, end=1.2))
    assert frame_numbers(result.path) == list(range(10, 30))
    assert pitch(samples(result.path), 0.2, 0.6) == pytest.approx(440, rel=0.03)


def test_timestamps_that_do_not_begin_at_zero(made: Path, bars: Path, render: Renderer) -> None:
    shifted = made / "shifted.mkv"
    ffmpeg("-copyts", "-itsoffset", "7", "-i", bars, "-c", "copy", shifted)
    result = render(shifted, trim=Trim(start=1, end=2))
    assert frame_numbers(result.path) == list(range(25, 50))
    assert result.duration_ms == pytest.approx(1000, abs=50)


def test_a_picture_that_starts_after_its_sound_keeps_its_place(made: Path, render: Renderer) -> None:
    late = made / "late.mkv"
    bars = numbered(made / "on-time.mp4", seconds=2)
    streams = ["-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "pcm_s16le"]  # no lead-in to shift the start
    ffmpeg("-itsoffset", "0.4", "-i", bars, "-i", bars, *streams, late)
    numbers = frame_numbers(render(late).path)
    assert numbers == [0] * 10 + list(range(50))


def test_sources_are_joined_in_order_without_a_gap(made: Path, bars: Path, render: Renderer) -> None:
    silent = numbered(made / "middle.mp4", seconds=1, tone=None)
    high = numbered(made / "high.mp4", seconds=1, tone=880)
    result = render(bars, silent, high, trim=Trim(start=3, end=6))
    assert frame_numbers(result.path) == [*range(75, 100), *range(25), *range(25)]
    sound = samples(result.path)
    assert pitch(sound, 0.2, 0.8) == pytest.approx(440, rel=0.02)
    assert loudness(sound, 1.1, 1.9) < 0.001
    assert pitch(sound, 2.2, 2.8) == pytest.approx(880, rel=0.02)
    assert result.duration_ms == pytest.approx(3000, abs=50)


def test_a_plan_is_cut_and_joined_in_timeline_order(bars: Path, render: Renderer) -> None:
    cuts = (
        Cut(start_us=3_000_000, end_us=3_400_000),
        Cut(start_us=0, end_us=1_600_000, speed=2.0),
        Cut(start_us=3_200_000, end_us=3_400_000),
    )
    result = render(bars, timeline=cuts, frame_rate=(25, 1), resize=Resize(width=320, height=180))
    assert frame_numbers(result.path) == [*range(75, 85), *range(0, 40, 2), *range(80, 85)]
    assert (result.plan.width, result.plan.height) == (320, 180)
    assert result.duration_ms == pytest.approx(1400, abs=50)


@pytest.mark.parametrize("container", Format)
def test_a_hundred_cuts_are_joined_in_order_and_in_time(bars: Path, render: Renderer, container: Format) -> None:
    numbers = [(index * 37) % 99 for index in range(100)]
    cuts = tuple(Cut(start_us=number * 40_000, end_us=number * 40_000 + 40_000) for number in numbers)
    result = render(bars, timeline=cuts, frame_rate=(25, 1), format=container)
    assert frame_numbers(result.path) == numbers
    found = probe(result.path)
    assert float(found["duration"]) == pytest.approx(4, abs=0.05)
    assert pitch(samples(result.path), 0.2, 3.8) == pytest.approx(440, rel=0.1)


def test_sound_does_not_drift_over_many_cuts(made: Path, render: Renderer) -> None:
    clip = numbered(made / "ntsc.mp4", rate="30000/1001", seconds=4)
    cuts = tuple(Cut(start_us=30_000 * index, end_us=30_000 * index + 50_000) for index in range(60))
    result = render(clip, timeline=cuts)
    found = probe(result.path)
    picture = int(found["video"]["nb_read_frames"]) * 1001 / 30000
    assert len(samples(result.path)) / 48000 == pytest.approx(picture, abs=0.03)


def test_a_hundred_cuts_of_a_large_picture_fit_the_memory_of_one_render(
    clips: Path, made: Path, render: Renderer
) -> None:
    large = made / "large.mp4"
    options = ["-vf", "scale=1920:1080", "-c:v", "libx264", "-preset", "veryfast", "-c:a", "copy"]
    ffmpeg("-i", clips / "bigbuckbunny.mp4", *options, large)
    cuts = tuple(Cut(start_us=index * 50_000, end_us=index * 50_000 + 40_000) for index in reversed(range(100)))
    small = Resize(width=320, height=180)
    result = render(large, timeline=cuts, frame_rate=(25, 1), quality=Quality.LOW, resize=small)
    assert int(probe(result.path)["video"]["nb_read_frames"]) == 100


def test_a_failing_source_of_several_is_named(made: Path, bars: Path, render: Renderer) -> None:
    cut = made / "cut.mp4"
    cut.write_bytes(bars.read_bytes()[:-30_000])
    with pytest.raises(InvalidMedia, match="Source 2 of 2: "):
        render(bars, cut)


@pytest.mark.parametrize("rate", ["24000/1001", "30000/1001", "60000/1001", "50", "12"])
def test_unusual_rates_stay_what_they_are(made: Path, render: Renderer, rate: str) -> None:
    clip = numbered(made / f"rate-{rate.replace('/', '-')}.mp4", rate=rate, seconds=2)
    found: dict[str, Any] = probe(render(clip, trim=Trim(start=0, end=1)).path)["video"]
    expected = rate if "/" in rate else f"{rate}/1"
    assert found["r_frame_rate"] == expected
    assert frame_numbers(clip)[: int(found["nb_read_frames"])] == list(range(int(found["nb_read_frames"])))


def test_nothing_of_the_sources_metadata_comes_through(made: Path, bars: Path, render: Renderer) -> None:
    tagged = made / "tagged.mp4"
    ffmpeg("-i", bars, "-c", "copy", "-metadata", "title=secret place", "-metadata", "location=+48.1/", tagged)
    assert b"secret place" not in render(tagged, trim=Trim(start=0, end=0.4)).path.read_bytes()

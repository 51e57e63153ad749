"""Test media whose every frame and moment can be recognised again, and the measuring of what came out.

Frames carry their own number as 8 bars, black or white, so that it survives any encoder; sound is a pure tone.
Measured with FFmpeg to raw samples and plain arithmetic: no code of the project's own.
"""

from __future__ import annotations

import math
import subprocess
from array import array
from itertools import pairwise
from pathlib import Path

BARS = 8
WIDE, HIGH = 160, 90
BAR = f"if(bitand(N,pow(2,floor(X*{BARS}/W))),235,16)"
BAR_SOURCE = f"nullsrc=s={WIDE}x{HIGH}:r={{rate}}:d={{seconds}},format=gray,geq=lum='{BAR}'"


def ffmpeg(*arguments: str | Path) -> bytes:
    """Run FFmpeg as tests need it; its standard output."""
    ended = subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", *arguments], check=False, capture_output=True)
    assert ended.returncode == 0, ended.stderr.decode()
    return ended.stdout


def numbered(target: Path, *options: str, rate: str = "25", seconds: float = 4, tone: int | None = 440) -> Path:
    """A clip with numbered frames and, unless `tone` is None, a tone of that many Hz."""
    inputs = ["-f", "lavfi", "-i", BAR_SOURCE.format(rate=rate, seconds=seconds)]
    if tone:
        inputs += ["-f", "lavfi", "-i", f"sine=frequency={tone}:sample_rate=48000:d={seconds},volume=0.5"]
    codec = options or ("-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-pix_fmt", "yuv420p", "-c:a", "aac")
    ffmpeg(*inputs, *codec, target)
    return target


def quadrants(target: Path, width: int, height: int, *, seconds: float = 0.4) -> Path:
    """A clip whose quadrants have luma 50, 100, 150, 200 (from top left, row by row)."""
    luma = "if(lt(Y,H/2),if(lt(X,W/2),50,100),if(lt(X,W/2),150,200))"
    source = f"nullsrc=s={width}x{height}:r=25:d={seconds},format=gray,geq=lum='{luma}'"
    convert = "scale=in_range=tv:out_range=tv,format=yuv420p"
    ffmpeg("-f", "lavfi", "-i", source, "-vf", convert, "-c:v", "libx264", "-crf", "10", target)
    return target


def luma(file: Path, width: int, height: int, *, at: float = 0.0) -> list[bytes]:
    """Rows of luma of the frame at `at` seconds."""
    raw = ffmpeg(
        *(
            "-ss",
            str(at),
            "-i",
            file,
            "-frames:v",
            "1",
            "-vf",
            "extractplanes=y",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "gray",
            "-",
        )
    )
    assert len(raw) == width * height
    return [raw[row * width : (row + 1) * width] for row in range(height)]


def frame_numbers(file: Path) -> list[int]:
    """The number that each frame of a file carries, in order. Sizes other than the source's own are fine."""
    raw = ffmpeg(
        *("-i", file, "-vf", f"scale={WIDE}:{HIGH},format=yuv420p,extractplanes=y"),
        *("-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "gray", "-"),
    )
    frame = WIDE * HIGH
    row = WIDE * (HIGH // 2)
    middles = [int((bar + 0.5) * WIDE / BARS) for bar in range(BARS)]
    return [
        sum(1 << bar for bar, x in enumerate(middles) if raw[start + row + x] > 128)
        for start in range(0, len(raw), frame)
    ]


def rgb(file: Path, x: int, y: int, *, at: float = 0.0) -> tuple[int, int, int]:
    """The colour of one pixel, as a player that believes the file's colour tags shows it."""
    crop = f"scale=in_color_matrix=bt709,format=rgb24,crop=1:1:{x}:{y}"
    raw = ffmpeg("-ss", str(at), "-i", file, "-frames:v", "1", "-vf", crop, "-f", "rawvideo", "-")
    return raw[0], raw[1], raw[2]


def samples(file: Path) -> array[int]:
    """Mono sound at 48 kHz, 16 bit."""
    pcm = array("h")
    pcm.frombytes(ffmpeg("-i", file, "-vn", "-ac", "1", "-ar", "48000", "-f", "s16le", "-"))
    return pcm


def loudness(pcm: array[int], start: float, end: float) -> float:
    """Root mean square of a stretch of sound, 1.0 being full scale."""
    part = pcm[int(start * 48000) : int(end * 48000)]
    return math.sqrt(sum(value * value for value in part) / max(1, len(part))) / 32768


def pitch(pcm: array[int], start: float, end: float) -> float:
    """Frequency of a pure tone in Hz, by its upward zero crossings."""
    part = pcm[int(start * 48000) : int(end * 48000)]
    crossings = sum(1 for before, after in pairwise(part) if before < 0 <= after)
    return crossings / (end - start)

"""A clip to try things with: a moving test picture with a running clock, and a tone."""

from __future__ import annotations

from pathlib import Path

from flowscale.clocks import SystemClock
from flowscale_worker import ffmpeg
from flowscale_worker.failures import classify
from flowscale_worker.ffmpeg import Limits, Tools

SECONDS_ALLOWED = 60.0


def make_sample(tools: Tools, target: Path, *, seconds: int) -> Path:
    """Write an H.264 + AAC file of 1280x720 at 25 frames a second. Raises what FFmpeg's failure means."""
    arguments = ["-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", f"testsrc2=size=1280x720:rate=25:d={seconds}"]
    arguments += ["-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:d={seconds}"]
    arguments += ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", f"file:{target}"]
    ended = ffmpeg.run(
        tools.ffmpeg,
        arguments,
        Limits(SECONDS_ALLOWED, cpu_seconds=120, memory_bytes=3 * 1024**3, file_bytes=1024**3),
        clock=SystemClock(),
        on_line=lambda _: None,
        should_stop=lambda: None,
    )
    if ended.returncode != 0:
        raise classify(ended.returncode, ended.stderr, doing="making a test clip", seconds=ended.seconds)
    return target

"""What FlowScale adds to FFmpeg: time, memory and the speed of a cancel, each beside a baseline of the same run.

    make bench            or    PYTHONPATH=tests .venv/bin/python bench/render.py [--pairs N]

Prints a table; asserts nothing. Machines are noisy: read medians, and the spread beside them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import httpx2
import psutil

from flowscale.specs import RenderSpec, Resize, Source
from flowscale_cli.screen import table
from flowscale_worker.command import render_command
from flowscale_worker.plan import make_plan
from flowscale_worker.probe import examine
from integration.frontend import SLOW, Frontend
from integration.processes import ffmpegs, until
from integration.program import Program, running
from integration.rendering import make_kit

CLIP = Path(__file__).resolve().parents[1] / ".cache" / "clips" / "bigbuckbunny.mp4"
GIB = 1024**3
MIB = 1024**2
UPLOAD_BYTES = 2 * GIB

Row = tuple[str, str, str, str]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--pairs", type=int, default=9, help="renders paired with the bare command")
    pairs: int = arguments.parse_args().pairs
    rows: list[Row] = [("WHAT", "MEDIAN", "SPREAD", "TO REACH")]
    with tempfile.TemporaryDirectory(prefix="flowscale-bench-") as temporary:
        folder = Path(temporary)
        with running("api", folder) as program:
            frontend = Frontend(program.url)
            clip = stretched(folder, "1280x720")
            rows += overhead(frontend, clip, folder, pairs)
            rows += cancels(program, frontend, clip)
            for size, bound in (("1920x1080", "450 MiB"), ("3840x2160", "1434 MiB")):
                rows.append(peak_memory(program, frontend, stretched(folder, size, seconds=3), size, bound))
            frontend.http.close()
        with running("api", folder) as program:
            rows += uploads(program, folder)
    table(rows)


def stretched(folder: Path, size: str, seconds: int = 10) -> Path:
    """The real clip at another size, repeated to a length."""
    target = folder / f"{size}.mp4"
    scale = f"scale={size.replace('x', ':')}"
    encode = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-c:a", "aac", "-ac", "2"]
    loop = ["ffmpeg", "-v", "error", "-stream_loop", "2", "-i", str(CLIP), "-t", str(seconds), "-vf", scale]
    subprocess.run([*loop, *encode, str(target)], check=True)
    return target


def overhead(frontend: Frontend, clip: Path, folder: Path, pairs: int) -> Iterator[Row]:
    """A 10 s 720p clip through the service, and the very same FFmpeg command by itself, in turn."""
    options = {"resize": {"width": 640, "height": 360}}
    source = frontend.upload(clip)
    command = bare_command(clip, folder / "bare.mp4")
    whole: list[float] = []
    bare: list[float] = []
    added: list[float] = []
    unseen: list[float] = []
    for number in range(pairs + 1):
        started = time.monotonic()
        job = frontend.wait(frontend.execute(source, **options))
        seen = time.monotonic() - started
        assert job["status"] == "done", job
        started = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        alone = time.monotonic() - started
        (folder / "bare.mp4").unlink()
        if number:  # the first pair warms up
            whole.append(job["durationMs"] / 1000)
            bare.append(alone)
            added.append(job["durationMs"] / 1000 - alone)
            unseen.append(seen - job["durationMs"] / 1000)
    yield row("10 s 720p to 360p: bare FFmpeg", bare, 1000, "ms", "baseline")
    yield row("the same as a job, start to commit", whole, 1000, "ms", "")
    yield row("added to bare FFmpeg, pair by pair", added, 1000, "ms", "250 ms")
    yield row("from POST to start, and commit to seen", unseen, 1000, "ms", "")


def bare_command(clip: Path, target: Path) -> list[str]:
    """What the worker runs for that job, without anything around it."""
    kit = make_kit()
    spec = RenderSpec(sources=(Source(key="x"),), resize=Resize(width=640, height=360))
    plan = make_plan(spec, (examine(clip, kit),), kit.source_limits)
    return [kit.tools.ffmpeg, *render_command(plan, [str(clip)], str(target), kit.allowance)]


def cancels(program: Program, frontend: Frontend, clip: Path, times: int = 7) -> Iterator[Row]:
    """From the request to cancel until no FFmpeg of the job is left."""
    source = frontend.upload(clip)
    waits = []
    for _ in range(times):
        job_id = frontend.execute(source, **SLOW)
        until(lambda: ffmpegs(program.data / "scratch"), "FFmpeg to run")
        frontend.wait(job_id, "running")
        started = time.monotonic()
        frontend.http.post(f"/api/jobs/{job_id}/cancel").raise_for_status()
        until(lambda: not ffmpegs(program.data / "scratch"), "FFmpeg to end")
        waits.append(time.monotonic() - started)
        frontend.wait(job_id)
    yield row("cancel to no FFmpeg process", waits, 1000, "ms", "2000 ms")


def peak_memory(program: Program, frontend: Frontend, clip: Path, size: str, bound: str) -> Row:
    """The most resident memory of FFmpeg over medium renders in this size, 2 threads."""
    source = frontend.upload(clip)
    peaks = []
    for _ in range(3):
        job_id = frontend.execute(source, trim={"start": 0, "end": 3})
        peaks.append(highest(partial(has_ended, frontend, job_id), program))
    return row(f"peak memory of FFmpeg at {size}", peaks, 1 / MIB, "MiB", bound)


def has_ended(frontend: Frontend, job_id: str) -> bool:
    return frontend.job(job_id)["status"] in ("done", "error")


def highest(ended: Callable[[], bool], program: Program) -> float:
    """VmHWM in bytes of the program's FFmpegs until `ended`."""
    peak = 0.0
    while not ended():
        for process in ffmpegs(program.data / "scratch"):
            peak = max(peak, high_water(process.pid))
    return peak


def high_water(pid: int) -> float:
    """The most resident memory a process has had, in bytes; 0 for one that has gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    found = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return float(found[0].split()[1]) * 1024 if found else 0.0


def uploads(program: Program, folder: Path) -> Iterator[Row]:
    """2 GiB through a fresh gateway, beside writing the same to the same disk; and what was spooled meanwhile."""
    bare = disk_write(folder / "baseline.bin")
    process = psutil.Process(program.process.pid)
    before = process.memory_info().rss
    spooled: list[float] = []
    done = threading.Event()
    watch = threading.Thread(target=watch_temporary, args=(done, spooled))
    watch.start()
    started = time.monotonic()
    answer = httpx2.post(f"{program.url}/api/upload", content=form(), headers=form_headers(), timeout=600)
    seconds = time.monotonic() - started
    done.set()
    watch.join()
    answer.raise_for_status()
    peak = high_water(program.process.pid)
    yield row("2 GiB written to the same disk, with fsync", [bare], 1, "s", "baseline")
    yield row("2 GiB upload through the gateway", [seconds], 1, "s", "")
    yield row("memory of the gateway before it", [before], 1 / MIB, "MiB", "")
    yield row("peak memory of the gateway during it", [peak], 1 / MIB, "MiB", "200 MiB")
    yield row("most in its temporary folder during it", spooled or [0.0], 1 / MIB, "MiB", "0 MiB")


PIECE = bytes(MIB)
BOUNDARY = "flowscale-bench"
FORM_HEAD = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="big.mp4"\r\n'
    "Content-Type: video/mp4\r\n\r\n"
).encode()
FORM_TAIL = f"\r\n--{BOUNDARY}--\r\n".encode()
FILE_HEAD = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp42"


def form() -> Iterator[bytes]:
    yield FORM_HEAD + FILE_HEAD
    for _ in range(UPLOAD_BYTES // MIB):
        yield PIECE
    yield FORM_TAIL


def form_headers() -> dict[str, str]:
    length = len(FORM_HEAD) + len(FILE_HEAD) + UPLOAD_BYTES + len(FORM_TAIL)
    return {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Content-Length": str(length)}


def disk_write(target: Path) -> float:
    started = time.monotonic()
    with target.open("wb") as file:
        for _ in range(UPLOAD_BYTES // MIB):
            file.write(PIECE)
        os.fsync(file.fileno())
    seconds = time.monotonic() - started
    target.unlink()
    return seconds


def watch_temporary(done: threading.Event, spooled: list[float]) -> None:
    """How much the system's temporary folder's own files grew, sampled."""
    before = temporary_bytes()
    while not done.wait(0.2):
        spooled[:] = [max([*spooled, temporary_bytes() - before])]


def temporary_bytes() -> float:
    total = 0
    for entry in os.scandir(tempfile.gettempdir()):
        if entry.is_file(follow_symlinks=False):
            total += entry.stat().st_size
    return float(total)


def row(what: str, figures: Sequence[float], factor: float, unit: str, bound: str) -> Row:
    scaled = sorted(figure * factor for figure in figures)
    digits = 1 if unit == "s" else 0
    spread = f"{scaled[0]:.{digits}f} to {scaled[-1]:.{digits}f}" if len(scaled) > 1 else ""
    return what, f"{statistics.median(scaled):.{digits}f} {unit}", spread, bound


if __name__ == "__main__":
    main()

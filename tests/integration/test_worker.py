"""The worker under faults: real processes, real signals, a real full disk."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from integration.frontend import SLOW, Frontend
from integration.processes import ffmpegs, until
from integration.program import Program, probe

Start = Callable[..., Program]
Connect = Callable[[str], Frontend]


@pytest.fixture
def slow_clip(clips: Path) -> Path:
    return clips / "bikes.mp4"


def rendering(program: Program) -> psutil.Process:
    """The program's FFmpeg, once it encodes."""

    def look() -> psutil.Process | None:
        found = [process for process in ffmpegs(program.data / "scratch") if process.name() == "ffmpeg"]
        return found[0] if found else None

    return until(look, "FFmpeg to run")


def scratch_folders(program: Program) -> list[Path]:
    return list((program.data / "scratch").iterdir())


def test_sigkill_of_the_program_ends_ffmpeg_and_the_next_start_removes_its_scratch(
    start: Start, connect: Connect, slow_clip: Path
) -> None:
    first = start("dev")
    frontend = connect(first.url)
    frontend.execute(frontend.upload(slow_clip), **SLOW)
    rendering(first)
    first.process.kill()
    first.process.wait()
    until(lambda: not ffmpegs(first.data), "FFmpeg to end")
    left_behind = scratch_folders(first)
    assert left_behind
    second = start("dev")
    assert not set(left_behind) & set(scratch_folders(second))


def test_sigterm_ends_a_render_and_leaves_nothing(start: Start, connect: Connect, slow_clip: Path) -> None:
    program = start("api")
    frontend = connect(program.url)
    frontend.execute(frontend.upload(slow_clip), **SLOW)
    rendering(program)
    program.process.send_signal(signal.SIGTERM)
    assert program.process.wait(timeout=60) == 0
    assert not ffmpegs(program.data)
    assert not scratch_folders(program)
    assert not list((program.data / "outputs").rglob("*.mp4"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_changes_nothing(start: Start, connect: Connect, slow_clip: Path, number: int) -> None:
    program = start("api")
    frontend = connect(program.url)
    frontend.execute(frontend.upload(slow_clip), **SLOW)
    rendering(program)
    while program.process.poll() is None:
        program.process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            program.process.wait(timeout=0.1)
    assert program.process.returncode == 0
    assert not scratch_folders(program)


def test_a_half_written_upload_is_gone_after_the_next_start(start: Start, clips: Path) -> None:
    program = start("api")
    host, port = program.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = "POST /api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n"
        form = (
            'Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\nContent-Disposition: form-data; name="file"; '
        )
        connection.sendall(f'{head}{form}filename="a.mp4"\r\n\r\n'.encode())
        connection.sendall((clips / "bigbuckbunny.mp4").read_bytes() * 3)
        incoming = program.data / "incoming"
        until(lambda: [path for path in incoming.glob("*/*") if path.name != ".lock"], "bytes to be written")
        program.process.kill()
        program.process.wait()
    left_behind = set(incoming.iterdir())
    assert left_behind
    start("api")
    assert not left_behind & set(incoming.iterdir())


def test_a_cancel_ends_ffmpeg_and_the_next_job_runs(start: Start, connect: Connect, slow_clip: Path) -> None:
    program = start("dev")
    frontend = connect(program.url)
    source = frontend.upload(slow_clip)
    job_id = frontend.execute(source, **SLOW)
    rendering(program)
    frontend.http.post(f"/api/jobs/{job_id}/cancel").raise_for_status()
    ended = frontend.wait(job_id)
    assert (ended["status"], ended["error"]["code"]) == ("error", "CANCELLED")
    assert not ffmpegs(program.data)
    assert "outputUrl" not in ended
    assert frontend.wait(frontend.execute(source, trim={"start": 0, "end": 0.4}))["status"] == "done"


def test_an_ffmpeg_killed_by_another_is_tried_again(start: Start, connect: Connect, slow_clip: Path) -> None:
    program = start("dev")
    frontend = connect(program.url)
    job_id = frontend.execute(frontend.upload(slow_clip), trim={"start": 0, "end": 6}, quality="high")
    rendering(program).send_signal(signal.SIGKILL)
    ended = frontend.wait(job_id)
    assert ended["status"] == "done"
    assert [attempt.get("code") for attempt in ended["attempts"]] == ["OUT_OF_MEMORY", None]


def test_ffmpeg_is_fenced_in_and_hears_nothing_of_the_client(start: Start, connect: Connect, slow_clip: Path) -> None:
    program = start("dev", SECRET_OF_THE_SERVER="hidden")
    frontend = connect(program.url)
    labels = {"outputName": "marker-output.mp4", "projectId": "marker-project"}
    frontend.execute(frontend.upload(slow_clip), **labels, **SLOW)
    process = rendering(program)
    proc = Path(f"/proc/{process.pid}")
    status = proc.joinpath("status").read_text()
    limits = proc.joinpath("limits").read_text()
    assert "marker" not in " ".join(process.cmdline())
    assert set(process.environ()) <= {"LC_ALL", "AV_LOG_FORCE_NOCOLOR", "PWD"}
    assert "NoNewPrivs:\t1" in status
    assert os.getpgid(process.pid) == process.pid
    assert os.readlink(proc / "ns" / "net") != os.readlink("/proc/self/ns/net")
    for limit in ("Max address space", "Max cpu time", "Max file size"):
        line = next(line for line in limits.splitlines() if line.startswith(limit))
        assert not line.removeprefix(limit).strip().startswith("unlimited")


def test_two_slots_render_two_jobs_at_once(start: Start, connect: Connect, slow_clip: Path) -> None:
    program = start("dev", WORKER_CONCURRENCY="2")
    frontend = connect(program.url)
    source = frontend.upload(slow_clip)
    for _ in range(2):
        frontend.execute(source, **SLOW)
    until(lambda: len(ffmpegs(program.data / "scratch")) == 2, "two FFmpegs at once")


def test_a_full_disk_is_named_and_the_next_job_runs(
    start: Start, connect: Connect, tmp_path: Path, clips: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    # A file system of 4 MiB that only the program sees.
    namespace = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    mount = f'mount -t tmpfs -o size=4m tmpfs {small} && exec "$@"'
    program = start("api", *namespace, "sh", "-c", mount, "sh", FLOWSCALE_SCRATCH_DIR=str(small))
    frontend = connect(program.url)
    source = frontend.upload(clips / "bigbuckbunny.mp4")
    ended = frontend.wait(frontend.execute(source, quality="lossless"))
    assert (ended["status"], ended["error"]["code"]) == ("error", "DISK_FULL")
    assert [attempt["code"] for attempt in ended["attempts"]] == ["DISK_FULL"] * 3
    options = {"quality": "low", "resize": {"width": 160, "height": 90}}
    assert frontend.wait(frontend.execute(source, **options))["status"] == "done"


def test_without_ffmpeg_health_and_execute_say_what_to_install_and_it_is_found_when_it_comes(
    start: Start, connect: Connect, tmp_path: Path, clips: Path
) -> None:
    program = start("api", FLOWSCALE_FFMPEG=str(tmp_path / "ffmpeg"))
    frontend = connect(program.url)
    health = frontend.http.get("/api/health")
    assert health.status_code == 503
    assert health.json()["error"]["code"] == "FFMPEG_UNAVAILABLE"
    assert "apt-get install ffmpeg" in health.json()["error"]["message"]
    source = frontend.upload(clips / "bikes.mp4")
    refused = frontend.http.post("/api/execute", json={"sourcePath": source})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "FFMPEG_UNAVAILABLE")
    (tmp_path / "ffmpeg").symlink_to("/usr/bin/ffmpeg")
    until(lambda: frontend.http.get("/api/health").status_code == 200, "FFmpeg to be found")
    assert frontend.wait(frontend.execute(source, trim={"start": 0, "end": 0.4}))["status"] == "done"


def test_the_two_metrics_of_the_old_service(start: Start, connect: Connect, clips: Path) -> None:
    program = start("api")
    frontend = connect(program.url)
    source = frontend.upload(clips / "bikes.mp4")
    frontend.wait(frontend.execute(source, trim={"start": 0, "end": 0.4}))
    frontend.wait(frontend.execute(source, trim={"start": 90, "end": 91}))
    text = frontend.http.get("/metrics").text
    assert 'flowscale_jobs_processed_total{status="done"} 1.0' in text
    assert 'flowscale_jobs_processed_total{status="error"} 1.0' in text
    for bound in ("10.0", "30.0", "60.0", "120.0", "300.0", "600.0", "+Inf"):
        assert f'flowscale_job_duration_seconds_bucket{{le="{bound}"}}' in text


def test_a_job_tells_its_progress_and_its_output_is_what_was_asked(
    start: Start, connect: Connect, clips: Path, tmp_path: Path
) -> None:
    program = start("api")
    frontend = connect(program.url)
    source = frontend.upload(clips / "bigbuckbunny.mp4")
    size = {"width": 640, "height": 360}
    job_id = frontend.execute(
        source, trim={"start": 1, "end": 3}, resize=size, outputName="Nice name.mov", format="mov"
    )
    with frontend.http.stream("GET", f"/api/jobs/{job_id}/events") as events:
        text = "".join(events.iter_text())
    percents = [int(part.split("}")[0].split(",")[0]) for part in text.split('"progressPct":')[1:]]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    job = frontend.job(job_id)
    assert job["outputUrl"].endswith("/Nice_name.mov")
    target = tmp_path / "result.mov"
    target.write_bytes(frontend.http.get(job["outputUrl"]).content)
    found = probe(target)
    assert (found["video"]["width"], found["video"]["height"]) == (640, 360)
    assert float(found["duration"]) == pytest.approx(2, abs=0.05)
    assert job["outputSize"] == target.stat().st_size
    assert job["outputDurationMs"] == pytest.approx(2000, abs=50)

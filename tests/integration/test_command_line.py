"""The `flowscale` program as a person uses it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from integration.frontend import SLOW, Frontend
from integration.program import FLOWSCALE, Program, probe

Connect = Callable[[str], Frontend]


def flowscale(*words: str | Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run([FLOWSCALE, *words], cwd=folder, env=variables, capture_output=True, text=True, check=False)


def test_the_demo_renders_a_clip_and_says_where_it_is(clips: Path, tmp_path: Path) -> None:
    ended = flowscale("demo", clips / "bigbuckbunny.mp4", folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    facts = dict(
        line.split(maxsplit=1) for line in ended.stdout.splitlines() if line.startswith(("output", "duration"))
    )
    found = probe(tmp_path / facts["output"])
    assert (found["video"]["width"], found["video"]["height"], found["video"]["nb_read_frames"]) == (640, 360, "75")
    assert facts["duration"] == "3.000 s"
    assert "done: 100 %" in ended.stderr


def test_the_demo_makes_a_clip_where_none_is_given(tmp_path: Path) -> None:
    assert flowscale("demo", folder=tmp_path).returncode == 0
    assert probe(tmp_path / "demo-output" / "demo.mp4")["audio"]["codec_name"] == "aac"


def test_render_here(clips: Path, tmp_path: Path) -> None:
    words = ["--start", "1", "--end", "2", "--size", "320x180", "--quality", "low", "-o", "short.webm"]
    ended = flowscale("render", clips / "bigbuckbunny.mp4", *words, folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    found = probe(tmp_path / "short.webm")
    assert (found["video"]["codec_name"], found["video"]["nb_read_frames"]) == ("vp9", "25")
    assert [path.name for path in tmp_path.iterdir()] == ["short.webm"]


def test_render_joins_files_whatever_they_are_called(clips: Path, tmp_path: Path) -> None:
    odd = tmp_path / "-i concat:a|b ;'\n.mp4"
    odd.symlink_to(clips / "carphone_pristine.mp4")
    ended = flowscale("render", "-o", "joined.mp4", "--", odd.name, odd.name, folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert int(probe(tmp_path / "joined.mp4")["video"]["nb_read_frames"]) == 240


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["missing.mp4", "-o", "a.mp4"], "missing.mp4 is not a file"),
        (["notes.txt", "-o", "a.mp4"], "none of mp4, mov, webm"),
        (["notes.txt", "-o", "a.gif"], "must end in .mp4, .webm or .mov"),
        (["notes.txt", "-o", "taken.mp4"], "give --force to replace it"),
        (["notes.txt", "-o", "nowhere/a.mp4"], "make it first"),
        (["notes.txt", "-o", "a.mp4", "--speed", "9"], "$.speed: must be less than or equal to 4"),
        (["notes.txt", "-o", "a.mp4", "--size", "big"], "WIDTHxHEIGHT"),
        (["notes.txt", "-o", "notes.txt", "--format", "mp4", "--force"], "is the source itself"),
        (["notes.txt", "-o", "a.mp4", "--format", "webm"], "change --format or the name"),
        (["notes.txt", "-o", "a" * 252 + ".mp4"], "File name too long"),
    ],
)
def test_a_fault_is_a_sentence_and_nothing_is_left(tmp_path: Path, words: list[str], message: str) -> None:
    (tmp_path / "notes.txt").write_text("not a film")
    (tmp_path / "taken.mp4").write_text("precious")
    ended = flowscale("render", *words, folder=tmp_path)
    assert ended.returncode == 1
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "taken.mp4"]
    assert (tmp_path / "taken.mp4").read_text() == "precious"


def test_jobs_can_be_listed_shown_watched_cancelled_and_retried(
    dev_server: Program, connect: Connect, clips: Path, tmp_path: Path
) -> None:
    frontend = connect(dev_server.url)
    at = ("--url", dev_server.url)
    source = frontend.upload(clips / "bikes.mp4")
    slow = frontend.execute(source, **SLOW)
    assert flowscale("jobs", "cancel", slow, *at, folder=tmp_path).returncode == 0
    watched = flowscale("jobs", "watch", slow, *at, folder=tmp_path)
    assert watched.returncode == 1
    assert "CANCELLED" in watched.stdout
    assert slow in flowscale("jobs", "list", "--status", "error", *at, folder=tmp_path).stdout
    retried = flowscale("jobs", "retry", slow, "--json", *at, folder=tmp_path)
    assert json.loads(retried.stdout)["status"] in ("queued", "running")
    assert flowscale("jobs", "cancel", slow, folder=tmp_path, FLOWSCALE_URL=dev_server.url).returncode == 0
    frontend.wait(slow)
    short = frontend.execute(source, trim={"start": 0, "end": 0.4})
    assert flowscale("jobs", "watch", short, *at, folder=tmp_path).returncode == 0
    assert "output" in flowscale("jobs", "show", short, *at, folder=tmp_path).stdout


def test_jobs_can_be_promoted_removed_and_retried_together(
    dev_server: Program, connect: Connect, clips: Path, tmp_path: Path
) -> None:
    frontend = connect(dev_server.url)
    at = ("--url", dev_server.url)
    job = frontend.execute(frontend.upload(clips / "bikes.mp4"), projectId="together", **SLOW)
    assert flowscale("jobs", "cancel", job, *at, folder=tmp_path).returncode == 0
    frontend.wait(job)
    refused = flowscale("jobs", "promote", job, *at, folder=tmp_path)
    assert (refused.returncode, "CONFLICT" in refused.stderr) == (1, True)
    chosen = ("--code", "CANCELLED", "--project", "together")
    assert "Queued 1 jobs" in flowscale("jobs", "retry-failed", *chosen, *at, folder=tmp_path).stdout
    assert flowscale("jobs", "cancel", job, *at, folder=tmp_path).returncode == 0
    frontend.wait(job)
    assert "Removed" in flowscale("jobs", "remove", job, *at, folder=tmp_path).stdout
    assert "JOB_NOT_FOUND" in flowscale("jobs", "show", job, *at, folder=tmp_path).stderr


def test_render_on_a_server(dev_server: Program, clips: Path, tmp_path: Path) -> None:
    words = ["--end", "1", "--url", dev_server.url, "-o", "there.mp4"]
    ended = flowscale("render", clips / "bikes.mp4", *words, folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert probe(tmp_path / "there.mp4")["video"]["nb_read_frames"] == "25"


def test_a_file_of_the_persons_is_never_written_over(clips: Path, tmp_path: Path) -> None:
    (tmp_path / ".out.mp4.part").write_text("precious")
    ended = flowscale("render", clips / "bikes.mp4", "--end", "0.4", "-o", "out.mp4", folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / ".out.mp4.part").read_text() == "precious"


def test_an_address_without_its_scheme(tmp_path: Path) -> None:
    ended = flowscale("jobs", "list", "--url", "localhost:3000", folder=tmp_path)
    assert ended.returncode == 1
    assert "begins with http:// or https://" in ended.stderr


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    ended = flowscale("jobs", "list", "--url", "http://127.0.0.1:9", folder=tmp_path)
    assert ended.returncode == 1
    assert "does not answer" in ended.stderr
    assert "--url or FLOWSCALE_URL names another" in ended.stderr
    assert "flowscale dev" in ended.stderr


@pytest.mark.parametrize("command", ["api", "dev"])
def test_a_bad_setting_stops_the_program_with_one_line(tmp_path: Path, command: str) -> None:
    ended = flowscale(command, folder=tmp_path, FLOWSCALE_MAX_UPLOAD="1")
    assert ended.returncode == 1
    assert ended.stderr.startswith(
        "error: FLOWSCALE_MAX_UPLOAD: no such setting; did you mean FLOWSCALE_MAX_UPLOAD_BYTES?"
    )
    assert len(ended.stderr.splitlines()) == 1


def test_a_port_that_is_taken_is_said_in_one_line(dev_server: Program, tmp_path: Path) -> None:
    ended = flowscale("api", folder=tmp_path, PORT=dev_server.url.rpartition(":")[2])
    assert ended.returncode == 1
    assert "is taken; choose another PORT" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("setting", "value"),
    [("HOST", "203.0.113.7"), ("STORAGE_DIR", "/dev/null"), ("FLOWSCALE_SCRATCH_DIR", "/dev/null")],
)
def test_a_setting_that_cannot_be_used_here_is_named(tmp_path: Path, setting: str, value: str) -> None:
    ended = flowscale("api", folder=tmp_path, **{"PORT": "0", setting: value})
    assert ended.returncode == 1
    assert f"error: {setting}: " in ended.stderr
    assert "Traceback" not in ended.stderr

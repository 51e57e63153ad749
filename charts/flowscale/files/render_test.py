"""Renders one clip through an installed FlowScale, as its frontend would: `helm test` runs it in the worker's image.

    python render_test.py http://flowscale-api 600

Makes a clip of four seconds, uploads it, asks for two seconds of it in another size, waits for the job, fetches the
output and examines it. Each step is a line; the first that fails ends the test with what was expected and what came.
A key is sent where FLOWSCALE_API_KEY holds one. Needs FFmpeg and the standard library.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

WIDTH, HEIGHT, SECONDS = 320, 180, 2.0
"""What is asked for."""

TOLERANCE_SECONDS = 0.25
"""A frame or two, and what the sound's last packet adds."""

ANSWER_SECONDS = 30
"""For one answer of the gateway."""

RETRY_SECONDS = 2
"""Between two attempts at what may yet succeed."""


def main(url: str, seconds: str) -> None:
    """The address of the gateway, and how long the whole may take."""
    target = url.rstrip("/")
    deadline = time.monotonic() + float(seconds)
    with tempfile.TemporaryDirectory() as folder:
        clip = make_clip(Path(folder) / "clip.mp4")
        until_ready(target, deadline)
        stored = upload(target, clip)
        job = execute(target, stored)
        ended = until_ended(target, job, deadline)
        output = fetch(target, ended["outputUrl"], Path(folder) / "output.mp4")
        examine(output)
    say("FlowScale renders.")


def make_clip(path: Path) -> Path:
    sources = ["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25:d=4", "-f", "lavfi", "-i", "sine=frequency=440:d=4"]
    encoders = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    run("ffmpeg", "-nostdin", "-loglevel", "error", *sources, *encoders, str(path))
    say(f"Made a clip of {path.stat().st_size} bytes")
    return path


def until_ready(target: str, deadline: float) -> None:
    """A gateway that has just been installed may not be reachable through its Service yet."""
    while True:
        try:
            with urlopen(f"{target}/readyz", timeout=ANSWER_SECONDS):
                return say(f"{target} is ready")
        except HTTPError as error:
            found = f"{error.code}: {error.read().decode(errors='replace')}"
        except (URLError, OSError) as error:
            found = str(error)
        if time.monotonic() > deadline:
            fail(f"{target}/readyz was not ready in time. Its last answer: {found}")
        time.sleep(RETRY_SECONDS)


def upload(target: str, clip: Path) -> str:
    boundary = "flowscale-helm-test"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="clip.mp4"\r\n'
    body = f"{head}Content-Type: video/mp4\r\n\r\n".encode() + clip.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    answer = ask(f"{target}/api/upload", body, f"multipart/form-data; boundary={boundary}")
    say(f"Uploaded it as {answer['filePath']}")
    return str(answer["filePath"])


def execute(target: str, source: str) -> str:
    wish = {
        "sourcePath": source,
        "trim": {"start": 1, "end": 1 + SECONDS},
        "resize": {"width": WIDTH, "height": HEIGHT},
    }
    answer = ask(f"{target}/api/execute", json.dumps(wish).encode(), "application/json")
    say(f"Asked for a render: {answer['jobId']}, number {answer['queuePosition']} in the queue")
    return str(answer["jobId"])


def until_ended(target: str, job: str, deadline: float) -> Mapping[str, Any]:
    seen = None
    while True:
        answer = ask(f"{target}/api/jobs/{job}")
        if answer["status"] != seen:
            seen = answer["status"]
            say(f"The job is {seen}")
        if seen == "done":
            return answer
        if seen == "error":
            fail(f"The render failed: {json.dumps(answer.get('error'))}. Its log: {answer.get('logsTail')}")
        if time.monotonic() > deadline:
            fail(
                f"The job was still {seen} at the end of the time. No worker may have come: look at the pods of the "
                "worker, at who scales them, and at /api/health"
            )
        time.sleep(RETRY_SECONDS)


def fetch(target: str, url: str, path: Path) -> Path:
    """Through the Service, whatever address the link has for browsers."""
    parts = urlsplit(url)
    if "/outputs/" not in parts.path:
        fail(f"The output's address has no /outputs/ in it: {parts.path}")
    way = parts.path[parts.path.index("/outputs/") :]
    # What follows the `?` opens the file where keys are asked for; it is never shown.
    with urlopen(f"{target}{way}?{parts.query}", timeout=ANSWER_SECONDS) as answer:
        path.write_bytes(answer.read())
    say(f"Fetched {path.stat().st_size} bytes from {way}")
    return path


def examine(output: Path) -> None:
    words = ["-v", "error", "-of", "json", "-show_entries", "stream=codec_type,codec_name,width,height:format=duration"]
    found = json.loads(run("ffprobe", *words, str(output)))
    video = [stream for stream in found["streams"] if stream["codec_type"] == "video"]
    size = (video[0]["width"], video[0]["height"]) if video else None
    seconds = float(found["format"]["duration"])
    if size != (WIDTH, HEIGHT) or abs(seconds - SECONDS) > TOLERANCE_SECONDS:
        fail(f"The output should be {WIDTH}x{HEIGHT} and {SECONDS} s long, and is {size} and {seconds} s: {found}")
    say(f"The output is {video[0]['codec_name']}, {WIDTH}x{HEIGHT}, {seconds} s")


def ask(url: str, body: bytes | None = None, kind: str | None = None) -> Mapping[str, Any]:
    """The answer as JSON. Ends the test for any other than a success."""
    headers = {"Content-Type": kind} if kind else {}
    if key := os.environ.get("FLOWSCALE_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    request = Request(url, body, headers)
    try:
        with urlopen(request, timeout=ANSWER_SECONDS) as answer:
            content: Mapping[str, Any] = json.load(answer)
            return content
    except HTTPError as error:
        fail(f"{url} answered {error.code}: {error.read().decode(errors='replace')}")
    except (URLError, OSError, ValueError) as error:
        fail(f"{url} gave no answer that could be read: {error}")


def run(*words: str) -> str:
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        fail(f"{words[0]} ended with {ended.returncode}: {ended.stderr.strip()}")
    return ended.stdout


def say(line: str) -> None:
    print(line, flush=True)


def fail(line: str) -> NoReturn:
    sys.exit(f"FAILED. {line}")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""`flowscale demo`: the whole way of one clip, as a frontend would take it, on this machine alone."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from flowscale import logs
from flowscale.clocks import SystemClock
from flowscale.errors import InvalidPath
from flowscale.settings import GatewaySettings, Settings, StorageSettings
from flowscale_cli.client import Client, ServerError
from flowscale_cli.jobs import watch_job
from flowscale_cli.render import upload_with_bar
from flowscale_cli.screen import facts, say, size_text
from flowscale_cli.service import one_process

REQUEST: dict[str, Any] = {
    "trim": {"start": 1, "end": 4},
    "resize": {"width": 640, "height": 360},
    "quality": "medium",
    "outputName": "demo",
}
"""What the demo asks for: three seconds, smaller, encoded anew."""


def run_demo(file: Path | None, folder: Path) -> None:
    """Render and print what came of it. Raises InvalidPath, FFmpegUnavailable, ServerError."""
    if file is not None and not file.is_file():
        raise InvalidPath(f"{file} is not a file.")
    given = Settings.load()
    logs.configure("warning", "text", secrets=given.secrets())
    clock = SystemClock()
    started = clock.monotonic()
    with tempfile.TemporaryDirectory(prefix="flowscale-demo-") as temporary:
        settings = given.model_copy(
            update={
                "gateway": GatewaySettings(port=0),
                "storage": StorageSettings(dir=Path(temporary) / "data"),
                "worker": given.worker.model_copy(update={"scratch_dir": None}),
            }
        )
        clip = file or _made_clip(settings, Path(temporary))
        with one_process(settings, page=False) as server, server, Client(server.url) as client:
            say(f"A gateway with one worker runs at {server.url}; uploading {clip.name} to it.")
            uploaded = upload_with_bar(client, clip)
            accepted = client.execute({"sourcePath": uploaded["filePath"], **REQUEST})
            say(f"Accepted as {accepted['jobId']}: seconds 1 to 4, 640x360, medium quality.")
            job = watch_job(client, accepted["jobId"])
            if job["status"] != "done":
                raise ServerError(job["error"]["code"], job["error"]["message"])
            folder.mkdir(parents=True, exist_ok=True)
            output = folder / "demo.mp4"
            client.download(job["outputUrl"], output)
    facts(
        {
            "output": str(output),
            "duration": f"{job['outputDurationMs'] / 1000:.3f} s",
            "size": size_text(output.stat().st_size),
            "rendered in": f"{job['durationMs'] / 1000:.1f} s",
            "took in all": f"{clock.monotonic() - started:.1f} s",
        }
    )


def _made_clip(settings: Settings, folder: Path) -> Path:
    from flowscale_worker.ffmpeg import find_tools
    from flowscale_worker.sample import make_sample

    tools = find_tools(settings.worker.ffmpeg, settings.worker.ffprobe)
    return make_sample(tools, folder / "sample.mp4", seconds=6)

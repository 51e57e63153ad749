"""`flowscale render`: the worker's own pipeline on local files, or the same request to a server."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from flowscale import logs
from flowscale.clocks import SystemClock
from flowscale.errors import InvalidPath
from flowscale.settings import Settings
from flowscale.specs import ExecuteRequest, RenderSpec, Source
from flowscale.validation import parse
from flowscale_cli.client import Client, ServerError
from flowscale_cli.jobs import watch_job
from flowscale_cli.resumable import upload_resumably
from flowscale_cli.screen import Bar, errors, facts, size_text

if TYPE_CHECKING:
    from flowscale_worker.failures import Stopped
    from flowscale_worker.progress import EncodeProgress


def run_render(files: Sequence[Path], output: Path, options: dict[str, Any], *, url: str | None, force: bool) -> None:
    """Render and say what came of it. Raises InvalidPath for files that are not there or would be overwritten."""
    for file in files:
        if not file.is_file():
            raise InvalidPath(f"{file} is not a file.")
    if output.exists() and any(output.samefile(file) for file in files):
        raise InvalidPath(f"{output} is the source itself: choose another name for the result.")
    if output.exists() and not force:
        raise InvalidPath(f"{output} exists already: choose another name, or give --force to replace it.")
    if not output.absolute().parent.is_dir():
        raise InvalidPath(f"The folder {output.absolute().parent} does not exist: make it first.")
    clock = SystemClock()
    started = clock.monotonic()
    if url:
        _render_there(files, output, options, url)
    else:
        _render_here(files, output, options)
    facts(
        {
            "output": str(output),
            "size": size_text(output.stat().st_size),
            "took": f"{clock.monotonic() - started:.1f} s",
        }
    )


def _render_there(files: Sequence[Path], output: Path, options: dict[str, Any], url: str) -> None:
    with Client(url, Settings.load().client.api_key) as client:
        paths = [upload_with_bar(client, file)["filePath"] for file in files]
        source = {"sourcePath": paths[0]} if len(paths) == 1 else {"sources": paths}
        accepted = client.execute({**options, **source, "outputName": output.name})
        job = watch_job(client, accepted["jobId"])
        if job["status"] != "done":
            raise ServerError(job["error"]["code"], job["error"]["message"])
        client.download(job["outputUrl"], output)


def upload_with_bar(client: Client, file: Path) -> dict[str, Any]:
    """Upload with a progress bar; the server's answer."""
    with UploadBar(f"upload {file.name}", file.stat().st_size) as bar:
        return upload_resumably(client, file, bar)


class UploadBar:
    """Bytes, rate and time left on a terminal; elsewhere a line every quarter, and one for each trouble."""

    def __init__(self, what: str, total: int) -> None:
        self._what = what
        self._noted = ""
        self._plain = Bar(what, total=total)
        self._live: Progress | None = None
        if errors.is_terminal:
            description = TextColumn("{task.description}", markup=False)
            numbers = (DownloadColumn(binary_units=True), TransferSpeedColumn(), TimeRemainingColumn())
            note = TextColumn("{task.fields[note]}", markup=False)
            self._live = Progress(description, BarColumn(), TaskProgressColumn(), *numbers, note, console=errors)
            self._task = self._live.add_task(what, total=max(1, total), note="")

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def sent(self, done: int) -> None:
        if self._live:
            self._live.update(self._task, completed=done)
        else:
            self._plain.to(done)

    def note(self, words: str) -> None:
        if words == self._noted:
            return
        self._noted = words
        if self._live:
            self._live.update(self._task, note=words)
        else:
            errors.print(f"{self._what}: {words or 'goes on.'}", markup=False)


def _render_here(files: Sequence[Path], output: Path, options: dict[str, Any]) -> None:
    from flowscale_worker.ffmpeg import find_tools
    from flowscale_worker.kit import Kit
    from flowscale_worker.pipeline import render
    from flowscale_worker.scratch import Scratch

    settings = Settings.load()
    logs.configure("warning", "text")
    spec = _spec(options, len(files))
    tools = find_tools(settings.worker.ffmpeg, settings.worker.ffprobe)
    with ExitStack() as stack:
        bar = stack.enter_context(Bar("render"))

        def tell(percent: int | None, lines: Sequence[str] = ()) -> None:
            bar.to(percent)

        def watch(progress: EncodeProgress) -> None:
            bar.to(None, note=f"{progress.speed:.2f}x" if progress.speed else "")

        interrupted = stack.enter_context(_Interrupts())
        kit = Kit(tools, settings.worker, SystemClock(), interrupted.verdict, tell, watch)
        # Beside the result: there is room for it, moving it costs nothing, and nobody else knows the name.
        root = settings.worker.scratch_dir or Path(tempfile.mkdtemp(prefix=".flowscale-", dir=output.absolute().parent))
        if settings.worker.scratch_dir is None:
            stack.callback(shutil.rmtree, root, ignore_errors=True)
        scratch = Scratch(root)
        stack.callback(scratch.close)
        folder = stack.enter_context(scratch.folder("render"))
        # FFmpeg sees names we made, never the person's own.
        sources = [folder / f"source-{index}" for index in range(len(files))]
        for file, source in zip(files, sources, strict=True):
            source.symlink_to(file.resolve())
        result = render(spec, sources, folder, kit)
        _place(result.path, output)
        bar.to(100)


class _Interrupts:
    """Ctrl-C ends FFmpeg and removes what it wrote, instead of leaving both behind."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def __enter__(self) -> _Interrupts:
        self._before = signal.signal(signal.SIGINT, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        self._asked.set()

    def verdict(self) -> Stopped | None:
        from flowscale_worker.failures import Stopped

        return Stopped.CANCELLED if self._asked.is_set() else None


def _spec(options: dict[str, Any], count: int) -> RenderSpec:
    request = parse(ExecuteRequest, json.dumps(options).encode())
    return request.to_spec(tuple(Source(key=f"source-{index}") for index in range(count)))


def _place(result: Path, output: Path) -> None:
    """The finished file under its name, whole or not at all."""
    handle, part = tempfile.mkstemp(prefix=".flowscale-", dir=output.absolute().parent)
    os.close(handle)
    try:
        shutil.move(result, part)
        Path(part).replace(output)
    finally:
        Path(part).unlink(missing_ok=True)

"""Examine a file with ffprobe, within a budget: what it is by content, then what its packets say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from flowscale.errors import InvalidMedia
from flowscale.media import SNIFF_BYTES, MediaType, sniff
from flowscale_worker import ffmpeg
from flowscale_worker.command import probe_command
from flowscale_worker.failures import classify, truncation, why_unreadable
from flowscale_worker.kit import Kit, checked
from flowscale_worker.source import ReportReader, SourceInfo

MEMORY_SHARE = 3
"""A probe keeps no frames: it gets this part of a render's memory, so that no index fills a render's with lies."""

SECONDS_PER_GIB = 1.0
"""Added to the time a probe may take: it reads the whole file, because headers lie."""


def examine(path: Path, kit: Kit) -> SourceInfo:
    """What the file at `path` (one we made) holds.

    Raises InvalidMedia, LimitExceeded, RenderTimeout; Cancelled, LeaseLost, ShutDown when asked to stop.
    """
    media = recognise(path)
    seconds = kit.settings.probe_timeout_seconds + SECONDS_PER_GIB * path.stat().st_size / 1024**3
    report = ReportReader(kit.source_limits)
    ended = checked(
        ffmpeg.run(
            kit.tools.ffprobe,
            probe_command(str(path), media.demuxer, kit.allowance),
            replace(kit.limits(seconds), memory_bytes=kit.settings.memory_bytes // MEMORY_SHARE),
            clock=kit.clock,
            on_line=report.feed,
            should_stop=kit.should_stop,
        ),
        "examining the source",
        seconds,
    )
    if ended.returncode != 0:
        raise classify(ended.returncode, ended.stderr, doing="examining the source", seconds=ended.seconds)
    if cut_short := truncation(ended.stderr):
        raise cut_short
    try:
        return report.finish(media.demuxer, still=media.is_still)
    except InvalidMedia as error:
        if reason := why_unreadable(ended.stderr):
            raise reason from error
        raise


def recognise(path: Path) -> MediaType:
    """The kind of file by its first bytes. Raises InvalidMedia."""
    with path.open("rb") as file:
        head = file.read(SNIFF_BYTES)
    media = sniff(head)
    if media is None:
        raise InvalidMedia("The file is none of mp4, mov, webm, mkv, avi, jpeg, png, webp, whatever its name says.")
    if head.startswith(b"RIFF") and _riff_is_cut(head, path.stat().st_size):
        raise InvalidMedia("The file is damaged or cut short: it is smaller than it says. Upload it again.")
    return media


def _riff_is_cut(head: bytes, size: int) -> bool:
    """Whether an AVI or WebP says that it is longer than its `size` in bytes: FFmpeg would read what there is."""
    said = int.from_bytes(head[4:8], "little")
    return size < said < 0xFFFF_0000  # all ones stand for a length that was not known

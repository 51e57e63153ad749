"""What an execution tells of its work, for people who look at the job: what its sources hold, FFmpeg's command lines.

A command line holds no address and no secret: sources are fetched to scratch before FFmpeg sees them. Of the paths
only what lies in the execution's own folder is shown, without the folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flowscale.queues.told import Facts
from flowscale_worker.source import SourceInfo


class Describer:
    """Gathers facts, and hands all of them to `keep` each time there are more."""

    def __init__(self, keep: Callable[[Facts], object]) -> None:
        self._keep = keep
        self._facts = Facts()
        self._folder = ""
        self._sizes: list[int] = []

    def within(self, folder: Path) -> None:
        """Where this execution's files are."""
        self._folder = str(folder)

    def fetched(self, files: Sequence[Path]) -> None:
        self._sizes = [file.stat().st_size for file in files]

    def examined(self, sources: Sequence[SourceInfo]) -> None:
        found = tuple(probe_of(source, size) for source, size in zip(sources, self._sizes, strict=True))
        self._tell(Facts(found, self._facts.commands))

    def ran(self, command: Sequence[str]) -> None:
        shown = tuple(word.replace(f"{self._folder}/", "") for word in command)
        self._tell(Facts(self._facts.sources, (*self._facts.commands, shown)))

    def _tell(self, facts: Facts) -> None:
        self._facts = facts
        self._keep(facts)


def probe_of(source: SourceInfo, size: int) -> Mapping[str, Any]:
    """What was found in a source, in JSON's terms: times in ms, `size` in bytes, frames a second."""
    picture, sound = source.picture, source.sound
    streams: list[dict[str, Any]] = []
    if picture:
        streams.append(
            {
                "kind": "video",
                "codec": picture.codec,
                "width": picture.width,
                "height": picture.height,
                "pixelFormat": picture.pixel_format,
                "frameRate": round(float(picture.frame_rate), 3),
                "frames": picture.frames,
            }
        )
    if sound:
        streams.append(
            {
                "kind": "audio",
                "codec": sound.codec,
                "channels": sound.channels,
                "sampleRate": sound.sample_rate,
            }
        )
    duration = None if source.still else round(source.end_us / 1000)
    return {"container": source.demuxer, "durationMs": duration, "size": size, "streams": streams}

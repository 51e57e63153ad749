"""What a hostile file is to the tests: a name, a way to make it, and the ends it may come to."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from integration.canary import Canary

DONE = "DONE"
"""The outcome of a render that made a verified file."""

BAD = frozenset({"INVALID_MEDIA"})
OVER = frozenset({"LIMIT_EXCEEDED"})
REFUSED = BAD | OVER
SLOW = frozenset({"TIMEOUT_ERROR"})
RENDERED = frozenset({DONE})
# A damaged file may end anywhere, but not without a reason.
DAMAGED = frozenset({DONE, "INVALID_MEDIA", "LIMIT_EXCEEDED", "EMPTY_OUTPUT", "NO_OUTPUT", "FFMPEG_EXIT_ERROR"})


@dataclass(slots=True)
class Workshop:
    """Where hostile files are made. `canary` is what they shall lure FFmpeg into touching."""

    folder: Path
    canary: Canary
    scratch_to_canary: str  # the canary film as seen from a source in the scratch folder
    _clips: dict[tuple[str, ...], Path] = field(default_factory=dict)

    def ffmpeg(self, name: str, *arguments: str) -> Path:
        """A file that FFmpeg makes, once, under `name` (its extension says the container)."""
        known = self._clips.get((name, *arguments))
        if known is None:
            known = self.folder / f"made-{len(self._clips)}-{name}"
            command = ["ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-y", *arguments, str(known)]
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
            self._clips[(name, *arguments)] = known
        return known

    def clip(self, name: str = "clip.mp4", *arguments: str) -> bytes:
        """One second of picture and tone, in the container that `name` says."""
        codecs = {
            "webm": ("-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"),
            "avi": ("-c:v", "mpeg4", "-c:a", "mp2"),
        }.get(
            name.rpartition(".")[2], ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac")
        )
        return self.ffmpeg(name, *PICTURE, *TONE, *codecs, "-shortest", *arguments).read_bytes()


PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=1")
TONE = ("-f", "lavfi", "-i", "sine=frequency=440:duration=1")
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")

Maker = Callable[[Workshop], bytes]


@dataclass(frozen=True, slots=True)
class Case:
    """`outcomes`: DONE or codes of errors. `says`: what the message must contain. `settings`: tighter budgets."""

    name: str
    make: Maker
    outcomes: frozenset[str]
    says: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)
    lure: bool = False  # it names a canary


@dataclass(slots=True)
class Cases:
    """Collects the cases of one kind, in the order in which they are written."""

    kind: str
    all: list[Case] = field(default_factory=list)

    def add(self, name: str, outcomes: frozenset[str], make: Maker | bytes, **more: Any) -> None:
        maker = (lambda _, content=make: content) if isinstance(make, bytes) else make
        self.all.append(Case(f"{self.kind}: {name}", maker, outcomes, **more))

    def made(self, name: str, outcomes: frozenset[str], **more: Any) -> Callable[[Maker], Maker]:
        def keep(make: Maker) -> Maker:
            self.add(name, outcomes, make, **more)
            return make

        return keep


def cut(content: bytes, percent: int) -> bytes:
    return content[: len(content) * percent // 100]


def flip_bits(content: bytes, places: Sequence[int]) -> bytes:
    """`content` with one bit turned at each place (counted in bits)."""
    changed = bytearray(content)
    for place in places:
        changed[place // 8 % len(changed)] ^= 1 << place % 8
    return bytes(changed)

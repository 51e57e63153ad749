"""Files to upload: a real clip with as much room behind it as wanted, which an MP4 may have anywhere."""

from __future__ import annotations

import struct
from pathlib import Path


def film(clip: Path, target: Path, size: int) -> Path:
    """Writes `target`, `size` bytes long and sparse on the disk; any FFmpeg plays it as the clip."""
    content = clip.read_bytes()
    room = size - len(content)
    with target.open("xb") as file:
        file.write(content)
        file.write(struct.pack(">I4sQ", 1, b"free", room))  # a box with a length of 64 bits
        file.truncate(size)
    return target

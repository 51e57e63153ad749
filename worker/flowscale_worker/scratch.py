"""Folders for the files of running renders: one for the process, within it one for each execution.

Whatever ends a render, its folder is removed; when the process itself is killed, the next one that starts in
the same place sweeps it away (flowscale.folders).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flowscale import logs
from flowscale.errors import DiskFull
from flowscale.folders import OwnedFolder

_log = logs.get("scratch")


class Scratch:
    """The process's scratch. Raises OSError when `root` cannot be used."""

    def __init__(self, root: Path) -> None:
        self._owned = OwnedFolder.claim(root)

    @contextmanager
    def folder(self, execution_id: str) -> Iterator[Path]:
        """A new folder, removed with all in it at the end of the block. Raises DiskFull when there is no room."""
        path = self._owned.path / execution_id
        try:
            path.mkdir()
        except OSError as error:
            raise DiskFull(f"The worker has no room for the files of a render ({error.strerror}).") from error
        try:
            yield path
        finally:
            try:
                shutil.rmtree(path)
            except OSError as error:
                # The render's own outcome stands; the folder goes with the process.
                _log.warning("scratch.stuck", "A render's files cannot be removed", path=str(path), reason=str(error))

    def close(self) -> None:
        self._owned.release()

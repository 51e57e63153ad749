"""Folders for the files of running renders: one for the process, within it one for each execution.

Whatever ends a render, its folder is removed; when the process itself is killed, the next one that starts in
the same place sweeps it away (flowscale.folders). When somebody removes the process's folder under it, the next
render gets a new one.
"""

from __future__ import annotations

import errno
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flowscale import logs
from flowscale.errors import DiskFull, RenderError, StorageFailed
from flowscale.folders import OwnedFolder

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}

_log = logs.get("scratch")


class Scratch:
    """The process's scratch. Safe to use from several threads. Raises OSError when `root` cannot be used."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._owned = OwnedFolder.claim(root)
        self._claiming = threading.Lock()

    @contextmanager
    def folder(self, execution_id: str) -> Iterator[Path]:
        """A new folder, removed with all in it at the end of the block.

        Raises DiskFull when there is no room, StorageFailed when the scratch cannot be used for another reason.
        """
        try:
            path = self._make(execution_id)
        except OSError as error:
            raise self._fault(error) from error
        try:
            yield path
        finally:
            try:
                shutil.rmtree(path)
            except OSError as error:
                # The render's own outcome stands; the folder goes with the process.
                _log.warning("scratch.stuck", "A render's files cannot be removed", path=str(path), reason=str(error))

    def close(self) -> None:
        with self._claiming:
            self._owned.release()

    def _make(self, name: str) -> Path:
        path = self._owned.path / name
        try:
            path.mkdir()
        except FileNotFoundError:
            self._claim_again()
            path = self._owned.path / name
            path.mkdir()
        return path

    def _claim_again(self) -> None:
        with self._claiming:
            if self._owned.held:
                return  # another slot was faster
            _log.warning("scratch.gone", "The scratch folder was removed; making a new one", path=str(self._owned.path))
            self._owned.release()  # its lock is still open
            self._owned = OwnedFolder.claim(self._root)

    def _fault(self, error: OSError) -> RenderError:
        _log.error("scratch.unusable", "No folder can be made for a render", path=str(self._root), reason=str(error))
        if error.errno in _NO_ROOM:
            return DiskFull(f"The worker has no room for the files of a render ({error.strerror}). Free space, retry.")
        return StorageFailed(
            f"The worker cannot make a folder for the files of a render ({error.strerror}): its scratch folder must be "
            "there and writable."
        )

"""A folder tree that no symbolic link leads out of, and where files appear and vanish whole.

Every step below the root goes through the fd of the folder before it and follows no link (O_NOFOLLOW), so
that the answer cannot change between a check and its use. The root itself may be a link or a mount point.

Paths are tuples of names. Everything raises OSError: ENOENT for what is not there, ENODEV when the root has
gone, ELOOP, ENOTDIR or EISDIR for a path over a link or over something else than folders and plain files.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from pathlib import Path

from flowscale.storage.base import CHUNK

MISLEADING = {errno.ELOOP, errno.ENOTDIR, errno.EISDIR}
"""A path over a link, or over something else than folders and plain files."""

_NOT_EMPTY = {errno.ENOTEMPTY, errno.EEXIST}  # POSIX allows either of rmdir
_PLACE_ATTEMPTS = 100  # one is lost only when another process removes the still empty folder in the same instant

Names = tuple[str, ...]


class Tree:
    def __init__(self, root: Path) -> None:
        self.root = root
        # Within the process, nobody removes a folder that somebody else has just made to put something in.
        self._shaping = threading.Lock()

    @contextmanager
    def folder(self, path: Names, *, create: bool = False) -> Iterator[int]:
        """The fd of a folder; `create` makes what is missing of it."""
        with self._way(path, create=create) as way:
            yield way[-1]

    def open(self, path: Names) -> FileIO:
        """A plain file, for reading."""
        with self.folder(path[:-1]) as folder:
            return open_plain(path[-1], folder)

    def names(self, path: Names) -> list[str]:
        """What is in a folder, sorted; nothing if there is no such folder."""
        try:
            with self.folder(path) as folder:
                return sorted(os.listdir(folder))
        except FileNotFoundError:
            return []

    def place(self, source: Path, path: Names) -> None:
        """Rename a finished file to its place, atomically, then make that durable. Missing folders are made."""
        for attempt in range(1, _PLACE_ATTEMPTS + 1):
            try:
                with ExitStack() as stack:
                    with self._shaping:
                        way = stack.enter_context(self._way(path[:-1], create=True))
                        with suppress(FileNotFoundError):
                            _refuse_link(path[-1], way[-1])
                        os.replace(source, path[-1], dst_dir_fd=way[-1])
                    # Only now: a folder is safe from deletions of others once there is something in it.
                    for folder in reversed(way):
                        os.fsync(folder)
                    return
            except FileNotFoundError:
                if attempt == _PLACE_ATTEMPTS or not source.exists():
                    raise

    def link(self, path: Names, target: Path) -> os.stat_result:
        """Make `target` another name of the file, and say which file that is."""
        with self.folder(path[:-1]) as folder:
            os.link(path[-1], target, src_dir_fd=folder, follow_symlinks=False)
        linked = os.stat(target, follow_symlinks=False)
        if not stat.S_ISREG(linked.st_mode):
            target.unlink()
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        return linked

    def remove(self, path: Names) -> None:
        """Remove a file, and the folders this leaves empty, except the topmost. No error when it is not there."""
        with self._shaping:
            with suppress(FileNotFoundError), self.folder(path[:-1]) as folder:
                _refuse_link(path[-1], folder)
                os.unlink(path[-1], dir_fd=folder)
            for depth in range(len(path) - 1, 1, -1):
                if not self._remove_if_empty(path[:depth]):
                    return

    @contextmanager
    def _way(self, path: Names, *, create: bool) -> Iterator[list[int]]:
        """The fds of the root and of every folder down to `path`."""
        way: list[int] = []
        try:
            try:
                way.append(os.open(self.root, os.O_RDONLY | os.O_DIRECTORY))
            except (FileNotFoundError, NotADirectoryError) as fault:
                raise OSError(errno.ENODEV, "the folder has gone") from fault
            for name in path:
                if create:
                    with suppress(FileExistsError):
                        os.mkdir(name, dir_fd=way[-1])
                way.append(os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=way[-1]))
            yield way
        finally:
            for folder in way:
                os.close(folder)

    def _remove_if_empty(self, path: Names) -> bool:
        """Whether the folder is gone."""
        try:
            with suppress(FileNotFoundError), self.folder(path[:-1]) as parent:
                os.rmdir(path[-1], dir_fd=parent)
        except OSError as fault:
            if fault.errno in _NOT_EMPTY:
                return False
            raise
        return True


def open_plain(name: str | Path, folder: int | None = None) -> FileIO:
    """A plain file, for reading; not through a link, and without waiting for a pipe's other end."""
    opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    try:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise OSError(errno.EISDIR, "not a plain file")
        return FileIO(opened)
    except BaseException:
        os.close(opened)
        raise


@contextmanager
def passing_over() -> Iterator[None]:
    """Leave the block at what is gone by now, or is a link, a file or a folder where it does not belong."""
    try:
        yield
    except OSError as fault:
        if fault.errno != errno.ENOENT and fault.errno not in MISLEADING:
            raise


def copy_out(file: FileIO, target: Path) -> None:
    """Copy an open file from where it stands to a new file; whole, or nothing is left."""
    with open(target, "xb") as copy:
        try:
            shutil.copyfileobj(file, copy, CHUNK)
            copy.flush()
        except BaseException:
            target.unlink()
            raise


def _refuse_link(name: str, folder: int) -> None:
    if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))

"""Folders that belong to one living process and are gone after it, even after SIGKILL.

An owned folder is `<root>/<32 hex>/` with a `.lock` file inside, on which its owner holds an flock. The kernel
drops the lock when the owner dies, however it dies, so a lock that can be taken means a dead owner: whoever
claims a folder first sweeps away its dead siblings.

Making a folder and locking it are two steps, and another process may sweep between them. Nobody waits for
anybody: without the lock a sweeper removes only a folder that is empty, and whoever has taken a lock looks
whether the file it locked is still the one under that name. A claim that loses the race goes on with another
name.

The root must lie on a file system whose flock is seen by everyone who uses it: any local one, NFS with its
locks on (not `nolock`, not `local_lock=flock`).
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from flowscale import logs

_LOCK = ".lock"
_NAME = re.compile(r"[0-9a-f]{32}\Z")
_NOT_EMPTY = {errno.ENOTEMPTY, errno.EEXIST}  # POSIX allows either of rmdir

_log = logs.get("folders")

_held: set[OwnedFolder] = set()
_forking = threading.Lock()
"""Held over every fork, so that no fork falls between locking a folder and noting that it is held."""


class OwnedFolder:
    """A folder (mode 0700) that is removed by `release`, or by a sweep once its process is dead.

    Programs that the owner starts do not keep it alive, nor do forked children: in a child the folder is no
    longer held, and `release` does nothing. The name `.lock` inside is taken.
    """

    def __init__(self, path: Path, lock: int, swept: int) -> None:
        """Called by `claim` alone. `lock` is the fd that holds the flock."""
        self.path = path
        self.swept = swept  # folders of dead owners that the claim removed
        self._lock: int | None = lock

    @classmethod
    def claim(cls, root: Path) -> OwnedFolder:
        """Sweep `root` (made if absent) and make a folder of our own there. Raises OSError."""
        root = root.absolute()
        root.mkdir(parents=True, exist_ok=True)
        swept = sweep(root)
        while True:
            path = root / secrets.token_hex(16)
            path.mkdir(mode=0o700)
            with _forking, suppress(FileNotFoundError):  # it was swept: we try again
                lock = _take_lock(path, os.O_CREAT)
                if lock is not None:
                    folder = cls(path, lock, swept)
                    _held.add(folder)
                    return folder

    @property
    def held(self) -> bool:
        """Whether this process owns the folder and it is still there."""
        return self._lock is not None and self.path.is_dir()

    def release(self) -> None:
        """Remove the folder and all in it; again is no error. Without a hold, a later sweep would do the rest.

        Raises OSError when something in it cannot be removed. What a program of ours that still runs goes on
        writing there is logged and left to the next sweep.
        """
        lock, self._lock = self._lock, None
        if lock is None:
            return
        _held.discard(self)
        try:
            _remove(self.path, lock)
        except OSError as fault:
            if fault.errno in _NOT_EMPTY:
                _log.warning("folder.busy", "Somebody writes in a folder that is being removed", path=str(self.path))
            elif fault.errno == errno.ENOENT and not self.path.exists():
                _log.warning("folder.missing", "A folder was gone before its owner released it", path=str(self.path))
            else:
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _disown(self) -> None:
        """In a forked child: close our copy of the fd, so that the lock ends with the parent."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def sweep(root: Path) -> int:
    """Remove every owned folder in `root` whose owner is dead; how many that were. Raises OSError for `root`.

    Whatever is not named like an owned folder is left alone. A folder that cannot be removed is logged and
    left for the next sweep.
    """
    with os.scandir(root) as entries:
        candidates = [
            Path(entry.path) for entry in entries if _NAME.match(entry.name) and entry.is_dir(follow_symlinks=False)
        ]
    removed = 0
    for path in candidates:
        try:
            removed += _sweep_one(path)
        except OSError as fault:
            # Gone: its owner or another sweep was faster. Not empty: an orphan still writes there.
            if fault.errno != errno.ENOENT and fault.errno not in _NOT_EMPTY:
                _log.warning(
                    "folder.stuck",
                    "A dead process's folder cannot be removed; its space stays taken",
                    path=str(path),
                    reason=str(fault),
                )
    if removed:
        _log.info("folder.swept", "Removed folders of dead processes", root=str(root), removed=removed)
    return removed


def _sweep_one(folder: Path) -> bool:
    """Remove the folder if its owner is dead; whether it is removed."""
    try:
        lock = _take_lock(folder)
    except FileNotFoundError:
        # Its owner died before it had a lock or at the end of a removal; or it has not come to the lock yet.
        try:
            os.rmdir(folder)
            return True
        except OSError as fault:
            if fault.errno not in _NOT_EMPTY:
                raise
        # Somebody wrote there after the lock was removed, or the owner has made its lock just now.
        lock = _take_lock(folder, os.O_CREAT)
    if lock is None:
        return False
    _remove(folder, lock)
    return True


def _take_lock(folder: Path, create: int = 0) -> int | None:
    """The fd that now holds the folder's lock; None when somebody else has it. Raises FileNotFoundError, OSError."""
    name = folder / _LOCK
    lock = os.open(name, os.O_RDWR | os.O_NOFOLLOW | create, 0o600)
    taken = False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        taken = os.path.samestat(os.fstat(lock), os.stat(name, follow_symlinks=False))
    except (BlockingIOError, FileNotFoundError):
        return None
    finally:
        if not taken:
            os.close(lock)
    return lock if taken else None


def _remove(folder: Path, lock: int) -> None:
    """Remove a folder whose lock we hold, the lock file last: dying here leaves a folder that can be swept."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name == _LOCK:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)
        os.unlink(folder / _LOCK)
    finally:
        # Before rmdir: NFS keeps an unlinked file under another name in its folder while it is open.
        os.close(lock)
    with suppress(FileNotFoundError):  # a sweep that found it empty was faster
        os.rmdir(folder)


def _after_fork_in_child() -> None:
    _forking.release()
    for folder in _held:
        folder._disown()
    _held.clear()


os.register_at_fork(before=_forking.acquire, after_in_parent=_forking.release, after_in_child=_after_fork_in_child)

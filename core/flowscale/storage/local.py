"""Storage in a folder: one machine's disk, or a mounted folder that all machines share (NFS).

    <root>/uploads/<fileId>/<name>
    <root>/outputs/<jobId>/<execution>/<name>
    <root>/incoming/<random>/      half-written files, in a folder owned by the process that writes them
    <root>/partial/                what any process may continue (partial.py)

A stored file is complete before it gets its name and is never written to again: an overwrite puts another
file under the name. So a reader keeps what it has opened, and a hard link is as good as a copy.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

from flowscale import names
from flowscale.errors import DiskFull, FileNotFound, FlowScaleError, InvalidPath, StorageUnavailable
from flowscale.folders import OwnedFolder
from flowscale.names import is_file_id, is_key, is_key_prefix
from flowscale.storage.base import CHUNK, WRITER_MOST, OpenUpload, Part, StoredObject
from flowscale.storage.partial import PartialFiles
from flowscale.storage.tree import MISLEADING, Names, Tree, copy_out, open_plain, passing_over

FOLDERS = ("uploads", "outputs")

LOCAL_PART = 8 * 1024 * 1024
"""Bytes of a part: little to send again after a cut, and as many writes made durable at once."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# Another file system, one without hard links, or a file that is not ours: copying may still work.
_COPY_INSTEAD = {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.EOPNOTSUPP}


class LocalStorage:
    """Storage under `root`. `close` it at the end.

    `shared`: the folder is mounted on several machines. It must be there then (a mount that failed must not be
    filled up unseen), and half-written files lie in a folder for each machine: whether their process still lives
    is known there only. Otherwise it is made if absent. Raises StorageUnavailable when there is no such folder.
    """

    def __init__(self, root: Path, *, shared: bool = False) -> None:
        self.root = root.absolute()
        self._tree = Tree(self.root)
        self._partial = PartialFiles(self._tree)
        self._shared = shared
        self._incoming: OwnedFolder | None = None
        self._claiming = threading.Lock()
        if shared:
            if not self.root.is_dir():
                raise StorageUnavailable(f"The shared folder {self.root} is not there. Mount it, or name another.")
            return
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise StorageUnavailable(
                f"The storage folder {self.root} cannot be made ({fault.strerror}). Make it, or set another."
            ) from fault

    def writer(self, key: str, most: int = WRITER_MOST) -> LocalWriter:
        _parts(key)
        return LocalWriter(self, key)

    def put_file(self, key: str, source: Path) -> StoredObject:
        """Moves the file where it can; it must be a plain file (InvalidPath) that nobody writes to any more."""
        path = _parts(key)
        with self._reading(source.name):
            file = open_plain(source)
        with file, self._writing(key, self.root):
            os.fsync(file.fileno())
            try:
                self._tree.place(source, path)
                return _described(key, os.fstat(file.fileno()))
            except OSError as fault:
                if fault.errno not in _COPY_INSTEAD:
                    raise
            with self.writer(key) as writer:
                shutil.copyfileobj(file, writer, CHUNK)
                return writer.commit()

    def fetch(self, key: str, target: Path) -> StoredObject:
        path = _parts(key)
        with self._open(key) as file, self._writing(key, target.parent):
            try:
                return _described(key, self._tree.link(path, target))
            except OSError as fault:
                # ENOENT: deleted since it was opened, which does not stop the copy; or there is no such folder
                if fault.errno not in _COPY_INSTEAD and fault.errno != errno.ENOENT:
                    raise
            copy_out(file, target)
            return _described(key, os.fstat(file.fileno()))

    def open_range(self, key: str, start: int, length: int) -> Generator[bytes, None, None]:
        """Opens the file before it returns; closing the generator closes the file. Raises ValueError below 0."""
        if start < 0 or length < 0:
            raise ValueError(f"a range has no negative numbers: start {start}, length {length}")
        pieces = self._pieces(key, self._open(key), start, length)
        next(pieces)  # into its `with`: a generator closed before its first step would leave the file open
        return pieces

    def stat(self, key: str) -> StoredObject:
        with self._open(key) as file, self._reading(key):
            return _described(key, os.fstat(file.fileno()))

    def find(self, prefix: str) -> Iterator[StoredObject]:
        """In the order of the keys. What is not named like a key is passed over."""
        if not is_key_prefix(prefix):
            raise InvalidPath(f"{prefix!r} is not the beginning of a storage key.")
        return self._walk(prefix)

    def delete(self, key: str) -> None:
        """Removes the folders it leaves empty, too."""
        path = _parts(key)
        with self._reading(key):
            self._tree.remove(path)

    def url(self, key: str) -> str | None:
        _parts(key)
        return None

    def signed_url(self, key: str, seconds: int, *, attachment: bool = False) -> str | None:
        _parts(key)
        return None

    def part_size(self, total: int) -> int:
        return LOCAL_PART

    def begin(self, key: str) -> str:
        _parts(key)
        with self._writing(key, self.root):
            return self._partial.begin(key)

    def part(self, key: str, upload: str, number: int, start: int, data: bytes | memoryview) -> Part:
        _parts(key)
        with self._reading(f"that is being uploaded as {key}"):
            return self._partial.part(upload, number, start, data)

    def complete(self, key: str, upload: str, parts: Sequence[Part]) -> StoredObject:
        path = _parts(key)
        with self._reading(f"that is being uploaded as {key}"):
            try:
                return _described(key, self._partial.complete(upload, parts, path))
            except ValueError as fault:
                raise StorageUnavailable(f"The upload of {key} cannot be completed: {fault}.") from fault

    def abort(self, key: str, upload: str) -> None:
        _parts(key)
        with self._writing(key, self.root):
            self._partial.abort(upload)

    def open_uploads(self) -> Iterator[OpenUpload]:
        with self._writing("partial", self.root):
            yield from [OpenUpload(*found) for found in self._partial.open()]

    def presigned_part(self, key: str, upload: str, number: int, size: int, seconds: int) -> str | None:
        _parts(key)
        return None

    def parts(self, key: str, upload: str) -> list[Part]:
        _parts(key)
        with self._reading(f"that is being uploaded as {key}"):
            return self._partial.parts(upload)

    def put_rest(self, file_id: str, start: int, data: bytes | memoryview) -> None:
        with self._writing(f"the rest of {_file_id(file_id)}", self.root):
            self._partial.put_rest(file_id, start, data)

    def rest(self, file_id: str, start: int) -> bytes:
        with self._reading(f"that is the rest of {_file_id(file_id)}"):
            return self._partial.rest(file_id, start)

    def drop_rests(self, file_id: str) -> None:
        with self._writing(f"the rest of {_file_id(file_id)}", self.root):
            self._partial.drop_rests(file_id)

    def reap(self, before_ms: int) -> int:
        """Also removes what machines left half-written that did not come back to sweep it."""
        with self._writing("partial", self.root):
            return self._partial.reap(before_ms) + self._reap_strangers(before_ms)

    def _reap_strangers(self, before_ms: int) -> int:
        if not self._shared:
            return 0
        reaped = 0
        for host in self._tree.names(("incoming",)):
            entries: list[str] = []
            with passing_over():
                entries = self._tree.names(("incoming", host))
            for name in entries:
                with passing_over(), self._tree.folder(("incoming", host)) as folder:
                    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode) and _newest(self.root / "incoming" / host / name) < before_ms:
                        shutil.rmtree(self.root / "incoming" / host / name)
                        reaped += 1
        return reaped

    def describe(self, folder: str) -> str:
        if folder not in FOLDERS:
            raise InvalidPath(f"There is no folder {folder!r} in the storage.")
        return str(self.root / folder)

    def check(self) -> None:
        """Does what storing does: fills a block in `incoming` and moves it to where objects live."""
        try:
            for name in FOLDERS:
                with self._writing(name, self.root):
                    probe = self._incoming_path() / secrets.token_hex(16)
                    try:
                        probe.write_bytes(bytes(4096))
                        # One name for all processes: one that dies here leaves one small file at most.
                        self._tree.place(probe, (name, ".writable"))
                        self._tree.remove((name, ".writable"))
                    finally:
                        probe.unlink(missing_ok=True)
        except DiskFull as fault:
            raise StorageUnavailable(fault.message) from fault
        except InvalidPath as fault:
            raise StorageUnavailable(f"{fault.message} Make it a real folder of {self.root}.") from fault

    def close(self) -> None:
        """Remove what is half-written. The storage can be used again afterwards."""
        with self._claiming, self._writing("incoming", self.root):
            folder, self._incoming = self._incoming, None
            if folder is not None:
                folder.release()

    def _incoming_path(self) -> Path:
        """Our folder for half-written files; claimed anew after a fork, or when somebody has removed it."""
        with self._claiming:
            if self._incoming is None or not self._incoming.held:
                parent = ("incoming", names.safe_name(os.uname().nodename, fallback="host"))[: 1 + self._shared]
                with self._tree.folder(parent, create=True):
                    self._incoming = OwnedFolder.claim(self.root.joinpath(*parent))
            return self._incoming.path

    def _open(self, key: str) -> FileIO:
        path = _parts(key)
        with self._reading(key):
            return self._tree.open(path)

    def _pieces(self, key: str, file: FileIO, start: int, length: int) -> Generator[bytes, None, None]:
        with file, self._reading(key):
            file.seek(min(start, os.fstat(file.fileno()).st_size))
            yield b""
            while length > 0 and (piece := file.read(min(CHUNK, length))):
                yield piece
                length -= len(piece)

    def _walk(self, prefix: str) -> Iterator[StoredObject]:
        with self._reading(prefix):
            entries = self._tree.names(tuple(prefix.split("/")[:-1]))
        for name in entries:
            below = f"{prefix}{name}"
            try:
                if is_key(below):
                    yield self.stat(below)
                elif is_key_prefix(f"{below}/"):
                    yield from self._walk(f"{below}/")
            except (FileNotFound, InvalidPath):
                continue  # deleted meanwhile; or a link, a file or a folder where it does not belong

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        """As `_writing`, but what is not there is FileNotFound."""
        with self._writing(what, self.root):
            try:
                yield
            except FileNotFoundError as fault:
                raise FileNotFound(f"There is no file {what}.") from fault

    @contextmanager
    def _writing(self, what: str, where: Path) -> Iterator[None]:
        """Operating system errors as the protocol's: `what` (a key, a folder) was to be used in `where`."""
        try:
            yield
        except OSError as fault:
            raise _translation(fault, what, where) from fault


class LocalWriter:
    """A file in `incoming` until `commit` gives it its name. Not for several threads at once."""

    def __init__(self, storage: LocalStorage, key: str) -> None:
        self._storage = storage
        self._key = key
        with self._writing():
            self._half = storage._incoming_path() / secrets.token_hex(16)
            self._file = FileIO(self._half, "xb")

    def write(self, data: bytes | memoryview) -> None:
        """Raises ValueError after the end, like any closed file; so does `commit`."""
        left = memoryview(data).cast("B")
        with self._writing():
            while left:
                left = left[self._file.write(left) :]

    def commit(self) -> StoredObject:
        with self._writing():
            os.fsync(self._file.fileno())
            self._storage._tree.place(self._half, _parts(self._key))
            stored = _described(self._key, os.fstat(self._file.fileno()))
            self._file.close()
            return stored

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._file.closed:
            with self._writing():
                try:
                    self._file.close()
                finally:
                    self._half.unlink(missing_ok=True)

    def _writing(self) -> AbstractContextManager[None]:
        return self._storage._writing(self._key, self._storage.root)


def _parts(key: str) -> Names:
    if not is_key(key):
        raise InvalidPath(f"{key!r} is not a storage key.")
    return tuple(key.split("/"))


def _file_id(text: str) -> str:
    if not is_file_id(text):
        raise InvalidPath(f"{text!r} is not the id of a file.")
    return text


def _newest(folder: Path) -> int:
    """When something in the folder was last written to, Unix ms."""
    return max(path.lstat().st_mtime_ns for path in [folder, *folder.iterdir()]) // 1_000_000


def _described(key: str, status: os.stat_result) -> StoredObject:
    """The etag needs no look at the content: no stored file is ever written to again, so other content means
    another file. It has another inode while the old one exists (so between a version and the next), and where
    an inode number is used again, another time of writing.
    """
    etag = f"{status.st_size:x}-{status.st_mtime_ns:x}-{status.st_ino:x}"
    return StoredObject(key, status.st_size, etag, status.st_mtime_ns // 1_000_000)


def _translation(fault: OSError, what: str, where: Path) -> FlowScaleError:
    if fault.errno in MISLEADING:
        return InvalidPath(f"{what} leads over a link, or over something that is no plain file or folder.")
    reason = fault.strerror or str(fault)
    if fault.errno in _FULL:
        return DiskFull(f"There is no room for {what} in {where} ({reason}). Free space there or enlarge it.")
    return StorageUnavailable(
        f"{where} cannot be used ({what}: {reason}). See that this folder is there (mounted) and that the user"
        " this process runs as may write in it."
    )

"""Objects in the making that any process may continue, in a folder tree.

    <root>/partial/<upload>/whole        the bytes of all parts, each at its place
    <root>/partial/<upload>/<number>     one line a stored part: its start, size and tag; written after its bytes
    <root>/partial/<upload>/key          the object's key
    <root>/partial/rests/<fileId>/<start>

A part is durable before its line is, so a line is a promise. Completing is a rename: nothing is copied, however large
the object. Paths and errors are tree.py's.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress

from flowscale.storage.base import Part
from flowscale.storage.tree import Names, Tree, passing_over

PARTIAL = "partial"
RESTS = "rests"

_WHOLE = "whole"
_KEY = "key"
_UPLOAD = re.compile(r"[0-9a-f]{32}\Z")
_NUMBER = re.compile(r"[1-9][0-9]{0,4}\Z")


class PartialFiles:
    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def begin(self, key: str) -> str:
        upload = secrets.token_hex(16)
        with self._tree.folder((PARTIAL, upload), create=True) as folder:
            _write(folder, _WHOLE, b"")
            _write(folder, _KEY, key.encode())
        return upload

    def part(self, upload: str, number: int, start: int, data: bytes | memoryview) -> Part:
        part = Part(number, len(data), secrets.token_hex(8))
        with self._folder(upload) as folder:
            whole = os.open(_WHOLE, os.O_WRONLY | os.O_NOFOLLOW, dir_fd=folder)
            try:
                left = memoryview(data).cast("B")
                while left:
                    written = os.pwrite(whole, left, start)
                    left, start = left[written:], start + written
                os.fsync(whole)
            finally:
                os.close(whole)
            _write(folder, str(number), f"{start - part.size} {part.size} {part.tag}".encode())
        return part

    def parts(self, upload: str) -> list[Part]:
        return [part for _start, part in self._lines(upload)]

    def complete(self, upload: str, parts: Sequence[Part], path: Names) -> os.stat_result:
        """Raises ValueError when the parts are not what is stored."""
        stored = self._lines(upload)
        starts = [sum(part.size for part in parts[:index]) for index in range(len(parts))]
        if stored != list(zip(starts, parts, strict=True)):
            raise ValueError("the parts named are not the parts that are stored, one after the other")
        with self._folder(upload) as folder:
            whole = os.open(_WHOLE, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
        try:
            if os.fstat(whole).st_size != sum(part.size for part in parts):
                raise ValueError("the file has another size than its parts")
            self._tree.place(self._tree.root / PARTIAL / upload / _WHOLE, path)
            status = os.fstat(whole)
        finally:
            os.close(whole)
        self.abort(upload)
        return status

    def abort(self, upload: str) -> None:
        if _UPLOAD.match(upload):
            with self._tree.folder((PARTIAL,), create=True), suppress(FileNotFoundError):
                shutil.rmtree(self._tree.root / PARTIAL / upload)

    def open(self) -> Iterator[tuple[str, str, int]]:
        """The key, the upload and the time it was begun (Unix ms) of each that is not complete."""
        for upload in self._tree.names((PARTIAL,)):
            if not _UPLOAD.match(upload):
                continue
            found = None
            with passing_over(), self._tree.folder((PARTIAL, upload)) as folder:
                os.stat(_WHOLE, dir_fd=folder)
                begun = os.stat(_KEY, dir_fd=folder, follow_symlinks=False).st_mtime_ns // 1_000_000
                found = (_read(folder, _KEY).decode(), upload, begun)
            if found is not None:  # else it is being begun, completed or aborted
                yield found

    def put_rest(self, file_id: str, start: int, data: bytes | memoryview) -> None:
        with self._tree.folder((PARTIAL, RESTS, file_id), create=True) as folder:
            _write(folder, str(start), data)

    def rest(self, file_id: str, start: int) -> bytes:
        with self._tree.folder((PARTIAL, RESTS, file_id)) as folder:
            return _read(folder, str(start))

    def drop_rests(self, file_id: str) -> None:
        with suppress(FileNotFoundError), self._tree.folder((PARTIAL, RESTS)):
            shutil.rmtree(self._tree.root / PARTIAL / RESTS / file_id)

    def reap(self, before_ms: int) -> int:
        """Removes uploads and rests in which nothing was written since; how many."""
        reaped = 0
        for path in [(PARTIAL,), (PARTIAL, RESTS)]:
            for name in self._tree.names(path):
                if name == RESTS or not _UPLOAD.match(name):
                    continue
                with passing_over():
                    with self._tree.folder((*path, name)) as folder:
                        touched = os.fstat(folder).st_mtime_ns // 1_000_000
                    if touched < before_ms:
                        shutil.rmtree(self._tree.root.joinpath(*path, name))
                        reaped += 1
        return reaped

    def _folder(self, upload: str) -> AbstractContextManager[int]:
        if not _UPLOAD.match(upload):
            raise FileNotFoundError(f"no upload {upload!r}")
        return self._tree.folder((PARTIAL, upload))

    def _lines(self, upload: str) -> list[tuple[int, Part]]:
        """Start and part, by number."""
        with self._folder(upload) as folder:
            found = []
            for number in sorted((name for name in os.listdir(folder) if _NUMBER.match(name)), key=int):
                start, size, tag = _read(folder, number).decode().split()
                found.append((int(start), Part(int(number), int(size), tag)))
            return found


def _write(folder: int, name: str, data: bytes | memoryview) -> None:
    """A small file, whole and durable before it has its name."""
    half = f".{name}.{secrets.token_hex(8)}"
    opened = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644, dir_fd=folder)
    try:
        with os.fdopen(opened, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(half, name, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(half, dir_fd=folder)
        raise


def _read(folder: int, name: str) -> bytes:
    with os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder), "rb") as file:
        return file.read()

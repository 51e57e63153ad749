"""A storage whose every operation is counted: how many, how long, how many bytes, and what the storage failed.

A process wraps its storage in this where it is composed. What the tally holds is shown by a gateway as its own figures;
a worker, which nobody can ask, hands it to the queue with the end of an execution (queues/figures.py).

A failure is what the storage did: that a key holds nothing (FileNotFound) or is not of our form is an answer. Time is
that of the storage, not that of who takes the bytes from it.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from flowscale.clocks import Clock
from flowscale.errors import DiskFull, StorageUnavailable
from flowscale.storage.base import WRITER_MOST, ObjectWriter, OpenUpload, Part, Storage, StoredObject

OPERATIONS = ("write", "put", "fetch", "read", "stat", "list", "delete", "multipart", "part", "rest", "check")
"""What operations are called in figures. `multipart`: beginning, completing and ending an object in parts; `rest`: the
bytes of an upload that fill no part yet."""

_Answer = TypeVar("_Answer")


class Tally:
    """Counts by the names that queues/figures.py uses. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def add(self, operation: str, *, calls: int = 0, seconds: float = 0.0, moved: int = 0) -> None:
        """`moved`: bytes."""
        with self._lock:
            if calls:
                self._counts[f"storage:calls:{operation}"] += calls
            if moved:
                self._counts[f"storage:bytes:{operation}"] += moved
            self._seconds[operation] += seconds

    def fail(self, operation: str, code: str) -> None:
        with self._lock:
            self._counts[f"storage:failed:{operation}:{code}"] += 1

    def counts(self) -> dict[str, int]:
        """All there is; times in whole ms."""
        with self._lock:
            times = {f"storage:ms:{operation}": round(spent * 1000) for operation, spent in self._seconds.items()}
            return {**self._counts, **times}


class CountingStorage:
    """Storage, around another one."""

    def __init__(self, storage: Storage, tally: Tally, clock: Clock) -> None:
        self.tally = tally
        self._storage = storage
        self._clock = clock

    def writer(self, key: str, most: int = WRITER_MOST) -> ObjectWriter:
        with self._timed("write", calls=1):
            return _CountingWriter(self, self._storage.writer(key, most))

    def put_file(self, key: str, source: Path) -> StoredObject:
        return self._whole("put", lambda: self._storage.put_file(key, source))

    def fetch(self, key: str, target: Path) -> StoredObject:
        return self._whole("fetch", lambda: self._storage.fetch(key, target))

    def open_range(self, key: str, start: int, length: int) -> Generator[bytes, None, None]:
        pieces = self._pieces(self._call("read", lambda: self._storage.open_range(key, start, length)))
        next(pieces)  # into its `try`: a generator closed before its first step would leave the object open
        return pieces

    def stat(self, key: str) -> StoredObject:
        return self._call("stat", lambda: self._storage.stat(key))

    def find(self, prefix: str) -> Iterator[StoredObject]:
        return self._listed(self._call("list", lambda: self._storage.find(prefix)))

    def delete(self, key: str) -> None:
        self._call("delete", lambda: self._storage.delete(key))

    def url(self, key: str) -> str | None:
        return self._storage.url(key)

    def signed_url(self, key: str, seconds: int, *, attachment: bool = False) -> str | None:
        return self._storage.signed_url(key, seconds, attachment=attachment)

    def part_size(self, total: int) -> int:
        return self._storage.part_size(total)

    def begin(self, key: str) -> str:
        return self._call("multipart", lambda: self._storage.begin(key))

    def part(self, key: str, upload: str, number: int, start: int, data: bytes | memoryview) -> Part:
        part = self._call("part", lambda: self._storage.part(key, upload, number, start, data))
        self.tally.add("part", moved=part.size)
        return part

    def complete(self, key: str, upload: str, parts: Sequence[Part]) -> StoredObject:
        return self._call("multipart", lambda: self._storage.complete(key, upload, parts))

    def abort(self, key: str, upload: str) -> None:
        self._call("multipart", lambda: self._storage.abort(key, upload))

    def open_uploads(self) -> Iterator[OpenUpload]:
        return self._listed(self._call("list", self._storage.open_uploads))

    def presigned_part(self, key: str, upload: str, number: int, size: int, seconds: int) -> str | None:
        return self._storage.presigned_part(key, upload, number, size, seconds)

    def parts(self, key: str, upload: str) -> list[Part]:
        return self._call("list", lambda: self._storage.parts(key, upload))

    def put_rest(self, file_id: str, start: int, data: bytes | memoryview) -> None:
        self._call("rest", lambda: self._storage.put_rest(file_id, start, data))
        self.tally.add("rest", moved=len(data))

    def rest(self, file_id: str, start: int) -> bytes:
        data = self._call("rest", lambda: self._storage.rest(file_id, start))
        self.tally.add("rest", moved=len(data))
        return data

    def drop_rests(self, file_id: str) -> None:
        self._call("rest", lambda: self._storage.drop_rests(file_id))

    def reap(self, before_ms: int) -> int:
        return self._call("list", lambda: self._storage.reap(before_ms))

    def describe(self, folder: str) -> str:
        return self._storage.describe(folder)

    def check(self) -> None:
        self._call("check", self._storage.check)

    def close(self) -> None:
        self._storage.close()

    @contextmanager
    def _timed(self, operation: str, calls: int = 0) -> Iterator[None]:
        began = self._clock.monotonic()
        try:
            yield
        except (StorageUnavailable, DiskFull) as error:
            self.tally.fail(operation, error.code)
            raise
        finally:
            self.tally.add(operation, calls=calls, seconds=self._clock.monotonic() - began)

    def _call(self, operation: str, call: Callable[[], _Answer]) -> _Answer:
        with self._timed(operation, calls=1):
            return call()

    def _whole(self, operation: str, call: Callable[[], StoredObject]) -> StoredObject:
        stored = self._call(operation, call)
        self.tally.add(operation, moved=stored.size)
        return stored

    def _pieces(self, pieces: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
        try:
            yield b""
            while True:
                with self._timed("read"):
                    piece = next(pieces, None)
                if piece is None:
                    return
                self.tally.add("read", moved=len(piece))
                yield piece
        finally:
            pieces.close()

    def _listed(self, listed: Iterator[_Answer]) -> Iterator[_Answer]:
        while True:
            with self._timed("list"):
                found = next(listed, None)
            if found is None:
                return
            yield found


class _CountingWriter:
    """ObjectWriter, around another one."""

    def __init__(self, counting: CountingStorage, writer: ObjectWriter) -> None:
        self._counting = counting
        self._writer = writer

    def write(self, data: bytes | memoryview) -> None:
        with self._counting._timed("write"):
            self._writer.write(data)
        self._counting.tally.add("write", moved=len(data))

    def commit(self) -> StoredObject:
        with self._counting._timed("write"):
            return self._writer.commit()

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)

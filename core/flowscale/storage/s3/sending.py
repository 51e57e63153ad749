"""Sending objects: whole when they are small, else in equal parts that are under way at once.

The memory for parts is one budget for the whole process, however many uploads it takes: who finds it used up waits,
and with it the client that sends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, Self

from flowscale.errors import StorageUnavailable
from flowscale.storage.base import Part, StoredObject

MIB = 1024 * 1024

SMALLEST_PART = 8 * MIB
"""S3 takes parts of 5 MiB or more; these are few enough to be quick and small enough to be sent again."""

MOST_PARTS = 9500
"""In one object. S3's own limit is 10,000."""

BUDGET_BYTES = 8 * SMALLEST_PART
"""Parts on their way in one process, all uploads together; beside these each upload gathers one."""

SENDERS = 8
"""Threads that send parts."""

EACH = 4
"""Parts of one upload on their way at once."""


def part_size_for(total: int) -> int:
    """Bytes of every part but the last (R2 refuses others) of an object of `total` bytes."""
    return max(SMALLEST_PART, -(-total // (MOST_PARTS * MIB)) * MIB)


class Budget:
    """Bytes that may be held at once. One holding larger than all of it is let in alone."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._changed = threading.Condition()

    def take(self, size: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._held or self._held + size <= self._most)
            self._held += size

    def give_back(self, size: int) -> None:
        with self._changed:
            self._held -= size
            self._changed.notify_all()


class Senders:
    """The threads and the budget of one process."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(SENDERS, thread_name_prefix="storage")
        self._budget = Budget(BUDGET_BYTES)
        self._spare: list[bytearray] = []  # used again: what is freed in pieces of this size, the heap keeps
        self._sparing = threading.Lock()

    def buffer(self, size: int) -> bytearray:
        """Room for a part, with whatever is in it; `spare` it afterwards."""
        with self._sparing:
            fitting = next((at for at, spare in enumerate(self._spare) if len(spare) == size), None)
            return bytearray(size) if fitting is None else self._spare.pop(fitting)

    def spare(self, buffer: bytearray) -> None:
        with self._sparing:
            if len(buffer) == SMALLEST_PART and len(self._spare) < SENDERS:
                self._spare.append(buffer)

    def send(self, call: Callable[[], Part], size: int) -> Future[Part]:
        """Begin `call` once there is memory for its `size` bytes."""
        self._budget.take(size)
        try:
            future = self._pool.submit(call)
        except BaseException:
            self._budget.give_back(size)
            raise
        future.add_done_callback(lambda _future: self._budget.give_back(size))
        return future

    @contextmanager
    def held(self, size: int) -> Iterator[None]:
        """For a part that its caller sends itself."""
        self._budget.take(size)
        try:
            yield
        finally:
            self._budget.give_back(size)

    def close(self) -> None:
        self._pool.shutdown()


class Bucket(Protocol):
    """What a sending asks of the backend; each call tries again by itself."""

    def put_whole(self, key: str, data: bytes | bytearray) -> StoredObject: ...
    def begin(self, key: str) -> str: ...
    def send_part(self, key: str, upload: str, number: int, data: bytes | bytearray, stop: threading.Event) -> Part: ...
    def complete(self, key: str, upload: str, parts: list[Part]) -> StoredObject: ...
    def abandon(self, key: str, upload: str) -> None: ...
    def senders(self) -> Senders: ...


class S3Writer:
    """An object that grows to at most `most` bytes. For one thread at a time."""

    def __init__(self, bucket: Bucket, key: str, most: int) -> None:
        self._bucket = bucket
        self._key = key
        self._part_size = part_size_for(most)
        self._gathered = bytearray()  # of a part's size once something is written; the system lends it page by page
        self._filled = 0  # bytes of it
        self._upload: str | None = None
        self._sent: list[Future[Part]] = []
        self._stop = threading.Event()
        self._closed = False

    def write(self, data: bytes | memoryview) -> None:
        """Raises ValueError after the end; what a part that was sent before met."""
        self._must_be_open()
        left = memoryview(data).cast("B")
        while left:
            # The last part may be a full one: it is sent when there is more, or at the commit.
            if self._filled == self._part_size:
                self._send()
            if not self._gathered:
                self._gathered = self._bucket.senders().buffer(self._part_size)
            piece = left[: self._part_size - self._filled]
            self._gathered[self._filled : self._filled + len(piece)] = piece
            self._filled += len(piece)
            left = left[len(piece) :]

    def commit(self) -> StoredObject:
        self._must_be_open()
        if self._upload is None:
            stored = self._bucket.put_whole(self._key, memoryview(self._gathered)[: self._filled].tobytes())
        else:
            self._send()
            parts = [future.result() for future in self._sent]
            stored = self._bucket.complete(self._key, self._upload, parts)
            self._upload = None
        self._closed = True
        return stored

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._gathered:
            self._bucket.senders().spare(self._gathered)
        self._closed = True
        self._gathered, self._filled = bytearray(), 0
        self._stop.set()
        for future in self._sent:
            future.cancel()
        for future in self._sent:
            if not future.cancelled():
                future.exception()  # ended: nothing arrives after the upload has been abandoned
        self._sent = []
        if self._upload is not None:
            upload, self._upload = self._upload, None
            self._bucket.abandon(self._key, upload)

    def _send(self) -> None:
        if self._upload is None:
            self._upload = self._bucket.begin(self._key)
        under_way = [future for future in self._sent if not future.done()]
        if len(under_way) >= EACH:
            under_way[0].result()
        for future in self._sent:
            if future.done():
                future.result()  # raises what it met: sooner is better than at the end
        buffer, filled = self._gathered, self._filled
        self._gathered, self._filled = bytearray(), 0
        # A whole part is sent from where it was gathered; only the last is shorter.
        data = buffer if filled == len(buffer) else memoryview(buffer)[:filled].tobytes()
        upload, number = self._upload, len(self._sent) + 1

        def send() -> Part:
            if self._stop.is_set():
                raise StorageUnavailable("The upload was given up.")
            return self._bucket.send_part(self._key, upload, number, data, self._stop)

        senders = self._bucket.senders()
        sending = senders.send(send, len(data))
        sending.add_done_callback(lambda _sending: senders.spare(buffer))
        self._sent.append(sending)

    def _must_be_open(self) -> None:
        if self._closed:
            raise ValueError("the object is finished")

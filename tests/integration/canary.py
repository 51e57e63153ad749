"""Things that must never be touched: a file that notices being opened, a host that notices being called.

The file is watched by inotify, so that even a read that leaves no trace in any output is seen. The host only
listens: the kernel completes a connection by itself, so it is counted whether or not anybody answers.
"""

from __future__ import annotations

import ctypes
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

MARKER = "canary-6f1e0c5a-was-here"

_IN_ACCESS = 0x00000001
_IN_OPEN = 0x00000020
_EVENT_BYTES = 16  # struct inotify_event without a name: a watch on a file gives none


@dataclass(frozen=True, slots=True)
class Touched:
    """What happened to a canary since the last look."""

    opened: int  # times the file was opened or read from
    connections: int

    def __bool__(self) -> bool:
        return bool(self.opened or self.connections)


class Canary:
    """A film and a text beside it, both watched, and a listening host. Use as a context manager.

    `film` is a real clip whose tags carry MARKER, so that a reader could use it and would show it.
    """

    def __init__(self, film: Path, text: Path) -> None:
        """The files must exist and be complete: from here on every touch counts. Raises OSError."""
        self.film = film
        self.text = text
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.setblocking(False)
        libc = ctypes.CDLL(None, use_errno=True)
        self._inotify = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        for path in (film, text):
            if libc.inotify_add_watch(self._inotify, os.fsencode(path), _IN_OPEN | _IN_ACCESS) < 0:
                raise OSError(ctypes.get_errno(), "a canary file cannot be watched", str(path))

    @property
    def url(self) -> str:
        host, port = self._listener.getsockname()
        return f"http://{host}:{port}"

    def look(self) -> Touched:
        """What was touched since the last look."""
        return Touched(self._opened(), self._connections())

    def _opened(self) -> int:
        events = 0
        while True:
            try:
                data = os.read(self._inotify, 64 * 1024)
            except BlockingIOError:
                return events
            events += len(data) // _EVENT_BYTES

    def _connections(self) -> int:
        connections = 0
        while True:
            try:
                caller, _ = self._listener.accept()
            except BlockingIOError:
                return connections
            connections += 1
            caller.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        os.close(self._inotify)

"""Uploads in many requests (tus 1.0): what a server has of a file stays there, whatever happens to the connection.

An upload is begun, sent in pieces, and asked for its result. After any trouble (a cut, a restart, a 5xx, another
request that holds the lock) the server is asked how far it is, and the file goes on from there. Waits grow from one
try to the next; they begin anew with every byte of progress. Whatever ends an upload early, Ctrl-C too, ends it on
the server: nothing is left there. A server that knows no such uploads gets the file as a form.
"""

from __future__ import annotations

import base64
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import httpx2

from flowscale.clocks import SystemClock
from flowscale.errors import FlowScaleError, InvalidPath
from flowscale_cli.client import Client, ServerError, error_of, label

ADDRESS = "/api/uploads"
VERSION = {"Tus-Resumable": "1.0.0"}
OFFSET_STREAM = "application/offset+octet-stream"

PIECE_BYTES = 32 * 1024**2
"""Of one request: below what proxies before a server let through (64 MiB is a common limit)."""

READ_BYTES = 256 * 1024

PATIENCE_SECONDS = 300.0
"""Without a byte of progress, from the first trouble on."""

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 10.0
LONGEST_ASKED_WAIT_SECONDS = 60.0
"""What of a server's Retry-After is honoured."""

ENDING_SECONDS = 5.0
"""For telling a server that an upload is not wanted any more: a person waits for it."""

BEGINNINGS = 4
"""How often a file is begun: a server that loses it again and again would take it for ever."""

_PASSING = {408, 409, 423, 425, 429, 460}
_NOT_KNOWN_THERE = {404, 405}


class Watcher(Protocol):
    """Who is told how an upload goes."""

    def sent(self, done: int) -> None:
        """So many bytes of the file are on their way; fewer than before when some were lost."""

    def note(self, words: str) -> None:
        """What the upload waits for; "" when it goes on."""


class _Trouble(FlowScaleError):
    """Something that may pass."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class _Gone(_Trouble):
    """The server has nothing of the upload any more."""


class _NotSpoken(FlowScaleError):
    """The server knows no uploads of this kind."""


def upload_resumably(
    client: Client, file: Path, watcher: Watcher, *, patience_s: float = PATIENCE_SECONDS
) -> dict[str, Any]:
    """Upload a file; the server's answer. Raises InvalidPath for one that cannot be read, and ServerError."""
    try:
        handle = file.open("rb")
    except OSError as error:
        raise InvalidPath(f"{file} cannot be read: {error.strerror}.") from error
    with handle:
        try:
            return _Upload(client, file, handle, watcher, patience_s).run()
        except _NotSpoken:
            return client.upload(file, watcher.sent)


class _Upload:
    """One file on its way."""

    def __init__(self, client: Client, file: Path, handle: BinaryIO, watcher: Watcher, patience_s: float) -> None:
        self._client = client
        self._file = file
        self._handle = handle
        self._watcher = watcher
        self._patience_s = patience_s
        self._clock = SystemClock()
        self._before = self._stat()
        self._total = self._before.st_size
        self._path = ""  # "" until the server has given it one
        self._offset: int | None = None  # None: to be asked for
        self._furthest = 0
        self._beginnings = 0
        self._reached = False  # the server has answered anything
        self._troubled_since: float | None = None
        self._wait_s = FIRST_WAIT_SECONDS

    def run(self) -> dict[str, Any]:
        try:
            while True:
                try:
                    answer = self._step()
                except _Trouble as trouble:
                    self._sit_out(trouble)
                    continue
                if answer is not None:
                    return answer
        except BaseException:
            self._end()
            raise

    def _step(self) -> dict[str, Any] | None:
        """The next request; what the last of them answers."""
        if not self._path:
            self._begin()
        elif self._offset is None:
            self._reach(_offset_in(self._ask("HEAD", 200), self._total))
        elif self._offset < self._total:
            self._send(self._offset)
        else:
            return self._result()
        return None

    def _begin(self) -> None:
        if self._beginnings == BEGINNINGS:
            raise ServerError(
                "UPLOAD_LOST",
                f"The server lost the upload of {self._file.name} {BEGINNINGS} times. Its log tells why; "
                "mend that, then run the command again.",
            )
        name = base64.b64encode(label(self._file).encode()).decode()
        answer = self._request(
            "POST", ADDRESS, {"Upload-Length": str(self._total), "Upload-Metadata": f"filename {name}"}
        )
        if answer.status_code in _NOT_KNOWN_THERE and not self._beginnings:
            raise _NotSpoken("The server knows no resumable uploads.")
        _check(answer, 201)
        # Only the id counts: a proxy may have the server believe that it is somewhere else.
        found = re.search(r"/([0-9A-Za-z_-]+)/?$", answer.headers.get("location", ""))
        if found is None:
            raise ServerError("UNEXPECTED_ANSWER", f"{answer.url} did not say where the upload goes.")
        self._path = f"{ADDRESS}/{found[1]}"
        self._beginnings += 1
        self._offset = self._furthest = 0

    def _send(self, offset: int) -> None:
        size = min(PIECE_BYTES, self._total - offset)
        headers = {"Upload-Offset": str(offset), "Content-Type": OFFSET_STREAM, "Content-Length": str(size)}
        answer = self._ask("PATCH", 204, headers, self._bytes(offset, size))
        reached = _offset_in(answer, self._total)
        if reached <= offset:
            raise _Trouble("The server kept nothing of what was sent.")
        self._reach(reached)

    def _result(self) -> dict[str, Any]:
        answer = self._ask("GET", 200)
        try:
            body = answer.json()
        except ValueError as error:
            raise error_of(answer) from error
        if not isinstance(body, dict) or "filePath" not in body:
            raise _Trouble("The server has the whole file and has not stored it yet.")
        return body

    def _reach(self, offset: int) -> None:
        """The server has this much."""
        self._offset = offset
        self._watcher.sent(offset)
        if offset > self._furthest:
            self._furthest = offset
            self._troubled_since = None
            self._wait_s = FIRST_WAIT_SECONDS

    def _bytes(self, offset: int, size: int) -> Iterator[bytes]:
        now = self._stat()
        if (now.st_size, now.st_mtime_ns) != (self._before.st_size, self._before.st_mtime_ns):
            raise self._changed()
        self._handle.seek(offset)
        while size:
            data = self._handle.read(min(READ_BYTES, size))
            if not data:
                raise self._changed()
            yield data
            size -= len(data)
            self._watcher.note("")
            self._watcher.sent(self._handle.tell())

    def _changed(self) -> InvalidPath:
        return InvalidPath(
            f"{self._file} changed while it was uploaded, so the server has parts of two files. "
            "Wait until nothing writes to it, then run the command again."
        )

    def _stat(self) -> os.stat_result:
        return os.fstat(self._handle.fileno())

    def _ask(
        self, method: str, expected: int, headers: dict[str, str] | None = None, content: Iterator[bytes] | None = None
    ) -> httpx2.Response:
        """A request about this upload. Raises _Trouble, _Gone, ServerError."""
        answer = self._request(method, self._path, headers or {}, content)
        if answer.status_code in (404, 410):
            raise _Gone(f"The server has lost the upload ({answer.status_code}); it begins anew.")
        _check(answer, expected)
        return answer

    def _request(
        self, method: str, path: str, headers: dict[str, str], content: Iterator[bytes] | None = None
    ) -> httpx2.Response:
        try:
            answer = self._client.http.request(method, path, headers=VERSION | headers, content=content)
        except httpx2.TransportError as error:
            if not self._reached and isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
                raise self._client.unreachable(error) from error
            raise _Trouble(
                f"The connection to {self._client.url} was lost ({error or type(error).__name__})."
            ) from error
        self._reached = True
        return answer

    def _sit_out(self, trouble: _Trouble) -> None:
        """Wait, and be ready to ask again. Raises ServerError when it has lasted too long."""
        self._offset = None
        if isinstance(trouble, _Gone):
            self._path = ""
        now = self._clock.monotonic()
        if self._troubled_since is None:
            self._troubled_since = now
        if now - self._troubled_since >= self._patience_s:
            raise ServerError(
                "UPLOAD_INTERRUPTED",
                f"{self._file.name} was not uploaded: {self._furthest} of {self._total} bytes had arrived, and no more "
                f"did in {self._patience_s:.0f} s. {trouble.message} Check the server and the way to it, then run the "
                "command again.",
            ) from trouble
        self._watcher.note(f"{trouble.message} Trying again.")
        time.sleep(max(self._wait_s, min(trouble.retry_after, LONGEST_ASKED_WAIT_SECONDS)))
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_SECONDS)

    def _end(self) -> None:
        """Have the server remove what it has. One that cannot be told does it by itself, a day after the last byte."""
        if not self._path:
            return
        deadline = self._clock.monotonic() + ENDING_SECONDS
        while self._clock.monotonic() < deadline:
            try:
                answer = self._client.http.delete(self._path, headers=VERSION, timeout=ENDING_SECONDS)
            except httpx2.TransportError:
                answer = None
            if answer is not None and answer.status_code < 500 and answer.status_code not in _PASSING - {409}:
                return  # ended, or complete, or not there
            time.sleep(FIRST_WAIT_SECONDS)
        self._watcher.note("The server could not be told to remove what it has of the upload; it will within a day.")


def _check(answer: httpx2.Response, expected: int) -> None:
    """Raises _Trouble for what may pass, and ServerError for what will not."""
    status = answer.status_code
    if status == expected:
        return
    if status >= 500 or status in _PASSING:
        asked = answer.headers.get("retry-after", "")
        retry_after = float(asked) if asked.isascii() and asked.isdigit() else 0.0
        raise _Trouble(_words(answer), retry_after)
    raise error_of(answer)


def _words(answer: httpx2.Response) -> str:
    """What a passing fault says; answers to HEAD, and those of proxies, say nothing."""
    if answer.content:
        error = error_of(answer)
        if error.code != "UNEXPECTED_ANSWER":
            return error.message
    return f"The server answered {answer.status_code}."


def _offset_in(answer: httpx2.Response, total: int) -> int:
    text = answer.headers.get("upload-offset", "")
    if not (text.isascii() and text.isdigit() and int(text) <= total):
        raise ServerError("UNEXPECTED_ANSWER", f"{answer.url} did not say how far the upload is.")
    return int(text)

"""Sources that another host serves: brought to a local file, whole, or not at all.

FFmpeg is never given a URL: it takes a connection that breaks for the end of the file, and ends with success. And
a URL is a client's wish that the worker connect somewhere: flowscale.outbound says where it may, for it and for each
redirect anew.

A body is whole when it has the length announced, or its last chunk. One that has neither is refused, for its end
would look like a cut. A cut is mended within the attempt: by asking for the rest, where a strong validator makes
sure that it is the rest of the same file (RFC 9110, 8.8 and 14), else from the start.

Messages name the host and nothing else of a URL, whose query may hold a secret.
"""

from __future__ import annotations

import http.client
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from flowscale import logs
from flowscale.errors import DiskFull, InvalidMedia, LimitExceeded, StorageFailed
from flowscale.media import SNIFF_BYTES, sniff
from flowscale.outbound.addresses import Network, Place, locate, redirected
from flowscale.outbound.dialling import Dialler, Manner, Resolve, reason, system_resolve
from flowscale.outbound.faults import Refused, Unreachable
from flowscale.settings import WorkerSettings
from flowscale_worker.download.replies import Version, content_length, rest_of, validator
from flowscale_worker.kit import Kit
from flowscale_worker.progress import FETCH_ENDS

MAX_REDIRECTS = 3

MENDS = 2
"""How often a transfer that was cut is taken up again within one attempt of the job."""

PIECE = 256 * 1024
"""Bytes read at most at once."""

_REDIRECTS = {301, 302, 303, 307, 308}
_LATER = {408, 421, 425, 429}  # as any 5xx: the same request may succeed in a while

_log = logs.get("download")


@dataclass(frozen=True, slots=True)
class DownloadLimits:
    """What one download may take, and where it may go beside the public internet."""

    bytes: int
    seconds: float  # for all of it, mends included
    networks: tuple[Network, ...] = ()
    idle_seconds: float = 30.0  # without a byte of the body; also for a name's answer, and for an answer's headers

    @classmethod
    def of(cls, settings: WorkerSettings) -> Self:
        return cls(settings.max_download_bytes, settings.download_timeout_seconds, settings.download_allow_networks)


def download(url: str, target: Path, kit: Kit, limits: DownloadLimits, *, resolve: Resolve = system_resolve) -> int:
    """Bring what `url` serves to the new file `target`; its size in bytes. Tells `kit` its progress, to FETCH_ENDS.

    Raises InvalidMedia (a URL or address that is refused, nothing there, no allowed media), LimitExceeded (too
    large), StorageFailed (the server, or the way to it; another attempt may succeed), DiskFull, FileExistsError,
    and what `kit.go_on` raises. The file is left only if it is whole.
    """
    with target.open("xb+", buffering=0) as file:
        try:
            return _Download(file, kit, limits, resolve).run(url)
        except BaseException:
            target.unlink(missing_ok=True)
            raise


class _Cut(Exception):
    """The transfer broke off; the message says how, as the end of a sentence."""


class _Download:
    """One download. The file holds `_size` bytes, of `_version` if a server could tell its versions apart."""

    def __init__(self, file: io.FileIO, kit: Kit, limits: DownloadLimits, resolve: Resolve) -> None:
        self._file = file
        self._kit = kit
        self._limits = limits
        manner = Manner(
            what="source",
            event="download",
            setting="FLOWSCALE_DOWNLOAD_ALLOW_NETWORKS",
            networks=limits.networks,
            idle_seconds=limits.idle_seconds,
        )
        self._dialler = Dialler(manner, kit.clock, self._go_on, resolve)
        self._size = 0
        self._version: Version | None = None
        self._sniffed = False
        self._percent = 0
        self._ends = kit.clock.monotonic() + limits.seconds

    def run(self, url: str) -> int:
        for mends_left in range(MENDS, -1, -1):
            try:
                with _as_render_errors():
                    self._attempt(url)
                break
            except _Cut as cut:
                _log.warning("download.cut", f"A download {cut}", have=self._size, mends_left=mends_left)
                if not mends_left:
                    raise StorageFailed(f"The download of the source {cut}, each of {MENDS + 1} times.") from cut
        return self._size

    def _attempt(self, url: str) -> None:
        for _ in range(MAX_REDIRECTS + 1):
            place = locate(url)
            with self._dialler.exchange("GET", place, self._headers()) as response:
                location = response.headers.get("Location")
                if response.status not in _REDIRECTS or location is None:
                    self._receive(response, place)
                    return
            url = redirected(url, location)
        raise InvalidMedia(f"The source's server redirects more than {MAX_REDIRECTS} times.")

    def _go_on(self) -> None:
        """Asked at every step. Raises what ends the execution; StorageFailed when time is up."""
        self._kit.go_on()
        if self._kit.clock.monotonic() > self._ends:
            raise StorageFailed(f"The source was not downloaded within {self._limits.seconds:.0f} s.")

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        if self._version is not None and self._size:
            headers |= {"Range": f"bytes={self._size}-", "If-Range": self._version.validator}
        return headers

    # --- taking a body ---

    def _receive(self, response: http.client.HTTPResponse, place: Place) -> None:
        """Raises _Cut when it breaks off."""
        total = self._begin(response, place)
        try:
            self._dialler.have_patience(self._limits.idle_seconds)
            while piece := response.read1(PIECE):
                self._dialler.have_patience(self._limits.idle_seconds)
                self._keep(piece, total)
        except (OSError, http.client.HTTPException) as error:
            raise _Cut(f"from {place.host} broke off ({reason(error)})") from error
        if total is not None and self._size < total:
            raise _Cut(f"from {place.host} broke off after {self._size} of {total} bytes")
        if not self._size:
            raise InvalidMedia(f"The file at {place.host} is empty.")
        if not self._sniffed:
            self._sniff()

    def _begin(self, response: http.client.HTTPResponse, place: Place) -> int | None:
        """Judge the head of an answer, and make the file ready for its body; the size of the whole, if announced."""
        status, headers, asked_for_rest = response.status, response.headers, self._version is not None and self._size
        if status in _LATER or status >= 500:
            raise StorageFailed(f"{place.host} answered {status}. Try again later.")
        if status not in ((200, 206, 416) if asked_for_rest else (200,)):
            raise InvalidMedia(f"{place.host} does not give the file: it answered {status}.")
        if headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            raise InvalidMedia(f"{place.host} sends the file compressed, which was not asked for.")
        if headers.get("Transfer-Encoding", "chunked").strip().lower() != "chunked":
            raise InvalidMedia(f"{place.host} sends the file in a transfer coding that was not asked for.")
        whole = rest_of(headers, place.host, self._version, self._size) if status == 206 else None
        if whole is None:
            self._start_over()
        if status == 200:
            total = None if response.chunked else content_length(headers, place.host)
            mark = validator(headers)
            self._version = Version(place.host, mark, total) if mark else None
        elif whole is None:
            raise _Cut(f"from {place.host} cannot be taken up where it broke off")
        else:
            total = whole
        if total is not None and total > self._limits.bytes:
            raise self._too_large()
        return total

    def _start_over(self) -> None:
        self._size, self._version, self._sniffed = 0, None, False
        with _storing():
            self._file.seek(0)
            self._file.truncate()

    def _keep(self, piece: bytes, total: int | None) -> None:
        self._size += len(piece)
        if self._size > self._limits.bytes:
            raise self._too_large()
        if total is not None and self._size > total:
            raise StorageFailed("The source's server sent more than it announced. Try again later.")
        rest = memoryview(piece)
        with _storing():
            while rest:
                rest = rest[self._file.write(rest) :]
        if not self._sniffed and self._size >= SNIFF_BYTES:
            self._sniff()
        percent = FETCH_ENDS * self._size // total if total else 0
        if percent > self._percent:
            self._percent = percent
            self._kit.tell(percent)

    def _sniff(self) -> None:
        """Early, so that nobody waits for gigabytes of something else."""
        with _storing():
            head = os.pread(self._file.fileno(), SNIFF_BYTES, 0)
        if sniff(head) is None:
            raise InvalidMedia("What the source URL serves is none of the media that can be rendered.")
        self._sniffed = True

    def _too_large(self) -> LimitExceeded:
        return LimitExceeded(f"The source is larger than the {self._limits.bytes} bytes that may be downloaded.")


@contextmanager
def _storing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DiskFull(f"The worker has no room for the source ({error.strerror}).") from error


@contextmanager
def _as_render_errors() -> Iterator[None]:
    try:
        yield
    except Refused as error:
        raise InvalidMedia(error.message) from error
    except Unreachable as error:
        raise StorageFailed(error.message) from error

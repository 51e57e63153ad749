"""Sources that another host serves: brought to a local file, whole, or not at all.

FFmpeg is never given a URL: it takes a connection that breaks for the end of the file, and ends with success. And
a URL is a client's wish that the worker connect somewhere: addresses.py says where it may. For a URL, and for each
redirect anew, the name is resolved once, every address it has is judged, and the connection goes to one of exactly
these addresses, while Host header, TLS server name and certificate check keep to the name. A DNS server that gives
another answer a moment later is not asked.

A body is whole when it has the length announced, or its last chunk. One that has neither is refused, for its end
would look like a cut. A cut is mended within the attempt: by asking for the rest, where a strong validator makes
sure that it is the rest of the same file (RFC 9110, 8.8 and 14), else from the start.

Messages name the host and nothing else of a URL, whose query may hold a secret. A name that does not exist and one
that leads inside get the same words, so that nobody looks around by sending jobs; the log tells them apart.
"""

from __future__ import annotations

import http.client
import io
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from flowscale import __version__, logs
from flowscale.errors import DiskFull, InvalidMedia, LimitExceeded, StorageFailed
from flowscale.media import SNIFF_BYTES, sniff
from flowscale.settings import WorkerSettings
from flowscale_worker.download.addresses import Address, Network, Place, locate, redirected, refusal
from flowscale_worker.download.replies import Version, content_length, rest_of, validator
from flowscale_worker.download.wire import POLL_SECONDS, Wire
from flowscale_worker.kit import Kit
from flowscale_worker.progress import FETCH_ENDS

MAX_REDIRECTS = 3

MENDS = 2
"""How often a transfer that was cut is taken up again within one attempt of the job."""

CONNECT_SECONDS = 10.0
"""For one address of a host; then the next is tried."""

PIECE = 256 * 1024
"""Bytes read at most at once."""

_REDIRECTS = {301, 302, 303, 307, 308}
_LATER = {408, 421, 425, 429}  # as any 5xx: the same request may succeed in a while
_NO_SUCH_NAME = {socket.EAI_NONAME, socket.EAI_NODATA}

_log = logs.get("download")

Resolve = Callable[[str, int], Sequence[str]]
"""All addresses of a host and port, best first. Raises socket.gaierror."""


def system_resolve(host: str, port: int) -> Sequence[str]:
    """What the system makes of a name, or of a number in any spelling."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


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
        self._resolve = resolve
        self._size = 0
        self._version: Version | None = None
        self._sniffed = False
        self._percent = 0
        self._ends = kit.clock.monotonic() + limits.seconds
        self._patience_ends = self._ends

    def run(self, url: str) -> int:
        for mends_left in range(MENDS, -1, -1):
            try:
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
            with self._exchange(place) as response:
                location = response.headers.get("Location")
                if response.status not in _REDIRECTS or location is None:
                    self._receive(response, place)
                    return
            url = redirected(url, location)
        raise InvalidMedia(f"The source's server redirects more than {MAX_REDIRECTS} times.")

    def _go_on(self) -> None:
        """Asked at every step. Raises what ends the execution; StorageFailed, TimeoutError when time is up."""
        self._kit.go_on()
        now = self._kit.clock.monotonic()
        if now > self._ends:
            raise StorageFailed(f"The source was not downloaded within {self._limits.seconds:.0f} s.")
        if now > self._patience_ends:
            raise TimeoutError("it took too long")

    def _have_patience(self, seconds: float) -> None:
        self._patience_ends = self._kit.clock.monotonic() + seconds

    # --- reaching a server ---

    @contextmanager
    def _exchange(self, place: Place) -> Iterator[http.client.HTTPResponse]:
        """The answer to our request; its body is still on the way."""
        wire = self._connect(place)
        try:
            self._have_patience(self._limits.idle_seconds)
            try:
                if place.secure:
                    wire.secure(place.host)
                connection = http.client.HTTPConnection(place.host, place.port)
                connection.sock = wire
                connection.request("GET", place.target, headers=self._headers(place))
                response = connection.getresponse()
            except ssl.SSLCertVerificationError as error:
                raise InvalidMedia(f"{place.host} has no valid certificate ({error.verify_message}).") from error
            except (OSError, http.client.HTTPException) as error:
                if _is_passing(error):
                    raise StorageFailed(f"{place.host} did not answer ({_reason(error)}). Try again later.") from error
                raise InvalidMedia(f"{place.host} does not answer as a web server does.") from error
            with response:
                yield response
        finally:
            wire.hang_up()

    def _headers(self, place: Place) -> dict[str, str]:
        headers = {
            "Host": place.authority,
            "User-Agent": f"FlowScale/{__version__}",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
        if self._version is not None and self._size:
            headers |= {"Range": f"bytes={self._size}-", "If-Range": self._version.validator}
        return headers

    def _connect(self, place: Place) -> Wire:
        fault: OSError | None = None
        for address in self._addresses(place):
            self._have_patience(CONNECT_SECONDS)
            try:
                return Wire.to(address, place.port, self._go_on)
            except OSError as error:
                fault = error
        raise StorageFailed(f"{place.host} cannot be reached ({_reason(fault)}). Try again later.") from fault

    def _addresses(self, place: Place) -> Sequence[Address]:
        """Every address the name has, all of them allowed."""
        unknown = InvalidMedia(
            f"{place.host} leads nowhere on the public internet: check its spelling. A server on a network of your "
            "own must be in FLOWSCALE_DOWNLOAD_ALLOW_NETWORKS."
        )
        try:
            addresses = [ip_address(text) for text in dict.fromkeys(self._look_up(place))]
        except TimeoutError as error:
            raise StorageFailed(f"The name {place.host} was not resolved in time. Try again later.") from error
        except socket.gaierror as error:
            reason = _reason(error)
            _log.warning("download.unresolved", "A source's host was not resolved", host=place.host, reason=reason)
            if error.errno in _NO_SUCH_NAME:
                raise unknown from error
            raise StorageFailed(f"The name {place.host} cannot be resolved now. Try again later.") from error
        why = refusal(addresses, self._limits.networks)
        if why is not None:
            _log.warning("download.refused", "A source's host is not to be connected to", host=place.host, reason=why)
            raise unknown
        return addresses

    def _look_up(self, place: Place) -> Sequence[str]:
        """In a thread that is left behind when the execution ends first: the system's resolver cannot be stopped."""
        answer: Future[Sequence[str]] = Future()

        def ask() -> None:
            try:
                answer.set_result(self._resolve(place.host, place.port))
            except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits for it
                answer.set_exception(error)

        thread = threading.Thread(target=ask, name=f"resolve-{place.host}", daemon=True)
        self._have_patience(self._limits.idle_seconds)
        thread.start()
        while not answer.done():
            thread.join(POLL_SECONDS)
            self._go_on()
        return answer.result()

    # --- taking a body ---

    def _receive(self, response: http.client.HTTPResponse, place: Place) -> None:
        """Raises _Cut when it breaks off."""
        total = self._begin(response, place)
        try:
            self._have_patience(self._limits.idle_seconds)
            while piece := response.read1(PIECE):
                self._have_patience(self._limits.idle_seconds)
                self._keep(piece, total)
        except (OSError, http.client.HTTPException) as error:
            raise _Cut(f"from {place.host} broke off ({_reason(error)})") from error
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


def _is_passing(error: Exception) -> bool:
    """Whether it is the network's fault, and not what the server says."""
    return isinstance(error, ssl.SSLEOFError) or (isinstance(error, OSError) and not isinstance(error, ssl.SSLError))


def _reason(error: Exception | None) -> str:
    """In a few words for people. No byte that a server sent is among them."""
    if isinstance(error, http.client.IncompleteRead):
        return "the last chunk is missing"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)

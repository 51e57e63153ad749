"""Sources that another host serves: brought to a local file, whole, or not at all.

FFmpeg is never given a URL: it takes a connection that breaks for the end of the file, and ends with success. And
a URL is a client's wish that the worker connect somewhere: addresses.py says where it may. For a URL, and for each
redirect anew, the name is resolved once, every address it has is judged, and the connection goes to one of exactly
these addresses, while Host header, TLS server name and certificate check keep to the name. A DNS server that gives
another answer a moment later is not asked.

That is why the standard library does the work: the usual HTTP clients, httpx2 too, resolve names deep inside and
read proxies from the environment, while http.client takes any connected socket. Ours (`_Wire`) waits in short
steps and looks at each whether to go on; a socket with a time-out could not, as after the first one http.client
reads no further.

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
import re
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from email.utils import parsedate_to_datetime
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self, TypeVar

from flowscale import __version__, logs
from flowscale.errors import DiskFull, InvalidMedia, LimitExceeded, StorageFailed
from flowscale.media import SNIFF_BYTES, sniff
from flowscale.settings import WorkerSettings
from flowscale_worker.addresses import Address, Network, Place, locate, redirected, refusal
from flowscale_worker.kit import Kit
from flowscale_worker.progress import FETCH_ENDS

MAX_REDIRECTS = 3

MENDS = 2
"""How often a transfer that was cut is taken up again within one attempt of the job."""

CONNECT_SECONDS = 10.0
"""For one address of a host; then the next is tried."""

POLL_SECONDS = 0.1
"""How often a wait looks whether to go on: well below the 2 s in which a cancel must take effect."""

PIECE = 256 * 1024
"""Bytes read at most at once."""

_REDIRECTS = {301, 302, 303, 307, 308}
_LATER = {408, 421, 425, 429}  # as any 5xx: the same request may succeed in a while
_NO_SUCH_NAME = {socket.EAI_NONAME, socket.EAI_NODATA}
_LENGTH = re.compile(r"[0-9]{1,18}")
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})")
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]{0,256}"')
_HTTP_DATE = re.compile(r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT")

_log = logs.get("download")
_T = TypeVar("_T")

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


@dataclass(frozen=True, slots=True)
class _Version:
    """What the answers must have in common for their bytes to be of one file."""

    host: str
    validator: str  # for If-Range
    total: int | None  # bytes; None when it comes in chunks


class _Download:
    """One download. The file holds `_size` bytes, of `_version` if a server could tell its versions apart."""

    def __init__(self, file: io.FileIO, kit: Kit, limits: DownloadLimits, resolve: Resolve) -> None:
        self._file = file
        self._kit = kit
        self._limits = limits
        self._resolve = resolve
        self._size = 0
        self._version: _Version | None = None
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

    def _connect(self, place: Place) -> _Wire:
        fault: OSError | None = None
        for address in self._addresses(place):
            self._have_patience(CONNECT_SECONDS)
            try:
                return _Wire.to(address, place.port, self._go_on)
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
        rest_of = self._rest_of(headers, place) if status == 206 else None
        if rest_of is None:
            self._start_over()
        if status == 200:
            total = None if response.chunked else _content_length(headers, place)
            validator = _validator(headers)
            self._version = _Version(place.host, validator, total) if validator else None
        elif rest_of is None:
            raise _Cut(f"from {place.host} cannot be taken up where it broke off")
        else:
            total = rest_of
        if total is not None and total > self._limits.bytes:
            raise self._too_large()
        return total

    def _rest_of(self, headers: Message, place: Place) -> int | None:
        """The size of the whole, if these are the headers of the rest of what the file holds."""
        version, found = self._version, _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
        if version is None or found is None or place.host != version.host:
            return None
        start, total = int(found[1]), int(found[2])
        if start != self._size or version.total not in (None, total):
            return None
        if version.validator.startswith('"'):
            same = headers.get("ETag", "").strip() == version.validator
        else:
            same = headers.get("Last-Modified", version.validator).strip() == version.validator
        return total if same else None

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


class _Wire(io.RawIOBase):
    """A connection as http.client uses one (`sendall`, `makefile`), with waits that ask `go_on` several times a second.

    `close` does nothing: http.client closes its socket while the body is still to be read. `hang_up` closes.
    """

    def __init__(self, sock: socket.socket, go_on: Callable[[], None]) -> None:
        self._sock = sock
        self._go_on = go_on
        sock.setblocking(False)

    @classmethod
    def to(cls, address: Address, port: int, go_on: Callable[[], None]) -> _Wire:
        """Raises OSError, and what `go_on` raises."""
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        wire = cls(socket.socket(family, socket.SOCK_STREAM), go_on)
        try:
            wire._connect(str(address), port)
        except BaseException:
            wire.hang_up()
            raise
        return wire

    def _connect(self, address: str, port: int) -> None:
        try:
            self._sock.connect((address, port))
        except BlockingIOError:
            self._wait(select.POLLOUT)
            fault = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if fault:
                raise OSError(fault, os.strerror(fault)) from None

    def secure(self, host: str) -> None:
        """Begin TLS with whoever has a certificate for `host`. Raises ssl.SSLError, OSError."""
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        secured = context.wrap_socket(self._sock, server_hostname=host, do_handshake_on_connect=False)
        self._sock = secured
        self._patiently(secured.do_handshake, select.POLLIN)

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._patiently(partial(self._sock.send, rest), select.POLLOUT) :]

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._patiently(partial(self._sock.recv_into, buffer), select.POLLIN)

    def close(self) -> None:
        pass

    def hang_up(self) -> None:
        self._sock.close()

    def _patiently(self, step: Callable[[], _T], ready: int) -> _T:
        while True:
            self._go_on()
            try:
                return step()
            except BlockingIOError:
                waits_for = ready
            except ssl.SSLWantReadError:  # TLS may have to read before it can write, and the other way round
                waits_for = select.POLLIN
            except ssl.SSLWantWriteError:
                waits_for = select.POLLOUT
            self._wait(waits_for)

    def _wait(self, event: int) -> None:
        poller = select.poll()
        poller.register(self._sock, event)
        while not poller.poll(POLL_SECONDS * 1000):
            self._go_on()


def _content_length(headers: Message, place: Place) -> int:
    given = headers.get_all("Content-Length", [])
    if len(given) != 1 or not _LENGTH.fullmatch(given[0].strip()):
        raise InvalidMedia(f"{place.host} does not say how long the file is, so that a part could pass for the whole.")
    return int(given[0])


def _validator(headers: Message) -> str | None:
    """For If-Range: a strong ETag, or a Last-Modified of a second at least before the answer (RFC 9110, 8.8.2.2)."""
    etag = headers.get("ETag", "").strip()
    if etag:
        return etag if _STRONG_ETAG.fullmatch(etag) else None
    modified, date = headers.get("Last-Modified", "").strip(), headers.get("Date", "").strip()
    if not (_HTTP_DATE.fullmatch(modified) and _HTTP_DATE.fullmatch(date)):
        return None
    try:
        age = parsedate_to_datetime(date) - parsedate_to_datetime(modified)
    except ValueError:  # such as the 99th of a month
        return None
    return modified if age.total_seconds() >= 1 else None


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

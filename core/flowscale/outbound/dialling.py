"""One HTTP exchange with a host that a client named: the name is resolved once, every address it has is judged, and
the connection goes to one of exactly these, while Host header, TLS server name and certificate check keep to the name.
A DNS server that gives another answer a moment later is not asked. Nothing here follows a redirect, or reads a body.

A name that does not exist and one that leads inside get the same words, so that nobody looks around by them; the log
tells them apart.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address

from flowscale import __version__, logs
from flowscale.clocks import Clock
from flowscale.outbound.addresses import Address, Network, Place, refusal
from flowscale.outbound.faults import Refused, Unreachable
from flowscale.outbound.wire import POLL_SECONDS, Wire

CONNECT_SECONDS = 10.0
"""For one address of a host; then the next is tried."""

USER_AGENT = f"FlowScale/{__version__}"

_NO_SUCH_NAME = {socket.EAI_NONAME, socket.EAI_NODATA}

Resolve = Callable[[str, int], Sequence[str]]
"""All addresses of a host and port, best first. Raises socket.gaierror."""


def system_resolve(host: str, port: int) -> Sequence[str]:
    """What the system makes of a name, or of a number in any spelling."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@dataclass(frozen=True, slots=True)
class Manner:
    """For what hosts are called, and which of them may be. `setting` names the one that `networks` come from."""

    what: str  # "source": what the URL leads to, in messages
    event: str  # "download": how its log events begin
    setting: str
    networks: tuple[Network, ...] = ()  # that may be connected to beside the public internet
    idle_seconds: float = 30.0  # for a name's answer, and for an answer's head
    clear_only_inside: bool = False  # http:// only to `networks`: what goes over the internet goes by https://


class Dialler:
    """Calls hosts, asking `go_on` several times a second: it raises what is to end the call."""

    def __init__(
        self, manner: Manner, clock: Clock, go_on: Callable[[], None], resolve: Resolve = system_resolve
    ) -> None:
        self._manner = manner
        self._clock = clock
        self._asked = go_on
        self._resolve = resolve
        self._log = logs.get(manner.event)
        self.have_patience(manner.idle_seconds)

    def have_patience(self, seconds: float) -> None:
        """From now on for so long; then TimeoutError is raised."""
        self._patience_ends = self._clock.monotonic() + seconds

    @contextmanager
    def exchange(
        self, method: str, place: Place, headers: Mapping[str, str], body: bytes | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """The answer to this request; its body is still on the way. Raises Refused, Unreachable, what `go_on` does."""
        wire = self._connect(place)
        try:
            self.have_patience(self._manner.idle_seconds)
            try:
                if place.secure:
                    wire.secure(place.host)
                connection = http.client.HTTPConnection(place.host, place.port)
                connection.sock = wire
                ours = {"Host": place.authority, "User-Agent": USER_AGENT, "Connection": "close"}
                connection.request(method, place.target, body=body, headers=ours | dict(headers))
                response = connection.getresponse()
            except ssl.SSLCertVerificationError as error:
                raise Refused(f"{place.host} has no valid certificate ({error.verify_message}).") from error
            except (OSError, http.client.HTTPException) as error:
                if _is_passing(error):
                    raise Unreachable(f"{place.host} did not answer ({reason(error)}). Try again later.") from error
                raise Refused(f"{place.host} does not answer as a web server does.") from error
            with response:
                yield response
        finally:
            wire.hang_up()

    def _go_on(self) -> None:
        self._asked()
        if self._clock.monotonic() > self._patience_ends:
            raise TimeoutError("it took too long")

    def _connect(self, place: Place) -> Wire:
        fault: OSError | None = None
        for address in self._addresses(place):
            self.have_patience(CONNECT_SECONDS)
            try:
                return Wire.to(address, place.port, self._go_on)
            except OSError as error:
                fault = error
        raise Unreachable(f"{place.host} cannot be reached ({reason(fault)}). Try again later.") from fault

    def _addresses(self, place: Place) -> Sequence[Address]:
        """Every address the name has, all of them allowed."""
        manner = self._manner
        unknown = Refused(
            f"{place.host} leads nowhere on the public internet: check its spelling. A server on a network of your "
            f"own must be in {manner.setting}."
        )
        try:
            addresses = [ip_address(text) for text in dict.fromkeys(self._look_up(place))]
        except TimeoutError as error:
            raise Unreachable(f"The name {place.host} was not resolved in time. Try again later.") from error
        except socket.gaierror as error:
            words = f"A {manner.what}'s host was not resolved"
            self._log.warning(f"{manner.event}.unresolved", words, host=place.host, reason=reason(error))
            if error.errno in _NO_SUCH_NAME:
                raise unknown from error
            raise Unreachable(f"The name {place.host} cannot be resolved now. Try again later.") from error
        why = refusal(addresses, manner.networks)
        if why is not None:
            words = f"A {manner.what}'s host is not to be connected to"
            self._log.warning(f"{manner.event}.refused", words, host=place.host, reason=why)
            raise unknown
        if manner.clear_only_inside and not place.secure and not _all_inside(addresses, manner.networks):
            raise Refused(f"{place.host} is not in {manner.setting}: a {manner.what} outside needs https://.")
        return addresses

    def _look_up(self, place: Place) -> Sequence[str]:
        """In a thread that is left behind when the call ends first: the system's resolver cannot be stopped."""
        answer: Future[Sequence[str]] = Future()

        def ask() -> None:
            try:
                answer.set_result(self._resolve(place.host, place.port))
            except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits for it
                answer.set_exception(error)

        thread = threading.Thread(target=ask, name=f"resolve-{place.host}", daemon=True)
        self.have_patience(self._manner.idle_seconds)
        thread.start()
        while not answer.done():
            thread.join(POLL_SECONDS)
            self._go_on()
        return answer.result()


def reason(error: Exception | None) -> str:
    """In a few words for people. No byte that a server sent is among them."""
    if isinstance(error, http.client.IncompleteRead):
        return "the last chunk is missing"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)


def _is_passing(error: Exception) -> bool:
    """Whether it is the network's fault, and not what the server says."""
    return isinstance(error, ssl.SSLEOFError) or (isinstance(error, OSError) and not isinstance(error, ssl.SSLError))


def _all_inside(addresses: Sequence[Address], networks: Sequence[Network]) -> bool:
    return all(any(address in network for network in networks) for address in addresses)

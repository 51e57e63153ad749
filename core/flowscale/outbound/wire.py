"""A connection to one address, in waits so short that whoever waits can be stopped at any of them.

The usual HTTP clients, httpx2 too, resolve names deep inside and read proxies from the environment; http.client
takes any connected socket. A socket of its own with a time-out would not do, as after the first one http.client
reads no further: so this one waits in short steps, and looks at each whether to go on.
"""

from __future__ import annotations

import io
import os
import select
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from flowscale.outbound.addresses import Address

POLL_SECONDS = 0.1
"""How often a wait looks whether to go on: well below the 2 s in which a cancel must take effect."""

_T = TypeVar("_T")


class Wire(io.RawIOBase):
    """A connection as http.client uses one (`sendall`, `makefile`), with waits that ask `go_on` several times a second.

    `close` does nothing: http.client closes its socket while the body is still to be read. `hang_up` closes.
    """

    def __init__(self, sock: socket.socket, go_on: Callable[[], None]) -> None:
        self._sock = sock
        self._go_on = go_on
        sock.setblocking(False)

    @classmethod
    def to(cls, address: Address, port: int, go_on: Callable[[], None]) -> Wire:
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

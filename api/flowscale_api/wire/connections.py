"""One client's connection: how long it may take over a request's head and over an answer, and how much it may say.

Uvicorn waits for ever for the first byte of a connection, for the rest of a head that has begun, and for a client to
take its answer; each such connection is a file descriptor that somebody else cannot have. It also keeps all that it
is sent of a head, or of the trailers after a body. Bodies have limits of their own (bodies.py), and connections that
are idle between requests Uvicorn's keep-alive. What the limits are, and whom they are for: guards.py.

An answer is taken when the client's side acknowledges its bytes, which the kernel counts. What the application wrote
would not tell: megabytes of it may lie in the kernel's buffer while a slow but honest reader works through them.

A head that is refused is answered in the contract's form, in its turn: the answers to earlier requests come first.
What still comes is thrown away for a moment, so that the answer is not lost to a reset connection (lingering.py).
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from flowscale import logs
from flowscale.errors import FlowScaleError, InvalidOptions
from flowscale_api.problems import problem
from flowscale_api.wire.crowded import Crowded
from flowscale_api.wire.envelope import REQUEST_ID
from flowscale_api.wire.guards import SCOPE_KEY, Admission, Guards, Place, Reason, full
from flowscale_api.wire.lingering import LINGER_SECONDS
from flowscale_api.wire.pace import Pace

MAX_HEAD = 64 * 1024
"""Bytes of a request's target, headers and trailers together; browsers and proxies stay below 16 KiB."""

MAX_TARGET = 16 * 1024
"""Bytes of a request's target: path and query."""

_BETWEEN = len(": \r\n")  # what the parser drops of a header line

_TCP_INFO_BYTES = 128
_BYTES_ACKED = slice(120, 128)  # tcpi_bytes_acked of struct tcp_info, Linux 4.1 and later

_log = logs.get("gateway")


class GuardedConfig(uvicorn.Config):
    """What Uvicorn hands to each of its connections, and their guards."""

    def __init__(self, guards: Guards, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.guards = guards


class _HeadTooLarge(Exception):
    """Ends the parsing."""


class Connection(HttpToolsProtocol):
    url = b""  # Uvicorn sets it when a request begins; what is no HTTP at all may be refused before
    _timer: asyncio.TimerHandle | None = None  # closes the connection
    _in_head = False
    _in_request = False  # from the first byte of a head to the last of its body
    _head_size = 0  # bytes of this request's head and trailers that the parser has handed over
    _unparsed = 0  # bytes since then, not counting those of the piece in which it last handed something over
    _refusal: HTTPStatus | None = None  # nothing more is read
    _refusal_sent = False
    _guest = False
    _acknowledged: int | None = None  # bytes, when last looked at while an answer waited to be taken
    _unmoved = 0.0  # seconds in which the client took none of it

    def __init__(
        self,
        config: GuardedConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._guards = config.guards
        self._limits = config.guards.limits
        self._taken = Pace(self._limits.window_s)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as Uvicorn has it
        super().connection_made(transport)
        admission = self._guards.admit(self)
        if admission is Admission.REFUSED:
            self._turn_away()
            return
        if admission is Admission.GUEST:
            self._guest = True
            self.app = Crowded(self.app, lambda: self._guards.count(Reason.REFUSED_FULL))
        self._close_in(self._limits.head_s, Reason.HEAD_TIMEOUT)

    def connection_lost(self, exc: Exception | None) -> None:
        self._guards.leave(self)
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None:
            return
        self._unparsed += len(data)
        super().data_received(data)
        if self._refusal is not None or self.transport.is_closing():
            return
        if self._head_size + self._unparsed > MAX_HEAD:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif not self._in_request and not self._answering() and self._timer is None:
            self._guards.place(self, Place.IN_HEAD)
            self._close_in(
                self._limits.head_s, Reason.HEAD_TIMEOUT
            )  # empty lines, which begin no request but end Uvicorn's keep-alive

    def send_400_response(self, msg: str) -> None:
        """Uvicorn's way out when the parser gave up."""
        too_large = self._head_size > MAX_HEAD or len(self.url) > MAX_TARGET
        self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if too_large else HTTPStatus.BAD_REQUEST)

    # What the parser tells.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = self._in_request = True
        self._head_size = self._unparsed = 0
        self.scope[SCOPE_KEY] = self._guards  # type: ignore[literal-required]
        self._note_place()
        self._close_in(self._limits.head_s, Reason.HEAD_TIMEOUT)

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))
        if len(self.url) > MAX_TARGET:
            raise _HeadTooLarge

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + _BETWEEN)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        if self._guest and self._guards.promote(self):
            self._guest = False
            self.app = self.config.loaded_app
        super().on_headers_complete()
        self._in_head = False
        self._note_place()

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_request = False
        self._unparsed = 0
        super().on_message_complete()
        self._note_place()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._note_place()
        if self._refusal is not None and not self._answering() and not self.transport.is_closing():
            self._send_refusal(self._refusal)

    def _count(self, size: int) -> None:
        self._unparsed = 0
        self._head_size += size
        if self._head_size > MAX_HEAD:
            raise _HeadTooLarge

    # What the guards ask.

    def evict(self) -> None:
        self._stop_waiting()
        self.transport.abort()

    def has_unsent(self) -> bool:
        return self.transport.get_write_buffer_size() > 0

    def look_at_reader(self, seconds: float) -> None:
        if not self.has_unsent():  # the kernel has it all: what comes next is up to us
            self._acknowledged, self._unmoved = None, 0.0
            return
        now = _acknowledged_by_client(self.transport)
        before, self._acknowledged = self._acknowledged, now
        if before is None:
            return
        self._unmoved = self._unmoved + seconds if now == before else 0.0
        self._taken.add(now - before, seconds)
        if self._unmoved >= self._limits.reader_silence_s:
            self._cut_reader(Reason.READER_STALLED)
        elif self._taken.below(self._limits.slowest_reader):
            self._cut_reader(Reason.READER_SLOW)

    def timeout_keep_alive_handler(self) -> None:
        if not self.transport.is_closing():
            self._guards.count(Reason.IDLE)
        super().timeout_keep_alive_handler()

    def _note_place(self) -> None:
        if self._answering() or (self._in_request and not self._in_head):
            self._guards.place(self, Place.AT_WORK)
        else:
            self._guards.place(self, Place.IN_HEAD if self._in_head else Place.IDLE)

    # How a connection ends.

    def _cut_reader(self, reason: Reason) -> None:
        self._guards.count(reason)
        self._guards.leave(self)
        self._stop_waiting()
        # Closing it would wait for the reader, and so would the kernel with what it has: reset, it drops it.
        _socket_of(self.transport).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _turn_away(self) -> None:
        """For one more there is not even a place to listen: the answer comes unasked."""
        self._guards.count(Reason.REFUSED_FULL)
        self._refusal, self._refusal_sent = HTTPStatus.SERVICE_UNAVAILABLE, True
        self._write_answer(HTTPStatus.SERVICE_UNAVAILABLE, full(), uuid4().hex)
        self.transport.close()

    def _refuse(self, status: HTTPStatus) -> None:
        self._refusal = status
        too_large = status is HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        self._guards.count(Reason.HEAD_TOO_LARGE if too_large else Reason.NOT_HTTP)
        self._guards.place(self, Place.AT_WORK)
        self._stop_waiting()
        if not self._answering():
            self._send_refusal(status)
        elif self._in_request and not self._in_head:  # it is the body, or what follows it, of what we work on
            self.cycle.disconnected = True  # the application reads no more, and what it says is not sent
            self.cycle.message_event.set()
            if self.cycle.response_started or self.pipeline:  # there is no place for an answer
                self.transport.close()
            else:
                self._send_refusal(status)

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _send_refusal(self, status: HTTPStatus) -> None:
        if self._refusal_sent:
            return
        self._refusal_sent = True
        request_id = uuid4().hex
        message = (
            "The request is not valid HTTP/1.1."
            if status is HTTPStatus.BAD_REQUEST
            else f"The head of the request is too large: its path and query may have {MAX_TARGET} bytes, "
            f"together with its headers {MAX_HEAD}."
        )
        _log.info("http.refused", message, request_id=request_id, status=status.value)
        self._write_answer(status, InvalidOptions(message), request_id)
        self.transport.write_eof()
        self.flow.resume_reading()
        self._unset_keepalive_if_required()
        self._close_in(LINGER_SECONDS)

    def _write_answer(self, status: HTTPStatus, error: FlowScaleError, request_id: str) -> None:
        headers = {REQUEST_ID: request_id, "X-Content-Type-Options": "nosniff", "Connection": "close"}
        answer = problem(error, headers)
        lines = [b"HTTP/1.1 %d %s" % (status, status.phrase.encode())]
        lines += [name + b": " + value for name, value in answer.raw_headers]
        self.transport.write(b"\r\n".join([*lines, b"", bytes(answer.body)]))

    def _close_in(self, seconds: float, reason: Reason | None = None) -> None:
        """`reason`: what to count it as then; None when it was counted before."""
        self._stop_waiting()
        self._timer = self.loop.call_later(seconds, self._close, reason)

    def _close(self, reason: Reason | None) -> None:
        if reason is not None and not self.transport.is_closing():
            self._guards.count(reason)
        self.transport.close()

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _acknowledged_by_client(transport: asyncio.Transport) -> int:
    """Bytes that the other side's kernel has said it has, since the connection began."""
    info = _socket_of(transport).getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    return int.from_bytes(info[_BYTES_ACKED], sys.byteorder)


def _socket_of(transport: asyncio.Transport) -> socket.socket:
    found: socket.socket = transport.get_extra_info("socket")
    return found

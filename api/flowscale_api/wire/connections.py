"""One client's connection: how long it may take over a request's head, and how much it may say in one.

Uvicorn waits for ever for the first byte of a connection, and for the rest of a head that has begun; each such
connection is a file descriptor that somebody else cannot have. It also keeps all that it is sent of a head, or of
the trailers after a body. Bodies have limits of their own (bodies.py), and connections that are idle between
requests Uvicorn's keep-alive.

A head that is refused is answered in the contract's form, in its turn: the answers to earlier requests come first.
What still comes is thrown away for a moment, so that the answer is not lost to a reset connection (lingering.py).
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from uuid import uuid4

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from flowscale import logs
from flowscale.errors import InvalidOptions
from flowscale_api.problems import problem
from flowscale_api.wire.envelope import REQUEST_ID
from flowscale_api.wire.lingering import LINGER_SECONDS

HEAD_SECONDS = 20.0
"""From the connection, or from the first byte of a later request, to the end of its head."""

MAX_HEAD = 64 * 1024
"""Bytes of a request's target, headers and trailers together; browsers and proxies stay below 16 KiB."""

MAX_TARGET = 16 * 1024
"""Bytes of a request's target: path and query."""

_BETWEEN = len(": \r\n")  # what the parser drops of a header line

_log = logs.get("gateway")


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

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as Uvicorn has it
        super().connection_made(transport)
        self._close_in(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
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
            self._close_in(HEAD_SECONDS)  # empty lines, which begin no request but end Uvicorn's keep-alive

    def send_400_response(self, msg: str) -> None:
        """Uvicorn's way out when the parser gave up."""
        too_large = self._head_size > MAX_HEAD or len(self.url) > MAX_TARGET
        self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if too_large else HTTPStatus.BAD_REQUEST)

    # What the parser tells.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = self._in_request = True
        self._head_size = self._unparsed = 0
        self._close_in(HEAD_SECONDS)

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
        super().on_headers_complete()
        self._in_head = False

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_request = False
        self._unparsed = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._refusal is not None and not self._answering() and not self.transport.is_closing():
            self._send_refusal(self._refusal)

    def _count(self, size: int) -> None:
        self._unparsed = 0
        self._head_size += size
        if self._head_size > MAX_HEAD:
            raise _HeadTooLarge

    # How a connection ends.

    def _refuse(self, status: HTTPStatus) -> None:
        self._refusal = status
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
        headers = {REQUEST_ID: request_id, "X-Content-Type-Options": "nosniff", "Connection": "close"}
        answer = problem(InvalidOptions(message), headers)
        lines = [b"HTTP/1.1 %d %s" % (status, status.phrase.encode())]
        lines += [name + b": " + value for name, value in answer.raw_headers]
        self.transport.write(b"\r\n".join([*lines, b"", bytes(answer.body)]))
        self.transport.write_eof()
        self.flow.resume_reading()
        self._unset_keepalive_if_required()
        self._close_in(LINGER_SECONDS)

    def _close_in(self, seconds: float) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(seconds, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

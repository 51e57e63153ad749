"""A receiver of webhooks for tests: a real HTTP server here that answers as it is told, and keeps what came."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"

ANSWER_SECONDS = 240.0
"""A held request is let go after this, so that no thread of a failed test waits for ever."""


@dataclass(frozen=True)
class Reply:
    """`held`: nothing is said before `Receiver.let_go`. `dripping`: the body has no end, until the other side goes."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    held: bool = False
    dripping: bool = False


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes


class Receiver:
    """`replies` are given in turn, the last one again and again."""

    def __init__(self, *replies: Reply) -> None:
        self._replies = deque(replies or (Reply(),))
        self._lock = threading.Condition()
        self._received: list[Received] = []
        self._sent = 0
        self._held = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                receiver._answer(self)

            def do_GET(self) -> None:
                receiver._answer(self)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing is printed."""

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.let_go()
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/hooks?token=do-not-show"

    @property
    def received(self) -> list[Received]:
        with self._lock:
            return list(self._received)

    @property
    def sent(self) -> int:
        """Bytes of bodies that this server could send."""
        with self._lock:
            return self._sent

    def ids(self) -> list[str]:
        return [request.headers["webhook-id"] for request in self.received]

    def let_go(self) -> None:
        """Answer what is held, and hold nothing from now on."""
        self._held.set()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        with self._lock:
            reply = self._replies.popleft() if len(self._replies) > 1 else self._replies[0]
            self._received.append(Received(handler.path, headers, body))
            self._lock.notify_all()
        if reply.held:
            self._held.wait(ANSWER_SECONDS)
        try:
            handler.send_response(reply.status)
            for name, value in reply.headers.items():
                handler.send_header(name, value)
            if not reply.dripping:
                handler.send_header("Content-Length", str(len(reply.body)))
            handler.end_headers()
            self._send(handler, reply.body)
            while reply.dripping:
                self._send(handler, b"." * 1024)
        except OSError:
            handler.close_connection = True  # the other side has gone, as it may

    def _send(self, handler: BaseHTTPRequestHandler, piece: bytes) -> None:
        handler.wfile.write(piece)
        with self._lock:
            self._sent += len(piece)

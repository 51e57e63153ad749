"""HTTP requests byte for byte: no client that tidies a path before it is sent."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

SECONDS = 60.0
"""For one answer: far beyond what it takes, so that only a hang ends it."""


@dataclass(frozen=True)
class RawAnswer:
    request: bytes
    content: bytes  # all of it, from the status line on; empty when the server hung up without a word

    @property
    def status(self) -> int:
        return int(self.content[9:12])

    @property
    def body(self) -> bytes:
        return self.content.partition(b"\r\n\r\n")[2]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str:
        for line in self.content.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]:
            if line.lower().startswith(name.lower().encode() + b":"):
                return line.partition(b":")[2].decode("latin-1").strip()
        return ""


def ask(url: str, method: str, target: bytes, body: bytes | None = None, **headers: str) -> RawAnswer:
    """Underscores in the names of `headers` stand for hyphens."""
    lines = [method.encode() + b" " + target + b" HTTP/1.1", b"Host: " + urlsplit(url).netloc.encode()]
    lines += [f"{name.replace('_', '-')}: {value}".encode() for name, value in headers.items()]
    if body is not None:
        lines.append(b"Content-Length: %d" % len(body))
    return send(url, b"\r\n".join([*lines, b"Connection: close", b"", body or b""]))


def send(url: str, request: bytes) -> RawAnswer:
    """The answer to just these bytes, after which the server must hang up."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port), SECONDS) as connection:
        connection.sendall(request)
        received = bytearray()
        try:
            while piece := connection.recv(65536):
                received += piece
        except ConnectionResetError:
            pass  # it did not care to read all of the request: what it said counts
        return RawAnswer(request, bytes(received))


def form(filename: bytes, content: bytes, project: bytes = b"") -> tuple[bytes, str]:
    """The body of an upload form and its Content-Type. `filename` is the whole parameter, `filename="a.mp4"`."""
    mark = b"----b7c1f0"
    parts = b'--%b\r\nContent-Disposition: form-data; name="file"; %b\r\n\r\n%b\r\n' % (mark, filename, content)
    if project:
        parts += b'--%b\r\nContent-Disposition: form-data; name="projectId"\r\n\r\n%b\r\n' % (mark, project)
    return parts + b"--%b--\r\n" % mark, f"multipart/form-data; boundary={mark.decode()}"

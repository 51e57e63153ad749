"""A proxy before the API server that cuts watches, forgets what a watch asks for, and asks for pauses.

It speaks plain HTTP on the loopback address, as `kubectl proxy` behind it does, which has the rights of KUBECONFIG.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus

from http_relay import Answer, HttpRelay, Request


@dataclass(frozen=True, slots=True)
class Status(Answer):
    """An error in the words of Kubernetes. `in_stream`: as the only event of a watch that began well."""

    retry_after: int | None = None  # seconds
    in_stream: bool = False

    def encoded(self, method: str) -> bytes:
        status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "reason": self.code,
            "message": self.message,
            "code": self.status,
        }
        body = json.dumps({"type": "ERROR", "object": status} if self.in_stream else status).encode() + b"\n"
        code = 200 if self.in_stream else self.status
        head = [
            f"HTTP/1.1 {code} {HTTPStatus(code).phrase}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *([f"Retry-After: {self.retry_after}"] if self.retry_after is not None else []),
        ]
        return "\r\n".join([*head, "", ""]).encode() + body


EXPIRED = Status(410, "Expired", "too old resource version")
EXPIRED_IN_STREAM = Status(410, "Expired", "too old resource version", in_stream=True)


def busy(seconds: int) -> Status:
    """Asks to be left alone for so many seconds."""
    return Status(429, "TooManyRequests", "please try again later", retry_after=seconds)


class ApiRelay(HttpRelay):
    """`for_all` answers every request in the server's stead, `for_watches` every watch; None passes them on."""

    def __init__(self, target: int) -> None:
        super().__init__(target)
        self.for_all: Status | None = None
        self.for_watches: Status | None = None
        self.refused = 0  # requests answered so

    async def answer(self, request: Request) -> Answer | None:
        found = self.for_all
        if found is None and request.query.get("watch") in ("true", "1"):
            found = self.for_watches
        self.refused += found is not None
        return found

    def cut(self) -> None:
        """Reset every connection there is; new ones are served."""
        self.call(self._cut())

    async def _cut(self) -> None:
        for writer in list(self._links):
            writer.transport.abort()

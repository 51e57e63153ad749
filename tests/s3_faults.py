"""Faults of an S3 service: a proxy before a server that fails a share of what it is asked, and counts all of it.

with FaultyS3(server) as service:
    service.fail(share=0.3, most=20, seed=7)
    service.go()
    service.come_back()
    gone = service.go_at("/outputs/")
    service.heal()
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter

from http_relay import Answer, CutError, HttpRelay, Request
from s3_servers import Endpoint

KINDS = ("500", "503", "cut")

LOOK_SECONDS = 0.1


class FaultyS3(HttpRelay, Endpoint):
    """Calls and bytes of bodies that reached the proxy are counted by operation; `faults` by operation and kind."""

    def __init__(self, server: Endpoint) -> None:
        HttpRelay.__init__(self, server.port)
        self.type, self.region, self.path = server.type, server.region, server.path
        self.key_id, self.secret = server.key_id, server.secret
        self.calls: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self.faults: Counter[tuple[str, str]] = Counter()
        self.slow: dict[str, float] = {}  # operations, and how many seconds they take longer
        self._controls = threading.Lock()
        self._random = random.Random(0)
        self._share = 0.0
        self._left = 0
        self._cutting: dict[Request, int] = {}  # bytes of the body that have passed
        self._word = ""
        self._silent = False
        self._gone = threading.Event()

    def fail(self, share: float, most: int, seed: int) -> None:
        """From now on fail this share of requests, `most` of them at most: the same ones for the same seed."""
        with self._controls:
            self._random, self._share, self._left = random.Random(seed), share, most

    def heal(self) -> None:
        """Fail no more, and be there."""
        with self._controls:
            self._share, self._word = 0.0, ""
        self._gone.clear()

    def forget(self) -> None:
        """Count from zero."""
        for counter in (self.calls, self.bytes, self.faults):
            counter.clear()

    def go(self) -> None:
        """Be gone: every connection is cut, and new ones are refused."""
        self.call(self._refuse())

    def come_back(self) -> None:
        """At the same port."""
        self.call(self._listen())

    def go_at(self, word: str, *, silent: bool = False) -> threading.Event:
        """Be gone from the first request on whose path holds the word: each one is cut, or waits for an answer.

        Until `heal`; the event tells when it has begun.
        """
        self._word, self._silent = word, silent
        return self._gone

    async def answer(self, request: Request) -> Answer | None:
        self.calls[request.operation] += 1
        if self._word and self._word in request.path:
            self._gone.set()
        if self._gone.is_set():
            while self._silent and self._gone.is_set():  # noqa: ASYNC110 - other threads set it
                await asyncio.sleep(LOOK_SECONDS)
            raise CutError("gone")
        await asyncio.sleep(self.slow.get(request.operation, 0.0))
        fault = self._draw()
        if fault is None:
            return None
        self.faults[request.operation, fault] += 1
        if fault == "cut":
            if request.operation != "GetObject" and not request.length:
                raise CutError("before the answer")
            self._cutting[request] = 0
            return None
        self.bytes[request.operation] += len(await request.read())
        if fault == "503":
            return Answer(503, "SlowDown", "Please reduce your request rate.")
        return Answer(500, "InternalError", "We encountered an internal error. Please try again.")

    async def sent(self, request: Request, piece: bytes) -> None:
        self.bytes[request.operation] += len(piece)
        self._pass(request, piece, request.length)

    async def got(self, request: Request, status: int, piece: bytes) -> None:
        if request.operation == "GetObject" and piece:
            self._pass(request, piece, request.answer_length or 0)

    def _pass(self, request: Request, piece: bytes, length: int) -> None:
        if request in self._cutting:
            self._cutting[request] += len(piece)
            if self._cutting[request] > length // 2:
                del self._cutting[request]
                raise CutError("in the middle of a body")

    def _draw(self) -> str | None:
        with self._controls:
            # Drawn for every request, so that what fails depends on the seed and the order alone.
            failing, kind = self._random.random() < self._share, self._random.choice(KINDS)
            if not failing or self._left <= 0:
                return None
            self._left -= 1
            return kind

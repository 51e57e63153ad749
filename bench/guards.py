"""What slow and dense clients cost the gateway, with the limits as shipped.

    PYTHONPATH=tests .venv/bin/python bench/guards.py [--attackers N] [--seconds S] [--bodies MIB]

Attackers of five kinds at once, a fifth each: heads that stop, heads that drip, bodies that stop, bodies that drip,
and clients that ask for a large file and do not read it. Beside them somebody asks for /api/health and uploads a small
file. Then bodies that are made to be slow to read, each beside an ordinary one. Prints tables; asserts nothing.
"""

from __future__ import annotations

import argparse
import os
import select
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import psutil

from contract.gateway_child import child
from contract.gateway_server import MP4
from flowscale_cli.screen import table

MIB = 1024**2
LARGE = 64 * MIB
BOUNDARY = b"----FormBoundary7MA4YWxkTrZu0gW"
REPEATS = 5

FORM_HEAD = b'--%s\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
UPLOAD = b"POST /api/upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=%s\r\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attackers", type=int, default=500)
    parser.add_argument("--seconds", type=int, default=75)
    parser.add_argument("--bodies", type=int, default=64, help="MiB of each dense body")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flowscale-bench-") as folder:
        siege(Path(folder) / "siege", arguments.attackers, arguments.seconds)
        dense(Path(folder) / "dense", arguments.bodies * MIB)


@contextmanager
def gateway(root: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A gateway whose log somebody reads: it would wait for ever at a full pipe."""
    with child(root) as (process, url):
        threading.Thread(target=_read_log, args=(process.stdout,), daemon=True).start()
        yield process, url


def _read_log(lines: Iterable[str]) -> None:
    for _ in lines:
        pass


class Attackers:
    """Connections that each keep a place for as long as they are let."""

    KINDS = ("half head", "dripping head", "stalled body", "dripping body", "stalled reader")

    def __init__(self, url: str, count: int, target: str) -> None:
        self._address = (urlsplit(url).hostname or "", urlsplit(url).port or 0)
        self._target = target.encode()
        self._began = time.monotonic()
        self._poll = select.poll()
        self._open: dict[int, tuple[str, socket.socket]] = {}
        self.gone_after: dict[str, list[float]] = {kind: [] for kind in self.KINDS}
        for number in range(count):
            kind = self.KINDS[number % len(self.KINDS)]
            wire = self._begin(kind)
            wire.setblocking(False)
            self._poll.register(wire, 0 if kind == "stalled reader" else select.POLLIN)
            self._open[wire.fileno()] = (kind, wire)

    def left(self) -> Counter[str]:
        return Counter(kind for kind, _ in self._open.values())

    def go_on(self, seconds: float) -> None:
        """Drip a byte a second, and note who is gone."""
        end = time.monotonic() + seconds
        dripped = 0.0
        while (now := time.monotonic()) < end:
            if now - dripped >= 1:
                dripped = now
                for place, (kind, wire) in list(self._open.items()):
                    if kind.startswith("dripping"):
                        self._try(place, partial(wire.send, b"a"))
            for place, event in self._poll.poll(100):
                if event & (select.POLLERR | select.POLLHUP):  # a reset, which a drip may have found before
                    self._note_gone(place)
                elif place in self._open:
                    self._try(place, partial(self._open[place][1].recv, 65536))

    def close(self) -> None:
        for _, wire in self._open.values():
            wire.close()

    def _begin(self, kind: str) -> socket.socket:
        wire = socket.socket()
        if kind == "stalled reader":
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        wire.connect(self._address)
        if kind.endswith("head"):
            wire.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Filler: ")
        elif kind.endswith("body"):
            wire.sendall(UPLOAD % BOUNDARY + b"Content-Length: %d\r\n\r\n" % (512 * MIB) + FORM_HEAD % BOUNDARY + MP4)
        else:
            wire.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % self._target)
        return wire

    def _try(self, place: int, act: Callable[[], int | bytes]) -> None:
        try:
            if act() == b"":
                self._note_gone(place)
        except BlockingIOError:
            return  # not now
        except OSError:
            self._note_gone(place)  # reset

    def _note_gone(self, place: int) -> None:
        if place not in self._open:
            return
        kind, wire = self._open.pop(place)
        self._poll.unregister(place)
        wire.close()
        self.gone_after[kind].append(time.monotonic() - self._began)


class Times:
    """Requests one after another, and how long each took, until ended."""

    def __init__(self, request: Callable[[], int]) -> None:
        self.seconds: list[float] = []
        self.statuses: Counter[int] = Counter()
        self._request = request
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.05):
            began = time.perf_counter()
            self.statuses[self._request()] += 1
            self.seconds.append(time.perf_counter() - began)

    def row(self, what: str) -> tuple[str, str, str, str]:
        percentiles = statistics.quantiles(self.seconds, n=100)
        answers = ", ".join(f"{count} x {status}" for status, count in sorted(self.statuses.items()))
        return what, f"{percentiles[49] * 1000:.1f} ms", f"{percentiles[98] * 1000:.1f} ms", answers


def siege(root: Path, count: int, seconds: int) -> None:
    with gateway(root) as (process, url), httpx2.Client(base_url=url, timeout=60) as http:
        large = http.post("/api/upload", files={"file": ("a.mp4", MP4 + bytes(LARGE))}).json()["publicUrl"]
        target = urlsplit(large).path

        def health() -> int:
            return httpx2.get(f"{url}/api/health", timeout=60).status_code  # a connection of its own

        def upload() -> int:
            return http.post("/api/upload", files={"file": ("a.mp4", MP4)}).status_code

        memory = psutil.Process(process.pid)
        rows = [("REQUEST", "P50", "P99", "ANSWERS")]
        for when in ("alone", f"beside {count} attackers"):
            before = memory.memory_info().rss
            attackers = Attackers(url, count if when != "alone" else 0, target)
            peak = before
            asked, sent = Times(health), Times(upload)
            end = time.monotonic() + (seconds if when != "alone" else 10)
            while time.monotonic() < end:
                attackers.go_on(0.5)
                peak = max(peak, memory.memory_info().rss)
            asked.end()
            sent.end()
            rows += [asked.row(f"GET /api/health {when}"), sent.row(f"small upload {when}")]
        table(rows)
        print()
        table(
            [
                ("ATTACKERS", "FIRST GONE", "LAST GONE", "LEFT"),
                *(
                    (
                        kind,
                        f"{min(gone, default=0):.1f} s",
                        f"{max(gone, default=0):.1f} s",
                        str(attackers.left()[kind]),
                    )
                    for kind, gone in attackers.gone_after.items()
                ),
            ]
        )
        attackers.close()
        print(f"\nresident memory: {before / MIB:.0f} MiB before the attackers came, {peak / MIB:.0f} MiB at most")
        for line in http.get("/metrics").text.splitlines():
            if line.startswith("flowscale_gateway_connections"):
                print(line)
        print()


def dense(root: Path, size: int) -> None:
    rows = [("BODY", "USER CPU", "BESIDE NORMAL", "ANSWER")]
    with gateway(root) as (process, url):
        user = psutil.Process(process.pid)
        normal = 0.0
        for name, boundary, body in bodies(size):
            spent, answers = [], set()
            for _ in range(REPEATS):
                before = user.cpu_times().user
                answers.add(post(url, boundary, body))
                spent.append((user.cpu_times().user - before) / (len(body) / MIB) * 1000)
            median = statistics.median(spent)
            normal = normal or median
            rows.append((name, f"{median:.2f} ms/MiB", f"{median / normal:.2f}", " ".join(sorted(answers))))
    table(rows)


def bodies(size: int) -> Iterator[tuple[str, bytes, bytes]]:
    """Name, boundary and content. The first is the ordinary one."""

    def form(content: bytes, boundary: bytes = BOUNDARY) -> bytes:
        return FORM_HEAD % boundary + MP4 + content + b"\r\n--%s--\r\n" % boundary

    def full(piece: bytes) -> bytes:
        return piece * (size // len(piece))

    yield "ordinary (random bytes)", BOUNDARY, form(os.urandom(size))
    yield "zeros", BOUNDARY, form(bytes(size))
    yield "CRLF", BOUNDARY, form(full(b"\r\n"))
    yield "CR", BOUNDARY, form(full(b"\r"))
    yield "CRLF--", BOUNDARY, form(full(b"\r\n--"))
    yield "boundary without its last byte", BOUNDARY, form(full(b"\r\n--" + BOUNDARY[:-1]))
    yield "boundary with another last byte", BOUNDARY, form(full(b"\r\n--" + BOUNDARY[:-1] + b"x"))
    yield "boundary with another first byte", BOUNDARY, form(full(b"\r\n--x" + BOUNDARY[1:]))
    yield "boundary of one letter, and it", b"a" * 70, form(full(b"a"), b"a" * 70)
    yield "the same behind CRLF-", b"a" * 70, form(full(b"\r\n-" + b"a" * 71), b"a" * 70)
    yield "whole boundary, then a letter", BOUNDARY, form(full(b"\r\n--" + BOUNDARY + b"x"))
    yield "short boundary, then a letter", b"x", form(full(b"\r\n--xa"), b"x")
    yield "boundary, then blanks", b"x", form(b"\r\n--x" + bytes(0).ljust(size), b"x")
    part = b'\r\n--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
    yield "1e6 parts", b"x", form(part * 1_000_000, b"x")
    head = b'\r\n--x\r\nContent-Disposition: form-data; name="a"\r\nX: ' + b"a" * MIB + b"\r\n\r\n"
    yield "part headers of 1 MiB", b"x", form(head * (size // len(head)), b"x")


def post(url: str, boundary: bytes, body: bytes) -> str:
    """The answer's status. What a refusing gateway no longer takes in is not sent."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60) as wire:
        wire.sendall(UPLOAD % boundary + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body))
        left = memoryview(body)
        wire.setblocking(False)
        while left:
            readable, _, _ = select.select([wire], [wire], [], 60)
            if readable:
                break
            left = left[wire.send(left[: 4 * MIB]) :]
        wire.setblocking(True)
        wire.settimeout(60)
        return wire.recv(65536).split(b" ", 2)[1].decode()


if __name__ == "__main__":
    main()

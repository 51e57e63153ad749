"""Clients that keep a connection without earning it, over real sockets; with limits of moments, not of minutes."""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from contract.gateway_server import MP4, PATIENCE_S, Running, error_of, eventually, running
from flowscale.clocks import SystemClock
from flowscale.settings import Settings
from flowscale_api.app import create_app
from flowscale_api.server import Server
from flowscale_api.wire.guards import Limits, Reason
from flowscale_api.wire.pace import Pace

MIB = 1024**2
HALF_HEAD = b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Filler: "
LIVE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
UPLOAD = b"POST /api/upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
BODY = UPLOAD + b"Content-Length: 99999999\r\n\r\n"
FORM = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n' + MP4


@dataclass(frozen=True)
class Guarded:
    """A gateway with limits of its own, over the queue and storage of an ordinary one."""

    url: str
    server: Server
    behind: Running
    http: httpx2.Client
    stack: ExitStack

    def wire(self, *sent: bytes, receives: int | None = None) -> socket.socket:
        """A connection on which this was sent; `receives` bytes at a time at most."""
        parts = urlsplit(self.url)
        opened = self.stack.enter_context(socket.socket())
        opened.settimeout(PATIENCE_S)
        if receives is not None:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        opened.connect((parts.hostname or "", parts.port or 0))
        for data in sent:
            opened.sendall(data)
        return opened

    def closed(self, reason: Reason) -> int:
        return self.server.guards.closed[reason]

    def open(self, count: int) -> bool:
        return eventually(lambda: self.server.guards.open == count)

    def asked(self, path: str, **options: bytes) -> httpx2.Response:
        """An answer over a connection of its own."""
        method = "POST" if options else "GET"
        return httpx2.request(method, self.url + path, timeout=PATIENCE_S, **options)  # type: ignore[arg-type]


@contextmanager
def guarded(root: Path, limits: Limits | None = None, max_connections: int = 1000) -> Iterator[Guarded]:
    with ExitStack() as stack:
        behind = stack.enter_context(running(root))
        clock = SystemClock()
        app = create_app(settings=Settings(), queue=behind.queue, storage=behind.storage, clock=clock)
        server = Server(app, host="127.0.0.1", port=0, max_connections=max_connections, limits=limits)
        stack.enter_context(server)
        http = stack.enter_context(httpx2.Client(base_url=server.url, timeout=PATIENCE_S))
        yield Guarded(server.url, server, behind, http, stack)


def ended(wire: socket.socket) -> bytes:
    """What was received until the gateway closed the connection, or reset it."""
    received = b""
    try:
        while piece := wire.recv(65536):
            received += piece
    except ConnectionResetError:
        return received  # an end as well
    return received


def drip_until_closed(wire: socket.socket) -> None:
    """A byte every few milliseconds, for as long as the gateway lets us."""

    def refused() -> bool:
        try:
            wire.sendall(b"a")
            return bool(select.select([wire], [], [], 0.02)[0]) and wire.recv(65536) == b""
        except ConnectionError:
            return True

    assert eventually(refused)


def error_in(received: bytes) -> tuple[bytes, str]:
    """The status line and the error's code of one answer."""
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    found = json.loads(body)
    assert found["ok"] is False
    return head.split(b"\r\n")[0], found["error"]["code"]


def large_file(gateway: Guarded) -> bytes:
    """The request for a file that no buffer holds."""
    stored = gateway.behind.upload(MP4 + bytes(32 * MIB))
    return b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % urlsplit(stored["publicUrl"]).path.encode()


def figures(gateway: Guarded) -> dict[str, float]:
    """The guards' samples in /metrics, by reason; the others by name."""
    text = gateway.asked("/metrics").text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {
        sample.labels.get("reason", sample.name): sample.value
        for sample in samples
        if sample.name.startswith("flowscale_gateway_")
    }


def test_half_a_head_is_cut(tmp_path: Path) -> None:
    with guarded(tmp_path, Limits(head_s=0.3)) as gateway:
        silent, dripping = gateway.wire(HALF_HEAD), gateway.wire(HALF_HEAD)
        drip_until_closed(dripping)
        assert ended(silent) == b""
        assert ended(gateway.wire()) == b""
        assert gateway.closed(Reason.HEAD_TIMEOUT) == 3
        assert gateway.open(0)


def test_silent_body_is_cut_and_leaves_nothing(tmp_path: Path) -> None:
    with guarded(tmp_path, Limits(body_silence_s=0.3)) as gateway:
        wire = gateway.wire(BODY, FORM)
        assert error_in(ended(wire)) == (b"HTTP/1.1 400 Bad Request", "UPLOAD_ERROR")
        assert gateway.closed(Reason.BODY_SILENT) == 1
        assert gateway.behind.files() == []
        assert gateway.open(0)


def test_body_that_drips_after_a_fast_beginning_is_cut(tmp_path: Path) -> None:
    with guarded(tmp_path, Limits(window_s=0.5)) as gateway:
        drip_until_closed(gateway.wire(BODY, FORM, bytes(8 * MIB)))
        assert gateway.closed(Reason.BODY_SLOW) == 1
        assert eventually(lambda: gateway.behind.files() == [])


def test_small_json_body_in_drips_is_taken(tmp_path: Path) -> None:
    with guarded(tmp_path, Limits(window_s=20)) as gateway:
        wire = gateway.wire(b"POST /api/execute HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 20\r\n\r\n")
        for byte in b'{"resize": "wrong"}\n':
            wire.sendall(bytes([byte]))
        assert error_in(ended(wire))[1] != "UPLOAD_ERROR"
        assert not gateway.server.guards.closed


def test_reader_that_stalls_is_cut_and_others_are_not(tmp_path: Path) -> None:
    limits = Limits(reader_silence_s=0.5, tick_s=0.05)
    with guarded(tmp_path, limits) as gateway:
        request = large_file(gateway)
        stalled = gateway.wire(request, receives=8192)
        assert eventually(lambda: gateway.closed(Reason.READER_STALLED) == 1)
        assert len(ended(stalled)) < 32 * MIB
        received = ended(gateway.wire(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")))
        assert len(received.partition(b"\r\n\r\n")[2]) == len(MP4) + 32 * MIB
        assert gateway.closed(Reason.READER_STALLED) == 1
        assert gateway.open(0)


def test_reader_that_closed_its_request_is_cut_as_well(tmp_path: Path) -> None:
    """The last bytes of an answer after which the gateway closes are waited for no longer."""
    with guarded(tmp_path, Limits(reader_silence_s=0.5, tick_s=0.05)) as gateway:
        request = large_file(gateway).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        gateway.wire(request, receives=8192)
        assert eventually(lambda: gateway.closed(Reason.READER_STALLED) == 1)
        assert gateway.open(0)


def test_reader_at_a_drip_is_cut(tmp_path: Path) -> None:
    limits = Limits(window_s=1, slowest_reader=8 * MIB, tick_s=0.05)
    with guarded(tmp_path, limits) as gateway:
        wire = gateway.wire(large_file(gateway), receives=8192)

        def cut() -> bool:
            wire.recv(4096)  # it moves, all the time
            return gateway.closed(Reason.READER_SLOW) == 1

        assert eventually(cut)
        assert gateway.closed(Reason.READER_STALLED) == 0


def test_reader_that_pauses_for_a_moment_gets_all(tmp_path: Path) -> None:
    limits = Limits(reader_silence_s=5, window_s=1, slowest_reader=4096, tick_s=0.05)
    with guarded(tmp_path, limits) as gateway:
        request = large_file(gateway).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        wire = gateway.wire(request, receives=65536)
        received = 0
        for _ in range(4):
            received += len(wire.recv(MIB))
            assert not select.select([], [], [wire], 0.5)[2]  # a pause
        received += len(ended(wire))
        assert received > 32 * MIB
        assert gateway.closed(Reason.READER_STALLED) == gateway.closed(Reason.READER_SLOW) == 0


def test_stream_of_events_outlives_every_limit(tmp_path: Path) -> None:
    """It says nothing for long, which is the gateway's silence and not its reader's."""
    limits = Limits(head_s=0.3, body_silence_s=0.3, reader_silence_s=0.3, window_s=0.4, tick_s=0.05)
    with guarded(tmp_path, limits) as gateway:
        request = large_file(gateway)
        job_id = gateway.behind.execute()["jobId"]
        stream = gateway.wire(b"GET /api/jobs/%s/events HTTP/1.1\r\nHost: x\r\n\r\n" % job_id.encode())
        assert b"event: state" in stream.recv(65536)
        for count in (1, 2, 3):  # each takes as long as the limit
            gateway.wire(request, receives=8192)
            assert eventually(lambda count=count: gateway.closed(Reason.READER_STALLED) == count)  # type: ignore[misc]
        assert gateway.behind.http.post(f"/api/jobs/{job_id}/cancel").status_code in (200, 202)
        received = b""
        while b"CANCELLED" not in received:
            piece = stream.recv(65536)
            assert piece, "the stream was cut"
            received += piece


def test_idle_connections_make_room_the_oldest_first(tmp_path: Path) -> None:
    with guarded(tmp_path, max_connections=3) as gateway:
        idle = []
        for _ in range(3):
            wire = gateway.wire(LIVE)
            assert wire.recv(65536).startswith(b"HTTP/1.1 200")
            idle.append(wire)
        idle[0].sendall(LIVE)  # used again, so that it is the youngest
        assert idle[0].recv(65536).startswith(b"HTTP/1.1 200")
        newcomer = gateway.wire(LIVE)
        assert newcomer.recv(65536).startswith(b"HTTP/1.1 200")
        assert ended(idle[1]) == b""
        for wire in (idle[2], idle[0], newcomer):
            wire.sendall(LIVE)
            assert wire.recv(65536).startswith(b"HTTP/1.1 200")
        assert gateway.closed(Reason.EVICTED) == 1


def test_unfinished_heads_make_room_after_idle_ones(tmp_path: Path) -> None:
    with guarded(tmp_path, max_connections=3) as gateway:
        first, second = gateway.wire(HALF_HEAD), gateway.wire(HALF_HEAD)
        idle = gateway.wire(LIVE)
        assert idle.recv(65536).startswith(b"HTTP/1.1 200")
        at_work = gateway.wire(BODY, FORM)
        assert ended(idle) == b""
        another = gateway.wire(BODY, FORM)
        assert ended(first) == b""
        last = gateway.wire(BODY, FORM)
        assert ended(second) == b""
        assert not select.select([at_work, another, last], [], [], 0.2)[0]
        assert gateway.closed(Reason.EVICTED) == 3


def test_half_heads_do_not_keep_others_out(tmp_path: Path) -> None:
    with guarded(tmp_path, max_connections=5) as gateway:
        for _ in range(50):
            gateway.wire(HALF_HEAD)
        assert gateway.asked("/livez").status_code == 200
        assert gateway.closed(Reason.REFUSED_FULL) == 0


def test_full_gateway_refuses_in_the_contracts_form_and_answers_probes(tmp_path: Path) -> None:
    with guarded(tmp_path, max_connections=2) as gateway:
        working = [gateway.wire(BODY, FORM) for _ in range(2)]
        assert eventually(lambda: gateway.asked("/api/health").status_code == 503)
        refused = gateway.asked("/api/health")
        error_of(refused, 503, "GATEWAY_FULL")
        assert refused.headers["retry-after"] == "5"
        assert refused.headers["connection"] == "close"
        upload = gateway.asked("/api/upload", content=bytes(8 * MIB))  # its sender sees the answer, whatever it sends
        error_of(upload, 503, "GATEWAY_FULL")
        for probe in ("/livez", "/readyz"):
            answer = gateway.asked(probe)
            assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        assert figures(gateway)["refused_full"] >= 3
        assert len(gateway.behind.log_lines("gateway.full")) == 1
        for wire in working:
            wire.close()
        assert eventually(lambda: gateway.asked("/api/health").status_code == 200)


def test_guests_that_say_nothing_make_room_for_guests(tmp_path: Path) -> None:
    with guarded(tmp_path, Limits(spare=2), max_connections=1) as gateway:
        gateway.wire(BODY, FORM)
        assert eventually(lambda: gateway.asked("/api/health").status_code == 503)
        silent = [gateway.wire(HALF_HEAD) for _ in range(10)]
        assert gateway.asked("/livez").status_code == 200
        assert [ended(wire) for wire in silent[:8]] == [b""] * 8


def test_without_a_spare_place_the_answer_comes_unasked(tmp_path: Path) -> None:
    with guarded(tmp_path, Limits(spare=0), max_connections=1) as gateway:
        gateway.wire(BODY, FORM)
        assert eventually(lambda: gateway.closed(Reason.REFUSED_FULL) + len(ended(gateway.wire())) > 0)
        received = ended(gateway.wire())
        assert error_in(received) == (b"HTTP/1.1 503 Service Unavailable", "GATEWAY_FULL")
        assert b"Retry-After: 5" in received or b"retry-after: 5" in received
        assert gateway.open(1)


def test_metrics_show_what_was_closed(tmp_path: Path) -> None:
    with guarded(tmp_path, Limits(head_s=0.2), max_connections=7) as gateway:
        before = figures(gateway)
        assert {reason.value for reason in Reason} <= before.keys()
        assert before["flowscale_gateway_connections_max"] == 7
        assert ended(gateway.wire(HALF_HEAD)) == b""
        ended(gateway.wire(b"nonsense\r\n\r\n"))
        assert gateway.open(0)
        after = figures(gateway)
        assert (after["head_timeout"], after["not_http"], after["head_too_large"]) == (1, 1, 0)
        assert after["flowscale_gateway_connections"] == 1  # the one that asks


@pytest.mark.parametrize("early", [0, 10**9])
def test_pace_forgets_what_was_long_ago(early: int) -> None:
    pace = Pace(10)
    pace.add(early, 1)
    for _ in range(8):
        pace.add(1, 1)
        assert not pace.below(100)
    for _ in range(4):
        pace.add(1, 1)
    assert pace.below(100)
    for _ in range(10):
        pace.add(200, 1)
    assert not pace.below(100)

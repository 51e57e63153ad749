"""The downloader against real servers on loopback: what it fetches, what it refuses, and how it takes faults."""

from __future__ import annotations

import errno
import os
import re
import resource
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

import pytest

from flowscale.clocks import Clock, SystemClock
from flowscale.errors import (
    Cancelled,
    DiskFull,
    FlowScaleError,
    InvalidMedia,
    LeaseLost,
    LimitExceeded,
    SettingsError,
    StorageFailed,
)
from flowscale.media import SNIFF_BYTES
from flowscale.outbound.addresses import Network
from flowscale.outbound.dialling import Resolve, system_resolve
from flowscale.settings import Settings, WorkerSettings
from flowscale.testing import FakeClock
from flowscale_worker.download.transfer import MENDS, DownloadLimits, download
from flowscale_worker.failures import Stopped
from flowscale_worker.ffmpeg import Tools
from flowscale_worker.kit import Kit, ShutDown
from flowscale_worker.progress import FETCH_ENDS

HOST = "127.0.0.2"
"""Where the servers are that may be asked. Linux has all of 127/8."""

ONLY_HOST = (ip_network(f"{HOST}/32"),)
MEDIA = b"\0\0\0\x14ftypisom\0\0\2\0isom" + bytes(4) + b"mdat" + bytes(range(256)) * 2000
CUT = len(MEDIA) * 6 // 10
HTML = b"<!doctype html><title>Sign in</title>" + b"<p>Please sign in.</p>\n" * 400
ETAG = 'ETag: "v1"\r\n'


@dataclass
class Request:
    line: str
    headers: dict[str, str]

    @property
    def wants_from(self) -> int | None:
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("range", ""))
        return int(found[1]) if found else None


Answer = Callable[[Request, socket.socket], object]


@dataclass
class Server:
    """Gives each connection one answer: the next of `answers`, or again the last."""

    port: int
    requests: list[Request] = field(default_factory=list)

    def url(self, path: str = "/clip.mp4", *, host: str = HOST, scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    @property
    def ranges(self) -> list[int | None]:
        return [request.wants_from for request in self.requests]


@contextmanager
def serving(*answers: Answer, tls: ssl.SSLContext | None = None, host: str = HOST) -> Iterator[Server]:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            connection = self.request
            try:
                if tls is not None:
                    connection = tls.wrap_socket(connection, server_side=True)
                with connection:
                    reader = connection.makefile("rb")
                    line = reader.readline().decode().rstrip()
                    headers = dict[str, str]()
                    while text := reader.readline().decode("latin-1").rstrip("\r\n"):
                        name, _, value = text.partition(": ")
                        headers[name.lower()] = value
                    server.requests.append(Request(line, headers))
                    answers[min(len(server.requests), len(answers)) - 1](server.requests[-1], connection)
            except (ConnectionError, ssl.SSLError):
                return  # the downloader hung up, as it should when it has heard enough

    class Threads(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 64

    with Threads((host, 0), Handler) as listener:
        server = Server(listener.server_address[1])
        thread = threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown()
            thread.join()


def head(status: str = "200 OK", length: int | None = None, extra: str = "") -> bytes:
    sized = "" if length is None else f"Content-Length: {length}\r\n"
    return f"HTTP/1.1 {status}\r\n{sized}{extra}\r\n".encode("latin-1")


def text(answer: bytes) -> Answer:
    return lambda _, connection: connection.sendall(answer)


def whole(body: bytes = MEDIA, extra: str = "") -> Answer:
    return text(head(length=len(body), extra=extra) + body)


def cut(extra: str = "", at: int = CUT) -> Answer:
    return text(head(length=len(MEDIA), extra=extra) + MEDIA[:at])


def rest(extra: str = "", body: bytes = MEDIA) -> Answer:
    """What a server with ranges answers to a request for the rest."""

    def answer(request: Request, connection: socket.socket) -> None:
        start = request.wants_from
        assert start is not None
        span = f"Content-Range: bytes {start}-{len(body) - 1}/{len(body)}\r\n"
        connection.sendall(head("206 Partial Content", len(body) - start, span + extra) + body[start:])

    return answer


def chunked(*chunks: bytes, ends: bool = True, extra: str = "") -> Answer:
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return text(head(extra=f"Transfer-Encoding: chunked\r\n{extra}") + body + (b"0\r\n\r\n" if ends else b""))


def redirect(location: str, status: str = "302 Found") -> Answer:
    return text(head(status, 0, f"Location: {location}\r\n"))


def endless(first: bytes, again: bytes) -> Answer:
    def answer(_: Request, connection: socket.socket) -> None:
        connection.sendall(first)
        while True:  # until the downloader hangs up
            connection.sendall(again)

    return answer


@dataclass
class Bench:
    """A downloader's surroundings: where its file goes, what it told, a stop and a clock to be set."""

    target: Path
    told: list[int | None] = field(default_factory=list)
    tells: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))  # one for each of `told`
    stop: Callable[[], Stopped | None] = lambda: None
    clock: Clock = field(default_factory=SystemClock)

    def get(
        self,
        url: str,
        *,
        networks: Sequence[Network] = ONLY_HOST,
        size: int = 10**9,
        seconds: float = 60.0,
        idle: float = 10.0,
        resolve: Resolve = system_resolve,
    ) -> bytes:
        """What was downloaded; nothing may be left of what was not."""
        tools = Tools("/usr/bin/ffmpeg", "/usr/bin/ffprobe", "5.1")

        def tell(percent: int | None, lines: Sequence[str] = ()) -> None:
            self.told.append(percent)
            self.tells.release()

        kit = Kit(tools, WorkerSettings(), self.clock, self.stop, tell)
        limits = DownloadLimits(size, seconds, tuple(networks), idle)
        try:
            count = download(url, self.target, kit, limits, resolve=resolve)
        except BaseException:
            assert not self.target.exists()
            raise
        content = self.target.read_bytes()
        assert len(content) == count
        return content


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "source-0")


class Canary:
    """Listens on every address of the machine. Nobody may ever connect."""

    def __init__(self) -> None:
        if socket.has_dualstack_ipv6():
            self._listener = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
        else:
            self._listener = socket.create_server(("0.0.0.0", 0), backlog=64)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]

    def heard_from_somebody(self) -> bool:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return False
        connection.close()
        return True

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def canary() -> Iterator[Canary]:
    canary = Canary()
    yield canary
    heard = canary.heard_from_somebody()
    canary.close()
    assert not heard


def test_the_canary_hears_connections(canary: Canary) -> None:
    assert not canary.heard_from_somebody()
    with socket.create_connection(("127.0.0.1", canary.port)):
        assert canary.heard_from_somebody()


# --- what is fetched ---


def test_a_file_with_a_length(bench: Bench) -> None:
    with serving(whole(extra="Content-Type: text/html\r\n")) as server:
        assert bench.get(server.url("/a/clip.mp4?token=1#t=5")) == MEDIA
    (request,) = server.requests
    assert request.line == "GET /a/clip.mp4?token=1 HTTP/1.1"
    assert request.headers["host"] == f"{HOST}:{server.port}"
    assert request.headers["accept-encoding"] == "identity"
    assert "range" not in request.headers
    assert bench.told == sorted(set(bench.told), key=str)
    assert bench.told[-1] == FETCH_ENDS


def test_a_file_in_chunks(bench: Bench) -> None:
    with serving(chunked(MEDIA[:3], MEDIA[3:5000], MEDIA[5000:])) as server:
        assert bench.get(server.url()) == MEDIA
    assert bench.told == []


def test_a_file_shorter_than_what_is_sniffed(bench: Bench) -> None:
    assert len(MEDIA[:100]) < SNIFF_BYTES
    with serving(whole(MEDIA[:100])) as server:
        assert bench.get(server.url()) == MEDIA[:100]


def test_redirects_are_followed(bench: Bench) -> None:
    with serving(whole()) as last:
        first = [redirect("/b", "301 Moved"), redirect("c?d", "307 Temporary"), redirect(last.url("/e"), "308 Moved")]
        with serving(*first) as server:
            assert bench.get(server.url("/a")) == MEDIA
    assert [request.line for request in server.requests] == ["GET /a HTTP/1.1", "GET /b HTTP/1.1", "GET /c?d HTTP/1.1"]
    assert [request.line for request in last.requests] == ["GET /e HTTP/1.1"]


def test_the_next_address_is_tried(bench: Bench) -> None:
    with serving(whole()) as server:
        found = bench.get(
            server.url(), resolve=lambda _host, _port: ["127.0.0.3", HOST], networks=[ip_network("127.0.0.0/8")]
        )
    assert found == MEDIA


def test_proxies_of_the_environment_are_not_used(bench: Bench, canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{canary.port}")
    with serving(whole()) as server:
        assert bench.get(server.url()) == MEDIA


# --- where it does not go ---

LOOPBACK = [
    *("127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001"),
    *("127.0.0.1.", "0.0.0.0", "0", "127.255.255.254", "localhost", "LOCALHOST", "localhost."),
    *("１２７.０.０.１", "127。0。0。1", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ"),  # noqa: RUF001 - other characters for the same name
    *("[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]"),
    *("[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fe80::1]", "[fec0::1]"),
]


@pytest.mark.parametrize("host", LOOPBACK)
def test_this_machine_in_any_spelling(bench: Bench, canary: Canary, host: str) -> None:
    with pytest.raises(InvalidMedia):
        bench.get(f"http://{host}:{canary.port}/", networks=())


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "169.254.169.254", "192.168.1.1", "172.16.0.1", "100.64.0.1", "224.0.0.1", "[fd00:ec2::254]"]
)
def test_other_machines_inside(bench: Bench, host: str) -> None:
    with pytest.raises(InvalidMedia, match="leads nowhere on the public internet"):
        bench.get(f"http://{host}/latest/meta-data/", networks=ONLY_HOST)


@pytest.mark.parametrize("start", ["ftp://", "file://", "gopher://", "http://user:word@", "HTTP://@", "//", ""])
def test_urls_of_other_kinds(bench: Bench, canary: Canary, start: str) -> None:
    with pytest.raises(InvalidMedia):
        bench.get(f"{start}127.0.0.1:{canary.port}/", networks=[ip_network("127.0.0.0/8")])


def test_one_forbidden_address_is_enough(bench: Bench, canary: Canary) -> None:
    answers = iter([[HOST, "127.0.0.1"], ["127.0.0.1", HOST], [HOST, "::1"], ["8.8.8.8", "10.0.0.1"]])
    for _ in range(4):
        with pytest.raises(InvalidMedia):
            bench.get(f"http://media.example:{canary.port}/", resolve=lambda _host, _port: next(answers))


def test_an_allowed_network_does_not_let_in_its_neighbours(bench: Bench, canary: Canary) -> None:
    for host in ("127.0.0.1", "127.0.0.3", "[::ffff:127.0.0.2]", "[64:ff9b::127.0.0.2]"):
        with pytest.raises(InvalidMedia):
            bench.get(f"http://{host}:{canary.port}/")


def test_a_name_that_changes_its_address_is_asked_once(bench: Bench, canary: Canary) -> None:
    asked: list[tuple[str, int]] = []

    def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return [HOST] if len(asked) == 1 else ["127.0.0.1"]

    with serving(whole()) as server:
        assert bench.get(server.url(host="media.example"), resolve=rebinding) == MEDIA
    assert asked == [("media.example", server.port)]
    assert server.requests[0].headers["host"] == f"media.example:{server.port}"


def test_a_name_that_changes_its_address_is_checked_again_after_a_redirect(bench: Bench, canary: Canary) -> None:
    found = iter([[HOST], ["127.0.0.1"]])
    with serving(redirect(f"http://media.example:{canary.port}/")) as server, pytest.raises(InvalidMedia):
        bench.get(server.url(host="media.example"), resolve=lambda _host, _port: next(found))
    assert next(found, None) is None


def test_a_name_that_changes_its_address_is_checked_again_after_a_cut(bench: Bench, canary: Canary) -> None:
    found = iter([[HOST], ["169.254.169.254"]])
    with serving(cut(ETAG)) as server, pytest.raises(InvalidMedia):
        bench.get(server.url(host="media.example"), resolve=lambda _host, _port: next(found))
    assert len(server.requests) == 1


@pytest.mark.parametrize("host", LOOPBACK)
def test_redirects_to_this_machine(bench: Bench, canary: Canary, host: str) -> None:
    location = f"http://{host}:{canary.port}/".encode().decode("latin-1")
    with serving(redirect(location)) as server, pytest.raises(InvalidMedia):
        bench.get(server.url())
    assert len(server.requests) == 1


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.2/", "http://a@127.0.0.2/", "http://[::1"])
def test_redirects_elsewhere(bench: Bench, location: str) -> None:
    with serving(redirect(location)) as server, pytest.raises(InvalidMedia):
        bench.get(server.url())


def test_too_many_redirects(bench: Bench) -> None:
    with serving(redirect("/again")) as server, pytest.raises(InvalidMedia, match="more than 3 times"):
        bench.get(server.url())
    assert len(server.requests) == 4


def test_a_redirect_without_an_address(bench: Bench) -> None:
    with serving(text(head("302 Found", 0))) as server, pytest.raises(InvalidMedia, match="302"):
        bench.get(server.url())


# --- names ---


@pytest.mark.parametrize(
    ("number", "error"),
    [(socket.EAI_NONAME, InvalidMedia), (socket.EAI_NODATA, InvalidMedia), (socket.EAI_AGAIN, StorageFailed)],
)
def test_names_that_are_not_resolved(bench: Bench, number: int, error: type[FlowScaleError]) -> None:
    def unresolved(_host: str, _port: int) -> Sequence[str]:
        raise socket.gaierror(number, "no answer")

    with pytest.raises(error, match=r"media\.example"):
        bench.get("http://media.example/", resolve=unresolved)


def test_a_name_that_does_not_exist_and_one_that_leads_inside_sound_the_same(bench: Bench) -> None:
    def unresolved(_host: str, _port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    told = set()
    for resolve in (unresolved, lambda _host, _port: ["10.0.0.1"], lambda _host, _port: []):
        with pytest.raises(InvalidMedia) as caught:
            bench.get("http://media.example/", resolve=resolve)
        told.add(caught.value.message)
    assert len(told) == 1


def test_a_resolver_that_does_not_answer(bench: Bench) -> None:
    never = threading.Event()

    def silent(_host: str, _port: int) -> Sequence[str]:
        never.wait()
        return []

    with pytest.raises(StorageFailed, match="not resolved in time"):
        bench.get("http://media.example/", resolve=silent, idle=0.3)
    never.set()


# --- TLS ---


@dataclass(frozen=True)
class Identity:
    """A self-signed certificate for media.example."""

    certificate: Path
    context: ssl.SSLContext


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=media.example"]
    command += ["-addext", "subjectAltName=DNS:media.example", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return Identity(certificate, context)


def here(_host: str, _port: int) -> Sequence[str]:
    return [HOST]


def test_https_to_a_certificate_that_is_trusted(
    bench: Bench, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(identity.certificate))
    names: list[str | None] = []
    identity.context.sni_callback = lambda _socket, name, _context: names.append(name)
    with serving(cut(ETAG), rest(ETAG), tls=identity.context) as server:
        assert bench.get(server.url(scheme="https", host="Media.Example."), resolve=here) == MEDIA
    assert server.ranges == [None, CUT]
    assert server.requests[0].headers["host"] == f"media.example:{server.port}"
    assert names == ["media.example"] * 2


def test_https_to_a_certificate_nobody_vouches_for(bench: Bench, identity: Identity) -> None:
    with serving(whole(), tls=identity.context) as server, pytest.raises(InvalidMedia, match=r"self.signed"):
        bench.get(server.url(scheme="https", host="media.example"), resolve=here)
    assert server.requests == []


@pytest.mark.parametrize("host", ["other.example", "a.media.example", HOST])
def test_https_to_a_certificate_for_another_name(
    bench: Bench, identity: Identity, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(identity.certificate))
    with serving(whole(), tls=identity.context) as server, pytest.raises(InvalidMedia, match="mismatch"):
        bench.get(server.url(scheme="https", host=host), resolve=here)
    assert server.requests == []


def test_https_does_not_lead_down_to_http(bench: Bench, identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(identity.certificate))
    with (
        serving(whole()) as plain,
        serving(redirect(plain.url()), tls=identity.context) as server,
        pytest.raises(InvalidMedia, match="from https to http"),
    ):
        bench.get(server.url(scheme="https", host="media.example"), resolve=here)
    assert plain.requests == []


def test_https_to_a_server_without_tls(bench: Bench) -> None:
    listener = socket.create_server((HOST, 0))
    with listener:

        def greet() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"220 mail.example ready\r\n")
                connection.recv(4096)

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(InvalidMedia, match="as a web server"):
            bench.get(f"https://{HOST}:{listener.getsockname()[1]}/")
        thread.join()


# --- answers ---


@pytest.mark.parametrize("status", [201, 204, 205, 206, 300, 304, 400, 401, 403, 404, 405, 410, 416, 451])
def test_answers_that_are_not_the_file(bench: Bench, status: int) -> None:
    answer = text(
        head(f"{status} Some Reason", extra=ETAG, length=0 if status in (204, 205, 304) else len(MEDIA)) + MEDIA
    )
    with serving(answer) as server, pytest.raises(InvalidMedia, match=f"answered {status}") as caught:
        bench.get(server.url())
    assert "Some Reason" not in caught.value.message
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [408, 421, 425, 429, 500, 502, 503, 504, 599])
def test_answers_that_may_change(bench: Bench, status: int) -> None:
    with serving(text(head(f"{status} Later", 0))) as server, pytest.raises(StorageFailed, match=f"answered {status}"):
        bench.get(server.url())
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"-ERR unknown command 'GET'\r\n",
        head(length=5, extra=f"X: {'x' * 70_000}\r\n"),
        head(length=5, extra="X: x\r\n" * 200),
    ],
)
def test_answers_that_are_not_http(bench: Bench, answer: bytes) -> None:
    with serving(text(answer)) as server, pytest.raises(InvalidMedia, match="as a web server"):
        bench.get(server.url())


@pytest.mark.parametrize(
    "headers",
    [
        "",
        "Content-Length: many\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: ²\r\n",
        "Content-Length: 5, 5\r\n",
        f"Content-Length: 5\r\nContent-Length: {len(MEDIA)}\r\n",
    ],
)
def test_bodies_whose_end_cannot_be_known(bench: Bench, headers: str) -> None:
    with serving(text(head(extra=headers) + MEDIA)) as server, pytest.raises(InvalidMedia, match="how long"):
        bench.get(server.url())


@pytest.mark.parametrize(
    "header", ["Content-Encoding: gzip", "Content-Encoding: br", "Content-Encoding: identity, gzip"]
)
def test_encodings_that_were_not_asked_for(bench: Bench, header: str) -> None:
    with serving(whole(extra=f"{header}\r\n")) as server, pytest.raises(InvalidMedia, match="compressed"):
        bench.get(server.url())


def test_a_transfer_coding_that_was_not_asked_for(bench: Bench) -> None:
    coded = text(head(extra="Transfer-Encoding: gzip, chunked\r\n") + b"5\r\nabcde\r\n0\r\n\r\n")
    with serving(coded) as server, pytest.raises(InvalidMedia, match="transfer coding"):
        bench.get(server.url())


def test_identity_is_an_encoding_too(bench: Bench) -> None:
    with serving(whole(extra="Content-Encoding: Identity\r\n")) as server:
        assert bench.get(server.url()) == MEDIA


# --- what is in it ---


def test_html_called_mp4(bench: Bench) -> None:
    with (
        serving(whole(HTML, extra="Content-Type: video/mp4\r\n")) as server,
        pytest.raises(InvalidMedia, match="none of"),
    ):
        bench.get(server.url())


def test_html_is_not_downloaded_to_its_end(bench: Bench) -> None:
    answer = endless(head(length=10**12, extra=ETAG), HTML)
    with serving(answer) as server, pytest.raises(InvalidMedia, match="none of the media"):
        bench.get(server.url(), size=10**13)
    assert len(server.requests) == 1


def test_a_short_text(bench: Bench) -> None:
    with serving(whole(b"#EXTM3U\nfile:///etc/passwd\n")) as server, pytest.raises(InvalidMedia, match="none of"):
        bench.get(server.url())


@pytest.mark.parametrize("answer", [whole(b""), chunked()])
def test_an_empty_file(bench: Bench, answer: Answer) -> None:
    with serving(answer) as server, pytest.raises(InvalidMedia, match="empty"):
        bench.get(server.url())


# --- sizes ---


def test_a_file_of_the_largest_size(bench: Bench) -> None:
    with serving(whole()) as server:
        assert bench.get(server.url(), size=len(MEDIA)) == MEDIA


def test_a_file_that_announces_too_much(bench: Bench) -> None:
    with serving(whole()) as server, pytest.raises(LimitExceeded, match=str(len(MEDIA) - 1)):
        bench.get(server.url(), size=len(MEDIA) - 1)
    assert bench.told == []


def test_chunks_that_never_end(bench: Bench) -> None:
    first = head(extra="Transfer-Encoding: chunked\r\n") + b"%x\r\n%b\r\n" % (len(MEDIA), MEDIA)
    with serving(endless(first, b"2710\r\n" + bytes(10_000) + b"\r\n")) as server, pytest.raises(LimitExceeded):
        bench.get(server.url(), size=5_000_000)


def test_a_rest_that_makes_it_too_large(bench: Bench) -> None:
    larger = MEDIA + bytes(1000)
    first = chunked(MEDIA[:CUT], ends=False, extra=ETAG)
    with serving(first, rest(ETAG, larger)) as server, pytest.raises(LimitExceeded):
        bench.get(server.url(), size=len(MEDIA))


def test_a_server_that_goes_on_after_the_length_it_announced(bench: Bench) -> None:
    with serving(text(head(length=len(MEDIA)) + MEDIA + HTML)) as server:
        assert bench.get(server.url()) == MEDIA


def test_a_disk_that_is_full(bench: Bench) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with serving(whole()) as server:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            with pytest.raises(DiskFull, match=os.strerror(errno.EFBIG)):
                bench.get(server.url())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_that_exists_is_not_touched(bench: Bench) -> None:
    bench.target.write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        download(
            f"http://{HOST}/",
            bench.target,
            Kit(Tools("", "", ""), WorkerSettings(), SystemClock(), bench.stop, lambda _percent, _lines=(): None),
            DownloadLimits(1, 1),
        )
    assert bench.target.read_bytes() == b"precious"


# --- cuts ---


def test_a_cut_is_mended_by_asking_for_the_rest(bench: Bench) -> None:
    with serving(cut(ETAG), rest(ETAG)) as server:
        assert bench.get(server.url()) == MEDIA
    assert server.ranges == [None, CUT]
    assert server.requests[1].headers["if-range"] == '"v1"'
    assert bench.told == list(range(1, FETCH_ENDS + 1))


def test_a_rest_that_comes_in_two_parts(bench: Bench) -> None:
    middle = len(MEDIA) * 8 // 10
    span = f"Content-Range: bytes {CUT}-{middle - 1}/{len(MEDIA)}\r\n"
    part = text(head("206 Partial Content", middle - CUT, span + ETAG) + MEDIA[CUT:middle])
    with serving(cut(ETAG), part, rest(ETAG)) as server:
        assert bench.get(server.url()) == MEDIA
    assert server.ranges == [None, CUT, middle]


def test_chunks_that_break_off_are_mended(bench: Bench) -> None:
    with serving(chunked(MEDIA[:CUT], ends=False, extra=ETAG), rest(ETAG)) as server:
        assert bench.get(server.url()) == MEDIA
    assert server.ranges == [None, CUT]


def test_a_connection_that_is_reset_is_mended(bench: Bench) -> None:
    def reset(_: Request, connection: socket.socket) -> None:
        connection.sendall(head(length=len(MEDIA), extra=ETAG) + MEDIA[:CUT])
        assert bench.tells.acquire(timeout=30)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with serving(reset, rest(ETAG)) as server:
        assert bench.get(server.url()) == MEDIA
    assert server.ranges[0] is None
    assert server.ranges[1]


@pytest.mark.parametrize(
    "validators",
    [
        "",
        'ETag: W/"v1"\r\n',
        "ETag: v1\r\n",
        'ETag: W/"v1"\r\nLast-Modified: Mon, 05 Jan 2026 10:00:00 GMT\r\nDate: Mon, 05 Jan 2026 12:00:00 GMT\r\n',
        "Last-Modified: Mon, 05 Jan 2026 10:00:00 GMT\r\n",
        "Last-Modified: Mon, 05 Jan 2026 10:00:00 GMT\r\nDate: Mon, 05 Jan 2026 10:00:00 GMT\r\n",
        "Last-Modified: Mon, 99 Jan 2026 10:00:00 GMT\r\nDate: Mon, 05 Jan 2026 10:00:00 GMT\r\n",
        "Last-Modified: yesterday\r\nDate: today\r\n",
    ],
)
def test_without_a_strong_validator_a_cut_starts_over(bench: Bench, validators: str) -> None:
    with serving(cut(validators), whole()) as server:
        assert bench.get(server.url()) == MEDIA
    assert server.ranges == [None, None]
    assert "if-range" not in server.requests[1].headers


def test_an_old_enough_date_is_a_strong_validator(bench: Bench) -> None:
    dates = "Last-Modified: Mon, 05 Jan 2026 10:00:00 GMT\r\nDate: Mon, 05 Jan 2026 10:00:01 GMT\r\n"
    with serving(cut(dates), rest()) as server:
        assert bench.get(server.url()) == MEDIA
    assert server.requests[1].headers["if-range"] == "Mon, 05 Jan 2026 10:00:00 GMT"


def test_a_server_that_sends_all_of_it_again(bench: Bench) -> None:
    other = MEDIA[:-1] + b"!"
    with serving(cut(ETAG), whole(other, extra='ETag: "v2"\r\n')) as server:
        assert bench.get(server.url()) == other
    assert server.ranges == [None, CUT]


def test_another_file_after_a_cut_leaves_nothing_of_the_first(bench: Bench) -> None:
    shorter = MEDIA[: CUT // 2]
    with serving(cut(ETAG), whole(shorter)) as server:
        assert bench.get(server.url()) == shorter


def test_another_file_after_a_cut_is_sniffed_too(bench: Bench) -> None:
    with serving(cut(ETAG), whole(HTML)) as server, pytest.raises(InvalidMedia, match="none of the media"):
        bench.get(server.url())


WRONG_RESTS = {
    "of another version": (f"bytes {CUT}-{len(MEDIA) - 1}/{len(MEDIA)}", 'ETag: "v2"'),
    "of a version that is not named": (f"bytes {CUT}-{len(MEDIA) - 1}/{len(MEDIA)}", "X: y"),
    "of another length": (f"bytes {CUT}-{len(MEDIA)}/{len(MEDIA) + 1}", 'ETag: "v1"'),
    "from elsewhere": (f"bytes {CUT - 1}-{len(MEDIA) - 1}/{len(MEDIA)}", 'ETag: "v1"'),
    "of unknown length": (f"bytes {CUT}-{len(MEDIA) - 1}/*", 'ETag: "v1"'),
    "in other units": (f"frames {CUT}-{len(MEDIA) - 1}/{len(MEDIA)}", 'ETag: "v1"'),
}


@pytest.mark.parametrize("name", WRONG_RESTS)
def test_a_rest_that_does_not_fit_is_not_joined(bench: Bench, name: str) -> None:
    span, validator = WRONG_RESTS[name]
    extra = f"Content-Range: {span}\r\n{validator}\r\n"
    wrong = text(head("206 Partial Content", len(MEDIA) - CUT, extra) + MEDIA[CUT:])
    with serving(cut(ETAG), wrong, whole()) as server:
        assert bench.get(server.url()) == MEDIA
    assert server.ranges == [None, CUT, None]


def test_a_rest_that_is_refused_starts_over(bench: Bench) -> None:
    refused = text(head("416 Range Not Satisfiable", 0, f"Content-Range: bytes */{len(MEDIA)}\r\n"))
    with serving(cut(ETAG), refused, whole()) as server:
        assert bench.get(server.url()) == MEDIA
    assert server.ranges == [None, CUT, None]


def test_a_rest_of_another_host_is_not_joined(bench: Bench) -> None:
    with (
        serving(cut(ETAG)) as one,
        serving(rest(ETAG), whole()) as two,
        serving(redirect(one.url(host="one.example")), redirect(two.url(host="two.example"))) as server,
    ):
        assert bench.get(server.url(), resolve=here) == MEDIA
    assert two.ranges == [CUT, None]


def test_a_rest_longer_than_it_says(bench: Bench) -> None:
    span = f"Content-Range: bytes {CUT}-{len(MEDIA) - 1}/{len(MEDIA)}\r\n"
    longer = text(head("206 Partial Content", extra=span + ETAG) + MEDIA[CUT:] + b"more")
    with serving(cut(ETAG), longer) as server, pytest.raises(StorageFailed, match="more than it announced"):
        bench.get(server.url())


@pytest.mark.parametrize("extra", ["", ETAG])
def test_a_length_that_is_never_delivered_is_never_a_short_file(bench: Bench, extra: str) -> None:
    """FFmpeg, given the URL, would have rendered the 60 % and called it a success."""

    def nothing_more(request: Request, connection: socket.socket) -> None:
        if request.wants_from is None:
            cut(extra)(request, connection)
        else:
            span = f"Content-Range: bytes {CUT}-{len(MEDIA) - 1}/{len(MEDIA)}\r\n"
            connection.sendall(head("206 Partial Content", len(MEDIA) - CUT, span + extra))

    with serving(nothing_more) as server, pytest.raises(StorageFailed, match=f"after {CUT} of {len(MEDIA)} bytes"):
        bench.get(server.url())
    assert len(server.requests) == MENDS + 1


def test_a_last_chunk_that_never_comes_is_never_a_short_file(bench: Bench) -> None:
    with serving(chunked(MEDIA, ends=False)) as server, pytest.raises(StorageFailed, match="last chunk"):
        bench.get(server.url())
    assert len(server.requests) == MENDS + 1


def test_a_cut_before_it_could_be_sniffed(bench: Bench) -> None:
    with serving(cut(ETAG, at=100), rest(ETAG)) as server:
        assert bench.get(server.url()) == MEDIA
    bench.target.unlink()
    page = text(head(length=len(HTML), extra=ETAG) + HTML[:100])
    with serving(page, rest(ETAG, HTML)) as server, pytest.raises(InvalidMedia, match="none of the media"):
        bench.get(server.url())


def test_a_cut_before_the_first_byte(bench: Bench) -> None:
    with serving(cut(ETAG, at=0), whole()) as server:
        assert bench.get(server.url()) == MEDIA
    assert server.ranges == [None, None]


# --- silence, and the end of an execution ---


def test_a_server_that_is_not_there(bench: Bench) -> None:
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(StorageFailed, match="refused"):
        bench.get(f"http://{HOST}:{port}/")


def test_a_server_that_hangs_up(bench: Bench) -> None:
    with serving(text(b"")) as server, pytest.raises(StorageFailed, match="did not answer"):
        bench.get(server.url())


def stall(*first: bytes) -> Answer:
    """Sends that, then nothing, until the downloader hangs up."""

    def answer(_: Request, connection: socket.socket) -> None:
        for piece in first:
            connection.sendall(piece)
        connection.recv(1)

    return answer


STALLS = {
    "before the answer": stall(),
    "within the headers": stall(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "after the headers": stall(head(length=len(MEDIA), extra=ETAG)),
    "within the body": stall(head(length=len(MEDIA), extra=ETAG), MEDIA[:CUT]),
    "within a chunk": stall(head(extra="Transfer-Encoding: chunked\r\n"), b"ffff\r\n", MEDIA[:100]),
    "before the last chunk": stall(head(extra="Transfer-Encoding: chunked\r\n"), b"14\r\n", MEDIA[:20], b"\r\n"),
}


@pytest.mark.parametrize("name", STALLS)
def test_a_server_that_stalls(bench: Bench, name: str) -> None:
    with serving(STALLS[name]) as server, pytest.raises(StorageFailed, match="it took too long"):
        bench.get(server.url(), idle=0.3)
    assert len(server.requests) == (1 if name in ("before the answer", "within the headers") else MENDS + 1)


def test_headers_that_never_end(bench: Bench) -> None:
    with serving(endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n")) as server, pytest.raises(StorageFailed):
        bench.get(server.url(), idle=0.3)


def test_trailers_that_never_end(bench: Bench) -> None:
    first = head(extra="Transfer-Encoding: chunked\r\n") + b"%x\r\n%b\r\n0\r\n" % (len(MEDIA), MEDIA)
    with serving(endless(first, b"X: y\r\n")) as server, pytest.raises(StorageFailed):
        bench.get(server.url(), idle=0.3)


def test_a_body_that_comes_too_slowly(bench: Bench) -> None:
    def drip(_: Request, connection: socket.socket) -> None:
        connection.sendall(head(length=10**9) + MEDIA[:SNIFF_BYTES])
        connection.settimeout(0.02)
        while True:
            try:
                connection.recv(1)
            except TimeoutError:
                connection.sendall(b"a")
            else:
                return  # the downloader hung up

    with serving(drip) as server, pytest.raises(StorageFailed, match="not downloaded within 1 s"):
        bench.get(server.url(), seconds=1)
    assert len(server.requests) == 1


def test_a_slow_body_is_waited_for_as_long_as_it_comes(bench: Bench) -> None:
    clock = bench.clock = FakeClock()
    fifth = len(MEDIA) // FETCH_ENDS + 1

    def slow(_: Request, connection: socket.socket) -> None:
        connection.sendall(head(length=len(MEDIA)))
        for start in range(0, len(MEDIA), fifth):
            connection.sendall(MEDIA[start : start + fifth])
            assert bench.tells.acquire(timeout=30)
            clock.advance(20)

    with serving(slow) as server:
        assert bench.get(server.url(), idle=30, seconds=1000) == MEDIA
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("reason", "error"),
    [(Stopped.CANCELLED, Cancelled), (Stopped.LEASE_LOST, LeaseLost), (Stopped.SHUTDOWN, ShutDown)],
)
@pytest.mark.parametrize("name", STALLS)
def test_a_stop_while_the_server_stalls(bench: Bench, name: str, reason: Stopped, error: type[Exception]) -> None:
    stalled = threading.Event()

    def answer(request: Request, connection: socket.socket) -> None:
        stalled.set()
        STALLS[name](request, connection)

    bench.stop = lambda: reason if stalled.is_set() else None
    with serving(answer) as server, pytest.raises(error):
        bench.get(server.url())


def stops_after(looks: int) -> Callable[[], Stopped | None]:
    left = iter(range(looks))
    return lambda: Stopped.CANCELLED if next(left, None) is None else None


def test_a_stop_while_bytes_come(bench: Bench) -> None:
    bench.stop = stops_after(200)
    first = head(length=10**12) + MEDIA
    with serving(endless(first, bytes(10_000))) as server, pytest.raises(Cancelled):
        bench.get(server.url(), size=10**12)


def test_a_stop_while_a_name_is_resolved(bench: Bench) -> None:
    never = threading.Event()

    def silent(_host: str, _port: int) -> Sequence[str]:
        never.wait()
        return []

    bench.stop = stops_after(3)
    with pytest.raises(Cancelled):
        bench.get("http://media.example/", resolve=silent)
    never.set()


def test_a_stop_while_connecting(bench: Bench) -> None:
    with socket.create_server((HOST, 0), backlog=0) as listener:
        address = listener.getsockname()
        waiting = []
        while True:  # until the kernel answers no more
            caller = socket.socket()
            caller.settimeout(0.2)
            waiting.append(caller)
            try:
                caller.connect(address)
            except TimeoutError:
                break
        bench.stop = stops_after(5)
        with pytest.raises(Cancelled):
            bench.get(f"http://{HOST}:{address[1]}/")
        for caller in waiting:
            caller.close()


def test_a_stop_within_the_tls_handshake(bench: Bench) -> None:
    bench.stop = stops_after(5)
    with socket.create_server((HOST, 0)) as listener, pytest.raises(Cancelled):
        bench.get(f"https://{HOST}:{listener.getsockname()[1]}/")


# --- settings ---


def test_limits_from_the_settings() -> None:
    limits = DownloadLimits.of(Settings.load({}).worker)
    assert (limits.bytes, limits.seconds, limits.networks) == (10 * 1024**3, 3600, ())
    settings = Settings.load(
        {
            "FLOWSCALE_MAX_DOWNLOAD_BYTES": "5",
            "FLOWSCALE_DOWNLOAD_TIMEOUT": "7.5",
            "FLOWSCALE_DOWNLOAD_ALLOW_NETWORKS": "10.1.2.0/24, fd00::/8,192.168.1.7",
        }
    )
    networks = tuple(ip_network(network) for network in ("10.1.2.0/24", "fd00::/8", "192.168.1.7/32"))
    assert DownloadLimits.of(settings.worker) == DownloadLimits(5, 7.5, networks)


@pytest.mark.parametrize("networks", ["all", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/8,", "10.0.0.0/8 fd00::/8"])
def test_networks_that_cannot_be_read(networks: str) -> None:
    with pytest.raises(SettingsError, match="FLOWSCALE_DOWNLOAD_ALLOW_NETWORKS: "):
        Settings.load({"FLOWSCALE_DOWNLOAD_ALLOW_NETWORKS": networks})

"""The whole product in a network of its own, asked for forged URLs: a program, to be started in new namespaces.

    unshare --net --mount python forged_world.py FOLDER CLIP

Gateway, worker and Redis run as in production, no network is allowed to the worker, and proxies and a .netrc lie in
wait in their environment. Every address leads here (forged_network.py): GOOD_ADDRESS to a server that has the clip and
redirects, all others to a canary. What happened is written to FOLDER/report.json, which `Report` reads.
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import ssl
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))

from integration.forged_network import (  # noqa: E402
    NAME_SERVER,
    NameServer,
    Watch,
    everything_is_here,
    listen,
    names_come_from,
)
from integration.forged_urls import GOOD, GOOD_ADDRESS, PORTS, ZONE, Forged, redirects, table  # noqa: E402
from integration.frontend import Frontend  # noqa: E402
from integration.leased import Fleet  # noqa: E402
from integration.program import FLOWSCALE, running  # noqa: E402
from redis_server import RedisServer, free_port, make_certificates  # noqa: E402

GOOD_PORTS = (80, 443)

ANYWHERE = (
    "http://127.1:8080/",
    "http://169.254.169.254/",
    "http://[64:ff9b::7f00:1]:8080/",
    "http://metadata.example/",
)
"""Where the worker does go once every network is allowed: so the canary hears what it is there to hear."""

PROXIES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "ftp_proxy")

NETRC = "machine media.example login canary password canary\ndefault login canary password canary\n"


@dataclass
class Report:
    """What happened. Connections are told as `address port`."""

    outcomes: dict[str, str] = field(default_factory=dict)  # of each forged request: `400 CODE` or `job CODE`
    strangers: dict[str, int] = field(default_factory=dict)  # connections to nobody we know, while those were asked for
    heard: int = 0  # connections that the canary took meanwhile
    files_before: dict[str, str] = field(default_factory=dict)  # hashes of what the storage holds
    files_after: dict[str, str] = field(default_factory=dict)
    scratch: list[str] = field(default_factory=list)  # left there afterwards
    faults: list[str] = field(default_factory=list)  # lines of logs that tell of a fault of ours
    good: dict[str, str] = field(default_factory=dict)  # the state of jobs that may be fetched, by URL
    good_strangers: dict[str, int] = field(default_factory=dict)
    questions: dict[str, int] = field(default_factory=dict)  # how often each name was asked for, `name type`
    requests: list[dict[str, Any]] = field(default_factory=list)  # what the good server was asked: line and headers
    control: dict[str, int] = field(default_factory=dict)  # connections once every network was allowed
    control_heard: int = 0

    @classmethod
    def read(cls, folder: Path) -> Self:
        return cls(**json.loads((folder / "report.json").read_text()))


class Canary:
    """Takes every connection to any address at PORTS, and answers as a server of secrets would."""

    def __init__(self) -> None:
        self.heard = 0
        self._listeners = [listen("::", port) for port in PORTS]
        for listener in self._listeners:
            threading.Thread(target=self._serve, args=(listener,), daemon=True).start()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            connection, _ = listener.accept()
            self.heard += 1
            with connection:
                connection.settimeout(5)
                try:
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\ncanary")
                except OSError:
                    continue  # it was heard, which is all that counts


class GoodServer:
    """Serves the clip and redirects on GOOD_ADDRESS, plain and with TLS. One answer a connection."""

    def __init__(self, clip: bytes, context: ssl.SSLContext) -> None:
        self.requests: list[dict[str, Any]] = []
        self._clip = clip
        self._redirects = redirects()
        for port, tls in zip(GOOD_PORTS, (None, context), strict=True):
            threading.Thread(target=self._serve, args=(listen(GOOD_ADDRESS, port), tls), daemon=True).start()

    def _serve(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=self._answer, args=(connection, tls), daemon=True).start()

    def _answer(self, connection: socket.socket, tls: ssl.SSLContext | None) -> None:
        connection.settimeout(30)
        with connection:
            try:
                if tls is not None:
                    connection = tls.wrap_socket(connection, server_side=True)
                with connection, connection.makefile("rb") as reader:
                    line = reader.readline().decode("latin-1").rstrip()
                    headers = {}
                    while text := reader.readline().decode("latin-1").rstrip("\r\n"):
                        name, _, value = text.partition(": ")
                        headers[name.lower()] = value
                    self.requests.append({"line": line, **headers})
                    connection.sendall(self._reply(line.split(" ")[1]))
            except OSError:
                return  # the downloader hung up

    def _reply(self, path: str) -> bytes:
        clip = self._clip
        if path in self._redirects:
            status, location = self._redirects[path]
            where = b"Location: " + location + b"\r\n" if location else b""
            return f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n".encode() + where + b"\r\n"
        if path in ("/clip.mp4", "/cut"):
            head = f'HTTP/1.1 200 OK\r\nContent-Length: {len(clip)}\r\nETag: "one"\r\n\r\n'.encode()
            return head + (clip[: len(clip) // 2] if path == "/cut" else clip)
        return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


class World:
    """All that runs. `known` are the places where programs of ours may connect."""

    def __init__(self, folder: Path, clip: Path) -> None:
        self.folder = folder
        names_come_from(folder)
        everything_is_here()
        self.watch = Watch()
        self.canary = Canary()
        self.names = NameServer(ZONE)
        certificates = make_certificates(folder, f"DNS:{GOOD}")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.certificate, certificates.key)
        self.good = GoodServer(clip.read_bytes(), context)
        self.clip = clip
        self.data = folder / "data"
        (folder / ".netrc").write_text(NETRC)
        proxy = "http://127.0.0.1:3128"
        self.settings = {
            "PATH": os.environ["PATH"],
            "QUEUE_MODE": "redis",
            "STORAGE_DIR": str(self.data),
            "FLOWSCALE_SCRATCH_DIR": str(folder / "scratch"),
            "FLOWSCALE_LOG_FORMAT": "json",
            "WORKER_CONCURRENCY": "4",
            "SSL_CERT_FILE": str(certificates.certificate),
            "HOME": str(folder),
            "NETRC": str(folder / ".netrc"),
            **dict.fromkeys(PROXIES, proxy),
        }
        self.known: set[tuple[str, int]] = {NAME_SERVER, *((GOOD_ADDRESS, port) for port in GOOD_PORTS)}

    def strangers(self) -> dict[str, int]:
        """Connections so far to a place that is none of ours."""
        found = Counter({place: times for place, times in self.watch.connections().items() if place not in self.known})
        return {f"{address} {port}": times for (address, port), times in found.items()}

    def files(self) -> dict[str, str]:
        found = {}
        for path in sorted(self.data.rglob("*")):
            content = sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
            # A process's own folder for half-written files comes and goes with it.
            if path.relative_to(self.data).parts[0] != "incoming":
                found[str(path.relative_to(self.data))] = content
        return found

    @contextmanager
    def worker(self, **settings: str) -> Iterator[Fleet]:
        log = self.folder / f"worker-{len(list(self.folder.glob('worker-*')))}.log"
        fleet = Fleet([FLOWSCALE, "worker"], self.settings | settings, log)
        try:
            yield fleet.ready()
        finally:
            fleet.stop()


def ask(frontend: Frontend, forged: Forged) -> str:
    """`400 CODE`, or the id of the job."""
    answer = frontend.http.post(forged.path, json=forged.body)
    said = answer.json()
    return said["jobId"] if answer.status_code == 202 else f"{answer.status_code} {said['error']['code']}"


def end_of(frontend: Frontend, outcome: str) -> str:
    """Once the job has ended, `job CODE` or `job done`."""
    if not outcome.startswith("job_"):
        return outcome
    job = frontend.wait(outcome)
    attempts = len(job.get("attempts", []))
    assert attempts == 1, f"{attempts} attempts of {job}"
    return f"job {job['error']['code'] if 'error' in job else job['status']}"


def run(folder: Path, clip: Path) -> Report:
    report = Report()
    world = World(folder, clip)
    port = free_port()
    with RedisServer() as redis:
        world.settings |= {"REDIS_URL": redis.url, "PORT": str(port)}
        world.known |= {("127.0.0.1", redis.port), ("127.0.0.1", port)}
        with running("api", folder, **world.settings) as program:
            frontend = Frontend(program.url)
            with world.worker():
                frontend.upload(clip)
                report.files_before = world.files()
                forge(frontend, report)
                report.strangers, report.heard = world.strangers(), world.canary.heard
                report.files_after = world.files()
                report.scratch = [str(path) for path in (folder / "scratch").glob("*/*") if path.name != ".lock"]
                fetch(frontend, report)
                report.good_strangers = world.strangers()
                report.questions = {" ".join(asked): times for asked, times in Counter(world.names.asked).items()}
                report.requests = list(world.good.requests)
            with world.worker(FLOWSCALE_DOWNLOAD_ALLOW_NETWORKS="0.0.0.0/0,::/0"):
                jobs = [
                    frontend.http.post("/api/execute", json={"inputFileUrl": url}).json()["jobId"] for url in ANYWHERE
                ]
                for job in jobs:
                    frontend.wait(job)
                report.control, report.control_heard = world.strangers(), world.canary.heard
            frontend.http.close()
    for log in folder.glob("*.log"):
        for line in log.read_text().splitlines():
            if "Traceback" in line or '"level": "error"' in line:
                report.faults.append(f"{log.name}: {line}")
    return report


def forge(frontend: Frontend, report: Report) -> None:
    cases = list(table())
    with ThreadPoolExecutor(4) as pool:
        asked = list(pool.map(lambda forged: ask(frontend, forged), cases))
    for forged, outcome in zip(cases, asked, strict=True):
        report.outcomes[forged.name] = end_of(frontend, outcome)


def fetch(frontend: Frontend, report: Report) -> None:
    """What is no forgery, and what is none although its name turns a moment later."""
    for url in (
        *(
            f"http://{GOOD}/clip.mp4",
            f"https://{GOOD}/clip.mp4",
            f"http://{GOOD}/again",
            f"http://{GOOD_ADDRESS}/clip.mp4",
        ),
        *("http://turns-at-once.example/clip.mp4", f"HTTP://{GOOD.upper()}./clip.mp4#@127.0.0.1"),
    ):
        answer = frontend.http.post("/api/execute", json={"inputFileUrl": url, "trim": {"start": 0, "end": 0.2}})
        report.good[url] = end_of(frontend, answer.json()["jobId"])


def main(folder: str, clip: str) -> None:
    report = run(Path(folder), Path(clip))
    (Path(folder) / "report.json").write_text(json.dumps(dataclasses.asdict(report)))


if __name__ == "__main__":
    main(*sys.argv[1:])

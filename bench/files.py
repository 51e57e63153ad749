"""What an upload through a gateway to a bucket costs, beside a raw upload to the same server in the same run.

    python -m bench.files [--quick] [--rounds 3]

Throughput: one file of 2 GiB (`--quick`: an eighth) sent as a form through a gateway, beside boto3's put_object and
upload_file of the same file, straight to the same versitygw; interleaved, medians and spread. Memory: the gateway's
peak resident size (VmHWM) while it takes one file of 10 GiB, and 8 files of 2 GiB at once, each in a fresh gateway;
and what lay in its temporary folder meanwhile. Clients send by sendfile: they cost the two cores little.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

from integration.program import Program, running
from integration.test_storage_modes import environment_of
from s3_servers import VersityGateway

MIB = 1024**2
GIB = 1024**3

MP4_HEAD = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp41"

TARGETS = {"one": 200, "eight": 400}  # MiB resident; ratio of throughput: 0.8


def sparse(path: Path, size: int) -> Path:
    """A file that looks like an MP4 and takes no room: reading it costs no disk."""
    with path.open("wb") as file:
        file.write(MP4_HEAD)
        file.truncate(size)
    return path


def send_form(url: str, file: Path) -> float:
    """Seconds that an upload of the file takes, to the end of the answer."""
    parts = urlsplit(url)
    boundary = b"----flowscale-bench"
    head = b'--%s\r\nContent-Disposition: form-data; name="file"; filename="clip.mp4"\r\n\r\n' % boundary
    tail = b"\r\n--%s--\r\n" % boundary
    length = len(head) + file.stat().st_size + len(tail)
    began = time.perf_counter()
    with socket.create_connection((parts.hostname, parts.port)) as connection, file.open("rb") as body:
        connection.sendall(
            b"POST /api/upload HTTP/1.1\r\nHost: bench\r\nConnection: close\r\nContent-Length: %d\r\n"
            b"Content-Type: multipart/form-data; boundary=%s\r\n\r\n" % (length, boundary) + head
        )
        connection.sendfile(body)
        connection.sendall(tail)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 200 "), answer[:500]
    return time.perf_counter() - began


@contextmanager
def gateway(server: VersityGateway, folder: Path) -> Iterator[tuple[Program, Path]]:
    """A fresh one over a fresh bucket, and its temporary folder."""
    temporary = folder / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    bucket = server.make_bucket()
    given = environment_of(server.settings(bucket)) | {"TMPDIR": str(temporary)}
    given["FLOWSCALE_MAX_UPLOAD_BYTES"] = str(20 * GIB)
    try:
        with running("api", folder, **given) as program:
            yield program, temporary
    finally:
        server.empty(bucket)


def peak_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


@contextmanager
def watched(folder: Path) -> Iterator[Callable[[], int]]:
    """The most bytes that files in the folder held at once, so far."""
    most = 0
    over = threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.wait(0.2):
            sizes = 0
            for path in folder.rglob("*"):
                try:
                    sizes += path.stat().st_size if path.is_file() else 0
                except FileNotFoundError:
                    continue
            most = max(most, sizes)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield lambda: most
    finally:
        over.set()
        thread.join()


def throughput(server: VersityGateway, folder: Path, size: int, rounds: int) -> dict[str, list[float]]:
    """MiB/s of each way, a list of the rounds."""
    file = sparse(folder / "clip.mp4", size)
    found: dict[str, list[float]] = {"put_object": [], "upload_file": [], "gateway": []}
    client = server.client()
    for number in range(rounds):
        bucket = server.make_bucket()
        began = time.perf_counter()
        with file.open("rb") as body:
            client.put_object(Bucket=bucket, Key="whole", Body=body)
        found["put_object"].append(size / MIB / (time.perf_counter() - began))
        server.empty(bucket)
        began = time.perf_counter()
        client.upload_file(str(file), bucket, "parts")
        found["upload_file"].append(size / MIB / (time.perf_counter() - began))
        server.empty(bucket)
        with gateway(server, folder / f"speed-{number}") as (program, _):
            found["gateway"].append(size / MIB / send_form(program.url, file))
    client.close()
    return found


def memory(server: VersityGateway, folder: Path, size: int, at_once: int) -> tuple[float, float, int]:
    """The gateway's peak in MiB before and after, and the most bytes in its temporary folder."""
    folder.mkdir()
    file = sparse(folder / "clip.mp4", size)
    with gateway(server, folder) as (program, temporary), watched(temporary) as most:
        before = peak_mib(program.process.pid)
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(lambda _: send_form(program.url, file), range(at_once)))
        return before, peak_mib(program.process.pid), most()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--quick", action="store_true", help="an eighth of every size")
    asked = arguments.parse_args()
    share = 8 if asked.quick else 1
    console = Console()
    with tempfile.TemporaryDirectory() as name, VersityGateway(beside=True) as server:
        folder = Path(name)
        found = throughput(server, folder, 2 * GIB // share, asked.rounds)
        table = Table("way", "MiB/s, median", "spread", "of put_object", title=f"Upload of {2048 // share} MiB")
        raw = statistics.median(found["put_object"])
        for way, rates in found.items():
            middle = statistics.median(rates)
            table.add_row(way, f"{middle:.0f}", f"{min(rates):.0f}..{max(rates):.0f}", f"{middle / raw:.2f}")
        console.print(table)
        table = Table("uploads", "before, MiB", "peak, MiB", "target", "most in TMPDIR", title="Gateway's memory")
        for label, size, at_once, target in (
            ("1 x 10 GiB", 10 * GIB // share, 1, TARGETS["one"]),
            ("8 x 2 GiB", 2 * GIB // share, 8, TARGETS["eight"]),
        ):
            before, peak, held = memory(server, folder / label.replace(" ", ""), size, at_once)
            table.add_row(label, f"{before:.0f}", f"{peak:.0f}", str(target), f"{held} bytes")
        console.print(table)
    console.print(f"{os.cpu_count()} cores, {asked.rounds} rounds{', an eighth of each size' if asked.quick else ''}")


if __name__ == "__main__":
    main()

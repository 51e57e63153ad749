"""Uploads under way while every gateway is replaced, and one of 2 GiB through an ingress controller."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2

from e2e.cluster import Cluster, names
from e2e.conftest import ServiceAt
from e2e.films import film
from e2e.production import BY_INGRESS, Site
from e2e.renders import Service, check_each_done_once
from e2e.tables import Figures
from e2e.waiting import PATIENCE_SECONDS, until
from flowscale_cli.client import Client
from flowscale_cli.resumable import PIECE_BYTES, upload_resumably

MIB = 1024**2
FORMS = RESUMABLE = 10
FILM_BYTES = PIECE_BYTES * 2 + 8 * MIB  # three requests of a resumable upload
TRIM = {"start": 0, "end": 1}


class Middle:
    """Where uploads wait, each once, until what they are to live through has happened."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self._arrived = 0
        self._lock = threading.Lock()

    def wait(self) -> None:
        with self._lock:
            self._arrived += 1
        assert self.over.wait(PATIENCE_SECONDS), "nothing happened to the uploads"

    def arrived(self) -> int:
        with self._lock:
            return self._arrived


class Halfway:
    """Watches a resumable upload, and stops it between two of its requests."""

    def __init__(self, middle: Middle) -> None:
        self._middle = middle
        self._stopped = False

    def sent(self, done: int) -> None:
        if done >= PIECE_BYTES and not self._stopped:
            self._stopped = True
            self._middle.wait()

    def note(self, words: str) -> None:
        """Nothing: nobody watches."""


def upload_by_tus(url: str, file: Path, middle: Middle) -> str:
    with Client(url) as client:
        path: str = upload_resumably(client, file, Halfway(middle))["filePath"]
    return path


def upload_by_form(url: str, file: Path, middle: Middle, cut: list[Path]) -> str:
    """As a client does that sends the form again when it was cut. Its first try stops in the middle of the body."""

    def body(stops: bool) -> Iterator[bytes]:
        yield b'--edge\r\nContent-Disposition: form-data; name="file"; filename="film.mp4"\r\n\r\n'
        with file.open("rb") as handle:
            while data := handle.read(MIB):
                yield data
                if stops and handle.tell() >= FILM_BYTES // 2:
                    stops = False
                    middle.wait()
        yield b"\r\n--edge--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=edge"}
    first = True

    def send() -> Any | None:
        nonlocal first
        try:
            with httpx2.Client(base_url=url, timeout=120) as http:
                stops, first = first, False
                answer = http.post("/api/upload", content=body(stops), headers=headers)
        except httpx2.TransportError:
            cut.append(file)
            return None
        return None if answer.status_code >= 500 or answer.status_code == 408 else answer

    answer = until(send, f"{file.name} to be uploaded")
    assert answer.status_code == 200, answer.text
    path: str = answer.json()["filePath"]
    return path


def test_uploads_outlive_the_gateways_that_take_them(
    cluster: Cluster, site: Site, service: Service, clips: Path, tmp_path: Path, figures: Figures
) -> None:
    namespace, api = site.release.namespace, site.release.component("api")
    source = film(clips / "bikes.mp4", tmp_path / "film.mp4", FILM_BYTES)
    old = names(cluster.wait_for_ready(namespace, "api", 2))
    before = site.bucket.keys("outputs/")
    middle, cut = Middle(), list[Path]()
    with ThreadPoolExecutor(FORMS + RESUMABLE) as pool:
        uploads = [pool.submit(upload_by_tus, service.url, source, middle) for _ in range(RESUMABLE)]
        uploads += [pool.submit(upload_by_form, service.url, source, middle, cut) for _ in range(FORMS)]
        try:
            until(lambda: middle.arrived() == len(uploads), "all uploads to be under way")
            with figures.timed(f"gateways rolled under {len(uploads)} uploads, until the old ones are gone"):
                cluster.kubectl("--namespace", namespace, "rollout", "restart", f"deployment/{api}")
                cluster.rolled_out(namespace, f"deployment/{api}")
                until(lambda: not set(old) & set(names(cluster.pods(namespace, "api"))), "the old gateways to end")
        finally:
            middle.over.set()
        paths = [upload.result() for upload in uploads]
    figures.note("  forms cut and sent again; resumable uploads begun again", f"{len(cut)} of {FORMS}; 0")

    jobs = service.wait_for_all([service.execute(sourcePath=path, trim=TRIM) for path in paths])
    check_each_done_once(jobs, lambda: site.bucket.keys("outputs/") - before)


def test_two_gibibytes_come_through_contour(
    cluster: Cluster, service_at: ServiceAt, clips: Path, tmp_path: Path, figures: Figures
) -> None:
    edge = service_at(f"http://{cluster.edge()}", BY_INGRESS)
    source = film(clips / "bikes.mp4", tmp_path / "film.mp4", 2 * 1024 * MIB)
    with figures.timed("2 GiB by one form through Contour into the bucket"), source.open("rb") as handle:
        answer = edge.http.post("/api/upload", files={"file": (source.name, handle)}, timeout=PATIENCE_SECONDS)
    assert answer.status_code == 200, answer.text
    assert answer.json()["size"] == source.stat().st_size
    job = edge.wait_for_end(edge.execute(sourcePath=answer.json()["filePath"], trim=TRIM))
    assert job["status"] == "done", job

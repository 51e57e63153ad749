"""A running service whose storage has surroundings: a secret beside its root, and eyes on all that is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from flowscale.settings import StorageSettings
from integration.program import Program
from integration.raw_http import RawAnswer
from integration.test_storage_modes import environment_of
from s3_servers import VersityGateway

SENTINEL = "sentinel-3b9d17c2-nobody-may-read-this"

FILE_ID = "0" * 31 + "1"
JOB_ID = f"job_1700000000000_{FILE_ID}"


@dataclass(frozen=True)
class Site:
    """A running service, and what lies around its storage."""

    program: Program
    folder: Path
    clip: bytes
    surroundings: Callable[[], dict[str, str]]  # all that is outside the root
    inside: Callable[[], list[str]]  # keys of what is stored
    kind: str  # local, nfs, s3

    @property
    def url(self) -> str:
        return self.program.url

    @property
    def secret(self) -> Path:
        return self.folder / "secret.txt"

    def check(self, answers: Iterable[RawAnswer]) -> Counter[int]:
        """None shows the secret, none is a fault of the server's; how often which status came."""
        statuses: Counter[int] = Counter()
        for answer in answers:
            assert SENTINEL.encode() not in answer.content, answer.request
            assert b"root:x:0:0" not in answer.content, answer.request
            assert b"\r\nx-injected" not in answer.content.lower(), answer.request
            assert answer.content, answer.request
            assert answer.status < 500, answer
            statuses[answer.status] += 1
        return statuses


def tree(folder: Path, *, without: Sequence[Path] = ()) -> dict[str, str]:
    """Everything below the folder, links not followed: what it is, when it was written, which file, which content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if any(path == other or other in path.parents for other in without):
            continue
        status = path.lstat()
        content = (
            path.readlink() if path.is_symlink() else sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        )
        found[str(path)] = f"{status.st_mode:o} {status.st_ino} {status.st_mtime_ns} {content}"
    return found


@contextmanager
def in_folder(kind: str, folder: Path) -> Iterator[tuple[dict[str, str], Callable[[], Any], Callable[[], list[str]]]]:
    data = folder / "data"
    data.mkdir()

    def inside() -> list[str]:
        return sorted(
            str(path.relative_to(data))
            for top in ("uploads", "outputs")
            for path in (data / top).rglob("*")
            if path.is_file()
        )

    around = [data, folder / "dev.log", folder / "temporary"]
    yield {"STORAGE_TYPE": kind}, lambda: tree(folder, without=around), inside


@contextmanager
def in_bucket(folder: Path) -> Iterator[tuple[dict[str, str], Callable[[], Any], Callable[[], list[str]]]]:
    with VersityGateway() as server:
        bucket = server.make_bucket()
        client = server.client()
        for key in ("secret.txt", f"uploads/{FILE_ID}/clip.mp4", f"theirs/uploads/{FILE_ID}/clip.mp4", "oursecret.txt"):
            client.put_object(Bucket=bucket, Key=key, Body=SENTINEL.encode())

        def keys() -> dict[str, str]:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
            return {
                found["Key"]: f"{found['ETag']} {found['LastModified']}"
                for page in pages
                for found in page.get("Contents", [])
            }

        def outside() -> dict[str, str]:
            around = [folder / "data", folder / "dev.log", folder / "temporary"]
            theirs = {key: mark for key, mark in keys().items() if not key.startswith("ours/")}
            return tree(folder, without=around) | theirs

        settings: StorageSettings = server.settings(bucket, prefix="ours")
        yield (
            environment_of(settings),
            outside,
            lambda: [key.removeprefix("ours/") for key in keys() if key.startswith("ours/")],
        )
        client.close()

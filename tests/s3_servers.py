"""Real S3 servers for tests, each a process with a folder and a key of its own.

    with VersityGateway() as server:
        bucket = server.make_bucket()
        storage = open_storage(server.settings(bucket))

`scripts/bootstrap python s3` brings them. versitygw is a strict server (SigV4, conditions, parts as S3 has them),
`rclone serve s3` another implementation of the same protocol, moto one that people test with. The kernel ends a server
with the thread that started it: start servers from the main thread, or from one that outlives them.
"""

from __future__ import annotations

import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import boto3
from botocore.config import Config

from flowscale.settings import StorageSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

HOST = "127.0.0.1"

PATIENCE_SECONDS = 60.0
"""For a server to start and to stop: far beyond what it takes, so that only a hang ends it."""

_SESSION = boto3.session.Session()  # one for all: what it reads of S3 takes it longer than most tests
_ROOT = Path(__file__).parents[1]
VERSITYGW = _ROOT / ".tools" / "s3" / "versitygw"


class Endpoint:
    """Where an S3 service answers and with what key. A server, or something before one."""

    type = "s3"
    region = "us-east-1"
    path = ""  # before the bucket, in every address
    certificate: Path | None = None  # that it shows, by HTTPS

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.key_id = f"key-{secrets.token_hex(8)}"
        self.secret = secrets.token_hex(20)

    @property
    def url(self) -> str:
        return f"{'https' if self.certificate else 'http'}://{HOST}:{self.port}{self.path}"

    def settings(self, bucket: str, **changes: Any) -> StorageSettings:
        """To use the bucket; `changes` are fields of StorageSettings."""
        fields: dict[str, Any] = {
            "type": self.type,
            "bucket": bucket,
            "region": self.region,
            "endpoint_url": self.url,
            "access_key_id": self.key_id,
            "secret_access_key": self.secret,
        }
        return StorageSettings.model_validate(fields | changes)

    def client(self, **config: Any) -> S3Client:
        """A plain client for a test's own questions; the caller closes it. `config` changes how it asks."""
        usual: dict[str, Any] = {
            "signature_version": "s3v4",
            "s3": {"addressing_style": "path"},
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
            "retries": {"mode": "standard", "total_max_attempts": 1},
        }
        client: S3Client = _SESSION.client(
            "s3",
            region_name=self.region,
            endpoint_url=self.url,
            verify=str(self.certificate) if self.certificate else None,
            aws_access_key_id=self.key_id,
            aws_secret_access_key=self.secret,
            config=Config(**(usual | config)),
        )
        return client

    def make_bucket(self) -> str:
        """A new, empty one."""
        name = f"bucket-{secrets.token_hex(8)}"
        client = self.client()
        try:
            client.create_bucket(Bucket=name)
        finally:
            client.close()
        return name

    def empty(self, bucket: str) -> None:
        """Remove the bucket and all that is in it: what a test stored takes memory, or the disk of a folder."""
        client = self.client()
        try:
            for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
                for found in page.get("Contents", []):
                    client.delete_object(Bucket=bucket, Key=found["Key"])
        finally:
            client.close()

    def left_over(self, bucket: str) -> list[str]:
        """Keys of uploads that were begun, and neither completed nor aborted."""
        client = self.client()
        try:
            pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket)
            return [upload["Key"] for page in pages for upload in page.get("Uploads", [])]
        finally:
            client.close()


class S3Server(Endpoint, ABC):
    """One process that serves a folder."""

    def __init__(self) -> None:
        super().__init__(free_port())
        self.folder = Path(tempfile.mkdtemp(prefix="flowscale-s3-"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.discard()
            raise
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.discard()

    @abstractmethod
    def command(self) -> Sequence[str]:
        """What starts it."""

    @property
    def log(self) -> str:
        """All it said since it was made."""
        return (self.folder / "log").read_text(errors="replace")

    def start(self) -> None:
        """Start it where it left off, on the same port, and wait until it answers."""
        assert self._process is None, "the server runs already"
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *self.command()],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._answers():
            assert self._process.poll() is None, f"{self.command()[0]} ended: {self.log[-2000:]}"
            assert time.monotonic() < deadline, f"{self.command()[0]} does not answer: {self.log[-2000:]}"
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None, "the server does not run"
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(PATIENCE_SECONDS)
        self._process = None

    def discard(self) -> None:
        """Kill it if it runs, and remove its folder."""
        if self._process is not None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            with urlopen(f"http://{HOST}:{self.port}/", timeout=5):
                return True
        except HTTPError:
            return True  # it wants a key
        except (URLError, OSError):
            return False


class VersityGateway(S3Server):
    """versitygw over a folder, on a disk that takes extended attributes: objects appear together with theirs.

    `beside`: attributes lie in files beside the objects. One of ext4 holds 4 KiB, too little for a list of a thousand
    parts; the server then fails to complete such an upload.
    """

    def __init__(self, region: str = "us-east-1", *, beside: bool = False) -> None:
        super().__init__()
        self.region = region
        self._beside = beside
        (self.folder / "objects").mkdir()
        (self.folder / "attributes").mkdir()

    def command(self) -> Sequence[str]:
        assert VERSITYGW.is_file(), "there is no versitygw; scripts/bootstrap s3 builds it"
        server = [str(VERSITYGW), "--port", f"{HOST}:{self.port}", "--region", self.region, "--keep-alive", "--quiet"]
        key = ["--access", self.key_id, "--secret", self.secret]
        beside = ["--sidecar", str(self.folder / "attributes")] if self._beside else []
        return [*server, *key, "posix", *beside, str(self.folder / "objects")]


class RcloneServer(S3Server):
    """`rclone serve s3` over a folder."""

    def __init__(self) -> None:
        super().__init__()
        (self.folder / "objects").mkdir()

    def command(self) -> Sequence[str]:
        rclone = str(Path(sys.executable).with_name("rclone"))
        key = ["--auth-key", f"{self.key_id},{self.secret}"]
        nothing_of_the_machine = ["--config", str(self.folder / "rclone.conf"), "--cache-dir", str(self.folder)]
        where = ["--addr", f"{HOST}:{self.port}", str(self.folder / "objects")]
        return [rclone, "serve", "s3", *key, *nothing_of_the_machine, *where]


class MotoServer(S3Server):
    """moto, which holds everything in memory and believes every signature."""

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", "moto.server", "--host", HOST, "--port", str(self.port)]


def free_port() -> int:
    """A port of the loopback address that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port

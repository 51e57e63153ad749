"""A service whose files are in a bucket that can be made to fail: gateways and fleets that share no disk.

    with bucket_site(folder) as site:
        frontend, fleet = site.gateway(), site.fleet()
        gone = site.service.go_at("/outputs/")

FFmpeg is the real one. It notes each of its starts, so that a test can tell whether a render was made again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from integration.frontend import Frontend
from integration.leased import Fleet
from integration.program import FLOWSCALE, running
from integration.test_storage_modes import environment_of
from redis_server import RedisServer
from s3_faults import FaultyS3
from s3_servers import VersityGateway


@dataclass
class BucketSite:
    folder: Path
    server: VersityGateway
    service: FaultyS3
    bucket: str
    environment: dict[str, str]
    stack: ExitStack

    def gateway(self, **more: str) -> Frontend:
        disk = self._disk("gateway")
        program = self.stack.enter_context(running("api", disk, **{**self._settings(disk), **more}))
        frontend = Frontend(program.url)
        self.stack.callback(frontend.http.close)
        return frontend

    def fleet(self, workers: int = 1, **more: str) -> Fleet:
        disk = self._disk("worker")
        sizes = {"WORKER_CONCURRENCY": str(workers), "FLOWSCALE_LOG_FORMAT": "json"}
        fleet = Fleet([FLOWSCALE, "worker"], {**self._settings(disk), **sizes, **more}, disk / "worker.log")
        self.stack.callback(_end, fleet)
        return fleet.ready(workers)

    def encodes(self) -> int:
        """How often FFmpeg was started to make something."""
        note = self.folder / "starts"
        return len(note.read_text().splitlines()) if note.exists() else 0

    def stored(self, prefix: str) -> dict[str, int]:
        """Sizes by key, of what the server behind the faults has."""
        client = self.server.client()
        try:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
            return {each["Key"]: each["Size"] for page in pages for each in page.get("Contents", [])}
        finally:
            client.close()

    def _disk(self, name: str) -> Path:
        number = len(list(self.folder.glob(f"{name}-*"))) + 1
        disk = self.folder / f"{name}-{number}"
        (disk / "scratch").mkdir(parents=True)
        return disk

    def _settings(self, disk: Path) -> dict[str, str]:
        own = {"FLOWSCALE_SCRATCH_DIR": str(disk / "scratch"), "STORAGE_DIR": str(disk / "data")}
        return {**self.environment, **own}


def _end(fleet: Fleet) -> None:
    if fleet.process.poll() is None:
        fleet.stop()


@contextmanager
def bucket_site(folder: Path, *, slow: bool = False) -> Iterator[BucketSite]:
    """`slow`: FFmpeg reads its source no faster than it plays."""
    noting = folder / "ffmpeg"
    pace = "-re " if slow else ""
    # Looks at itself (-version, -encoders) are not counted: they write to no file.
    noting.write_text(
        f'#!/bin/sh\ncase "$*" in *" -i "*) echo "$$" >> "{folder}/starts";; esac\n'
        f'exec {shutil.which("ffmpeg")} {pace}"$@"\n'
    )
    noting.chmod(0o755)
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer())
        server = stack.enter_context(VersityGateway())
        service = stack.enter_context(FaultyS3(server))
        bucket = server.make_bucket()
        environment = {
            "PATH": os.environ["PATH"],
            "QUEUE_MODE": "redis",
            "REDIS_URL": redis.url,
            "FLOWSCALE_FFMPEG": str(noting),
            "FLOWSCALE_FFMPEG_THREADS": "1",
            **environment_of(service.settings(bucket)),
        }
        yield BucketSite(folder, server, service, bucket, environment, stack)

"""A render from upload to download in every mode of storage: two gateways and two workers that share no disk.

The upload goes to one gateway, the request to the other, and the output comes from the first; the workers take turns.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from contract.test_local_storage import namespace_for_mounts
from flowscale.settings import StorageSettings
from integration.frontend import Frontend
from integration.leased import Fleet, make_clip
from integration.processes import until
from integration.program import FLOWSCALE, probe, running
from redis_server import RedisServer, make_certificates
from s3_servers import Endpoint, RcloneServer, VersityGateway
from s3_shims import R2Shim, SupabaseShim


@dataclass
class Mode:
    """One way to store. Each program gets `settings`, and is started by `wrapper` where it needs one."""

    settings: dict[str, str]
    share: Path | None = None  # the folder behind an nfs share
    wrappers: list[list[str]] = field(default_factory=list)


def environment_of(settings: StorageSettings) -> dict[str, str]:
    given = settings.model_dump(exclude_none=True, exclude={"dir"})
    texts = {name: getattr(value, "get_secret_value", lambda value=value: value)() for name, value in given.items()}
    return {str(StorageSettings.model_fields[name].alias): str(value) for name, value in texts.items()}


@contextmanager
def in_bucket(kind: str, folder: Path) -> Iterator[Mode]:
    with ExitStack() as stack:
        endpoint: Endpoint
        trusted = {}
        if kind == "r2":
            certificates = make_certificates(folder)
            endpoint = stack.enter_context(R2Shim(stack.enter_context(VersityGateway("auto")), certificates))
            trusted = {"AWS_CA_BUNDLE": str(certificates.certificate)}
        elif kind == "supabase":
            endpoint = stack.enter_context(SupabaseShim(stack.enter_context(VersityGateway())))
        else:
            endpoint = stack.enter_context({"versitygw": VersityGateway, "rclone": RcloneServer}[kind]())
        yield Mode(environment_of(endpoint.settings(make_bucket(endpoint, trusted))) | trusted)


def make_bucket(endpoint: Endpoint, trusted: dict[str, str]) -> str:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in trusted.items():
            patch.setenv(name, value)
        return endpoint.make_bucket()


@contextmanager
def on_share(folder: Path) -> Iterator[Mode]:
    share = folder / "share"
    share.mkdir()
    yield Mode({"STORAGE_TYPE": "nfs"}, share)


@pytest.fixture(params=["nfs", "versitygw", "rclone", "r2", "supabase"])
def mode(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mode]:
    with on_share(tmp_path) if request.param == "nfs" else in_bucket(request.param, tmp_path) as mode:
        yield mode


def machine(mode: Mode, folder: Path, name: str) -> tuple[Path, list[str], dict[str, str]]:
    """A folder that stands for a machine's disk, with what starts a program there and its settings."""
    disk = folder / name
    (disk / "scratch").mkdir(parents=True)
    settings = {"FLOWSCALE_SCRATCH_DIR": str(disk / "scratch"), "STORAGE_DIR": str(disk / "data"), **mode.settings}
    if mode.share is None:
        return disk, [], settings
    mount = disk / "mounted"
    settings["STORAGE_DIR"] = str(mount)
    namespace = namespace_for_mounts(folder)
    if namespace is None:
        mount.symlink_to(mode.share)  # where nobody lets us mount: the same folder by another name
        return disk, [], settings
    mount.mkdir()
    script = f'mount --bind "{mode.share}" "{mount}" && exec "$@"'
    return disk, [*namespace, "sh", "-c", script, "sh"], settings


def test_a_clip_is_uploaded_rendered_and_fetched(mode: Mode, tmp_path: Path) -> None:
    clip = make_clip(tmp_path, seconds=20)
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer())
        common = {"QUEUE_MODE": "redis", "REDIS_URL": redis.url, "PATH": os.environ["PATH"]}
        gateways = []
        for number in (1, 2):
            disk, wrapper, settings = machine(mode, tmp_path, f"gateway-{number}")
            program = stack.enter_context(running("api", disk, wrapper, **common, **settings))
            gateways.append(Frontend(program.url))
            stack.callback(gateways[-1].http.close)
        fleets = []
        for number in (1, 2):
            disk, wrapper, settings = machine(mode, tmp_path, f"worker-{number}")
            log = disk / "worker.log"
            given = {**common, **settings, "FLOWSCALE_LOG_FORMAT": "json"}
            fleets.append(Fleet([*wrapper, FLOWSCALE, "worker"], given, log))
            stack.callback(fleets[-1].stop)
        for fleet in fleets:
            fleet.ready()

        source = gateways[0].upload(clip)
        jobs = [gateways[1].execute(source, trim={"start": n, "end": n + 2}) for n in range(6)]
        for job_id in jobs:
            job = gateways[0].wait(job_id)
            assert job["status"] == "done", job
            assert len(job.get("attempts", [])) <= 1
            output = tmp_path / f"{job_id}.mp4"
            output.write_bytes(_download(gateways[0], job["outputUrl"]))
            assert output.stat().st_size == job["outputSize"]
            assert abs(float(probe(output)["duration"]) - 2) < 0.11
        assert all(fleet.events("job.done") for fleet in fleets), "one worker did all the work"
        until(
            lambda: not any(list((tmp_path / f"worker-{n}" / "scratch").glob("*/*")) for n in (1, 2)), "scratch to go"
        )
        for number in (1, 2):
            if mode.share is None:
                assert not (tmp_path / f"gateway-{number}" / "data" / "uploads").exists()
                assert not (tmp_path / f"worker-{number}" / "data" / "outputs").exists()


def test_outputs_are_reached_without_the_gateway_where_the_storage_lets_one(tmp_path: Path) -> None:
    clip = make_clip(tmp_path, seconds=2)
    with in_bucket("versitygw", tmp_path) as mode, RedisServer() as redis:
        public = {"S3_PUBLIC_BASE_URL": "https://cdn.example/videos", "S3_PREFIX": "ours"}
        common = {"QUEUE_MODE": "redis", "REDIS_URL": redis.url, **mode.settings}
        with running("api", tmp_path, **{**common, **public}) as program:
            frontend = Frontend(program.url)
            with frontend.http as http, clip.open("rb") as file:
                upload = http.post("/api/upload", files={"file": ("clip.mp4", file)}).json()
                assert upload["publicUrl"] == f"https://cdn.example/videos/ours/{upload['filePath']}"
                told = http.get(f"/{upload['filePath']}?redirect&download")
                assert told.status_code == 307
                assert "X-Amz-Signature" in told.headers["location"]
                whole = httpx2.get(told.headers["location"])
                assert whole.content == clip.read_bytes()
                assert whole.headers["content-type"] == "video/mp4"
                assert whole.headers["content-disposition"] == 'attachment; filename="clip.mp4"'
                part = httpx2.get(told.headers["location"], headers={"Range": "bytes=10-19"})
                assert (part.status_code, part.content) == (206, clip.read_bytes()[10:20])
                # A signature is for GET alone; and without being asked, the gateway serves the file itself.
                assert http.head(f"/{upload['filePath']}?redirect").status_code == 200
                assert http.get(f"/{upload['filePath']}").content == clip.read_bytes()


def _download(frontend: Frontend, url: str) -> bytes:
    answer = frontend.http.get(url)
    assert answer.status_code == 200, answer.text
    return answer.content

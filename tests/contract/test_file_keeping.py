"""Files that have had their time go; what a job needs stays, and no new job may name what is about to go."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.gateway_server import MP4, Running, error_of, fields, running
from flowscale import names
from flowscale.clocks import SystemClock
from flowscale.jobs import Failure, Output
from flowscale.queues.base import Execution
from flowscale.settings import StorageSettings
from flowscale.testing import a_report
from flowscale_api.files.keeping import MARGIN_SECONDS, FileKeeper

AGE = 3600.0
FILES = StorageSettings(upload_retention_seconds=AGE, output_retention_seconds=AGE, upload_expiry_seconds=AGE)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path / "data", files=FILES) as gateway:
        gateway.queue.report(a_report("worker"))
        yield gateway


def age(gateway: Running, key: str, seconds: float) -> None:
    """Make the file as old as that."""
    then = time.time() - seconds
    os.utime(gateway.root / key, (then, then))


def keep(gateway: Running, files: StorageSettings = FILES) -> None:
    asyncio.run(FileKeeper(gateway.queue, gateway.storage, files, SystemClock()).round())


def started(gateway: Running) -> Execution:
    execution = gateway.queue.fetch("worker", 0)
    assert execution is not None
    return execution


def test_an_upload_goes_when_it_has_reached_its_age_and_the_margin(gateway: Running) -> None:
    old, aged, young = (gateway.upload()["filePath"] for _ in range(3))
    age(gateway, old, AGE + MARGIN_SECONDS + 60)
    age(gateway, aged, AGE + 60)
    keep(gateway)
    assert gateway.files() == sorted([aged, young])


def test_nothing_goes_where_no_age_is_set(gateway: Running) -> None:
    old = gateway.upload()["filePath"]
    age(gateway, old, 1000 * AGE)
    keep(gateway, StorageSettings())
    assert gateway.files() == [old]


def test_no_new_job_may_name_an_upload_that_has_reached_its_age(gateway: Running) -> None:
    upload = gateway.upload()
    age(gateway, upload["filePath"], AGE + 1)
    for source in (upload["filePath"], upload["fileId"]):
        answer = gateway.http.post("/api/execute", json={"sourcePath": source})
        error_of(answer, 404, "FILE_NOT_FOUND")
    age(gateway, upload["filePath"], AGE - 60)
    assert gateway.execute(sourcePath=upload["filePath"])["status"] == "queued"


@pytest.mark.parametrize("state", ["queued", "running", "delayed"])
def test_what_a_job_needs_stays_until_it_has_ended(gateway: Running, state: str) -> None:
    upload = gateway.upload()["filePath"]
    gateway.execute(sourcePath=upload)
    age(gateway, upload, 10 * AGE)
    execution = None
    if state != "queued":
        execution = started(gateway)
    if state == "delayed":
        assert execution is not None
        gateway.queue.fail(execution, Failure("NO_OUTPUT", "Nothing came out.", retryable=True))
    keep(gateway)
    assert gateway.files() == [upload]


def test_the_output_of_a_running_job_stays_and_that_of_an_ended_one_goes(gateway: Running) -> None:
    gateway.execute()
    execution = started(gateway)
    key = names.output_key(execution.job.id, secrets.token_hex(16), "out.mp4")
    with gateway.storage.writer(key) as writer:
        writer.write(MP4)
        stored = writer.commit()
    age(gateway, key, 10 * AGE)
    keep(gateway)
    assert key in gateway.files()
    gateway.queue.commit(execution, Output(key, stored.size, "video/mp4", 1000))
    keep(gateway)
    assert key not in gateway.files()
    assert fields(gateway.http.get(f"/api/jobs/{execution.job.id}"))["status"] == "done"


def test_a_failed_job_is_not_queued_again_when_its_upload_has_reached_its_age(gateway: Running) -> None:
    upload = gateway.upload()["filePath"]
    job_id = gateway.execute(sourcePath=upload)["jobId"]
    gateway.queue.fail(started(gateway), Failure("INVALID_MEDIA", "It cannot be read.", retryable=False))
    age(gateway, upload, AGE + 1)
    error_of(gateway.http.post(f"/api/jobs/{job_id}/retry"), 404, "FILE_NOT_FOUND")
    assert gateway.job(job_id)["status"] == "error"
    age(gateway, upload, 60)
    assert fields(gateway.http.post(f"/api/jobs/{job_id}/retry"))["status"] == "queued"


def test_what_was_begun_and_never_finished_is_removed(gateway: Running) -> None:
    key = names.upload_key(secrets.token_hex(16), "clip.mp4")
    upload = gateway.storage.begin(key)
    gateway.storage.part(key, upload, 1, 0, MP4)
    folder = gateway.root / "partial" / upload
    keep(gateway)
    assert folder.exists()
    then = time.time() - 3 * AGE
    os.utime(folder, (then, then))
    keep(gateway)
    assert not folder.exists()
    assert list(gateway.storage.open_uploads()) == []

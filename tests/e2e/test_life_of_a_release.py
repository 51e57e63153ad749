"""The life of a release with the chart's defaults: bundled Valkey, files on a volume. The last test ends it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster import Cluster, names
from e2e.conftest import MakeNamespace, ServiceAt
from e2e.neighbours import Gate
from e2e.programs import run
from e2e.releases import LEFT_BY_NO_RELEASE, NEXT_TAG, SMALL, Release, merged
from e2e.renders import Service, check_each_done_once, check_video, output_path
from e2e.rights import excesses, rights
from e2e.tables import Figures
from e2e.waiting import until

WORKERS = 4
WIDER = merged(SMALL, {"worker": {"replicas": WORKERS, "rollout": {"maxSurge": "100%"}}})
"""All new workers at once: each is waited for ten seconds before it counts."""

NEXT = merged(WIDER, {"worker": {"image": {"tag": NEXT_TAG}}})


@pytest.fixture(scope="module")
def release(cluster: Cluster, namespace: MakeNamespace, figures: Figures) -> Release:
    made = Release(cluster, namespace("release"))
    with figures.timed("install with defaults, until ready (images are there)"):
        made.install(SMALL)
    return made


@pytest.fixture(scope="module")
def service(cluster: Cluster, release: Release, service_at: ServiceAt) -> Service:
    return service_at(cluster.node_port(release.namespace, release.component("api"), 80))


@pytest.fixture
def gate(cluster: Cluster, release: Release, clips: Path) -> Iterator[Gate]:
    made = Gate(cluster, release.namespace)
    made.start(clips / "bikes.mp4")
    yield made
    made.open()


def render_a_second(service: Service, clips: Path) -> dict[str, Any]:
    """The job when it has ended."""
    source = service.upload(clips / "carphone_pristine.mp4")
    return service.wait_for_end(service.execute(sourcePath=source, trim={"start": 0, "end": 1}))


def restarts(cluster: Cluster, release: Release) -> int:
    pods = cluster.pods(release.namespace)
    return sum(status.restart_count for pod in pods for status in pod.status.container_statuses or ())


def test_everything_is_ready_and_no_pod_was_refused_or_restarted(cluster: Cluster, release: Release) -> None:
    for component, count in (("api", 2), ("worker", 2), ("redis", 1)):
        cluster.wait_for_ready(release.namespace, component, count)
    assert restarts(cluster, release) == 0


def test_pods_may_write_nowhere_else_and_hold_no_token(cluster: Cluster, release: Release) -> None:
    """All of them were admitted at the level "restricted", which the namespace enforces."""
    pods = cluster.pods(release.namespace)
    assert [words for pod in pods for words in excesses(pod)] == []
    for pod in pods:
        first = cluster.execute(release.namespace, pod.metadata.name, "cat", "/proc/1/comm").strip()
        assert first in ("tini", "valkey-server"), f"{pod.metadata.name}: process 1 is {first}"


def test_service_accounts_may_what_they_must(
    cluster: Cluster, release: Release, golden: Callable[[str, str], None]
) -> None:
    golden("service-accounts.txt", rights(cluster, release.namespace))


def test_curl_renders_a_real_clip_through_the_service(
    cluster: Cluster, release: Release, clips: Path, figures: Figures
) -> None:
    with (
        cluster.forwarded(release.namespace, f"svc/{release.component('api')}", 80) as url,
        figures.timed("curl: upload, render and fetch of 3 s of a real clip, through the Service"),
    ):
        sent = run(["curl", "--fail-with-body", "-sS", "-F", f"file=@{clips}/bikes.mp4", f"{url}/api/upload"])
        wish = {
            "sourcePath": json.loads(sent)["filePath"],
            "trim": {"start": 1, "end": 4},
            "resize": {"width": 640, "height": 360},
            "quality": "medium",
        }
        body = ["-H", "Content-Type: application/json", "-d", json.dumps(wish)]
        accepted = json.loads(run(["curl", "--fail-with-body", "-sS", *body, f"{url}/api/execute"]))

        def ended() -> dict[str, Any] | None:
            job: dict[str, Any] = json.loads(run(["curl", "--fail", "-sS", f"{url}/api/jobs/{accepted['jobId']}"]))
            return job if job["status"] in ("done", "error") else None

        job = until(ended, f"{accepted['jobId']} to end")
        assert job["status"] == "done", job
        check_video(url + output_path(job), width=640, height=360, seconds=3)


def test_helm_test_is_green(release: Release, figures: Figures) -> None:
    with figures.timed("helm test"):
        release.test()


def test_an_upgrade_loses_and_restarts_no_render_and_can_be_rolled_back(
    cluster: Cluster, release: Release, service: Service, gate: Gate, clips: Path, figures: Figures
) -> None:
    workers = f"deployment/{release.component('worker')}"
    password = cluster.secret(release.namespace, release.component("redis"))
    release.upgrade(WIDER)
    old = names(cluster.wait_for_ready(release.namespace, "worker", WORKERS))
    before = release.stored_outputs()
    running = [service.execute(inputFileUrl=gate.url, trim={"start": 0, "end": 2}) for _ in range(WORKERS)]
    for job_id in running:
        service.wait_for_run(job_id)

    with figures.timed(f"upgrade to a new worker image under {WORKERS} renders, until the new workers are ready"):
        release.upgrade(NEXT)
        cluster.rolled_out(release.namespace, workers)
    new = [pod for pod in cluster.ready_pods(release.namespace, "worker") if pod.metadata.name not in old]
    assert len(new) == WORKERS
    assert all(pod.spec.containers[0].image.endswith(f":{NEXT_TAG}") for pod in new)
    ending = [pod.metadata.name for pod in cluster.pods(release.namespace, "worker") if pod.metadata.deletion_timestamp]
    assert sorted(ending) == sorted(old), "old workers that still render must be there"

    gate.open()
    jobs = service.wait_for_all(running)
    check_each_done_once(jobs, lambda: release.stored_outputs() - before)
    again = [job["jobId"] for job in jobs if len(job["attempts"]) != 1]
    figures.note("  renders lost; begun again", f"{len(running) - len(jobs)}; {len(again)}")
    assert again == []
    until(lambda: not set(old) & set(names(cluster.pods(release.namespace, "worker"))), "the old workers to end")

    with figures.timed("rollback"):
        release.rollback()
        cluster.rolled_out(release.namespace, workers)
    ready = cluster.ready_pods(release.namespace, "worker")
    assert not any(pod.spec.containers[0].image.endswith(f":{NEXT_TAG}") for pod in ready)
    assert render_a_second(service, clips)["status"] == "done"
    assert cluster.secret(release.namespace, release.component("redis")) == password


def test_uninstall_leaves_the_data_and_nothing_else(
    cluster: Cluster, release: Release, service: Service, service_at: ServiceAt, clips: Path, figures: Figures
) -> None:
    render_a_second(service, clips)
    known = {job["jobId"] for job in service.http.get("/api/jobs").json()["jobs"]}
    with figures.timed("uninstall"):
        release.uninstall()
    until(lambda: not release.objects(LEFT_BY_NO_RELEASE), "the last object of the release to be gone")
    assert len(release.objects("persistentvolumeclaims")) == 2, "files and jobs, kept by choice"

    with figures.timed("install again, over the data that was kept"):
        release.install(SMALL)
    again = service_at(cluster.node_port(release.namespace, release.component("api"), 80))
    assert {job["jobId"] for job in again.http.get("/api/jobs").json()["jobs"]} == known
    release.uninstall()

"""Workers that are gone in the middle of a render: each render is done by another, and has one output."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from e2e.cluster import Cluster
from e2e.faults import bring_back_node, lose_node, wait_for_loss
from e2e.production import Site
from e2e.renders import Service, check_each_done_once
from e2e.tables import Figures

LONG: dict[str, Any] = {"speed": 0.25, "quality": "lossless", "resize": {"width": 1280, "height": 720}}
"""Of four clips of ten seconds each: 160 s of video, far more work than the moment from the look at it to the kill."""

BEGUN_PERCENT = 20
"""Progress at which FFmpeg surely runs: sources are fetched before."""


def start_long_renders(service: Service, clips: Path, count: int) -> list[str]:
    source = service.upload(clips / "bikes.mp4")
    return [service.execute(sources=[source] * 4, **LONG) for _ in range(count)]


def wait_for_the_middle(service: Service, job_id: str) -> Mapping[str, Any]:
    return service.wait(
        job_id, lambda job: job["status"] == "running" and job["progressPct"] >= BEGUN_PERCENT, "in the middle"
    )


def worker_of(cluster: Cluster, job_id: str, pods: list[Any]) -> Any:
    """The pod whose log names the job: no answer of the gateway says who runs one that has not ended."""
    (found,) = [pod for pod in pods if job_id in cluster.log(pod.metadata.namespace, pod.metadata.name)]
    return found


def test_a_worker_deleted_by_force_loses_no_render(
    cluster: Cluster, site: Site, service: Service, clips: Path, figures: Figures
) -> None:
    namespace = site.release.namespace
    pods = cluster.wait_for_ready(namespace, "worker", 2)
    before = site.bucket.keys("outputs/")
    (job_id,) = start_long_renders(service, clips, 1)
    wait_for_the_middle(service, job_id)
    cluster.delete_pod_by_force(namespace, worker_of(cluster, job_id, pods).metadata.name)
    with figures.timed("worker deleted by force: until its render began again"):
        service.wait(job_id, lambda job: bool(job["attempts"]) and job["status"] == "running", "begun again")
    job = service.wait_for_end(job_id)
    assert [attempt.get("code") for attempt in job["attempts"]] == ["WORKER_LOST", None]
    check_each_done_once([job], lambda: site.bucket.keys("outputs/") - before)
    cluster.wait_for_ready(namespace, "worker", 2)


def test_a_lost_node_loses_no_render(
    cluster: Cluster, site: Site, service: Service, safe_node: str, clips: Path, figures: Figures
) -> None:
    namespace = site.release.namespace
    (lost,) = [node for node in cluster.workers() if node != safe_node]
    pods = cluster.wait_for_ready(namespace, "worker", 2)
    before = site.bucket.keys("outputs/")
    job_ids = start_long_renders(service, clips, 2)
    for job_id in job_ids:
        wait_for_the_middle(service, job_id)
    (hit,) = [job_id for job_id in job_ids if worker_of(cluster, job_id, pods).spec.node_name == lost]

    lose_node(lost)
    try:
        with figures.timed("node lost: until the control plane noticed"):
            wait_for_loss(cluster, lost)
        jobs = service.wait_for_all(job_ids)
        check_each_done_once(jobs, lambda: site.bucket.keys("outputs/") - before)
        attempts = {job["jobId"]: len(job["attempts"]) for job in jobs}
        assert attempts.pop(hit) == 2
        assert list(attempts.values()) == [1]
    finally:
        bring_back_node(cluster, lost)
    with figures.timed("node back: until both workers are ready"):
        cluster.wait_for_ready(namespace, "worker", 2)
    assert service.wait_for_end(start_short_render(service, clips))["status"] == "done"


def start_short_render(service: Service, clips: Path) -> str:
    return service.execute(sourcePath=service.upload(clips / "bikes.mp4"), trim={"start": 0, "end": 1})

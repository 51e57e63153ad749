"""The bundled Valkey killed, and then replaced, under a hundred jobs that were accepted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.cluster import Cluster, is_ready
from e2e.conftest import ServiceAt
from e2e.faults import kill_program
from e2e.releases import SMALL, Release
from e2e.renders import Service, check_each_done_once
from e2e.tables import Figures
from e2e.waiting import until

ACCEPTED = 100


@pytest.fixture(scope="module")
def release(cluster: Cluster) -> Iterator[Release]:
    with cluster.namespace("queue") as namespace:
        made = Release(cluster, namespace)
        made.install(SMALL)
        yield made
        made.uninstall()


@pytest.fixture(scope="module")
def own_service(cluster: Cluster, release: Release, service_at: ServiceAt) -> Service:
    return service_at(cluster.node_port(release.namespace, release.component("api"), 80))


def test_jobs_outlive_the_server_of_the_queue(
    cluster: Cluster, release: Release, own_service: Service, clips: Path, figures: Figures
) -> None:
    source = own_service.upload(clips / "carphone_pristine.mp4")
    accepted = [own_service.execute(sourcePath=source, trim={"start": 0, "end": 0.5}) for _ in range(ACCEPTED)]
    (server,) = cluster.ready_pods(release.namespace, "redis")
    kill_program(server, "valkey-server")
    waiting = len(unended(own_service, accepted))
    figures.note(f"Valkey killed under {ACCEPTED} accepted jobs: had not ended", str(waiting))
    assert waiting > ACCEPTED // 2

    cluster.core.delete_namespaced_pod(server.metadata.name, release.namespace)
    with figures.timed("Valkey's pod deleted: until the next is ready"):
        until(
            lambda: any(
                is_ready(pod) and pod.metadata.uid != server.metadata.uid
                for pod in cluster.pods(release.namespace, "redis")
            ),
            "the next server to be ready",
        )
    left = unended(own_service, accepted)
    figures.note("  had not ended when the next was ready", str(len(left)))
    with figures.timed(f"  until all {ACCEPTED} had ended"):
        jobs = own_service.wait_for_all(accepted)
    check_each_done_once(jobs, release.stored_outputs)


def unended(service: Service, job_ids: list[str]) -> list[str]:
    return [job_id for job_id in job_ids if service.job(job_id)["status"] not in ("done", "error")]

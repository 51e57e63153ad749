"""A release as in production (production.py): a bucket, a queue behind TLS, workers on all nodes, Contour before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.cluster import Cluster
from e2e.conftest import MakeNamespace, ServiceAt
from e2e.production import BY_INGRESS, BY_ROUTE, Site
from e2e.releases import LEFT_BY_NO_RELEASE
from e2e.renders import Service, check_each_done_once, check_video, output_path
from e2e.tables import Figures
from e2e.waiting import until


@pytest.fixture(scope="module")
def site(
    cluster: Cluster, namespace: MakeNamespace, figures: Figures, tmp_path_factory: pytest.TempPathFactory
) -> Site:
    made = Site(cluster, namespace("site"), helm=4)
    made.start_neighbours(tmp_path_factory.mktemp("keys"))
    with figures.timed("install by Helm 4 with a bucket, TLS to the queue, Ingress and HTTPRoute, until ready"):
        made.release.install(made.values())
    return made


@pytest.fixture(scope="module")
def service(cluster: Cluster, site: Site, service_at: ServiceAt) -> Service:
    return service_at(cluster.node_port(site.release.namespace, site.release.component("api"), 80))


def test_gateways_and_workers_stand_on_several_nodes(cluster: Cluster, site: Site) -> None:
    for component in ("api", "worker"):
        pods = cluster.wait_for_ready(site.release.namespace, component, 2)
        assert len({pod.spec.node_name for pod in pods}) == 2, component


def test_workers_of_every_node_render_into_the_bucket(
    cluster: Cluster, site: Site, service: Service, clips: Path, figures: Figures
) -> None:
    source = service.upload(clips / "bikes.mp4")
    before = site.bucket.keys("outputs/")
    with figures.timed("8 renders of 2 s by two workers, into the bucket"):
        wanted = [service.execute(sourcePath=source, trim={"start": 0, "end": 2}) for _ in range(8)]
        jobs = service.wait_for_all(wanted)
    check_each_done_once(jobs, lambda: site.bucket.keys("outputs/") - before)
    check_video(service.url + output_path(jobs[0]), width=640, height=272, seconds=2)
    pods = cluster.pods(site.release.namespace, "worker")
    hands = {attempt["worker"] for job in jobs for attempt in job["attempts"]}
    for pod in pods:
        assert any(pod.metadata.name in hand for hand in hands), f"{pod.metadata.name} rendered nothing: {hands}"


@pytest.mark.parametrize("host", [BY_INGRESS, BY_ROUTE], ids=["ingress", "httproute"])
def test_a_render_and_its_events_come_through_contour(
    cluster: Cluster, site: Site, service_at: ServiceAt, clips: Path, host: str, figures: Figures
) -> None:
    edge = service_at(f"http://{cluster.edge()}", host)
    with figures.timed(f"upload, render and events through Contour ({host.split('.')[0]})"):
        job_id = edge.execute(sourcePath=edge.upload(clips / "bikes.mp4"), trim={"start": 2, "end": 4})
        events = edge.events(job_id)
    assert {"state", "progress", "log"} <= set(events)
    job = edge.job(job_id)
    assert job["status"] == "done", job
    assert job["outputUrl"].startswith(f"http://{host}/")
    fetched = edge.http.get(output_path(job), headers={"Range": "bytes=4-7"})
    assert (fetched.status_code, fetched.content) == (206, b"ftyp")


def test_uninstall_leaves_nothing(site: Site) -> None:
    site.release.uninstall()
    kinds = f"{LEFT_BY_NO_RELEASE},httproutes,persistentvolumeclaims"
    until(lambda: not site.release.objects(kinds), "the last object of the release to be gone")

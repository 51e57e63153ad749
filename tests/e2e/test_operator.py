"""The operator on a cluster: from zero and back, beside a render, without acting, and with a rival. In this order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from e2e.cluster import Cluster, names
from e2e.conftest import ServiceAt
from e2e.neighbours import Gate
from e2e.renders import Service
from e2e.rights import rights
from e2e.scalers import Scaler, installed, scaled
from e2e.tables import Figures
from e2e.verdicts import begun_again
from e2e.waiting import until

JOBS = 20
MOST = 6
SHORT = {"start": 0, "end": 0.5}


@pytest.fixture(scope="module")
def scaler(cluster: Cluster) -> Iterator[Scaler]:
    with installed(cluster, "operator", scaled(most=MOST, idle_seconds=5)) as made:
        yield made


@pytest.fixture(scope="module")
def service(cluster: Cluster, scaler: Scaler, service_at: ServiceAt) -> Service:
    return service_at(cluster.node_port(scaler.namespace, scaler.release.component("api"), 80))


@pytest.fixture(scope="module")
def gate(cluster: Cluster, scaler: Scaler, clips: Path) -> Gate:
    """Never opened: what waits for it is cancelled."""
    made = Gate(cluster, scaler.namespace)
    made.start(clips / "bikes.mp4")
    return made


@pytest.fixture(scope="module")
def source(service: Service, clips: Path) -> str:
    return service.upload(clips / "carphone_pristine.mp4")


def test_the_operator_may_what_it_must(cluster: Cluster, scaler: Scaler, golden: Callable[[str, str], None]) -> None:
    """That it must is shown by the others: it has no other rights."""
    golden("service-accounts-operator.txt", rights(cluster, scaler.namespace))


def test_paused_jobs_wait_and_then_all_workers_come_in_one_patch(
    scaler: Scaler, service: Service, source: str, figures: Figures
) -> None:
    began = time.time()
    scaler.wait_until_heard(scaler.ask(mode="Paused"))
    with ThreadPoolExecutor(4) as pool:
        jobs = list(pool.map(lambda _: service.execute(sourcePath=source, trim=SHORT), range(JOBS)))
    until(lambda: scaler.status().get("queued") == JOBS, f"a status that tells of {JOBS} jobs")
    assert scaler.condition("Paused")["status"] == "True"
    assert scaler.changes(began) == []

    woken = time.time()
    scaler.ask(mode="Auto")
    with figures.timed(f"operator: {JOBS} jobs from no worker to none, at most {MOST} at once"):
        ended = service.wait_for_all(jobs)
        scaler.wait_for_replicas(0)
    changes = scaler.changes(began)
    assert (changes[0].before, changes[0].after) == (0, MOST)
    figures.note("  resumed: until all replicas were asked for, in one patch", f"{changes[0].at - woken:.2f} s")
    assert all(change.down for change in changes[1:]), changes
    assert begun_again(ended) == []


def test_every_change_is_explained_in_event_status_log_and_metric(scaler: Scaler) -> None:
    changes = [(change.before, change.after) for change in scaler.changes()]
    assert len(changes) >= 2
    told = {event["message"] for event in scaler.events() if event["reason"] in ("ScaledUp", "ScaledDown")}
    for before, after in changes:
        assert any(message.startswith(f"From {before} to {after} workers") for message in told), (before, after, told)
    logged = scaler.logged("scale.changed")
    assert [(line["before"], line["after"]) for line in logged] == changes
    for line in logged:
        assert line["message"], line
        assert line["reason"] in ("QueueDepth", "Idle"), line
    last = until(
        lambda: found if (found := scaler.status()["lastDecision"])["to"] == changes[-1][1] else None,
        "a status that tells of the last change",
    )
    assert (last["from"], last["to"], last["message"]) == (*changes[-1], logged[-1]["message"])
    counted = scaler.total(scaler.leader(), "flowscale_scaler_changes_total", scaler=scaler.name, applied="true")
    assert counted == len(changes)


def test_idle_workers_go_beside_one_that_renders(
    cluster: Cluster, scaler: Scaler, service: Service, gate: Gate, source: str, figures: Figures
) -> None:
    began = time.time()
    held = service.execute(inputFileUrl=gate.url)
    short = [service.execute(sourcePath=source, trim=SHORT) for _ in range(MOST)]
    service.wait_for_run(held)
    pod = worker_of(cluster, scaler, held)
    ended = service.wait_for_all(short)
    scaler.wait_for_replicas(1)
    (left,) = until(
        lambda: found if len(found := not_ending(cluster, scaler)) == 1 else None,
        "all workers but one to be told to end",
    )
    assert left == pod
    assert max(change.after for change in scaler.changes(began)) > 1
    job = service.job(held)
    assert (job["status"], job["attempts"]) == ("running", [])
    assert begun_again(ended) == []
    service.cancel(held)
    with figures.timed("operator: render cancelled, until no replica is asked for (idle for 5 s)"):
        scaler.wait_for_replicas(0)


def test_a_dry_run_explains_the_same_and_changes_nothing(scaler: Scaler, service: Service, gate: Gate) -> None:
    began = time.time()
    scaler.wait_until_heard(scaler.ask(mode="DryRun"))
    held = service.execute(inputFileUrl=gate.url)
    would = until(
        lambda: [event["message"] for event in scaler.events() if event["reason"] == "WouldScale"], "what it would do"
    )
    until(lambda: scaler.status()["lastDecision"]["message"].startswith("DryRun"), "a status that says so")
    counted = scaler.total(scaler.leader(), "flowscale_scaler_changes_total", scaler=scaler.name, applied="false")
    assert counted >= 1
    assert scaler.logged("scale.would_change") != []
    assert scaler.changes(began) == []
    assert scaler.replicas() == 0

    scaler.ask(mode="Auto")
    scaler.wait_for_replicas(1)
    done = scaler.logged("scale.changed")[-1]["message"]
    assert because(would[-1]) == f"DryRun: {because(done)}"
    service.wait_for_run(held)
    service.cancel(held)
    scaler.wait_for_replicas(0)


def test_hands_off_while_a_horizontal_pod_autoscaler_wants_the_same(
    scaler: Scaler, service: Service, source: str
) -> None:
    began = time.time()
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": scaler.release.component("worker")}
    metric = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
    }
    scaler.cluster.apply(
        scaler.namespace,
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "rival"},
            # It does nothing itself: a HorizontalPodAutoscaler leaves a Deployment alone that has no replicas.
            "spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 2, "metrics": [metric]},
        },
    )
    told = scaler.wait_for("Ready", "False", "ConflictingAutoscaler")
    assert "rival" in told["message"]
    job = service.execute(sourcePath=source, trim=SHORT)
    until(lambda: scaler.status().get("queued") == 1, "a status that tells of the job")
    assert scaler.changes(began) == []
    assert any(event["reason"] == "ConflictingAutoscaler" for event in scaler.events())

    scaler.cluster.kubectl("--namespace", scaler.namespace, "delete", "horizontalpodautoscaler", "rival")
    scaler.wait_for("Ready", "True", "Scaling")
    assert begun_again([service.wait_for_end(job)]) == []
    scaler.wait_for_replicas(0)


def worker_of(cluster: Cluster, scaler: Scaler, job_id: str) -> str:
    """The pod whose log names the job."""

    def look() -> str | None:
        pods = names(cluster.ready_pods(scaler.namespace, "worker"))
        return next((pod for pod in pods if job_id in cluster.log(scaler.namespace, pod)), None)

    return until(look, f"a worker whose log names {job_id}")


def not_ending(cluster: Cluster, scaler: Scaler) -> list[str]:
    pods = cluster.pods(scaler.namespace, "worker")
    return [pod.metadata.name for pod in pods if pod.metadata.deletion_timestamp is None]


def because(message: str) -> str:
    """A message without the figures of its moment."""
    return message.partition(":")[0] if not message.startswith("DryRun: ") else f"DryRun: {because(message[8:])}"

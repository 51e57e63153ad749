"""Two operators, of which the one that leads is killed, or frozen and woken, in the middle of a scale-down."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.cluster import Cluster
from e2e.held_fleets import Fleet, fleet
from e2e.pod_processes import PodProcesses
from e2e.tables import Figures
from e2e.waiting import until

COST = "controller.kubernetes.io/pod-deletion-cost"
LOWEST = str(-(2**31) + 1)
"""What the operator writes on a worker that has agreed to go, a moment before it removes it."""

RENDERS = 2
IDLE = 4
CALM_SECONDS = 60.0
MOMENT_SECONDS = 120.0


@pytest.fixture(scope="module")
def pair(cluster: Cluster, clips: Path) -> Iterator[Fleet]:
    """Two workers render, and no other is there."""
    with fleet(cluster, "rivals", clips, most=RENDERS + IDLE, idle_seconds=5, operator={"replicas": 2}) as made:
        cluster.wait_for_ready(made.scaler.namespace, "operator", 2)
        made.hold(RENDERS)
        made.wait_for_pods(RENDERS)
        yield made


def with_idle_workers(pair: Fleet) -> None:
    """Beside those that render: of jobs that are cancelled as soon as all workers are there."""
    more = [pair.service.execute(inputFileUrl=pair.gate.url) for _ in range(IDLE)]
    pair.wait_for_pods(RENDERS + IDLE)
    for job_id in more:
        pair.service.wait_for_run(job_id)
    for job_id in more:
        pair.service.cancel(job_id)


def in_the_middle_of_a_scale_down(pair: Fleet, act: Callable[[], None]) -> None:
    """Acts when workers have agreed to go, and before they are told to."""
    began = time.time()
    deadline = time.monotonic() + MOMENT_SECONDS
    while time.monotonic() < deadline:
        marked = [
            each
            for each in pair.workers.seen
            if each.at >= began and (each.object["metadata"].get("annotations") or {}).get(COST) == LOWEST
        ]
        if marked:
            act()
            return
        time.sleep(0.005)
    raise AssertionError("no worker was marked")


def settled(pair: Fleet, since: float) -> float:
    """When the size became what it must be, which it then stays (Unix seconds)."""
    scaler = pair.scaler
    scaler.wait_for_replicas(RENDERS)
    last = scaler.changes(since)[-1].at
    time.sleep(CALM_SECONDS)
    flaps = scaler.changes(last + 0.001)
    assert flaps == [], "changes without a change of demand"
    return last


def test_the_leader_is_killed_in_the_middle_of_a_scale_down(pair: Fleet, figures: Figures) -> None:
    with_idle_workers(pair)
    began = time.time()
    leader = pair.scaler.leader()
    with PodProcesses(leader).ready_to("KILL") as kill:
        in_the_middle_of_a_scale_down(pair, kill)
        killed = time.time()
    last = settled(pair, began)
    figures.note("leader killed in the middle of a scale-down: until the size was right", f"{last - killed:.2f} s")
    figures.note(f"  changes in the {CALM_SECONDS:.0f} s after", "0")
    until(lambda: len(pair.scaler.operators()) == 2, "both operators")


def test_the_leader_is_lost_in_the_middle_of_a_scale_down(cluster: Cluster, pair: Fleet, figures: Figures) -> None:
    """With its pod: nothing of it comes back, and the other must take the Lease."""
    cluster.wait_for_ready(pair.scaler.namespace, "operator", 2)
    with_idle_workers(pair)
    began = time.time()
    leader = pair.scaler.leader()
    with PodProcesses(leader).ready_to("KILL") as kill:
        in_the_middle_of_a_scale_down(pair, kill)
        killed = time.time()
    cluster.delete_pod_by_force(pair.scaler.namespace, leader.metadata.name)
    last = settled(pair, began)
    figures.note(
        "leader lost with its pod in the middle of a scale-down: until the size was right", f"{last - killed:.2f} s"
    )


def test_the_leader_is_frozen_and_wakes_when_another_leads(cluster: Cluster, pair: Fleet, figures: Figures) -> None:
    scaler = pair.scaler
    cluster.wait_for_ready(scaler.namespace, "operator", 2)
    with_idle_workers(pair)
    leader = scaler.leader()
    processes = PodProcesses(leader)
    try:
        with processes.ready_to("STOP") as freeze:
            in_the_middle_of_a_scale_down(pair, freeze)
            frozen = time.time()
        until(lambda: scaler.holder() not in ("", leader.metadata.name), "the other operator to lead")
        taken = time.time()
        # The workers that the frozen one was about to remove render now: it must not go on where it stopped.
        pair.hold(IDLE)
    finally:
        processes.signal("CONT")
    woken = time.time()
    pair.wait_for_pods(RENDERS + IDLE)
    time.sleep(CALM_SECONDS)
    assert scaler.replicas() == RENDERS + IDLE
    assert [change for change in scaler.changes(woken) if change.down] == []
    assert scaler.holder() != leader.metadata.name
    figures.note("leader frozen in the middle of a scale-down: until the other led", f"{taken - frozen:.2f} s")
    jobs = pair.finish()
    assert len(jobs) == RENDERS + IDLE
    figures.note("  woken while its workers render again: changes downward; renders begun again", "0; 0")
    scaler.wait_for_replicas(0)

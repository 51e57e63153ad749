"""Twenty renders while the queue or the API server is away for a minute: nothing is removed, and then it goes on.

Each outage adds a job, and so a replica; the jobs are let go in the end, when all must have been rendered once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from e2e import outages
from e2e.cluster import Cluster
from e2e.held_fleets import Fleet, fleet
from e2e.tables import Figures
from e2e.waiting import until

AWAY_SECONDS = 60.0
RENDERS = 20
MOST = 30


@pytest.fixture(scope="module")
def twenty(cluster: Cluster, clips: Path) -> Iterator[Fleet]:
    with fleet(cluster, "outages", clips, most=MOST, idle_seconds=5) as made:
        made.hold(RENDERS)
        made.wait_for_pods(RENDERS)
        yield made


@pytest.mark.parametrize(
    ("what", "away"),
    [
        ("queue killed", outages.queue_killed),
        ("queue frozen", outages.queue_frozen),
        ("queue unreachable", outages.queue_unreachable),
    ],
)
def test_the_queue_is_away(
    twenty: Fleet, what: str, away: Callable[[Fleet], AbstractContextManager[None]], figures: Figures
) -> None:
    scaler, before = twenty.scaler, twenty.scaler.replicas()
    operator = scaler.leader()
    began = time.time()
    with away(twenty):
        until(lambda: scaler.condition("SourceHealthy").get("status") == "False", "the operator to tell of the outage")
        time.sleep(max(0.0, began + AWAY_SECONDS - time.time()))
        assert scaler.condition("SourceHealthy")["status"] == "False"
        assert scaler.changes(began) == []
    back = time.time()
    until(lambda: scaler.total(operator, "flowscale_operator_queue_up") == 1, "the operator to know the queue again")
    known = time.time()
    accepted = twenty.hold_by_key(what)
    change = scaler.wait_for_change(began, before + 1)
    figures.note(
        f"{what} for {AWAY_SECONDS:.0f} s under {before} renders: until the operator knows it again",
        f"{known - back:.2f} s",
    )
    figures.note("  changes downward; from the next job to its replica", f"0; {change.at - accepted:.2f} s")
    twenty.wait_until_held()
    assert scaler.changes(began) == [change]


def test_the_api_server_is_frozen(cluster: Cluster, twenty: Fleet, figures: Figures) -> None:
    _the_api_is_away(twenty, outages.api_server_frozen(cluster), "API server frozen", figures)


def test_the_operator_alone_does_not_reach_the_api_server(twenty: Fleet, figures: Figures) -> None:
    _the_api_is_away(twenty, outages.api_server_unreachable(twenty), "API server out of the operator's reach", figures)


def _the_api_is_away(twenty: Fleet, outage: AbstractContextManager[None], what: str, figures: Figures) -> None:
    scaler, before = twenty.scaler, twenty.scaler.replicas()
    operator = scaler.leader()
    began = time.time()
    with outage:
        twenty.jobs.append(twenty.service.execute(inputFileUrl=twenty.gate.url, trim={"start": 0, "end": 0.5}))
        time.sleep(max(0.0, began + AWAY_SECONDS - time.time()))
    back = time.time()
    change = scaler.wait_for_change(began, before + 1)
    figures.note(
        f"{what} for {AWAY_SECONDS:.0f} s: until a job of that time had its replica", f"{change.at - back:.2f} s"
    )
    twenty.wait_until_held()
    assert scaler.changes(began) == [change]
    still = scaler.leader()
    assert still.metadata.uid == operator.metadata.uid
    assert still.status.container_statuses[0].restart_count == operator.status.container_statuses[0].restart_count


def test_all_renders_end_and_all_workers_go(twenty: Fleet, figures: Figures) -> None:
    jobs = twenty.finish()
    twenty.scaler.wait_for_replicas(0)
    figures.note("  renders that lived through all outages; begun again", f"{len(jobs)}; 0")

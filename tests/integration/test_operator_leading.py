"""Several operators, one of which leads; and what becomes of a change that its operator did not live to finish."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.operator_site import SCALE, Site, site
from operator_process import OperatorProcess, until
from redis_server import RedisServer


@pytest.fixture
def place(own_redis: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with site(own_redis, tmp_path) as made:
        yield made


def standing_by(place: Site, name: str = "operator-2") -> OperatorProcess:
    operator = place.operator(name)
    operator.until("lease.waits")
    return operator


def holder(place: Site) -> str:
    spec = place.api.get("leases", "flowscale-operator")["spec"]
    return str(spec["holderIdentity"]).partition("/")[0]


def asked_to_go(place: Site) -> None:
    """Three workers, all idle; the operator has their consent, and is about to mark them. Its request is held."""
    place.start(3)
    hold = place.api.hold(r"^PATCH .*/pods/")
    place.workers.finish_all()
    hold.wait()
    until(lambda: len(place.draining()) == 3)


def test_one_leads_and_writes_and_the_other_stands_by(place: Site) -> None:
    place.leading()
    second = standing_by(place)
    since = len(place.api.requests)
    place.start(3)
    place.workers.finish_all()
    place.until_replicas(0)
    place.rounds(10)
    assert "lease.held" not in second.events()
    assert place.cluster.sizes["worker"] == [0, 3, 0]
    assert {
        request.path.rsplit("/", 1)[-1] for request in place.api.writes(since) if request.agent.endswith("operator-2")
    } <= {"flowscale-operator"}  # its candidacy
    assert holder(place) == "operator-1"


def test_a_killed_leader_is_replaced(place: Site) -> None:
    first = place.leading()
    second = standing_by(place)
    place.start(2)
    first.kill()
    second.until("lease.held")
    place.workers.finish_all()
    place.until_replicas(0)
    assert holder(place) == "operator-2"


def test_a_leader_that_ends_gives_way_at_once_and_a_newcomer_waits_its_turn(place: Site) -> None:
    first = place.leading()
    second = standing_by(place)
    assert first.terminate() == 0
    second.until("lease.held")
    first.start()
    until(lambda: first.events().count("lease.waits") == 1)
    assert holder(place) == "operator-2"


def test_what_a_killed_operator_had_begun_is_completed(place: Site) -> None:
    first = place.leading()
    asked_to_go(place)
    first.kill()
    place.respec(scaleDown={"idleSeconds": 3600})  # of its own accord the next would not scale down for an hour
    second = place.leading("operator-2")
    place.until_replicas(0)
    assert "to complete what" in second.until("scale.changed")["message"]


def test_what_a_killed_operator_had_begun_is_undone_when_it_is_needed(place: Site) -> None:
    first = place.leading()
    asked_to_go(place)
    first.kill()
    place.enqueue(3)
    place.leading("operator-2")
    until(lambda: place.workers.ticked(ends=0.0).busy == 3)
    assert place.cluster.sizes["worker"] == [0, 3]
    place.workers.finish_all()


def test_workers_stay_one_idle_time_after_a_takeover(place: Site) -> None:
    place.respec(scaleDown={"idleSeconds": 3600})
    first = place.leading()
    place.start(3)
    place.workers.finish_all()
    first.kill()
    place.leading("operator-2")
    place.rounds(5)
    assert place.replicas == 3


def test_an_operator_that_was_frozen_before_its_patch_does_not_send_it_when_it_wakes(place: Site) -> None:
    first = place.leading()
    second = standing_by(place)
    place.start(3)
    hold = place.api.hold(r"^GET .*/pods .*operator-1")  # of the last look, or the one before
    place.workers.finish_all()
    hold.wait()
    first.freeze()
    hold.let_go()
    second.until("lease.held")
    place.respec(replicas={"min": 3, "max": 9})
    since = len(place.api.requests)
    first.thaw()
    first.until("lease.lost")
    place.rounds(4)
    assert place.requests(SCALE, since, "operator-1") == []
    assert place.replicas == 3


def test_one_that_comes_again_in_the_same_pod_goes_on_at_once(place: Site) -> None:
    first = place.leading()
    first.kill()
    place.enqueue(2)
    first.start()
    place.until_replicas(2)
    assert "lease.waits" not in first.events()

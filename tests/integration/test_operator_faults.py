"""What the operator does while the queue, the API or itself fails: it holds what it does not know, and goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from flowscale_operator.grants import LEAVE_SECONDS
from integration.operator_site import SCALE, Site, site
from operator_process import until
from redis_server import RedisServer


@pytest.fixture
def place(own_redis: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with site(own_redis, tmp_path) as made:
        yield made


def test_an_unknown_queue_is_no_empty_one(place: Site) -> None:
    operator = place.leading()
    place.start(3)
    place.redis.kill()
    condition = place.until_condition("SourceHealthy", "False", "QueueUnavailable")
    assert "held" in condition["message"]
    place.rounds(4)  # far beyond the idle time
    assert place.replicas == 3
    assert place.cluster.sizes["worker"] == [0, 3]
    assert operator.ask("/healthz") == (200, "ok")
    assert "busy" not in place.status
    place.redis.start()
    place.until_condition("SourceHealthy", "True", "Fresh")
    place.enqueue(2)
    place.until_replicas(5)
    assert {"QueueUnavailable", "SourceRecovered"} <= set(place.reasons())


def test_a_frozen_queue_is_no_empty_one(place: Site) -> None:
    place.leading()
    place.start(3)
    place.redis.freeze()
    place.until_condition("SourceHealthy", "False", "QueueUnavailable")
    place.rounds(4)
    assert place.replicas == 3
    place.redis.thaw()
    place.until_condition("SourceHealthy", "True", "Fresh")
    place.workers.finish_all()
    place.until_replicas(0)


def test_a_lost_wake_up_call_costs_a_moment(place: Site) -> None:
    """Without pub/sub it looks once a second."""
    with place.redis.admin() as admin:
        place.leading()
        admin.execute_command("ACL", "SETUSER", "default", "-subscribe", "-psubscribe")
        admin.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    place.enqueue(3)
    place.until_replicas(3)


def test_a_frozen_api_server_ends_nothing(place: Site) -> None:
    operator = place.leading()
    place.start(2)
    place.api.freeze()
    place.workers.finish_all()
    operator.until("lease.failed")
    assert operator.ask("/healthz")[0] == 200
    place.api.thaw()
    place.until_replicas(0)
    place.start(2)
    assert operator.events().count("operator.started") == 1


def test_cut_watches_and_a_forgotten_history_are_gone_on_from(place: Site) -> None:
    operator = place.leading()
    place.api.cut_watches()
    place.api.forget_history()
    place.respec(replicas={"min": 2, "max": 5})
    place.until_replicas(2)
    place.api.forget_history()
    place.start(3)
    place.workers.finish_all()
    place.until_replicas(2)
    assert operator.running


def test_an_end_of_kopf_is_not_the_operators(place: Site) -> None:
    """What kopf cannot bear (here, a refusal of its discovery) makes it deaf, and no more: the list is read besides."""
    place.api.fail(r"^GET /apis$", 403, times=1)
    operator = place.leading()
    place.respec(replicas={"min": 2, "max": 5})
    place.until_replicas(2)
    assert operator.running
    assert operator.ask("/healthz")[0] == 200


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_asks_for_a_pause_gets_it(place: Site, status: int) -> None:
    place.leading()
    place.api.fail(SCALE, status, times=2, Retry_After="1")
    place.enqueue(2)
    place.until_replicas(2)
    asked = place.requests(SCALE)
    assert [each.status for each in asked] == [status, status, 200]
    if status != 500:
        assert all(later.at - earlier.at >= 1.0 for earlier, later in pairwise(asked))


def test_a_conflict_is_looked_at_again(place: Site) -> None:
    place.leading()
    place.api.fail(SCALE, 409, times=1)
    place.start(2)
    place.api.fail(SCALE, 409, times=2)
    place.workers.finish_all()
    place.until_replicas(0)
    assert place.cluster.sizes["worker"] == [0, 2, 0]


def test_a_patch_whose_answer_was_lost_is_done_once(place: Site) -> None:
    place.leading()
    place.start(4)
    kept = sorted(place.workers.holders)[:1]
    place.api.fail(SCALE, 0, times=1)
    place.workers.finish_all(but=kept)
    place.until_replicas(1)
    until(lambda: place.status.get("lastDecision", {}).get("to") == 1, lambda: str(place.status))
    assert place.cluster.sizes["worker"] == [0, 4, 1]
    assert len(place.requests(SCALE)) == 2


def test_a_patch_that_was_refused_frees_those_who_agreed(place: Site) -> None:
    place.leading()
    place.start(3)
    place.api.fail(SCALE, 403, times=10**6)
    place.workers.finish_all()
    until(lambda: len(place.requests(SCALE)) >= 2)
    place.respec(scaleDown={"idleSeconds": 3600})  # so that they are not asked again
    until(lambda: place.draining() == set() and place.lowest() == set())
    place.api.mend()
    place.start_more(3)


def test_who_agreed_takes_no_job_while_the_controller_is_away_that_removes_it(place: Site) -> None:
    """Released, it would be given one of the waiting jobs, and then any of three busy workers would have to go."""
    place.respec(scaleDown={"idleSeconds": 3600})
    operator = place.leading()
    place.start(3)
    place.cluster.works.clear()
    place.workers.finish_all(but=sorted(place.workers.holders)[:2])
    place.respec(replicas={"min": 0, "max": 2})
    place.until_replicas(2)
    place.enqueue(2)
    ends = time.monotonic() + LEAVE_SECONDS + 5
    while time.monotonic() < ends:
        place.workers.tick(ends=0.0)
        time.sleep(0.2)
    assert len(place.cluster.pods("worker")) == 3
    assert place.workers.busy == 2, operator.log
    place.cluster.works.set()
    until(lambda: len(place.cluster.removed) == 1, lambda: operator.log)
    assert place.workers.broken == []


def test_jobs_that_come_while_workers_are_asked_stop_it(place: Site) -> None:
    operator = place.leading()
    place.start(3)
    hold = place.api.hold(r"^PATCH .*/pods/")  # the marks of those who agreed
    place.workers.finish_all()
    hold.wait()
    assert place.draining()
    place.enqueue(3)
    operator.until("scale.changed")
    hold.let_go()
    until(lambda: place.workers.ticked(ends=0.0).busy == 3, lambda: operator.log)
    assert place.cluster.sizes["worker"] == [0, 3]


def test_a_worker_that_is_given_a_job_before_it_is_asked_stays(place: Site) -> None:
    """The operator has read that it is idle; before it asks, the worker fetches."""
    operator = place.leading()
    place.start(3)
    hold = place.api.hold(r"^GET .*/deployments/worker")
    place.workers.finish_all()
    hold.wait()
    place.enqueue(1)
    place.workers.tick(ends=0.0)
    hold.let_go()
    place.until_replicas(1)
    assert place.workers.busy == 1, operator.log


def test_a_deployment_that_is_scaled_by_hand_meanwhile_is_decided_anew(place: Site) -> None:
    place.leading()
    place.start(4)
    hold = place.api.hold(r"^PATCH .*/pods/")
    kept = sorted(place.workers.holders)[:2]
    place.workers.finish_all(but=kept)
    hold.wait()
    place.api.change("deployments", "worker", {"spec": {"replicas": 5}})
    hold.let_go()
    place.until_replicas(2)
    assert place.workers.busy == 2


@pytest.mark.parametrize("moment", ["start", "no-crd", "no-queue", "scale-down"])
def test_sigterm_ends_it_at_any_time(place: Site, moment: str) -> None:
    if moment == "no-crd":
        place.api.absent("workerscalers")
    if moment == "no-queue":
        place.redis.freeze()
    operator = place.operator()
    operator.until("operator.started")
    if moment == "no-crd":
        operator.until("crd.missing")
    if moment == "scale-down":
        place.start(3)
        hold = place.api.hold(r"^PATCH .*/pods/")
        place.workers.finish_all()
        hold.wait()
    assert operator.terminate() == 0, operator.log
    if moment == "scale-down":
        hold.let_go(drop=True)
    leases = place.api.all("leases")
    assert all(not lease["spec"]["holderIdentity"] for lease in leases)


def test_a_setting_that_cannot_be_is_said_in_one_line(place: Site) -> None:
    operator = place.operator(FLOWSCALE_OPERATOR_LEASE="No Such Name!")
    until(lambda: not operator.running)
    assert any("FLOWSCALE_OPERATOR_LEASE" in line for line in operator.text)

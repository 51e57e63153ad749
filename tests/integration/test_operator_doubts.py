"""Patches of which nobody knows whether they still arrive, and other things an operator cannot rely upon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from api_server import Hold
from integration.operator_site import SCALE, Site, site
from operator_process import PROGRAM, OperatorProcess, until
from played_cluster import LABELS
from redis_server import RedisServer

SET_BACK = (
    """
import os
from pathlib import Path
from flowscale.clocks import SystemClock
right = SystemClock.now_ms
SystemClock.now_ms = lambda clock: right(clock) - 3_600_000 * Path(os.environ["SET_BACK"]).exists()
"""
    + PROGRAM
)
"""The operator on a machine whose clock is set back by an hour as soon as there is such a file."""


@pytest.fixture
def place(own_redis: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with site(own_redis, tmp_path) as made:
        yield made


def patch_on_its_way(place: Site) -> tuple[OperatorProcess, Hold]:
    """All of three workers agreed to go, and the patch to 0 was sent; its answer does not come."""
    operator = place.leading()
    place.start(3)
    hold = place.api.hold(SCALE)
    place.workers.finish_all()
    hold.wait()
    return operator, hold


def test_more_work_outranks_a_patch_in_doubt(place: Site) -> None:
    operator, hold = patch_on_its_way(place)
    place.enqueue(5)
    place.until_replicas(5)
    hold.let_go()  # it arrives after all
    until(lambda: place.workers.ticked(ends=0.0).busy == 5, lambda: operator.log)
    assert place.cluster.sizes["worker"] == [0, 3, 5]
    until(lambda: place.status.get("lastDecision", {}).get("to") == 5, lambda: str(place.status))


def test_what_is_in_doubt_is_not_sent_again_when_another_would_go(place: Site) -> None:
    operator = place.leading()
    place.start(3)
    busy = sorted(place.workers.holders)[0]
    hold = place.api.hold(SCALE)
    place.workers.finish_all(but=[busy])
    hold.wait()
    not_ready = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    place.api.change("pods", busy, {"status": {"conditions": [not_ready]}})
    operator.until("scale.failed")
    place.rounds(6)
    assert place.requests(SCALE)[1:] == [], operator.log  # the first went up
    hold.let_go(drop=True)
    place.cluster.run(busy)
    place.until_replicas(1)
    assert place.workers.busy == 1


def test_sigterm_keeps_the_lease_while_a_patch_may_arrive(place: Site) -> None:
    operator, hold = patch_on_its_way(place)
    assert operator.terminate() == 0, operator.log
    assert "lease.kept" in operator.events()
    assert [bool(lease["spec"]["holderIdentity"]) for lease in place.api.all("leases")] == [True]
    hold.let_go()
    place.until_replicas(0)


def test_a_patch_of_a_killed_operator_is_refused_when_the_next_has_freed_the_workers(place: Site) -> None:
    first, hold = patch_on_its_way(place)
    first.kill()
    place.enqueue(3)
    second = place.leading("operator-2")
    until(lambda: place.workers.ticked(ends=0.0).busy == 3, lambda: second.log)
    hold.let_go()
    until(lambda: place.requests(SCALE)[1:], lambda: second.log)
    assert place.cluster.sizes["worker"] == [0, 3]


@pytest.mark.parametrize("successor", ["new", "waiting"])
def test_a_successor_begins_when_nothing_of_the_last_can_arrive(place: Site, successor: str) -> None:
    operator = place.leading()
    spec = place.api.get("workerscalers", "flowscale")["spec"]
    second = {"metadata": {"name": "second"}, "spec": spec}
    if successor == "waiting":
        place.api.put("workerscalers", second)
    place.start(3)
    hold = place.api.hold(SCALE)
    place.workers.finish_all()
    hold.wait()
    place.api.delete("workerscalers", "flowscale")
    if successor == "new":
        place.api.put("workerscalers", second)
    place.enqueue(3)
    until(lambda: place.workers.ticked(ends=0.0).busy == 3, lambda: operator.log)
    hold.let_go()
    place.enqueue(1)
    place.until_replicas(4)
    assert place.cluster.sizes["worker"] == [0, 3, 4]


def test_a_deleted_workerscaler_leaves_no_marks(place: Site) -> None:
    place.leading()
    place.start(2)
    until(lambda: len(place.marked()) == 2)
    place.api.delete("workerscalers", "flowscale")
    until(lambda: place.marked() == set())


def test_a_clock_that_is_set_back_is_not_noticed(place: Site, tmp_path: Path) -> None:
    back = tmp_path / "back"
    place.leading(program=SET_BACK, SET_BACK=str(back))
    place.start(2)
    back.touch()
    place.workers.finish_all()
    place.until_replicas(0)
    place.start(3)


def test_workers_that_do_not_say_in_which_pod_they_are_stay(place: Site) -> None:
    template = {"metadata": {"labels": {**LABELS, "app": "worker"}}, "spec": {"containers": [{"name": "worker"}]}}
    place.api.change("deployments", "worker", {"spec": {"template": template}})
    place.leading()
    place.start(3)
    place.workers.finish_all()
    held = place.until_condition("ScalingLimited", "True", "ScaleDownHeld")
    assert "POD_NAME" in held["message"]
    place.start_more(3)
    assert place.cluster.sizes["worker"] == [0, 3]


@pytest.mark.parametrize("mode", ["Paused", "DryRun"])
def test_hands_that_are_taken_off_leave_nobody_marked_to_go_first(place: Site, mode: str) -> None:
    place.leading()
    place.start(3)
    hold = place.api.hold(r"^PATCH .*/pods/")
    place.workers.finish_all()
    hold.wait()  # all three agreed, and are about to be marked
    place.respec(mode=mode)
    place.until_condition("Ready", "True", mode)
    hold.let_go()
    until(lambda: place.draining() == set() and place.lowest() == set())
    place.start_more(3)
    assert place.cluster.sizes["worker"] == [0, 3]


def test_what_was_sent_before_hands_were_taken_off_does_not_arrive_after(place: Site) -> None:
    operator, hold = patch_on_its_way(place)
    place.respec(mode="Paused")
    until(lambda: place.draining() == set(), lambda: operator.log)
    place.start_more(3)
    hold.let_go()
    until(lambda: len(place.requests(SCALE)) == 2, lambda: operator.log)
    assert place.cluster.sizes["worker"] == [0, 3]


def test_a_server_that_fails_holds_nobody_up(place: Site) -> None:
    """As when it cannot ask a webhook: every patch is answered 500."""
    operator = place.leading()
    place.start(3)
    place.api.fail(SCALE, 500, times=10**6)
    place.workers.finish_all()
    until(lambda: len(place.requests(SCALE)) >= 2, lambda: operator.log)
    place.start_more(3)
    place.api.mend()
    place.workers.finish_all()
    place.until_replicas(0)


def test_an_increase_whose_answer_was_lost_is_told(place: Site) -> None:
    operator = place.leading()
    place.api.fail(SCALE, 0, times=1)
    place.enqueue(2)
    place.until_replicas(2)
    operator.until("scale.changed")
    until(lambda: place.status.get("lastDecision", {}).get("to") == 2, lambda: str(place.status))
    until(lambda: "ScaledUp" in place.reasons())


def test_what_was_done_last_is_told_to_the_end(place: Site) -> None:
    operator = place.leading()
    hold = place.api.hold(SCALE)
    place.enqueue(2)
    hold.wait()
    hold.let_go()
    place.until_replicas(2)
    assert operator.terminate() == 0, operator.log
    assert place.status["lastDecision"]["to"] == 2
    assert "ScaledUp" in place.reasons()

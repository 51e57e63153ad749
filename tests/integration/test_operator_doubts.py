"""Patches of which nobody knows whether they still arrive, and other things an operator cannot rely upon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.operator_site import SCALE, Site, site
from operator_process import PROGRAM, until
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


def test_more_work_outranks_a_patch_in_doubt(place: Site) -> None:
    operator = place.leading()
    place.start(3)
    hold = place.api.hold(SCALE)
    place.workers.finish_all()
    hold.wait()  # all three agreed; the patch to 0 is on its way, and its answer does not come
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
    operator = place.leading()
    place.start(3)
    hold = place.api.hold(SCALE)
    place.workers.finish_all()
    hold.wait()
    assert operator.terminate() == 0, operator.log
    assert "lease.kept" in operator.events()
    assert [bool(lease["spec"]["holderIdentity"]) for lease in place.api.all("leases")] == [True]
    hold.let_go()
    place.until_replicas(0)


def test_a_successor_begins_when_the_last_patch_is_known(place: Site) -> None:
    operator = place.leading()
    place.start(3)
    hold = place.api.hold(SCALE)
    place.workers.finish_all()
    hold.wait()
    first = place.api.get("workerscalers", "flowscale")
    place.api.delete("workerscalers", "flowscale")
    place.api.put("workerscalers", {"metadata": {"name": "second"}, "spec": first["spec"]})
    place.enqueue(3)
    place.until_replicas(0)
    hold.let_go()
    until(lambda: place.workers.ticked(ends=0.0).busy == 3, lambda: operator.log)
    assert place.cluster.sizes["worker"] == [0, 3, 0, 3]


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


def test_what_arrives_after_hands_were_taken_off_is_told_all_the_same(place: Site) -> None:
    operator = place.leading()
    place.start(3)
    hold = place.api.hold(SCALE)
    place.workers.finish_all()
    hold.wait()
    place.respec(mode="Paused")
    place.until_condition("Ready", "True", "Paused")
    operator.until("scale.failed")
    place.rounds(3)
    assert place.replicas == 3
    assert len(place.draining()) == 3
    hold.let_go()
    until(lambda: place.status.get("lastDecision", {}).get("to") == 0, lambda: operator.log)
    assert place.cluster.sizes["worker"] == [0, 3, 0]

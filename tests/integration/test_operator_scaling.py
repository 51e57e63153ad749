"""The operator as a process: it scales, says why, and keeps its hands off where it should."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flowscale_operator.facts import COST, DO_NOT_DISRUPT, SAFE_TO_EVICT
from flowscale_operator.marks import HIGHEST_COST
from integration.operator_site import SCALE, Site, site
from operator_process import scaler, until
from redis_server import RedisServer

MIB = 1024**2


@pytest.fixture
def place(own_redis: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with site(own_redis, tmp_path) as made:
        yield made


def test_from_none_to_many_in_one_step_and_back(place: Site) -> None:
    operator = place.leading()
    place.start(20)
    assert place.cluster.sizes["worker"] == [0, 20]
    place.workers.finish_all()
    place.until_replicas(0)
    assert place.cluster.sizes["worker"] == [0, 20, 0]
    # Each change is told in four ways.
    until(lambda: operator.events().count("scale.changed") == 2)
    changes = [line for line in operator.lines if line["event"] == "scale.changed"]
    assert [(line["before"], line["after"], line["reason"]) for line in changes] == [
        (0, 20, "QueueDepth"),
        (20, 0, "Idle"),
    ]
    until(lambda: place.reasons() == ["ScaledUp", "ScaledDown"], lambda: str(place.reasons()))
    until(lambda: place.status.get("lastDecision", {}).get("to") == 0)
    assert place.status["lastDecision"]["message"] == changes[1]["message"]
    _, metrics = operator.ask("/metrics")
    for direction, reason in (("up", "QueueDepth"), ("down", "Idle")):
        labels = f'applied="true",direction="{direction}",limited_by="",reason="{reason}",scaler="flowscale"'
        assert f"flowscale_scaler_changes_total{{{labels}}} 1.0" in metrics
    assert psutil.Process(operator.pid).memory_info().rss < 128 * MIB
    assert operator.terminate() == 0


def test_while_nothing_happens_nothing_is_written(place: Site) -> None:
    operator = place.leading()
    until(lambda: place.status.get("observedGeneration") == 1)
    place.until_condition("SourceHealthy", "True", "Fresh")
    place.rounds(7)  # what there was to tell has been told
    since = len(place.api.requests)
    place.rounds(10)
    assert place.api.writes(since) == []
    assert operator.ask("/healthz") == (200, "ok")


def test_a_worker_that_a_person_removes_is_given_nothing_more(place: Site) -> None:
    place.respec(scaleDown={"idleSeconds": 3600})
    place.leading()
    place.start(2)
    place.workers.finish_all()
    idle, other = (pod["metadata"]["name"] for pod in place.cluster.pods("worker"))
    place.api.change("pods", idle, {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})
    until(lambda: idle in place.draining(), lambda: str(place.demand()))
    assert other not in place.draining()


def test_busy_workers_are_marked_and_the_marks_go(place: Site) -> None:
    place.respec(scaleDown={"idleSeconds": 3600})
    place.leading()
    place.start(2)

    def marks() -> list[dict[str, str]]:
        return [pod["metadata"].get("annotations") or {} for pod in place.cluster.pods("worker")]

    busy = {COST: str(HIGHEST_COST), SAFE_TO_EVICT: "false", DO_NOT_DISRUPT: "true"}
    until(lambda: marks() == [busy, busy], lambda: str(marks()))
    place.workers.finish_all()
    until(lambda: marks() == [{}, {}], lambda: str(marks()))


def test_those_who_render_stay_and_the_others_go(place: Site) -> None:
    place.leading()
    place.start(6)
    kept = sorted(place.workers.holders)[:2]
    place.workers.finish_all(but=kept)
    place.until_replicas(2)
    until(lambda: sorted(pod["metadata"]["name"] for pod in place.cluster.pods("worker")) == kept)
    until(lambda: place.status.get("busy") == 2 and place.status.get("draining") == 0, lambda: str(place.status))


def test_dry_run_changes_nothing_and_explains_the_same(place: Site) -> None:
    place.respec(mode="DryRun")
    operator = place.leading()
    since = len(place.api.requests)
    place.enqueue(3)
    line = operator.until("scale.would_change")
    assert (line["before"], line["after"]) == (0, 3)
    until(lambda: place.reasons() == ["WouldScale"])
    until(lambda: place.status.get("lastDecision", {}).get("to") == 3)
    assert place.status["desired"] == 3
    assert place.condition("Ready")["reason"] == "DryRun"
    place.rounds(4)
    assert operator.events().count("scale.would_change") == 1
    assert {request.path.rsplit("/", 1)[-1] for request in place.api.writes(since)} <= {"status", "events"}
    assert place.replicas == 0
    place.respec(mode="Auto")
    place.until_replicas(3)


def test_paused_does_nothing(place: Site) -> None:
    place.respec(mode="Paused")
    place.leading()
    place.until_condition("Paused", "True", "ModePaused")
    place.enqueue(3)
    place.rounds(4)
    assert place.replicas == 0
    assert place.requests(SCALE) == []


def test_hands_off_what_another_autoscaler_scales(place: Site) -> None:
    target = {"kind": "Deployment", "name": "worker"}
    place.api.put("horizontalpodautoscalers", {"metadata": {"name": "hpa"}, "spec": {"scaleTargetRef": target}})
    place.leading()
    condition = place.until_condition("Ready", "False", "ConflictingAutoscaler")
    assert "HorizontalPodAutoscaler hpa" in condition["message"]
    place.enqueue(3)
    place.rounds(4)
    assert place.replicas == 0
    place.api.delete("horizontalpodautoscalers", "hpa")
    place.until_replicas(3)


def test_hands_off_what_keda_scales(place: Site) -> None:
    place.api.serve("scaledobjects")
    place.api.put("scaledobjects", {"metadata": {"name": "so"}, "spec": {"scaleTargetRef": {"name": "worker"}}})
    place.leading()
    condition = place.until_condition("Ready", "False", "ConflictingAutoscaler")
    assert "ScaledObject so" in condition["message"]


def test_what_else_scales_the_target_must_be_known_first(place: Site) -> None:
    place.api.fail("/horizontalpodautoscalers", 500, times=10**6)
    place.enqueue(3)
    place.leading()
    place.until_condition("Ready", "Unknown", "LookingForAutoscalers")
    place.rounds(3)
    assert place.replicas == 0
    place.api.mend()
    place.until_replicas(3)


def test_of_two_over_one_target_one_acts_and_the_other_undoes_nothing(place: Site) -> None:
    second = scaler("second")
    second["metadata"]["creationTimestamp"] = "2099-01-01T00:00:00Z"
    place.api.put("workerscalers", second)
    place.leading()
    until(lambda: "ConflictingScaler" in place.reasons())
    place.start(4)
    place.workers.finish_all()
    place.until_replicas(0)
    assert place.cluster.sizes["worker"] == [0, 4, 0]
    (told,) = [event for event in place.api.all("events") if event["reason"] == "ConflictingScaler"]
    assert told["involvedObject"]["name"] == "second"


def test_it_waits_for_its_crd_and_for_its_target(own_redis: RedisServer, tmp_path: Path) -> None:
    with site(own_redis, tmp_path) as place:
        place.api.absent("workerscalers")
        place.api.delete("deployments", "worker")
        operator = place.operator()
        assert "manifests/crds/workerscalers.yaml" in operator.until("crd.missing")["message"]
        assert operator.ask("/healthz")[0] == 200
        place.api.serve("workerscalers")
        place.until_condition("Ready", "False", "TargetNotFound")
        place.cluster.deploy("worker", 0)
        place.enqueue(2)
        place.until_replicas(2)


def test_a_new_workerscaler_is_heard_of_and_a_deleted_one_forgotten(place: Site) -> None:
    operator = place.leading()
    place.cluster.deploy("other", 1)
    place.api.put("workerscalers", scaler("other", "other", replicas={"min": 3, "max": 9}))
    until(lambda: place.api.get("deployments", "other")["spec"]["replicas"] == 3)
    for body in place.api.all("workerscalers") + place.api.all("pods"):
        assert "finalizers" not in body["metadata"]
        assert not any("kopf" in name for name in body["metadata"].get("annotations") or {})
    place.api.delete("workerscalers", "other")
    until(lambda: 'flowscale_scaler_replicas{scaler="other"}' not in operator.ask("/metrics")[1])
    assert place.api.get("deployments", "other")["spec"]["replicas"] == 3


def test_only_the_workerscalers_of_its_own_installation_are_obeyed(own_redis: RedisServer, tmp_path: Path) -> None:
    with site(own_redis, tmp_path) as place:
        mine = scaler("mine", "mine", replicas={"min": 2, "max": 9})
        mine["metadata"]["labels"] = {"app.kubernetes.io/instance": "blue"}
        place.api.put("workerscalers", mine)
        place.cluster.deploy("mine", 0)
        place.operator(FLOWSCALE_OPERATOR_SELECTOR="app.kubernetes.io/instance=blue")
        until(lambda: place.api.get("deployments", "mine")["spec"]["replicas"] == 2)
        place.enqueue(1)
        place.rounds(3)
        assert place.replicas == 0
        assert place.status == {}


def test_pods_that_cannot_be_made_do_not_hold_the_rest(place: Site) -> None:
    """A quota, say: of ten replicas three exist. Those that do not exist go first, then those that agree."""
    place.leading()
    place.cluster.most = 3
    place.enqueue(10)
    place.until_replicas(10)
    until(lambda: place.workers.ticked(ends=0.5).done == 10)
    place.until_replicas(0)


def test_no_step_down_during_a_rollout(place: Site) -> None:
    place.leading()
    place.start(3)
    place.api.change("deployments", "worker", {"status": {"updatedReplicas": 1}})
    place.workers.finish_all()
    condition = place.until_condition("ScalingLimited", "True", "ScaleDownHeld")
    assert "a rollout is under way" in condition["message"]
    assert place.replicas == 3
    assert place.draining() == set()
    place.api.change("deployments", "worker", {"status": {"updatedReplicas": 3}})
    place.until_replicas(0)


def test_a_maximum_that_was_lowered_is_obeyed_as_far_as_workers_are_idle(place: Site) -> None:
    place.respec(scaleDown={"idleSeconds": 3600})
    place.leading()
    place.start(4)
    place.respec(replicas={"min": 0, "max": 1})
    place.workers.finish_all(but=sorted(place.workers.holders)[:2])
    place.until_replicas(2)
    place.workers.finish_all()
    place.until_replicas(1)


def test_no_job_waits_longer_than_asked_for(place: Site) -> None:
    """With a limit on waiting, and nothing known of how long renders take, each job gets its worker."""
    place.respec(target={"jobsPerReplica": None, "maxWaitSeconds": 30})
    place.leading()
    place.enqueue(4)
    place.until_replicas(4)

"""What the operator tells: conditions, status, Events; and what it understands of a WorkerScaler."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from flowscale.queues.scaling_view import Demand, GroupState
from flowscale.scaling import Decision, Limit, Policy, Reason
from flowscale_operator.conditions import conditions, limited, source_healthy, stand
from flowscale_operator.events import AGAIN_SECONDS, BUMP_SECONDS, BURST, REFILL_SECONDS, EventBook
from flowscale_operator.facts import read_deployment, read_pod
from flowscale_operator.observe import put_together
from flowscale_operator.source import Reading
from flowscale_operator.spec import Mode, ScalerSpec, owners, read_spec
from flowscale_operator.status import AGE_SECONDS, WRITE_SECONDS, Change, Kind, Report, build, patch, worth_writing

ROOT = Path(__file__).resolve().parents[2]
NOW = "2026-11-28T12:00:00.000Z"
LATER = "2026-11-28T12:00:09.000Z"


def a_body(**spec: Any) -> dict[str, Any]:
    metadata = {"name": "flowscale", "namespace": "media", "uid": "u1", "generation": 2}
    return {"metadata": metadata, "spec": {"targetRef": {"name": "worker"}, **spec}}


def a_spec(**facts: Any) -> ScalerSpec:
    return replace(read_spec(a_body()), **facts)


# --- what is understood


def test_the_sample_means_what_the_design_says() -> None:
    sample = yaml.safe_load((ROOT / "manifests/samples/workerscaler.yaml").read_text())
    sample["metadata"] |= {"namespace": "media", "uid": "u1", "generation": 1}
    spec = read_spec(sample)
    assert (spec.target, spec.mode, spec.fault) == ("flowscale-worker", Mode.AUTO, "")
    assert spec.policy == Policy(minimum=0, maximum=4, jobs_per_worker=1, max_step_up=100, idle_ms=60_000)


@pytest.mark.parametrize(
    "spec",
    [
        {"replicas": {"min": 5, "max": 2}},
        {"mode": "Sometimes"},
        {"queues": [{"name": "another"}]},
        {"target": {"jobsPerReplica": 1, "maxWaitSeconds": 5}},
        {"replicas": {"min": "many"}},
        {"replicas": 7},
    ],
)
def test_what_an_older_crd_let_through_is_a_fault_and_not_a_crash(spec: dict[str, Any]) -> None:
    assert read_spec(a_body(**spec)).fault


def test_of_two_over_one_target_the_oldest_is_obeyed() -> None:
    old, young = a_spec(name="z", uid="1", created=10.0), a_spec(name="a", uid="2", created=20.0)
    assert owners([young, old])["worker"] is old
    assert owners([young, replace(old, created=20.0)])["worker"] is young


def test_a_deployment_in_motion_says_so() -> None:
    body: dict[str, Any] = {
        "metadata": {"name": "worker", "resourceVersion": "7", "generation": 3},
        "spec": {"replicas": 4, "selector": {"matchLabels": {"app": "worker"}}},
        "status": {"observedGeneration": 3, "replicas": 4, "updatedReplicas": 4},
    }
    assert read_deployment(body, 0).rolling == ""
    assert read_deployment({**body, "status": {**body["status"], "observedGeneration": 2}}, 0).rolling
    assert read_deployment({**body, "status": {**body["status"], "updatedReplicas": 1}}, 0).rolling


def test_a_deployment_selects_as_the_api_does() -> None:
    expressions = [
        {"key": "tier", "operator": "In", "values": ["a", "b"]},
        {"key": "old", "operator": "DoesNotExist"},
        {"key": "app", "operator": "Exists"},
        {"key": "zone", "operator": "NotIn", "values": ["x"]},
    ]
    body: dict[str, Any] = {
        "metadata": {"name": "worker", "resourceVersion": "7"},
        "spec": {"selector": {"matchLabels": {"app": "worker"}, "matchExpressions": expressions}},
    }
    facts = read_deployment(body, 0)
    assert facts.selector == "app=worker,tier in (a,b),!old,app,zone notin (x)"
    assert facts.selects({"app": "worker", "tier": "a"})
    assert not facts.selects({"app": "worker", "tier": "c"})
    assert not facts.selects({"app": "worker", "tier": "a", "old": ""})
    assert not facts.selects({"app": "worker", "tier": "a", "zone": "x"})


# --- what is seen together


def a_pod(name: str, **metadata: Any) -> Any:
    owner = {"kind": "ReplicaSet", "uid": "rs", "controller": True}
    body = {"metadata": {"name": name, "resourceVersion": "1", "ownerReferences": [owner], **metadata}}
    return read_pod({**body, "status": {"phase": "Running"}})


def a_demand(**groups: GroupState) -> Demand:
    names = {name.replace("_", "-"): group for name, group in groups.items()}
    return Demand(5_000, waiting=3, delayed=1, due=0, next_due_ms=7_000, oldest_wait_ms=10, paused=False, groups=names)


def group(busy: int, *, draining: bool = False) -> GroupState:
    return GroupState(busy, 1, draining, 0)


def a_target(replicas: int, read_ms: int) -> Any:
    body = {"metadata": {"name": "worker", "resourceVersion": "7"}, "spec": {"replicas": replicas}}
    return read_deployment(body, read_ms)


def test_a_view_is_as_old_as_its_oldest_part_and_told_by_one_clock() -> None:
    view = put_together(Reading(100_000, a_demand()), a_target(2, 99_000), {})
    assert view.snapshot.at_ms == 99_000
    assert view.snapshot.next_due_ms == 102_000  # 2 s from the reading, whatever the queue's clock says


def test_only_pods_that_stay_are_workers() -> None:
    pods = {"w-a": a_pod("w-a"), "w-b": a_pod("w-b", deletionTimestamp="2026-01-01T00:00:00Z")}
    demand = a_demand(w_a=group(1), w_b=group(1), laptop=group(1), w_c=group(0, draining=True))
    view = put_together(Reading(0, demand), a_target(1, 0), pods)
    assert view.busy == {"w-a": 1}
    assert view.draining == set()


def test_what_could_not_be_read_is_not_zero() -> None:
    view = put_together(Reading(0, None, "away"), a_target(4, 0), {})
    assert (view.snapshot.waiting, view.snapshot.busy, view.snapshot.workers) == (None, None, 4)
    assert put_together(Reading(0, a_demand()), None, None).snapshot.workers is None
    assert put_together(Reading(0, a_demand()), a_target(4, 0), None).snapshot.busy is None


# --- conditions


def a_decision(limit: Limit = Limit.NONE) -> Decision:
    return Decision(2, Reason.STEADY, "as many as are needed", limit)


def test_only_one_that_is_alone_and_well_may_act() -> None:
    spec = a_spec()
    assert stand(spec, spec, "", "", missing=False).may_act
    for standing, reason in (
        (stand(replace(spec, fault="it cannot be"), spec, "", "", missing=False), "InvalidSpec"),
        (stand(spec, a_spec(name="older", uid="0"), "", "", missing=False), "ConflictingScaler"),
        (stand(spec, spec, "", "", missing=True), "TargetNotFound"),
        (stand(spec, spec, "the HorizontalPodAutoscaler h", "", missing=False), "ConflictingAutoscaler"),
        (stand(spec, spec, None, "", missing=False), "LookingForAutoscalers"),
        (stand(spec, spec, "", "it could not be read", missing=False), "TargetUnknown"),
        (stand(replace(spec, mode=Mode.DRY_RUN), spec, "", "", missing=False), "DryRun"),
        (stand(replace(spec, mode=Mode.PAUSED), spec, "", "", missing=False), "Paused"),
    ):
        assert not standing.may_act
        assert standing.ready.reason == reason


def test_all_conditions_are_there_and_say_why() -> None:
    spec, reading = a_spec(), Reading(1_000, a_demand())
    view = put_together(reading, a_target(2, 1_000), {})
    healthy = source_healthy(reading, view.snapshot, 10_000, 1_000)
    found = conditions(spec, stand(spec, spec, "", "", missing=False), healthy, view.snapshot, a_decision(), "", 1)
    assert set(found) == set(Kind)
    assert {kind for kind, each in found.items() if each.holds} == {
        Kind.READY,
        Kind.ACTIVE,
        Kind.SOURCE_HEALTHY,
        Kind.DRAINING,
    }
    assert all(each.reason and each.message for each in found.values())


def test_old_readings_are_not_healthy() -> None:
    reading = Reading(20_000, a_demand())
    view = put_together(reading, a_target(2, 1_000), {})
    assert source_healthy(reading, view.snapshot, 10_000, 20_000).reason == "ClusterStale"
    assert source_healthy(Reading(0, None, "away"), view.snapshot, 10_000, 20_000).message.endswith("away")


@pytest.mark.parametrize("limit", [each for each in Limit if each is not Limit.NONE])
def test_every_limit_has_its_words(limit: Limit) -> None:
    condition = limited(a_decision(limit), "")
    assert condition.holds
    assert condition.reason == limit
    assert condition.message != limit


# --- status


def a_report(**facts: Any) -> Report:
    whole = Report(generation=2, current=1, desired=2, busy=1, draining=0, queued=5, oldest_wait_ms=1_999)
    return replace(whole, **facts)


def test_a_status_keeps_since_when_a_condition_holds() -> None:
    spec = a_spec()
    ready = {Kind.READY: stand(spec, spec, "", "", missing=False).ready}
    first = build(a_report(conditions=ready), {}, NOW)
    again = build(a_report(conditions=ready), first, LATER)
    assert again["conditions"][0]["lastTransitionTime"] == "2026-11-28T12:00:00Z"
    lost = {Kind.READY: stand(spec, spec, "", "", missing=True).ready}
    assert build(a_report(conditions=lost), first, LATER)["conditions"][0] == {
        "type": "Ready",
        "status": "False",
        "reason": "TargetNotFound",
        "message": "There is no Deployment worker in this namespace; it is looked for again",
        "observedGeneration": 2,
        "lastTransitionTime": "2026-11-28T12:00:09Z",
    }


def test_a_status_tells_no_figure_that_is_not_known() -> None:
    before = build(a_report(), {}, NOW)
    status = build(a_report(current=None, queued=None, oldest_wait_ms=None), before, NOW)
    assert "current" not in status
    assert patch(status, before) == {"current": None, "queued": None, "oldestWaitSeconds": None}


def test_the_last_decision_stays_until_the_next() -> None:
    change = Change(NOW, 1, 2, "QueueDepth", "because", "")
    first = build(a_report(change=change), {}, NOW)
    assert build(a_report(), first, NOW)["lastDecision"] == first["lastDecision"]
    assert first["lastDecision"]["from"] == 1


def test_a_status_is_written_when_something_happened_and_not_too_often() -> None:
    before = build(a_report(), {}, NOW)
    assert not worth_writing(before, before, 1e9)
    changed = build(a_report(busy=2), before, NOW)
    assert not worth_writing(changed, before, WRITE_SECONDS - 0.1)
    assert worth_writing(changed, before, WRITE_SECONDS)
    older = build(a_report(oldest_wait_ms=9_000), before, NOW)
    assert not worth_writing(older, before, WRITE_SECONDS)
    assert worth_writing(older, before, AGE_SECONDS)


# --- Events


def test_what_happens_again_is_counted_in_one_event() -> None:
    book = EventBook()
    first = book.note("u", "s", "ScaledUp", "from 0 to 1", 0.0, NOW)
    assert first is not None
    assert first.new
    assert book.note("u", "s", "ScaledUp", "from 0 to 1", 1.0, NOW) is None
    again = book.note("u", "s", "ScaledUp", "from 0 to 1", BUMP_SECONDS + 1, LATER)
    assert again is not None
    assert (again.name, again.count, again.new, again.first) == (first.name, 3, False, NOW)
    anew = book.note("u", "s", "ScaledUp", "from 0 to 1", AGAIN_SECONDS + 1, LATER)
    assert anew is not None
    assert anew.new
    assert anew.name != first.name


def test_a_flood_of_events_is_cut() -> None:
    book = EventBook()
    told = [book.note("u", "s", "ScaledUp", f"message {number}", 0.0, NOW) for number in range(BURST + 5)]
    assert sum(each is not None for each in told) == BURST
    assert book.note("v", "other", "ScaledUp", "message", 0.0, NOW) is not None
    assert book.note("u", "s", "ScaledUp", "later", REFILL_SECONDS, NOW) is not None


# --- the CRD


def test_the_crd_has_a_word_for_every_field_and_the_columns_people_expect() -> None:
    crd = yaml.safe_load((ROOT / "manifests/crds/workerscalers.yaml").read_text())
    (version,) = crd["spec"]["versions"]
    silent: list[str] = []

    def walk(schema: dict[str, Any], path: str) -> None:
        if path.count(".") > 0 and "description" not in schema and path != ".metadata":
            silent.append(path)
        assert schema.get("type") in {"object", "array", "string", "integer"}, path
        for name, each in schema.get("properties", {}).items():
            walk(each, f"{path}.{name}")
        if "items" in schema:
            for name, each in schema["items"].get("properties", {}).items():
                walk(each, f"{path}[].{name}")

    walk(version["schema"]["openAPIV3Schema"], "")
    assert silent == []
    columns = " ".join(column["name"] for column in version["additionalPrinterColumns"]).upper()
    assert columns == "TARGET MODE MIN MAX DESIRED CURRENT BUSY QUEUED READY REASON AGE"
    assert version["subresources"] == {"status": {}}
    assert crd["spec"]["names"]["categories"] == ["all"]


def test_the_schemas_defaults_are_the_operators() -> None:
    crd = yaml.safe_load((ROOT / "manifests/crds/workerscalers.yaml").read_text())
    fields = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    defaults = {name: field["default"] for name, field in fields.items() if "default" in field}
    assert read_spec(a_body(**defaults)) == read_spec(a_body())

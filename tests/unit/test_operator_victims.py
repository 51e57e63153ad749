"""Who goes when a ReplicaSet gets smaller, and whom to ask before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flowscale_operator.facts import COST, DO_NOT_DISRUPT, SAFE_TO_EVICT, PodFacts
from flowscale_operator.marks import BUSY, GRANTED, LOWEST_COST, NONE, changes, wanted_marks
from flowscale_operator.victims import class_of, in_order, next_to_ask, several_versions, surely_first


def pod(name: str, **facts: Any) -> PodFacts:
    """One that runs, is ready, and carries no mark."""
    whole = PodFacts(
        name=name,
        uid=f"uid-{name}",
        version=1,
        labels={},
        replica_set="rs",
        node="node-1",
        phase="Running",
        ready=True,
        ready_since=100.0,
        created=50.0,
        restarts=0,
        terminating=False,
    )
    return replace(whole, **facts)


def granted(name: str, **facts: Any) -> PodFacts:
    return pod(name, marks={COST: str(LOWEST_COST)}, **facts)


def test_the_order_is_the_controllers() -> None:
    pods = [
        pod("young", created=60.0),
        pod("old", created=40.0),
        pod("cheap", marks={COST: "-5"}),
        pod("unready", ready=False),
        pod("pending", phase="Pending", ready=False),
        pod("nowhere", node="", phase="Pending", ready=False),
        pod("leaving", terminating=True),
        pod("ended", phase="Succeeded"),
    ]
    assert [each.name for each in in_order(pods)] == ["nowhere", "pending", "unready", "cheap", "young", "old"]


def test_a_crowded_node_loses_its_pods_first() -> None:
    pods = [pod("alone", node="node-2"), pod("one"), pod("two")]
    assert in_order(pods)[-1].name == "alone"


def test_the_idle_are_asked_before_those_known_to_render() -> None:
    pods = [pod("a"), pod("b"), pod("c")]
    assert next_to_ask(pods, 2, set(), set(), {"a": 1}) == ["b", "c"]


def test_no_more_are_asked_than_have_to_go() -> None:
    pods = [pod("a"), pod("b"), pod("c")]
    assert len(next_to_ask(pods, 2, set(), set(), {})) == 2
    assert len(next_to_ask(pods, 2, {"a"}, set(), {})) == 1
    assert next_to_ask(pods, 2, {"a", "b"}, set(), {}) == []


def test_another_is_asked_in_the_place_of_one_that_renders() -> None:
    pods = [pod("a"), pod("b"), pod("c")]
    assert next_to_ask(pods, 2, {"b"}, {"a"}, {}) == ["c"]


def test_whoever_goes_before_any_cost_is_asked_first_and_whole() -> None:
    pods = [pod("ready"), pod("slow", ready=False), pod("new", phase="Pending", ready=False)]
    assert next_to_ask(pods, 3, set(), set(), {}) == ["new"]
    assert next_to_ask(pods, 3, {"new"}, set(), {}) == ["slow"]
    assert next_to_ask(pods, 3, {"new", "slow"}, set(), {}) == ["ready"]


def test_behind_one_that_renders_and_is_not_ready_nobody_can_go() -> None:
    pods = [pod("idle"), pod("unready", ready=False), pod("new", phase="Pending", ready=False)]
    assert next_to_ask(pods, 3, {"new"}, {"unready"}, {}) == []


def test_surely_first_needs_a_strict_order() -> None:
    assert surely_first([granted("a"), pod("b")], 1, {"a"})
    assert not surely_first([pod("a"), pod("b")], 1, {"a"})  # of one cost: either may go
    assert not surely_first([granted("a"), pod("b"), pod("c")], 2, {"a"})  # a second one goes, too
    assert not surely_first([granted("a"), pod("b", ready=False)], 1, {"a"})
    assert not surely_first([granted("a"), granted("b")], 1, {"a"})  # marked by another, and not granted
    assert surely_first([granted("a"), granted("b")], 2, {"a", "b"})
    assert not surely_first([granted("a")], 2, {"a"})  # a pod that is not known must be made still


PODS = st.lists(
    st.builds(
        lambda number, node, phase, ready, cost, created: pod(
            f"p{number}",
            node="node-1" if node or phase == "Running" else "",
            phase=phase,
            ready=ready and phase == "Running",
            marks={} if cost is None else {COST: str(cost)},
            created=created,
        ),
        st.integers(0, 10**6),
        st.booleans(),
        st.sampled_from(["Pending", "Running"]),
        st.booleans(),
        st.sampled_from([None, -3, 7]),
        st.floats(0, 100),
    ),
    max_size=9,
    unique_by=lambda each: each.name,
)


@given(PODS, st.data())
def test_whoever_is_asked_so_is_first_to_go(pods: list[PodFacts], data: st.DataObject) -> None:
    """Ask as the operator does, mark those who agree: then only they can be among the first so many."""
    number = data.draw(st.integers(0, len(pods)))
    renders = set(data.draw(st.lists(st.sampled_from([each.name for each in pods]), unique=True))) if pods else set()
    agreed: set[str] = set()
    refused: set[str] = set()
    while names := next_to_ask(pods, number, agreed, refused, {}):
        assert not agreed & set(names)
        assert not refused & set(names)
        agreed |= set(names) - renders
        refused |= set(names) & renders
    assert len(agreed) <= number
    assert not agreed & renders
    marked = [replace(each, marks=GRANTED) if each.name in agreed else each for each in pods]
    assert surely_first(marked, len(agreed), agreed)
    assert {each.name for each in in_order(marked)[: len(agreed)]} == agreed
    if not renders:
        assert len(agreed) == number


def test_pods_of_two_replica_sets_are_a_rollout() -> None:
    assert several_versions([pod("a"), pod("b", replica_set="other")])
    assert not several_versions([pod("a"), pod("b", replica_set="other", terminating=True)])


def test_classes_are_what_no_cost_outweighs() -> None:
    assert class_of(pod("a", ready=False)) < class_of(granted("b"))


def test_marks_say_who_may_go_and_who_must_not_be_disturbed() -> None:
    pods = [pod("agreed"), pod("renders"), pod("idle"), pod("just-done"), pod("leaving", terminating=True)]
    wanted = wanted_marks(pods, {"agreed"}, {"renders"}, {"just-done"})
    assert wanted == {"agreed": GRANTED, "renders": BUSY, "idle": NONE}
    assert changes(pods[1], BUSY) == {COST: str(2**31 - 1), SAFE_TO_EVICT: "false", DO_NOT_DISRUPT: "true"}


def test_marks_are_written_once_and_taken_away() -> None:
    busy = pod("a", marks=dict(BUSY))
    assert changes(busy, BUSY) == {}
    assert changes(busy, NONE) == {COST: None, SAFE_TO_EVICT: None, DO_NOT_DISRUPT: None}
    assert changes(busy, GRANTED) == {COST: str(LOWEST_COST), SAFE_TO_EVICT: None, DO_NOT_DISRUPT: None}


def test_a_mark_that_a_person_gave_stays() -> None:
    assert changes(pod("a", marks={COST: "100", SAFE_TO_EVICT: "false"}), NONE) == {}


def test_a_cost_without_a_grant_goes_even_from_a_pod_that_just_rendered() -> None:
    assert wanted_marks([granted("a")], set(), set(), {"a"}) == {"a": NONE}


def test_a_cost_that_is_no_number_counts_as_none() -> None:
    assert pod("a", marks={COST: "cheap"}).cost == 0

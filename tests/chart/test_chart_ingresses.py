"""What each ingress controller is told, and what a Gateway: the whole of it, in tests/golden/chart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from chart.helm import VALUES, Document, find, render
from chart_values import read_values

PRESETS = next(
    leaf.annotation["enum"]
    for value in read_values(VALUES.read_text())
    for leaf in value.leaves()
    if leaf.name == "ingress.preset"
)
assert isinstance(PRESETS, list)

HOST = "render.example.com"
CONCERNED = {"Ingress", "HTTPRoute", "BackendConfig", "Service"}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_says_what_its_controller_needs(preset: str, golden: Callable[[str, str], None]) -> None:
    ingress = {"enabled": True, "preset": preset, "hosts": [HOST], "tls": True, "tlsSecret": "render-tls"}
    golden(f"chart/ingress-{preset}.yaml", shown(render({"ingress": ingress})))


def test_a_route_of_the_gateway_api(golden: Callable[[str, str], None]) -> None:
    gateway = {
        "enabled": True,
        "hostnames": [HOST],
        "parentRefs": [{"name": "edge", "namespace": "projectcontour", "sectionName": "https"}],
    }
    golden("chart/httproute.yaml", shown(render({"gatewayApi": gateway})))


@pytest.mark.parametrize("preset", PRESETS)
def test_annotations_of_one_s_own_win_over_those_of_the_preset(preset: str) -> None:
    mine = dict.fromkeys(annotations_for({"preset": preset}), "mine")
    more = {"example.com/mine": "1"}
    assert annotations_for({"preset": preset, "annotations": mine | more}) == mine | more
    assert annotations_for({"preset": preset, "annotations": more}).keys() == (mine | more).keys()


def test_every_host_and_path_leads_to_the_gateway() -> None:
    values = {"ingress": {"enabled": True, "hosts": [HOST, "b.example.com"], "paths": ["/api", "/outputs"]}}
    documents = render(values)
    rules = find(documents, "Ingress", "flowscale-api")["spec"]["rules"]
    assert [rule["host"] for rule in rules] == [HOST, "b.example.com"]
    service = find(documents, "Service", "flowscale-api")
    ports = {port["name"] for port in service["spec"]["ports"]}
    for rule in rules:
        assert [path["path"] for path in rule["http"]["paths"]] == ["/api", "/outputs"]
        for path in rule["http"]["paths"]:
            assert path["backend"]["service"]["name"] == "flowscale-api"
            assert path["backend"]["service"]["port"]["name"] in ports


@pytest.mark.parametrize(("preset", "believed"), [("gke", True), ("nginx", False)])
def test_front_ends_outside_of_the_cluster_are_believed_where_they_are_googles(preset: str, believed: bool) -> None:
    documents = render({"ingress": {"enabled": True, "hosts": [HOST], "preset": preset}})
    (container,) = find(documents, "Deployment", "flowscale-api")["spec"]["template"]["spec"]["containers"]
    environment = {each["name"]: each.get("value") for each in container["env"]}
    assert ("35.191.0.0/16" in environment["FLOWSCALE_TRUSTED_PROXIES"].split(",")) == believed


def annotations_for(ingress: dict[str, Any]) -> dict[str, str]:
    documents = render({"ingress": {"enabled": True, "hosts": [HOST], **ingress}})
    return dict(find(documents, "Ingress", "flowscale-api")["metadata"].get("annotations", {}))


def shown(documents: list[Document]) -> str:
    """The documents that a controller reads, without the labels that all have."""
    concerned = []
    for document in documents:
        name = document["metadata"]["name"]
        if document["kind"] in CONCERNED and name == "flowscale-api":
            metadata = {key: value for key, value in document["metadata"].items() if key != "labels"}
            concerned.append({**document, "metadata": metadata})
    return yaml.safe_dump_all(concerned, sort_keys=False, width=120)

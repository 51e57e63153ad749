"""Monitors, alerts, the dashboard and KEDA's resource: their schemas are not at hand, so what they name is followed."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from chart.helm import ROOT, Document, ci_files, render, title
from chart.pods import pods

CI = ci_files()
EVERY_EXAMPLE = pytest.mark.parametrize("example", CI.values(), ids=list(CI))
METRIC = re.compile(r"\bflowscale_[a-z0-9_]+")
SUFFIX = re.compile(r"_(total|bucket|sum|count|created)$")
DURATION = re.compile(r"[0-9]+(ms|s|m|h|d)")


@cache
def metrics_in_the_code() -> frozenset[str]:
    """Every word of the sources that looks like a metric's name."""
    folders = ("core", "api", "worker", "operator")
    texts = [path.read_text() for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return frozenset(name for text in texts for name in METRIC.findall(text))


def of_kind(kind: str) -> list[tuple[Path, Document]]:
    """Every document of the kind that the examples make."""
    return [(path, document) for path in CI.values() for document in render(base=path) if document["kind"] == kind]


@pytest.mark.parametrize("kind", ["ServiceMonitor", "PodMonitor"])
def test_a_monitor_finds_something_to_read(kind: str) -> None:
    assert of_kind(kind), f"no example has a {kind}"
    for example, monitor in of_kind(kind):
        wanted = monitor["spec"]["selector"]["matchLabels"]
        documents = render(base=example)
        found, ports = set(), set()
        if kind == "ServiceMonitor":
            for service in documents:
                if service["kind"] == "Service" and wanted.items() <= service["metadata"]["labels"].items():
                    found.add(service["metadata"]["name"])
                    ports |= {port["name"] for port in service["spec"]["ports"]}
        else:
            for pod in pods(documents):
                if wanted.items() <= pod.metadata["labels"].items():
                    found.add(pod.title)
                    ports |= {port["name"] for each in pod.containers() for port in each.get("ports", [])}
        assert len(found) == 1, f"{example.name}: {title(monitor)} finds {found}"
        for endpoint in monitor["spec"]["endpoints" if kind == "ServiceMonitor" else "podMetricsEndpoints"]:
            assert endpoint["port"] in ports
            assert endpoint.get("path", "/metrics") == "/metrics"
            assert seconds(endpoint["scrapeTimeout"]) <= seconds(endpoint["interval"])


def test_every_alert_is_whole_and_asks_for_figures_that_are_there() -> None:
    assert of_kind("PrometheusRule"), "no example has a PrometheusRule"
    for _, document in of_kind("PrometheusRule"):
        names = []
        for group in document["spec"]["groups"]:
            assert group["name"]
            for rule in group["rules"]:
                names.append(rule["alert"])
                assert re.fullmatch(r"FlowScale[A-Za-z]+", rule["alert"])
                assert DURATION.fullmatch(rule.get("for", "0s"))
                assert rule["labels"]["severity"] in ("critical", "warning", "info"), rule["alert"]
                assert {"summary", "description", "runbook_url"} <= rule["annotations"].keys(), rule["alert"]
                assert rule["expr"].count("(") == rule["expr"].count(")"), rule["alert"]
                # What fills a volume is known by the kubelet alone.
                assert known_metrics(rule["expr"]) or "kubelet_volume_stats_" in rule["expr"], rule["alert"]
        assert len(names) == len(set(names))


@pytest.mark.parametrize("read", [False, True])
def test_alerts_of_the_operator_come_with_its_figures(read: bool) -> None:
    """Without them one would fire for ever."""
    metrics = {
        "prometheusRule": {"enabled": True},
        "serviceMonitor": {"enabled": True},
        "podMonitor": {"enabled": read},
    }
    (rules,) = [each for each in render({"metrics": metrics}) if each["kind"] == "PrometheusRule"]
    assert any(group["name"].endswith("-operator") for group in rules["spec"]["groups"]) == read


def test_the_dashboard_asks_for_figures_that_are_there() -> None:
    boards = [
        (name, json.loads(text))
        for _, document in of_kind("ConfigMap")
        for name, text in document["data"].items()
        if name.endswith(".json")
    ]
    assert boards, "no example has a dashboard"
    for name, board in boards:
        assert board["title"], name
        assert board["uid"], name
        asked = [target["expr"] for panel in panels(board) for target in panel.get("targets", [])]
        assert asked, name
        for expression in asked:
            known_metrics(expression)
        numbers = [panel["id"] for panel in panels(board)]
        assert len(numbers) == len(set(numbers)), name


def test_keda_asks_where_the_queue_is() -> None:
    assert of_kind("ScaledObject"), "no example has a ScaledObject"
    for example, document in of_kind("ScaledObject"):
        spec = document["spec"]
        assert spec["minReplicaCount"] <= spec["maxReplicaCount"]
        workers = [pod for pod in pods(render(base=example)) if pod.component == "worker"]
        assert spec["scaleTargetRef"]["name"] in {pod.owner["metadata"]["name"] for pod in workers}
        assert spec["triggers"]
        for trigger in spec["triggers"]:
            assert all(isinstance(value, str) for value in trigger["metadata"].values()), "KEDA takes texts alone"


@EVERY_EXAMPLE
def test_a_route_leads_to_a_port_that_is_there(example: Path) -> None:
    documents = render(base=example)
    services = {each["metadata"]["name"]: each for each in documents if each["kind"] == "Service"}
    for route in documents:
        if route["kind"] != "HTTPRoute":
            continue
        assert all(parent["name"] for parent in route["spec"]["parentRefs"])
        for rule in route["spec"]["rules"]:
            for backend in rule["backendRefs"]:
                ports = {port["port"] for port in services[backend["name"]]["spec"]["ports"]}
                assert backend["port"] in ports


def known_metrics(expression: str) -> list[str]:
    names: list[str] = METRIC.findall(expression)
    for name in names:
        assert {name, SUFFIX.sub("", name)} & metrics_in_the_code(), f"nothing shows {name}"
    return names


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """All of them, those in rows too."""
    return [each for panel in board["panels"] for each in [panel, *panel.get("panels", [])]]


def seconds(duration: str) -> float:
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
    matched = re.fullmatch(r"([0-9]+)(ms|s|m|h|d)", duration)
    assert matched, duration
    return int(matched[1]) * units[matched[2]]

"""Who reaches whom under the chart's NetworkPolicies, whether or not a cluster enforces them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from chart.helm import Document, render
from chart.network import Peer, reaches
from chart.pods import pods

STRANGER = Peer(labels={"app": "stranger"})
ELSEWHERE = Peer(labels={"app": "ingress"}, namespace="ingress")
INTERNET = Peer(address="93.184.216.34")
INTERNET_6 = Peer(address="2606:2800:220:1::1")
INSIDE = Peer(address="10.1.2.3")
METADATA = Peer(address="169.254.169.254")
API_SERVER = Peer(address="10.96.0.1")
NAMES = Peer(labels={"k8s-app": "kube-dns"}, namespace="kube-system")

REDIS, GATEWAY, OPERATOR = 6379, 3000, 8080


def peer(documents: Sequence[Document], component: str) -> Peer:
    """The pods of a component, with the names of their ports."""
    found = next(pod for pod in pods(documents) if pod.component == component)
    ports = {port["containerPort"]: port["name"] for each in found.containers() for port in each.get("ports", [])}
    return Peer(labels=found.metadata["labels"], port_names=ports)


@pytest.mark.parametrize(
    ("source", "target", "port"),
    [
        ("api", "redis", REDIS),
        ("worker", "redis", REDIS),
        ("operator", "redis", REDIS),
        ("api", NAMES, 53),
        ("worker", NAMES, 53),
        ("operator", NAMES, 53),
        (ELSEWHERE, "api", GATEWAY),
        (STRANGER, "api", GATEWAY),
        ("test", "api", GATEWAY),
        (ELSEWHERE, "operator", OPERATOR),
        ("operator", API_SERVER, 443),
        ("operator", API_SERVER, 6443),
        ("worker", INTERNET, 443),
        ("worker", INTERNET, 8080),
        ("worker", INTERNET_6, 443),
    ],
)
def test_what_is_needed_goes_through(source: str | Peer, target: str | Peer, port: int) -> None:
    documents = render()
    assert goes(documents, source, target, port)


@pytest.mark.parametrize(
    ("source", "target", "port"),
    [
        (STRANGER, "redis", REDIS),
        (ELSEWHERE, "redis", REDIS),
        ("test", "redis", REDIS),
        (STRANGER, "worker", 80),
        ("api", "worker", 80),
        (STRANGER, "api", 22),
        (STRANGER, "operator", 22),
        ("redis", INTERNET, 443),
        ("redis", "api", GATEWAY),
        ("api", INTERNET, 443),
        ("operator", INTERNET, 80),
        ("worker", INSIDE, 443),
        ("worker", METADATA, 80),
        ("worker", API_SERVER, 443),
        ("worker", STRANGER, 443),
        ("worker", "api", GATEWAY),
    ],
)
def test_the_rest_does_not(source: str | Peer, target: str | Peer, port: int) -> None:
    documents = render()
    assert not goes(documents, source, target, port)


@pytest.mark.parametrize(
    ("storage", "target", "port"),
    [
        ({"type": "s3", "s3": {"bucket": "clips", "existingSecret": "keys"}}, INTERNET, 443),
        ({"type": "s3", "s3": {"bucket": "clips", "endpointUrl": "http://10.1.2.3:7070"}}, INSIDE, 7070),
        ({"type": "s3", "s3": {"bucket": "clips"}}, METADATA, 80),
        ({"type": "s3", "s3": {"bucket": "clips", "endpointUrl": "http://s3:7070"}}, STRANGER, 8080),
        ({"type": "r2", "r2": {"bucket": "clips", "accountId": "0a", "existingSecret": "keys"}}, INTERNET, 443),
    ],
)
def test_gateways_and_workers_reach_the_bucket(storage: dict[str, Any], target: Peer, port: int) -> None:
    documents = render({"storage": storage})
    assert goes(documents, "api", target, port)
    assert goes(documents, "worker", target, port)
    assert goes(documents, "operator", target, port) is (port == 443), "it has no business with files"


@pytest.mark.parametrize(
    ("endpoint", "target", "port"),
    [
        ("http://collector.observability.svc:4318", Peer(namespace="observability"), 4318),
        ("http://collector:14318/otlp", STRANGER, 4318),
        ("https://traces.example.com/otlp", INTERNET, 443),
        ("http://10.1.2.3:4318", INSIDE, 4318),
    ],
)
def test_gateways_and_workers_reach_the_collector(endpoint: str, target: Peer, port: int) -> None:
    documents = render({"tracing": {"endpoint": endpoint}})
    assert goes(documents, "api", target, port)
    assert goes(documents, "worker", target, port)
    assert not goes(render(), "api", target, port)


@pytest.mark.parametrize(
    ("external", "target", "port"),
    [
        ({"host": "redis.example.com", "port": 6380}, INTERNET, 6380),
        ({"host": "redis.data.svc"}, Peer(namespace="data"), 16379),
        ({"sentinel": {"hosts": ["a.example.com:26379"]}}, INSIDE, 26379),
        ({"existingSecret": "redis", "urlKey": "url"}, INTERNET, 10000),
        ({"existingSecret": "redis", "urlKey": "url"}, Peer(namespace="data"), 6379),
    ],
)
def test_all_three_reach_a_queue_outside(external: dict[str, Any], target: Peer, port: int) -> None:
    documents = render({"redis": {"mode": "external", "external": external}})
    assert all(goes(documents, component, target, port) for component in ("api", "worker", "operator"))


def test_keda_reaches_the_bundled_queue_from_its_own_namespace() -> None:
    documents = render({"autoscaling": {"mode": "keda"}})
    assert goes(documents, Peer(namespace="keda"), "redis", REDIS)
    assert not goes(documents, Peer(namespace="other"), "redis", REDIS)


def test_who_may_reach_the_gateway_can_be_narrowed() -> None:
    only = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}]
    documents = render({"networkPolicy": {"apiFrom": only, "metricsFrom": only}})
    assert goes(documents, ELSEWHERE, "api", GATEWAY)
    assert goes(documents, "test", "api", GATEWAY)
    assert not goes(documents, STRANGER, "api", GATEWAY)
    assert not goes(documents, STRANGER, "operator", OPERATOR)


def test_workers_reach_the_networks_that_are_allowed_by_name() -> None:
    documents = render({"worker": {"download": {"allowNetworks": ["10.1.2.0/24"]}}})
    assert goes(documents, "worker", INSIDE, 443)
    assert not goes(documents, "worker", Peer(address="10.1.3.3"), 443)


def test_gateways_reach_the_internet_only_to_send_webhooks() -> None:
    silent = render()
    assert not goes(silent, "api", INTERNET, 443)
    webhooks = {"existingSecret": "webhooks", "allowNetworks": ["10.1.2.0/24"]}
    documents = render({"webhooks": webhooks, "api": {"publicUrl": "https://render.example.com"}})
    assert goes(documents, "api", INTERNET, 443)
    assert goes(documents, "api", INSIDE, 8080)
    assert not goes(documents, "api", Peer(address="10.1.3.3"), 443)
    assert not goes(documents, "api", Peer(address="169.254.169.254"), 80)
    assert not goes(documents, "worker", INSIDE, 8080)


def test_more_can_be_let_out_and_all_can_be_left_out() -> None:
    more = [{"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}], "ports": [{"port": 4317, "protocol": "TCP"}]}]
    documents = render({"networkPolicy": {"extraEgress": more}})
    assert goes(documents, "api", INSIDE, 4317)
    assert goes(documents, "worker", INSIDE, 4317)
    assert goes(documents, "operator", INSIDE, 4317)
    assert not [each for each in render({"networkPolicy": {"enabled": False}}) if each["kind"] == "NetworkPolicy"]


def goes(documents: Sequence[Document], source: str | Peer, target: str | Peer, port: int) -> bool:
    """Whether a connection is let through; a text names a component."""
    ends = [peer(documents, each) if isinstance(each, str) else each for each in (source, target)]
    protocol = "UDP" if port == 53 else "TCP"
    return reaches(documents, ends[0], ends[1], port, protocol)

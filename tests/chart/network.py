"""What the NetworkPolicies of a chart let through, worked out as a network plugin would.

Source: https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/. A pod that no policy
selects for a direction may do everything in it; one that some select may do what any of them lets through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from chart.helm import NAMESPACE, Document


@dataclass(frozen=True)
class Peer:
    """A pod by its labels and those of its namespace, or an address outside the cluster."""

    labels: Mapping[str, str] = field(default_factory=dict)
    namespace: str = NAMESPACE
    address: str = ""
    """Empty for a pod."""
    port_names: Mapping[int, str] = field(default_factory=dict)


def reaches(documents: Sequence[Document], source: Peer, target: Peer, port: int, protocol: str = "TCP") -> bool:
    """Whether a connection gets out of `source` and into `target`."""
    policies = [document["spec"] for document in documents if document["kind"] == "NetworkPolicy"]
    out = source.address or _lets(policies, source, target, "Egress", (port, protocol, target.port_names))
    into = target.address or _lets(policies, target, source, "Ingress", (port, protocol, target.port_names))
    return bool(out) and bool(into)


Port = tuple[int, str, Mapping[int, str]]


def _lets(policies: Sequence[dict[str, Any]], own: Peer, other: Peer, direction: str, port: Port) -> bool:
    if own.namespace != NAMESPACE:
        return True
    concerned = [
        each for each in policies if direction in _directions(each) and _selects(each["podSelector"], own.labels)
    ]
    if not concerned:
        return True
    side = "to" if direction == "Egress" else "from"
    rules = [rule for policy in concerned for rule in policy.get(direction.lower()) or []]
    return any(_port_fits(rule, port) and _peer_fits(rule.get(side), other) for rule in rules)


def _directions(policy: Mapping[str, Any]) -> list[str]:
    return list(policy.get("policyTypes") or ["Ingress", *(["Egress"] if "egress" in policy else [])])


def _port_fits(rule: Mapping[str, Any], port: Port) -> bool:
    number, protocol, names = port
    ports = rule.get("ports")
    if not ports:
        return True
    for each in ports:
        if each.get("protocol", "TCP") != protocol:
            continue
        wanted = each.get("port")
        if wanted is None or wanted in (number, names.get(number)):
            return True
        if isinstance(wanted, int) and wanted <= number <= each.get("endPort", wanted):
            return True
    return False


def _peer_fits(peers: Sequence[Mapping[str, Any]] | None, other: Peer) -> bool:
    return not peers or any(_fits(peer, other) for peer in peers)


def _fits(peer: Mapping[str, Any], other: Peer) -> bool:
    if "ipBlock" in peer:
        if not other.address:
            return False  # a plugin may or may not take a pod's address for one of a block: count on neither
        address, block = ip_address(other.address), peer["ipBlock"]
        excepted = any(address in ip_network(each) for each in block.get("except", []))
        return address in ip_network(block["cidr"]) and not excepted
    if other.address:
        return False
    namespace = {"kubernetes.io/metadata.name": other.namespace}
    if "namespaceSelector" in peer:
        return _selects(peer["namespaceSelector"], namespace) and _selects(peer.get("podSelector", {}), other.labels)
    return other.namespace == NAMESPACE and _selects(peer["podSelector"], other.labels)


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    for expression in selector.get("matchExpressions", []):
        value, values = labels.get(expression["key"]), expression.get("values", [])
        held = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not held[expression["operator"]]:
            return False
    return dict(selector.get("matchLabels", {})).items() <= dict(labels).items()

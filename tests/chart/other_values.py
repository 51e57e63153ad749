"""Another value for a leaf of values.yaml, one that its annotation allows."""

from __future__ import annotations

import re
from typing import Any

from chart_values import Value

QUANTITY = re.compile(r"(\d+)([A-Za-z%]*)")

TEXTS = (
    "007",
    "other",
    "https://other.example",
    "redis://other.example:6379",
    "other.example:26379",
    "sha256:" + "0" * 64,
    "{other}",
    "/other",
    "7s",
    "7gb",
    "7Gi",
)
"""Texts of the forms that patterns ask for; the first that fits is taken. Where none asks, it is one that YAML takes
for a number unless a template quotes it."""

OBJECTS: dict[str, Any] = {
    "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    "apiFrom": {"namespaceSelector": {"matchLabels": {"other": "yes"}}},
    "behavior": {"scaleDown": {"stabilizationWindowSeconds": 7}},
    "extraEgress": {"ports": [{"port": 7443}]},
    "extraEnv": {"name": "OTHER", "value": "other"},
    "extraObjects": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}},
    "extraVolumeMounts": {"name": "other", "mountPath": "/other"},
    "extraVolumes": {"name": "other", "emptyDir": {"sizeLimit": "1Gi"}},
    "metricsFrom": {"namespaceSelector": {"matchLabels": {"other": "yes"}}},
    "parentRefs": {"name": "other"},
    "podSecurityContext": {"fsGroup": 4242},
    "relabelings": {"action": "labeldrop", "regex": "other"},
    "resources": {"requests": {"cpu": "7m"}},
    "securityContext": {"runAsUser": 4242},
    "tolerations": {"key": "other", "operator": "Exists"},
    "topologySpreadConstraints": {"maxSkew": 7, "topologyKey": "other", "whenUnsatisfiable": "ScheduleAnyway"},
}
"""A map that Kubernetes defines, by the name of the leaf that holds it or a list of such."""


class NoOther(Exception):
    """The annotation does not say enough to choose one: OBJECTS or TEXTS must."""


def other_value(leaf: Value, current: Any) -> Any:
    """What the leaf might be set to instead of `current`. Raises NoOther."""
    if isinstance(leaf.default, dict):
        return {**(current or {}), **_map(leaf.path[-1], leaf.annotation)}
    if isinstance(leaf.default, list):
        return [*(current or []), _item(leaf, current[-1] if current else None)]
    return _scalar(leaf.path, leaf.default if current is None else current, leaf.annotation)


def _map(name: str, rules: Any) -> dict[str, Any]:
    allowed = rules["additionalProperties"]
    if allowed is True:
        if name not in OBJECTS:
            raise NoOther(name)
        return dict(OBJECTS[name])
    return {"example.com/other": "true"} if "pattern" not in allowed else {"other": _scalar((name,), None, allowed)}


def _item(leaf: Value, last: Any) -> Any:
    rules: Any = leaf.annotation["items"]
    kinds = _kinds(rules)
    if "object" in kinds:
        return _map(leaf.path[-1], {"additionalProperties": True})
    return _scalar(leaf.path, last, rules)


def _scalar(path: tuple[str, ...], default: object, rules: Any) -> Any:
    if "enum" in rules:
        return next(each for each in rules["enum"] if each != default and each not in (None, ""))
    kinds = _kinds(rules) or _kinds({"type": _kind_of(default)})
    if "boolean" in kinds:
        return not default
    if isinstance(default, str) or ("string" in kinds and "integer" not in kinds):
        return _text(path, str(default or ""), rules.get("pattern", ""))
    if "integer" in kinds or "number" in kinds:
        return _number(default, rules)
    raise NoOther(".".join(path))


def _kinds(rules: Any) -> list[str]:
    declared = rules.get("type") or []
    return [declared] if isinstance(declared, str) else list(declared)


def _kind_of(default: object) -> str:
    return {bool: "boolean", int: "integer", float: "number"}.get(type(default), "string")


def _number(default: object, rules: Any) -> Any:
    low, high = rules.get("minimum", 1), rules.get("maximum", float("inf"))
    first = default + 1 if isinstance(default, (int, float)) else low + 1
    return next(other for other in (first, first - 2, low, high) if low <= other <= high and other != default)


def _text(path: tuple[str, ...], default: str, pattern: str) -> str:
    choices = list(TEXTS)
    if hit := QUANTITY.fullmatch(default):
        choices.insert(0, f"{int(hit[1]) + 1}{hit[2]}")
    for choice in choices:
        if choice != default and re.search(pattern, choice):
            return choice
    raise NoOther(".".join(path))

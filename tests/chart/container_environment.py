"""What a container of a rendered pod would find in its environment."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any

from chart.helm import Document

REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")


def environment(
    container: Mapping[str, Any], documents: Sequence[Document], secrets: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    """Names and values as the kubelet would set them. `secrets` holds those that the chart expects to find.

    Raises KeyError where something required is neither rendered nor among `secrets`.
    """
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        for name, text in _data(*_reference(source, "Ref"), documents, secrets).items():
            found[source.get("prefix", "") + name] = text
    for entry in container.get("env", []):
        value = _value(entry, documents, secrets)
        if value is not None:
            found[entry["name"]] = _expanded(value, found)
    return found


def _value(
    entry: Mapping[str, Any], documents: Sequence[Document], secrets: Mapping[str, Mapping[str, str]]
) -> str | None:
    if "valueFrom" not in entry:
        value = entry.get("value", "")
        assert isinstance(value, str), f"{entry['name']} is no text"
        return value
    source = entry["valueFrom"]
    if "fieldRef" in source:
        return f"the-{source['fieldRef']['fieldPath']}"
    if "resourceFieldRef" in source:
        return "1"
    kind, reference = _reference(source, "KeyRef")
    data = _data(kind, reference, documents, secrets)
    return data.get(reference["key"]) if reference.get("optional") else data[reference["key"]]


def _reference(source: Mapping[str, Any], suffix: str) -> tuple[str, Mapping[str, Any]]:
    kind = "ConfigMap" if f"configMap{suffix}" in source else "Secret"
    return kind, source[f"{kind[0].lower()}{kind[1:]}{suffix}"]


def _data(
    kind: str, reference: Mapping[str, Any], documents: Sequence[Document], secrets: Mapping[str, Mapping[str, str]]
) -> Mapping[str, str]:
    for document in documents:
        if (document["kind"], document["metadata"]["name"]) == (kind, reference["name"]):
            encoded = document.get("data") or {}
            plain = (
                {name: base64.b64decode(value).decode() for name, value in encoded.items()}
                if kind == "Secret"
                else encoded
            )
            return {**plain, **document.get("stringData", {})}
    if reference.get("optional") and reference["name"] not in secrets:
        return {}
    return secrets[reference["name"]]


def _expanded(value: str, known: Mapping[str, str]) -> str:
    """`$(NAME)` becomes what was set before it, `$$` one dollar; an unknown name stays as it is."""
    return REFERENCE.sub(lambda hit: "$" if hit[0] == "$$" else known.get(hit[1], hit[0]), value)

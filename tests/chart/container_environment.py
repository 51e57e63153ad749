"""What a container of a rendered pod would find in its environment."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any

from chart.helm import Document

REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")

EXPECTED = {
    "REDIS_URL": "rediss://flowscale:secret@redis.example.com:6379/0",
    "FLOWSCALE_WEBHOOK_SECRET": "whsec_" + base64.b64encode(b"what lies in a Secret: 32 bytes.").decode(),
    "FLOWSCALE_WEBHOOK_URL": "https://hooks.example.com/flowscale?token=secret",
    "FLOWSCALE_ADMIN_KEY": "a key of no less than thirty-two characters",
}
"""What lies in a Secret that the chart expects to find, by the variable that takes it; anything else is one word."""


def environment(container: Mapping[str, Any], documents: Sequence[Document]) -> dict[str, str]:
    """Names and values as the kubelet would set them."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        kind, reference = _reference(source, "Ref")
        found |= _data(kind, reference["name"], documents) or {}
    for entry in container.get("env", []):
        found[entry["name"]] = _expanded(_value(entry, documents), found)
    return found


def _value(entry: Mapping[str, Any], documents: Sequence[Document]) -> str:
    if "valueFrom" not in entry:
        value = entry.get("value", "")
        assert isinstance(value, str), f"{entry['name']} is no text"
        return value
    source = entry["valueFrom"]
    if "fieldRef" in source:
        return "a-name"
    if "resourceFieldRef" in source:
        return "1"
    kind, reference = _reference(source, "KeyRef")
    data = _data(kind, reference["name"], documents)
    assert data is not None or kind == "Secret", f"{entry['name']} takes from a {kind} that is not there"
    return EXPECTED.get(entry["name"], "secret") if data is None else data[reference["key"]]


def _reference(source: Mapping[str, Any], suffix: str) -> tuple[str, Mapping[str, Any]]:
    kind = "ConfigMap" if f"configMap{suffix}" in source else "Secret"
    return kind, source[f"{kind[0].lower()}{kind[1:]}{suffix}"]


def _data(kind: str, name: str, documents: Sequence[Document]) -> Mapping[str, str] | None:
    """What lies in a ConfigMap or Secret; None where the chart does not make it."""
    for document in documents:
        if (document["kind"], document["metadata"]["name"]) == (kind, name):
            data = document.get("data") or {}
            if kind == "Secret":
                data = {key: base64.b64decode(value).decode() for key, value in data.items()}
            return {**data, **document.get("stringData", {})}
    return None


def _expanded(value: str, known: Mapping[str, str]) -> str:
    """`$(NAME)` becomes what was set before it, `$$` one dollar; an unknown name stays as it is."""
    return REFERENCE.sub(lambda hit: "$" if hit[0] == "$$" else known.get(hit[1], hit[0]), value)

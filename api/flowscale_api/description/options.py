"""The options of a request body as rows for people: path, what may stand there, what it means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Row = tuple[str, str]


def option_rows(document: dict[str, Any], schema: dict[str, Any], path: str = "") -> Iterator[Row]:
    """A row for each option below an object schema, nested ones by their path (`trim.end`, `timeline[].filters`)."""
    found = _resolved(document, schema)
    required = set(found.get("required", []))
    for name, option in found.get("properties", {}).items():
        place = f"{path}.{name}" if path else name
        inner = _inner(document, option)
        kind = _kind(document, inner)
        needed = "required" if name in required else "optional"
        text = option.get("description") or inner.get("description", "")
        yield place, f"{needed}, {kind}. {text}".strip()
        items = _resolved(document, inner.get("items", {})) if inner.get("type") == "array" else {}
        if inner.get("properties"):
            yield from option_rows(document, inner, place)
        elif items.get("properties"):
            yield from option_rows(document, items, f"{place}[]")


def _inner(document: dict[str, Any], option: dict[str, Any]) -> dict[str, Any]:
    """The schema of an option that may also be null."""
    choices = [one for one in option.get("anyOf", [option]) if one.get("type") != "null"]
    return _resolved(document, choices[0]) if choices else {}


def _kind(document: dict[str, Any], schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(f"`{value}`" for value in schema["enum"])
    kind = str(schema.get("type", "any value"))
    if kind == "array":
        kind = f"list of {_kind(document, _resolved(document, schema.get('items', {})))}"
    bounds = [f"{schema[name]:.10g}" if name in schema else "" for name in ("minimum", "maximum")]
    if any(bounds):
        kind += f" {bounds[0] or '…'} to {bounds[1] or '…'}"
    if "maxItems" in schema:
        kind += f", at most {schema['maxItems']}"
    return kind


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: dict[str, Any] = document["components"]["schemas"][reference.rpartition("/")[2]]
    return found

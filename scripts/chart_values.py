"""The values of the chart, read with the comments that explain them.

values.yaml is the one place where a value is described. Directly above each leaf stand sentences that begin with
`# -- `, and where the default does not say enough, one line `# @schema {...}` with keywords of JSON Schema:

    # -- Renders at once in one worker pod.
    # @schema {"minimum": 1, "maximum": 64}
    concurrency: 1

A leaf is a scalar, a list, an empty map, or a map whose annotation says what it may hold (`additionalProperties`).
Any other map is a section: it takes the keys it shows and no others, and may be described likewise.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import yaml

TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
"""JSON Schema's name for the type of a default."""


class ValuesError(Exception):
    """values.yaml breaks a rule of its own form; the text names the value and its line."""


@dataclass(frozen=True)
class Value:
    """One key of values.yaml."""

    path: tuple[str, ...]
    line: int
    default: object
    """None for a section."""
    meaning: str
    """Its sentences, on one line; empty for a section without any."""
    annotation: Mapping[str, object]
    """What its `@schema` line says."""
    children: tuple[Value, ...]
    """Of a section; empty for a leaf."""

    @property
    def name(self) -> str:
        """As people write it: `worker.scratch.sizeLimit`."""
        return ".".join(self.path)

    def leaves(self) -> Iterator[Value]:
        """Itself, or all leaves below it, in their order."""
        if not self.children:
            yield self
        for child in self.children:
            yield from child.leaves()


def read_values(text: str) -> tuple[Value, ...]:
    """The top-level keys of values.yaml. Raises ValuesError."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise ValuesError("values.yaml holds no map")
    return _read_map(root, (), text.splitlines())


def schema(values: tuple[Value, ...], title: str, subcharts: Collection[str] = ()) -> dict[str, object]:
    """The schema (draft 7) that accepts these values and no others. Raises ValuesError.

    `subcharts` names the charts that this one depends on, whose values stand in sections of these names.
    """
    properties = {value.path[-1]: _schema_of(value) for value in values}
    # Helm puts `global` into the values of every chart that another one depends on: of this one, and of its own.
    shared: dict[str, object] = {"description": "What charts that depend on each other share.", "type": "object"}
    for name in subcharts:
        properties[name] |= {"properties": {**_properties(properties[name]), "global": shared}}
    properties["global"] = shared
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": title,
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }


def _read_map(node: yaml.MappingNode, above: tuple[str, ...], lines: list[str]) -> tuple[Value, ...]:
    values: dict[str, Value] = {}
    for key, value in node.value:
        name = str(key.value)
        if name in values:
            raise ValuesError(f"line {key.start_mark.line + 1}: {'.'.join((*above, name))} stands here twice")
        values[name] = _read_value(key, value, (*above, name), lines)
    return tuple(values.values())


def _read_value(key: yaml.Node, node: yaml.Node, path: tuple[str, ...], lines: list[str]) -> Value:
    line = key.start_mark.line + 1
    where = f"line {line}: {'.'.join(path)}"
    meaning, annotation = _read_comment(_lines_above(key, lines), where)
    if isinstance(node, yaml.MappingNode) and node.value and not annotation.get("additionalProperties"):
        return Value(path, line, None, meaning, annotation, _read_map(node, path, lines))
    if not meaning:
        raise ValuesError(f"{where} has no comment: write what it means directly above it, beginning with '# -- '")
    return Value(path, line, _plain(node), meaning, annotation, ())


def _plain(node: yaml.Node) -> object:
    """What the node stands for, as Python writes it."""
    return yaml.constructor.SafeConstructor().construct_document(node)


def _lines_above(key: yaml.Node, lines: list[str]) -> list[str]:
    """The comment that touches the key, without indentation and signs."""
    first = key.start_mark.line
    while first > 0 and lines[first - 1].startswith(" " * key.start_mark.column + "#"):
        first -= 1
    return [line.strip().removeprefix("#") for line in lines[first : key.start_mark.line]]


def _read_comment(comment: list[str], where: str) -> tuple[str, dict[str, object]]:
    sentences: list[str] | None = None
    annotation: dict[str, object] | None = None
    for line in comment:
        text = line.strip()
        if text.startswith("@schema"):
            if annotation is not None:
                raise ValuesError(f"{where} has two lines of @schema")
            annotation = _read_annotation(text.removeprefix("@schema"), where)
        elif text.startswith("-- "):
            sentences = [text.removeprefix("-- ")] if sentences is None else [*sentences, text.removeprefix("-- ")]
        elif sentences is not None:
            sentences.append(text)
    return " ".join(sentences or []).strip(), annotation or {}


def _read_annotation(text: str, where: str) -> dict[str, object]:
    try:
        annotation = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValuesError(f"{where} has a line of @schema that is no JSON: {error}") from error
    if not isinstance(annotation, dict):
        raise ValuesError(f"{where} has a line of @schema that is no JSON object")
    return annotation


def _schema_of(value: Value) -> dict[str, object]:
    head: dict[str, object] = {"description": value.meaning} if value.meaning else {}
    if value.children:
        properties = {child.path[-1]: _schema_of(child) for child in value.children}
        rules = {"type": "object", "additionalProperties": False, **value.annotation}
        return {**head, **rules, "properties": properties}
    closed = {"additionalProperties": False} if isinstance(value.default, dict) else {}
    return {**head, **_type_of(value), **closed, **value.annotation, "default": value.default}


def _properties(section: Mapping[str, object]) -> dict[str, object]:
    properties = section["properties"]
    if not isinstance(properties, dict):
        raise TypeError(f"the properties of a section are no map: {properties!r}")
    return properties


def _type_of(value: Value) -> dict[str, object]:
    """The type that the default gives; nothing where the annotation says more."""
    if value.annotation.keys() & {"type", "enum", "const", "anyOf", "oneOf", "$ref"}:
        return {}
    where = f"line {value.line}: {value.name}"
    if value.default is None:
        raise ValuesError(f'{where} is null and says no type: write # @schema {{"type": [..., "null"]}} above it')
    if value.default == {} and not value.annotation.keys() & {"additionalProperties", "properties"}:
        raise ValuesError(f'{where} is an empty map: say what it may hold by "additionalProperties" in # @schema')
    if value.default == [] and "items" not in value.annotation:
        raise ValuesError(f'{where} is an empty list: say what it may hold by "items" in # @schema')
    return {"type": TYPES[type(value.default)]}

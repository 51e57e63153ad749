"""Kubernetes' own schemas, strict: a field that the API does not know is a fault.

They come with the package kubernetes-validate, a folder for each minor version. Its code is not used: it reads
two megabytes anew for every document.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from chart.helm import ROOT, Document, title

OLDEST, NEWEST = "1.27", "1.37"
"""The oldest Kubernetes that the chart is for, as Chart.yaml says, and the newest that the schemas know."""

OTHERS = {
    "monitoring.coreos.com/v1",
    "keda.sh/v1alpha1",
    "gateway.networking.k8s.io/v1",
    "cloud.google.com/v1",
}
"""APIs whose schemas are not at hand; tests look at what matters in their documents by hand."""


def faults(document: Document, version: str) -> list[str]:
    """What Kubernetes of this version (major.minor) would refuse, one line each. Unknown kinds are faults too."""
    if wrong := list(_keys_that_are_no_texts(document)):
        return [f"{title(document)}: {key!r} is a key, and no text" for key in wrong]
    return _faults(json.dumps(document), version)


def _keys_that_are_no_texts(node: object) -> Iterator[object]:
    """JSON knows none, so that turning YAML into it would hide them."""
    if isinstance(node, dict):
        yield from (key for key in node if not isinstance(key, str))
    if isinstance(node, (dict, list)):
        for below in node.values() if isinstance(node, dict) else node:
            yield from _keys_that_are_no_texts(below)


@cache
def _faults(text: str, version: str) -> list[str]:
    document = json.loads(text)
    if document["apiVersion"] in OTHERS:
        return []
    own = _own_schemas().get((document["apiVersion"], document["kind"]))
    validator = Draft202012Validator(own) if own else _validator(document["apiVersion"], document["kind"], version)
    if validator is None:
        return [f"{title(document)}: Kubernetes {version} has no {document['apiVersion']} {document['kind']}"]
    found = sorted(validator.iter_errors(document), key=lambda error: list(map(str, error.absolute_path)))
    return [f"{title(document)}: {'.'.join(map(str, error.absolute_path))}: {error.message}" for error in found]


@cache
def _validator(api_version: str, kind: str, version: str) -> Draft202012Validator | None:
    # The group without its domain stands in the name: rbac.authorization.k8s.io/v1 is rbac-v1.
    short = re.sub(r"^([^./]+)[^/]*/", r"\1-", api_version)
    file = _folder(version) / f"{kind.lower()}-{short}.json"
    if not file.is_file():
        return None
    return Draft202012Validator(
        json.loads(file.read_text()), registry=_registry(version), format_checker=FormatChecker()
    )


@cache
def _registry(version: str) -> Registry[Any]:
    text = (_folder(version) / "_definitions.json").read_text()
    definitions = Resource.from_contents(json.loads(text), default_specification=DRAFT202012)
    return definitions @ Registry()


def _folder(version: str) -> Any:
    return files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}.0-local-strict"


@cache
def _own_schemas() -> dict[tuple[str, str], dict[str, Any]]:
    """Of the resources that FlowScale defines, closed: what the API server would prune is a fault."""
    schemas = {}
    for path in sorted((ROOT / "manifests" / "crds").glob("*.yaml")):
        definition = yaml.safe_load(path.read_text())["spec"]
        for version in definition["versions"]:
            schema = _closed(version["schema"]["openAPIV3Schema"])
            key = f"{definition['group']}/{version['name']}", definition["names"]["kind"]
            schemas[key] = schema | {
                "properties": {"apiVersion": True, "kind": True, "metadata": True, **schema["properties"]}
            }
    return schemas


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    closed = {name: _closed(value) if isinstance(value, dict) else value for name, value in schema.items()}
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    return closed

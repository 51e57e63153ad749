"""Runs Helm on the chart, without a cluster, and reads what it makes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "flowscale"
VALUES = CHART / "values.yaml"
HELMS = ("helm3", "helm4")
NAMESPACE = "media"
RELEASE = "flowscale"
LIMIT_SECONDS = 300

Document = dict[str, Any]


class Refused(Exception):
    """Helm would not; the text is what it said."""


class StrictLoader(yaml.CSafeLoader):
    """Takes no key twice, which Kubernetes refuses and YAML's usual readers overlook."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As the parent. Raises yaml.constructor.ConstructorError."""
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} stands twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def ci_files() -> dict[str, Path]:
    """The values files under ci/, by what they are called without -values.yaml."""
    return {path.name.removesuffix("-values.yaml"): path for path in sorted(CHART.glob("ci/*-values.yaml"))}


def run(helm: str, *arguments: str | Path, stdin: str = "") -> str:
    """What helm3 or helm4 printed. Raises Refused."""
    home = Path(gettempdir()) / "flowscale-no-helm-home"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        # A plugin, a repository or a cluster of the person who runs the tests must not matter.
        "KUBECONFIG": str(home / "no-cluster"),
    }
    ended = subprocess.run(
        [ROOT / ".tools" / "helm" / helm, *arguments],
        input=stdin,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_SECONDS,
    )
    if ended.returncode:
        raise Refused(ended.stderr.strip() or ended.stdout.strip())
    return ended.stdout


def render(
    values: Mapping[str, Any] | None = None, base: Path | None = None, helm: str = "helm4", chart: Path = CHART
) -> list[Document]:
    """What the chart makes of the values (over those of the file `base`), not to be changed. Raises Refused."""
    return _rendered(json.dumps(values or {}), base, helm, chart)


@cache
def _rendered(values: str, base: Path | None, helm: str, chart: Path) -> list[Document]:
    return read_documents(rendered_text(values, base, helm, chart))


@cache
def rendered_text(values: str, base: Path | None, helm: str, chart: Path = CHART) -> str:
    """The same as text, for values in JSON; each is rendered once. Raises Refused."""
    files: list[str | Path] = [] if base is None else ["--values", base]
    return run(
        helm,
        "template",
        RELEASE,
        chart,
        "--namespace",
        NAMESPACE,
        "--include-crds",
        *files,
        "--values",
        "-",
        stdin=values,
    )


def read_documents(text: str) -> list[Document]:
    """The documents of a stream of YAML, without empty ones."""
    return [document for document in yaml.load_all(text, Loader=StrictLoader) if document]


def notes(values: Mapping[str, Any] | None = None, base: Path | None = None) -> str:
    """What is printed after an installation. Only Helm 4 can tell without a cluster. Raises Refused."""
    files: list[str | Path] = [] if base is None else ["--values", base]
    arguments = ["--namespace", NAMESPACE, "--dry-run=client", *files, "--values", "-"]
    text = run("helm4", "install", RELEASE, CHART, *arguments, stdin=json.dumps(values or {}))
    return text.partition("\nNOTES:\n")[2]


def find(documents: Sequence[Document], kind: str, name: str) -> Document:
    """The one document of this kind and name."""
    found = [document for document in documents if (document["kind"], document["metadata"]["name"]) == (kind, name)]
    assert len(found) == 1, f"{len(found)} documents are {kind} {name}"
    return found[0]


def title(document: Document) -> str:
    """`Deployment flowscale-api`."""
    return f"{document['kind']} {document['metadata']['name']}"


def nested(name: str, value: Any) -> dict[str, Any]:
    """{"a": {"b": value}} of "a.b"."""
    for key in reversed(name.split(".")):
        value = {key: value}
    return dict(value)

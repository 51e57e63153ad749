"""No value is there for nothing: each changes what is made, where it has a meaning, and what it makes is sound.

Each leaf of values.yaml is given another value in the example under ci/ that knows most about its section, or in
the next one, until what is rendered differs.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart import api_schemas
from chart.helm import VALUES, Refused, ci_files, nested, read_documents, rendered_text
from chart.merging import merged
from chart.other_values import other_value
from chart_values import Value, read_values

LEAVES = [leaf for value in read_values(VALUES.read_text()) for leaf in value.leaves()]
EVERY_LEAF = pytest.mark.parametrize("name", [leaf.name for leaf in LEAVES])
EXAMPLES = ci_files()
SET_BY = {name: yaml.safe_load(path.read_text()) or {} for name, path in EXAMPLES.items()}

BESIDES: dict[str, dict[str, Any]] = {
    "redis.external.url": {
        "redis": {
            "mode": "external",
            "external": {"url": "redis://one.example.com:6379", "host": "", "urlKey": "", "sentinel": {"hosts": []}},
        }
    },
    "storage.persistence.accessModes": {"storage": {"type": "nfs", "persistence": {"accessModes": ["ReadWriteMany"]}}},
    "worker.concurrency": {"worker": {"resources": {"limits": {"memory": "64Gi"}}}},
}
"""What else must be set, before and after, for a rule to let the leaf be changed."""

TOGETHER: dict[str, dict[str, Any]] = {
    "redis.mode": {"redis": {"mode": "external", "external": {"host": "redis.example.com"}}},
    "redis.external.url": {"redis": {"external": {"url": "rediss://other.example.com:6380"}}},
    "storage.persistence.accessModes": {
        "storage": {"persistence": {"accessModes": ["ReadWriteOnce", "ReadWriteMany"]}}
    },
    "worker.terminationGracePeriodSeconds": {"worker": {"terminationGracePeriodSeconds": 99999}},
}
"""What a leaf is set to, and with what, where rules between values leave little choice."""

CHANCE = re.compile(r"(?m)^  \S+: [A-Za-z0-9+/]{54}==$")
"""Generated passwords: 40 letters and digits in base 64."""


@dataclass(frozen=True)
class Outcome:
    """What came of another value."""

    story: str
    text: str
    """What was rendered with it; empty where it changed nothing."""


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    """For each leaf, worked out by as many Helms at once as there are processors."""
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:
        return dict(zip((leaf.name for leaf in LEAVES), pool.map(outcome, LEAVES), strict=True))


@EVERY_LEAF
def test_a_value_changes_what_is_made(name: str, outcomes: Mapping[str, Outcome]) -> None:
    assert outcomes[name].text, f"{name} changes nothing:\n{outcomes[name].story}"


@EVERY_LEAF
def test_kubernetes_takes_what_another_value_makes(name: str, outcomes: Mapping[str, Outcome]) -> None:
    found = outcomes[name]
    documents = read_documents(found.text)
    faults = [fault for document in documents for fault in api_schemas.faults(document, api_schemas.NEWEST)]
    assert documents
    assert not faults, "\n".join([found.story, *faults])


def test_the_tables_name_leaves_that_are_there() -> None:
    names = {leaf.name for leaf in LEAVES}
    assert not (BESIDES.keys() | TOGETHER.keys()) - names


def outcome(leaf: Value) -> Outcome:
    tried = []
    for example, path in contexts(leaf):
        besides = BESIDES.get(leaf.name, {})
        other = TOGETHER.get(leaf.name) or nested(leaf.name, other_value(leaf, current(leaf, SET_BY.get(example, {}))))
        try:
            before = rendered_text(json.dumps(besides), path, "helm4")
            after = rendered_text(json.dumps(merged(besides, other)), path, "helm4")
        except Refused as refusal:
            tried.append(f"with {other} refused in {example}: {' '.join(str(refusal).split()[-40:])}")
            continue
        if CHANCE.sub("", before) != CHANCE.sub("", after):
            return Outcome(f"with {other} in {example}", after)
        tried.append(f"with {other} no difference in {example}")
    return Outcome("\n".join(tried), "")


def current(leaf: Value, values: Any) -> Any:
    """What the leaf is where these values are laid over the defaults."""
    for key in leaf.path:
        if not isinstance(values, dict) or key not in values:
            return leaf.default
        values = values[key]
    return values


def contexts(leaf: Value) -> Iterator[tuple[str, Path | None]]:
    """The defaults and the examples, those first that say most about where the leaf stands."""
    known = sorted(EXAMPLES, key=lambda name: (-depth(SET_BY[name], leaf.path), name))
    if not known or depth(SET_BY[known[0]], leaf.path) == 0:
        yield "the defaults", None
    for name in known:
        yield name, EXAMPLES[name]


def depth(values: object, path: tuple[str, ...]) -> int:
    """How far the values follow the path."""
    if not path or not isinstance(values, dict) or path[0] not in values:
        return 0
    return 1 + depth(values[path[0]], path[1:])

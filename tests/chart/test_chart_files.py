"""The form of values.yaml, and what is made of it."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft7Validator

from chart.helm import ROOT, VALUES
from chart_files import chart_files, install_manifest, leftovers
from chart_values import ValuesError, read_values, schema

SMALL = """
# Belongs to nobody.

# -- How many.
#    At least one.
# @schema {"minimum": 1}
replicas: 2
# -- The server.
server:
  # -- Its name | or address.
  host: a
  # -- Labels for it.
  # @schema {"additionalProperties": {"type": "string"}}
  labels: {}
  # -- What it may take.
  # @schema {"additionalProperties": true}
  resources: {requests: {cpu: 1}}
  # -- Its port; unset, it takes one.
  # @schema {"type": ["integer", "null"]}
  port: null
"""


def test_a_leaf_is_read_with_what_is_said_of_it() -> None:
    replicas, server = read_values(SMALL)
    assert (replicas.name, replicas.default, replicas.meaning) == ("replicas", 2, "How many. At least one.")
    assert replicas.annotation == {"minimum": 1}
    assert [leaf.name for leaf in server.leaves()] == [
        "server.host",
        "server.labels",
        "server.resources",
        "server.port",
    ]
    assert server.children[2].default == {"requests": {"cpu": 1}}


def test_the_schema_takes_the_defaults_and_nothing_unknown() -> None:
    validator = Draft7Validator(schema(read_values(SMALL), "small"))
    assert validator.is_valid({"replicas": 3, "server": {"port": 1, "labels": {"a": "b"}}})
    assert validator.is_valid({"global": {"anything": 1}})
    for bad in (
        {"replicas": 0},
        {"replicas": "2"},
        {"replica": 2},
        {"server": {"hots": "b"}},
        {"server": {"labels": {"a": 1}}},
        {"server": {"port": "80"}},
    ):
        assert not validator.is_valid(bad), bad


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: 1", "line 1: a has no comment"),
        ("# A remark.\na: 1", "a has no comment"),
        ("# -- Stands apart.\n\na: 1", "a has no comment"),
        ("# -- A.\na:\n  b: 1", "line 3: a.b has no comment"),
        ("# -- A.\na: null", "a is null and says no type"),
        ("# -- A.\na: {}", "a is an empty map"),
        ("# -- A.\na: []", "a is an empty list"),
        ("# -- A.\n# @schema {oops}\na: 1", "a has a line of @schema that is no JSON"),
        ("# -- A.\n# @schema []\na: 1", "a has a line of @schema that is no JSON object"),
        ("# -- A.\n# @schema {}\n# @schema {}\na: 1", "a has two lines of @schema"),
        ("# -- A.\na: 1\n# -- A.\na: 2", "a stands here twice"),
        ("- a", "holds no map"),
    ],
)
def test_a_breach_of_the_form_is_named(text: str, fault: str) -> None:
    with pytest.raises(ValuesError, match=fault):
        schema(read_values(text), "small")


def test_the_default_values_fit_their_own_schema() -> None:
    made = json.loads((VALUES.parent / "values.schema.json").read_text())
    Draft7Validator.check_schema(made)
    values = read_values(VALUES.read_text())
    faults = [
        f"{leaf.name}: {error.message}"
        for value in values
        for leaf in value.leaves()
        for error in Draft7Validator(made).iter_errors(nested_default(leaf.path, leaf.default))
    ]
    assert not faults, "\n".join(faults)


def test_the_generated_files_are_those_of_the_values() -> None:
    for name, text in {**chart_files(ROOT), "manifests/install.yaml": install_manifest(ROOT)}.items():
        assert (ROOT / name).read_text() == text, f"{name} is out of date: run `make generate`"
    assert leftovers(ROOT) == []


def nested_default(path: tuple[str, ...], value: object) -> object:
    for key in reversed(path):
        value = {key: value}
    return value

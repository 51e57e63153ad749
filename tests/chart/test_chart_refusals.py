"""Values that cannot work are refused, with a message that names them and says what to change."""

from __future__ import annotations

from typing import Any

import pytest

from chart.helm import HELMS, VALUES, Refused, nested, render
from chart.merging import merged
from chart_values import Value, read_values

TREE = read_values(VALUES.read_text())
LEAVES = [leaf for value in TREE for leaf in value.leaves()]


def sections(values: tuple[Value, ...]) -> list[Value]:
    """All of them, nested ones too."""
    return [each for value in values if value.children for each in [value, *sections(value.children)]]


@pytest.mark.parametrize("helm", HELMS)
def test_a_name_that_does_not_exist_is_refused_wherever_it_stands(helm: str) -> None:
    wrong: dict[str, Any] = {"misspelt": 1}
    for section in sections(TREE):
        wrong = merged(wrong, nested(f"{section.name}.misspelt{len(section.path)}", 1))
    message = refusal(wrong, helm)
    assert "at '': additional properties 'misspelt' not allowed" in message
    for section in sections(TREE):
        expected = f"at '/{'/'.join(section.path)}': additional properties 'misspelt{len(section.path)}' not allowed"
        assert expected in message, section.name


@pytest.mark.parametrize("helm", HELMS)
def test_a_value_of_another_type_is_refused_wherever_it_stands(helm: str) -> None:
    wrong: dict[str, Any] = {}
    for leaf in LEAVES:
        # A list fits nowhere but where lists are; there a number does not.
        wrong = merged(wrong, nested(leaf.name, 7 if isinstance(leaf.default, list) else [["wrong"]]))
    message = refusal(wrong, helm)
    unnamed = [leaf.name for leaf in LEAVES if f"at '/{'/'.join(leaf.path)}'" not in message]
    assert not unnamed


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("worker.replica", 3, "additional properties 'replica' not allowed"),
        ("worker.concurrency", 0, "minimum: got 0, want 1"),
        ("storage.type", "S3", "value must be one of 'local', 'nfs', 's3', 'r2', 'supabase'"),
        ("api.replicas", "2", "got string, want integer"),
    ],
)
def test_the_message_names_the_value_and_what_it_may_be(helm: str, name: str, value: Any, complaint: str) -> None:
    message = refusal(nested(name, value), helm)
    assert complaint in message
    assert name.split(".")[0] in message


def refusal(values: dict[str, Any], helm: str = "helm4") -> str:
    with pytest.raises(Refused) as caught:
        render(values, helm=helm)
    return str(caught.value)

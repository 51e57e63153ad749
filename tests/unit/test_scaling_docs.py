"""docs/scaling.md shows what `flowscale simulate` prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flowscale.scaling import Limit, Reason
from flowscale_cli.main import app

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "scaling.md").read_text()
EXAMPLES = re.findall(r"```console\n\$ flowscale (.+)\n((?:.*\n)+?)```", PAGE)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 3


@pytest.mark.parametrize(("command", "printed"), EXAMPLES, ids=[command for command, _ in EXAMPLES])
def test_an_example_prints_what_the_page_says(command: str, printed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    result = CliRunner().invoke(app, command.split())
    assert (result.exit_code, result.stdout) == (0, printed)


def test_every_word_of_a_decision_is_on_the_page() -> None:
    for word in (*Reason, *(limit for limit in Limit if limit)):
        assert f"`{word}`" in PAGE

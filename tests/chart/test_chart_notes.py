"""What a person reads after `helm install`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from chart.helm import NAMESPACE, ci_files, notes

CI = ci_files()


@pytest.mark.parametrize("example", CI.values(), ids=list(CI))
def test_the_notes_are_whole(example: Path) -> None:
    text = notes(base=example)
    assert "curl" in text
    assert NAMESPACE in text
    assert not re.search(r"<no value>|<nil>|%!|map\[|\{\{", text), text
    assert not re.search(r"\n\n\n", text), "a gap of two lines"
    assert max(map(len, text.splitlines())) <= 160


def test_the_notes_of_the_defaults(golden: Callable[[str, str], None]) -> None:
    golden("chart/notes.txt", notes())


def test_the_notes_name_the_address_that_browsers_use() -> None:
    host = "render.example.com"
    plain = notes({"ingress": {"enabled": True, "hosts": [host]}})
    assert f"http://{host}" in plain
    assert f"https://{host}" in notes({"ingress": {"enabled": True, "hosts": [host], "tls": True}})
    route = {"enabled": True, "hostnames": [host], "parentRefs": [{"name": "edge"}]}
    assert host in notes({"gatewayApi": route})

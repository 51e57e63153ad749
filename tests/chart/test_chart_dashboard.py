"""The dashboard against Grafana's own schema: its package of TypeScript types, by TypeScript's compiler.

Covered: every field of the dashboard, its variables and its panels, the options and styles of each kind of panel, by
name and type; a name that Grafana does not know fails. Not covered: what only a running Grafana does with it, whether
a unit's name is one (a plain text to the schema), and the queries, which a real Prometheus answers in
tests/integration/test_metrics_page.py.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from chart.helm import CHART

PROGRAM = Path(__file__).with_name("grafana")
KINDS = {"stat": "StatPanel", "timeseries": "LinesPanel", "row": "Row"}
OPTIONS = {
    "noEmit": True,
    "strict": True,
    "module": "nodenext",
    "moduleResolution": "nodenext",
    "target": "es2022",
    "types": [],
}


@pytest.fixture(scope="module")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the compiler and the schema in the versions of the lock file."""
    folder = tmp_path_factory.mktemp("grafana") / "check"
    shutil.copytree(PROGRAM, folder, ignore=shutil.ignore_patterns("node_modules"))
    installed = subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert installed.returncode == 0, installed.stdout + installed.stderr
    (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": OPTIONS, "files": ["board.ts"]}))
    return folder


def board() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((CHART / "files" / "dashboard.json").read_text())
    return read


def declared(checked: Mapping[str, Any], name: str) -> list[str]:
    """A dashboard as TypeScript. Each panel alone too: a literal's unknown names are found where one type is expected,
    not one of several."""
    panels = (
        f"export const {name}_{panel['id']}: {KINDS[panel['type']]} = {json.dumps(panel)};"
        for panel in checked["panels"]
    )
    return [f"export const {name}: Board = {json.dumps(checked)};", *panels]


def faults(compiler: Path, lines: Sequence[str]) -> dict[int, str]:
    """What the compiler says of these lines, by their index."""
    head = "import type { Board, LinesPanel, Row, StatPanel } from './types.js';"
    (compiler / "board.ts").write_text("\n".join([head, *lines]))
    ended = subprocess.run(
        ["node", "node_modules/typescript/bin/tsc", "-p", "."],
        cwd=compiler,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (ended.returncode == 0) == (not ended.stdout), ended.stdout + ended.stderr
    told = re.findall(r"^(\S+)\((\d+),\d+\): (.+)$", ended.stdout, re.MULTILINE)
    assert {file for file, _, _ in told} <= {"board.ts"}, ended.stdout
    return {int(number) - 2: text for _, number, text in told}


def test_grafana_knows_every_field_of_the_dashboard(compiler: Path) -> None:
    assert faults(compiler, declared(board(), "board")) == {}


BROKEN: Sequence[tuple[tuple[str | int, ...], object]] = (
    (("refresh",), 30),
    (("templating", "list", 0, "type"), "sources"),
    (("panels", 1, "colour"), "red"),
    (("panels", 1, "options", "colorMode"), "loud"),
    (("panels", 8, "fieldConfig", "defaults", "custom", "drawStyle"), "crayon"),
    (("panels", 8, "fieldConfig", "defaults", "custom", "lineWidht"), 2),
    (("panels", 8, "targets", 0, "expression"), "up"),
)
"""A fault in the dashboard each: where, and what stands there."""


def test_a_field_that_grafana_does_not_know_is_found(compiler: Path) -> None:
    lines: list[str] = []
    found_in: list[range] = []  # of each fault, its lines
    for number, (path, value) in enumerate(BROKEN):
        changed = board()
        here: Any = changed
        for step in path[:-1]:
            here = here[step]
        here[path[-1]] = value
        written = declared(changed, f"broken_{number}")
        found_in.append(range(len(lines), len(lines) + len(written)))
        lines += written
    told = faults(compiler, lines)
    assert [BROKEN[number][0] for number, where in enumerate(found_in) if not set(where) & told.keys()] == []


def test_no_panel_lies_on_another() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in board()["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies on {taken[x, y]}"
                taken[x, y] = panel["title"]

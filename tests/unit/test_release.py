"""scripts/release.py lets a release pass whose files agree, and names each that does not."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

FAULTS: Callable[[Path, str, str], list[str]] = runpy.run_path(
    str(Path(__file__).resolve().parents[2] / "scripts" / "release.py")
)["faults"]

FILES = {
    "core/flowscale/__init__.py": '"""Text."""\n\n__version__ = "1.2.3"\n',
    "charts/flowscale/Chart.yaml": 'apiVersion: v2\nname: flowscale\nversion: 1.2.3\nappVersion: "1.2.3"\n',
    "charts/flowscale/values.yaml": "# -- text\nimage:\n  # -- where from\n  registry: ghcr.io/flowscale\n  tag: ''\n",
    "CHANGELOG.md": "# Changelog\n\n## 1.2.3 - 2026-12-01\n\n## 1.2.2 - 2026-11-01\n",
}


def lay_out(root: Path, changes: dict[str, tuple[str, str]]) -> None:
    for name, text in FILES.items():
        old, new = changes.get(name, ("", ""))
        assert old in text
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text.replace(old, new) if old else text)


def test_files_that_agree_may_be_released(tmp_path: Path) -> None:
    lay_out(tmp_path, {})
    assert FAULTS(tmp_path, "1.2.3", "ghcr.io/flowscale") == []


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("core/flowscale/__init__.py", "1.2.3", "1.2.4", "__init__.py names version 1.2.4"),
        ("charts/flowscale/Chart.yaml", "\nversion: 1.2.3", "\nversion: 1.2.2", "Chart.yaml names version 1.2.2"),
        ("charts/flowscale/Chart.yaml", '"1.2.3"', '"1.2.2"', "(appVersion) names version 1.2.2"),
        ("charts/flowscale/values.yaml", "ghcr.io/flowscale", "example.com/x", "takes images from example.com/x"),
        ("CHANGELOG.md", "1.2.3 - 2026-12-01", "1.2.3 - unreleased", "CHANGELOG.md names version 1.2.2"),
    ],
)
def test_what_does_not_agree_is_named(tmp_path: Path, name: str, old: str, new: str, told: str) -> None:
    lay_out(tmp_path, {name: (old, new)})
    [fault] = FAULTS(tmp_path, "1.2.3", "ghcr.io/flowscale")
    assert told in fault

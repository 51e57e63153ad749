"""Say what keeps these files from being released as a version: python3 scripts/release.py 0.1.0 ghcr.io/flowscale

The version stands in three places that nothing else compares, and an image that the chart does not name helps nobody.
Runs on a bare Python: a release asks it before anything is installed.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

PLACES = {
    "core/flowscale/__init__.py": r'^__version__ = "(.*)"$',
    "charts/flowscale/Chart.yaml": r'^version: "?([^"\s]*)"?$',
    "charts/flowscale/Chart.yaml (appVersion)": r'^appVersion: "?([^"\s]*)"?$',
    "CHANGELOG.md": r"^## ([0-9]+\.[0-9]+\.[0-9]+) - [0-9]{4}-[0-9]{2}-[0-9]{2}$",
}
"""Files and the line, the first of its kind, that names the version. The changelog's counts once it has a date."""

REGISTRY = r'^image:\n(?:  +.*\n|\n)*?  registry: "?([^"\s]*)"?'
"""Where charts/flowscale/values.yaml says that images come from."""


def faults(root: Path, version: str, registry: str) -> list[str]:
    """A sentence for each thing that is not as a release of `version` to `registry` needs it."""
    found = []
    for place, pattern in PLACES.items():
        line = re.search(pattern, (root / place.partition(" (")[0]).read_text(), re.MULTILINE)
        named = line[1] if line else "none"
        if named != version:
            found.append(f"{place} names version {named}; set it to {version}, or tag another version")
    values = re.search(REGISTRY, (root / "charts/flowscale/values.yaml").read_text(), re.MULTILINE)
    named = values[1] if values else "none"
    if named != registry:
        found.append(f"charts/flowscale/values.yaml takes images from {named}; set image.registry to {registry}")
    return found


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: scripts/release.py VERSION REGISTRY")
    if told := faults(ROOT, *sys.argv[1:]):
        sys.exit("\n".join(told))

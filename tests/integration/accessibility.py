"""What axe-core finds in a page: https://github.com/dequelabs/axe-core, pinned in axe/package-lock.json."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

THEMES = ("light", "dark")
GRAVE = {"serious", "critical"}

_RUN = """async () => {
    const { violations } = await axe.run(document, { resultTypes: ["violations"] });
    const where = (nodes) => nodes.map((node) => node.html);
    return violations.map(({ id, impact, help, nodes }) => ({ id, impact, help, where: where(nodes) }));
}"""


def install_axe(folder: Path) -> str:
    """Its program's text, brought by npm into the folder."""
    program = folder / "axe"
    shutil.copytree(Path(__file__).with_name("axe"), program, ignore=shutil.ignore_patterns("node_modules"))
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(command, cwd=program, check=True, capture_output=True, timeout=300)
    return (program / "node_modules" / "axe-core" / "axe.min.js").read_text()


class Axe:
    """`text` is the program; the page's policy lets no script in but by the debugger's door, which this takes."""

    def __init__(self, text: str) -> None:
        self._text = text

    def grave_findings(self, page: Page) -> list[str]:
        """Of the page as it is now, in both themes; without motion, for colours on their way are no theme's."""
        found: list[str] = []
        for theme in THEMES:
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # type: ignore[arg-type]  # a literal each, which a loop loses
            page.evaluate(self._text)
            violations: list[dict[str, Any]] = page.evaluate(_RUN)
            found += [f"{theme}: {each['help']}: {each['where']}" for each in violations if each["impact"] in GRAVE]
        return found

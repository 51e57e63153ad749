"""What a page of Markdown holds that can be checked: its links, anchors, code, and the YAML it shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]

NOT_OURS = {"node_modules", "dist", "data"}
"""Folders beside those whose names begin with a dot: made here, or fetched."""

_FENCE = re.compile(r"^( *)(`{3,}|~{3,})(\w*).*?\n(.*?)^ *\2 *$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?<=\n\n)(?:(?: {4}.*)?\n)*(?: {4}.*)(?=\n|$)")
_SPAN = re.compile(r"(`+)(.+?)\1", re.DOTALL)
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^\s)>]+)")
_REFERENCE = re.compile(r"^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


@dataclass(frozen=True)
class Page:
    """One file. `name` is its path from the root of the repository."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    @cached_property
    def _without_fences(self) -> str:
        return _FENCE.sub("", self.text)

    @cached_property
    def prose(self) -> str:
        """Without any code."""
        return _SPAN.sub("", _INDENTED.sub("", self._without_fences))

    @cached_property
    def spans(self) -> tuple[str, ...]:
        """What stands in backticks in a line of text."""
        return tuple(found[2] for found in _SPAN.finditer(_INDENTED.sub("", self._without_fences)))

    @cached_property
    def blocks(self) -> tuple[tuple[str, str], ...]:
        """Code that stands by itself: its language ("" where none is named), and its text."""
        fenced = tuple((found[3], found[4]) for found in _FENCE.finditer(self.text))
        return fenced + tuple(("", found[0]) for found in _INDENTED.finditer(self._without_fences))

    @property
    def code(self) -> Iterator[str]:
        yield from self.spans
        yield from (text for _, text in self.blocks)

    @property
    def links(self) -> Iterator[str]:
        """Targets of links, of whatever kind."""
        yield from _LINK.findall(self.prose)
        yield from _REFERENCE.findall(self.prose)

    @cached_property
    def anchors(self) -> frozenset[str]:
        """Of its headings, as GitHub makes them."""
        found: list[str] = []
        for heading in _HEADING.findall(_INDENTED.sub("", self._without_fences)):
            anchor = anchor_of(heading)
            found.append(anchor if anchor not in found else f"{anchor}-{found.count(anchor)}")
        return frozenset(found)

    def headings(self, depth: int) -> list[str]:
        """Those with so many #."""
        return re.findall(rf"^#{{{depth}}} +(.+?) *$", self._without_fences, re.MULTILINE)

    @property
    def yaml(self) -> Iterator[Any]:
        """What each block of YAML says, document by document."""
        for language, text in self.blocks:
            if language in ("yaml", "yml"):
                yield from yaml.safe_load_all(text)


def anchor_of(heading: str) -> str:
    """Lower case; letters, digits, _ and - stay, a space becomes a -."""
    label = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    return re.sub(r"[^\w\- ]", "", label.lower()).replace(" ", "-")


def pages() -> list[Page]:
    """Every page of the repository."""
    return [
        Page(path)
        for path in sorted(ROOT.rglob("*.md"))
        if not any(part in NOT_OURS or part.startswith(".") for part in path.relative_to(ROOT).parts)
    ]

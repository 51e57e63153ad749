"""The figures of a run: what was measured, and how much it was. Printed when it ends; no test asserts on them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Figures:
    """Rows in the order in which they were noted."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str]] = []

    def note(self, what: str, figure: str) -> None:
        self.rows.append((what, figure))

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Notes the seconds that the block took, if it ended well."""
        begun = time.monotonic()
        yield
        self.note(what, f"{time.monotonic() - begun:.1f} s")

    def table(self) -> str:
        width = max((len(what) for what, _ in self.rows), default=0)
        return "\n".join(f"{what:<{width}}  {figure}" for what, figure in self.rows)

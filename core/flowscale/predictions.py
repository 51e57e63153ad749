"""How long renders take, learned from those that finished: what a limit on waiting is decided by. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Expected:
    """A job that waits or runs. `predicted_ms` is how long its render takes; None while too little is known."""

    for_ms: int  # how long it has waited in its line, or run
    predicted_ms: int | None = None

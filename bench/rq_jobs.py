"""The functions that plain RQ's worker calls for bench/redis_queue.py. RQ imports this in every fork: keep it light."""

from __future__ import annotations

import os
from typing import Any


def nothing(_spec: dict[str, Any]) -> None:
    """What is left is what RQ itself costs."""


def tell(_spec: dict[str, Any], pipe: str) -> None:
    """Say through a named pipe that the function was entered."""
    end = os.open(pipe, os.O_WRONLY)
    os.write(end, b"entered\n")
    os.close(end)

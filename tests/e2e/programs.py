"""Programs that the tests run: kubectl, helm, docker, ffprobe. Each ends, well or with what it said."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

LIMIT_SECONDS = 660.0
"""For one program: beyond the time-outs that programs are given, so that theirs tell what hung."""


class ProgramFailed(AssertionError):
    """A program ended with another code than 0; the message holds what it said."""


def run(command: Sequence[str], *, given: str | None = None, environment: Mapping[str, str] | None = None) -> str:
    """What the command printed. Raises ProgramFailed. `given` is its standard input."""
    try:
        ended = subprocess.run(
            list(command),
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_SECONDS,
            env=None if environment is None else dict(environment),
        )
    except subprocess.TimeoutExpired as error:
        raise ProgramFailed(f"{' '.join(command)} had not ended after {LIMIT_SECONDS:.0f} s") from error
    if ended.returncode:
        raise ProgramFailed(f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stdout}\n{ended.stderr}")
    return ended.stdout

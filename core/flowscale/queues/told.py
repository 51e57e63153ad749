"""What a job's executions tell of their work. Kept beside the job's record, and gone with it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FACTS_BYTES = 64 * 1024
"""Most that is kept of one execution's facts, as JSON; commands beyond it are left out."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What an execution tells of its work; the last execution's are kept."""

    sources: tuple[Mapping[str, Any], ...] = ()  # in the spec's order: what a probe found, as JSON has it
    commands: tuple[tuple[str, ...], ...] = ()  # of FFmpeg, program first, in the order in which they were run
    commands_left_out: int = 0  # for their length


@dataclass(frozen=True, slots=True)
class Told:
    """All that a job's executions told. `tails`: the last log lines of attempts, by the attempt's number."""

    facts: Facts | None = None
    tails: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


def to_json(facts: Facts) -> str:
    """As it is kept: at most FACTS_BYTES, for which the first commands are left out, then the sources."""
    sources, commands, left_out = list(facts.sources), list(facts.commands), facts.commands_left_out
    while True:
        text = json.dumps(
            {"sources": sources, "commands": commands, "commands_left_out": left_out},
            ensure_ascii=False,
            separators=(",", ":"),
        )
        if len(text.encode(errors="surrogatepass")) <= FACTS_BYTES or not (sources or commands):
            return text
        if commands:
            del commands[0]
            left_out += 1
        else:
            sources.clear()


def from_json(text: str | bytes) -> Facts:
    """Raises ValueError for what `to_json` did not write."""
    value = json.loads(text)
    try:
        return Facts(
            sources=tuple(dict(source) for source in value["sources"]),
            commands=tuple(tuple(str(word) for word in command) for command in value["commands"]),
            commands_left_out=int(value["commands_left_out"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"these are no facts: {error!r}") from error

"""The Lua scripts, and the one way in which an operation talks to the server.

An operation (operations.py) is a generator: it yields Batches of commands and is sent their answers. So it is written
once, does no I/O, and is driven by a coroutine in the gateway (gateway.py) and by plain calls in a worker (worker.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, TypeAlias, TypeVar

from redis.exceptions import NoScriptError, ResponseError

Argument: TypeAlias = str | bytes | int

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Script:
    """A script's text and the hash by which the server knows it."""

    name: str
    text: str
    sha: str


@cache
def script(name: str) -> Script:
    """The script lua/NAME.lua; those that work on one job have lua/shared.lua put before them, those on webhooks
    lua/clock.lua."""
    folder = resources.files(__package__) / "lua"
    text = (folder / f"{name}.lua").read_text()
    before = None if name in ALONE else "clock.lua" if name in CLOCKED else "shared.lua"
    if before is not None:
        flags, _, body = text.partition("\n")
        text = f"{flags}\n{(folder / before).read_text()}\n{body}"
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


ALONE = frozenset(
    {"peek", "depth", "report", "forget", "tidied", "demand", "drain", "undrain", "minute", "audit", "pause"}
    | {"walk", "gather"}
)
"""Scripts that know nothing of a job's keys."""

CLOCKED = frozenset(f"webhooks_{step}" for step in ("due", "claim", "settle", "replay", "retire"))
"""Nor do these, which are given the time."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command with its arguments; of a script, the text is sent when the server does not know it."""

    words: tuple[Argument, ...]
    text: str = ""
    forgiving: bool = False  # a refusal (of a key that holds something else, say) is an answer, None


def command(*words: Argument, forgiving: bool = False) -> Command:
    return Command(_encoded(words), forgiving=forgiving)


def run_script(name: str, keys: Sequence[str], *arguments: Argument) -> Command:
    called = script(name)
    return Command(_encoded(("EVALSHA", called.sha, len(keys), *keys, *arguments)), called.text)


def _encoded(words: tuple[Argument, ...]) -> tuple[Argument, ...]:
    """Ids that came as bytes which are no text go back as those bytes."""
    name, *rest = words
    return (name, *(word.encode(errors="surrogateescape") if isinstance(word, str) else word for word in rest))


Batch: TypeAlias = Sequence[Command]
"""Commands sent together, in one round trip. They are no transaction: each is one step by itself."""

Operation: TypeAlias = Generator[Batch, Sequence[Any], _Answer]
"""Yields batches, is sent their answers in order, returns its result. Errors are thrown into it."""


def with_scripts(operation: Operation[_Answer]) -> Operation[_Answer]:
    """The operation for a driver whose answers may be errors, as values: scripts the server does not know are loaded,
    and the commands that needed them sent again; any other error is raised where the driver drives."""
    try:
        batch = next(operation)
        while True:
            answers = list((yield batch))
            unknown = [at for at, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
            if unknown:
                texts = {batch[at].words[1]: batch[at].text for at in unknown}
                yield [command("SCRIPT LOAD", text) for text in texts.values()]
                again = yield [batch[at] for at in unknown]
                for at, answer in zip(unknown, again, strict=True):
                    answers[at] = answer
            for at, answer in enumerate(answers):
                if batch[at].forgiving and isinstance(answer, ResponseError):
                    answers[at] = None
                elif isinstance(answer, Exception):
                    raise answer
            batch = operation.send(answers)
    except StopIteration as ended:
        result: _Answer = ended.value
        return result
    finally:
        operation.close()

"""What jobs are found by: the words of a job, and the words of a question. Pure.

A job has a *card*: its words, each on a line of its own. They are the words of its project and of its title (the spec's
output name, else its source's name), whole and in parts, in small letters; and, marked so that no question of a person
can mean them, its project and the code it ended with, exactly as they are. A backend keeps the cards and changes them
in the step that changes the job; lua/shared.lua adds and takes away the code in the same form.

A word of a question means every job whose id, or one of whose words, begins with it. All words of a question must.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flowscale.errors import InvalidOptions
from flowscale.jobs import Job, JobState

WORD_LENGTH = 64
"""Characters of a word that count; longer words are alike when so many of theirs are."""

WORDS_KEPT = 24
"""Words of a card beside its exact lines."""

WORDS_ASKED = 8
"""Words of a question; each costs the server a look at every job that the others left."""

PROJECT_MARK, CODE_MARK = "\x01p", "\x01c"
"""What the exact lines begin with. No other line holds a control character."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_SIGNED = re.compile(r"[?#].*", re.DOTALL)  # what follows an address's path often holds a signature
_BETWEEN_PARTS = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which jobs are looked for: those for which all of it holds."""

    state: JobState | None = None  # exactly: QUEUED leaves DELAYED out
    words: tuple[str, ...] = ()  # of a question (`read_question`)
    project: str | None = None  # exactly
    code: str | None = None  # exactly


@dataclass(frozen=True, slots=True)
class Needle:
    """What must begin the id or a line of the card; with a line feed at its end it must be the whole line."""

    text: str

    def is_in(self, job_id: str, card: str) -> bool:
        return job_id.startswith(self.text) or f"\n{self.text}" in card


def read_question(text: str) -> tuple[str, ...]:
    """The words of what a person typed. Raises InvalidOptions for more than WORDS_ASKED."""
    words = tuple(dict.fromkeys(_words(text)))
    if len(words) > WORDS_ASKED:
        fault = {"path": "$.q", "message": f"has more than {WORDS_ASKED} words"}
        raise InvalidOptions(
            f"The search has {len(words)} words, and {WORDS_ASKED} are looked for at most: leave some out.",
            details={"faults": [fault]},
        )
    return words


def needles_of(wanted: Wanted) -> tuple[Needle, ...]:
    """One for each thing that must be found."""
    exact = [f"{mark}{_plain(text)}\n" for mark, text in _marked(wanted.project, wanted.code)]
    return tuple(Needle(text) for text in (*exact, *wanted.words))


def label_of(spec: Mapping[str, Any]) -> str | None:
    """The spec's output name, in its JSON form; None where it has none."""
    label = spec.get("outputName")
    return label if isinstance(label, str) and label else None


def title_of(spec: Mapping[str, Any]) -> str | None:
    """What a job is called: its label, else the file name of its first source; None where neither is known."""
    return label_of(spec) or _source_name(spec.get("sources"))


def _source_name(sources: Any) -> str | None:
    first = sources[0] if isinstance(sources, list | tuple) and sources else None
    if not isinstance(first, Mapping):
        return None
    key, url = first.get("key"), first.get("url")
    path = key if isinstance(key, str) else _SIGNED.sub("", url) if isinstance(url, str) else ""
    return path.rpartition("/")[2] or None


def card_of(job: Job) -> str:
    """The job's card, as it is now."""
    code = job.failure.code if job.state is JobState.ERROR and job.failure is not None else None
    return first_card(job) + ("" if code is None else f"{CODE_MARK}{code}\n{code.lower()}\n")


def first_card(job: Job) -> str:
    """The card without the code that the job ended with."""
    words = dict.fromkeys((*_with_parts(job.project_id or ""), *_with_parts(title_of(job.spec) or "")))
    exact = [f"{mark}{_plain(text)}" for mark, text in _marked(job.project_id, None)]
    return "\n".join(("", *exact, *list(words)[:WORDS_KEPT], ""))


def _marked(project: str | None, code: str | None) -> list[tuple[str, str]]:
    return [(mark, text) for mark, text in ((PROJECT_MARK, project), (CODE_MARK, code)) if text is not None]


def _plain(text: str) -> str:
    return _CONTROL.sub(" ", text)


def _words(text: str) -> Iterator[str]:
    for word in _CONTROL.sub(" ", text).lower().split():
        yield word[:WORD_LENGTH]


def _with_parts(text: str) -> Iterator[str]:
    """Each word, and what it is put together from: `night_ride-2` is found by `ride` too."""
    for word in _words(text):
        yield word
        yield from (part for part in _BETWEEN_PARTS.split(word) if part)

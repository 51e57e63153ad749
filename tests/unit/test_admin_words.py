"""The pure parts of the admin view: cards and questions, minutes, what executions told, timelines, probes."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowscale.errors import InvalidOptions
from flowscale.jobs import Failure, Job, JobState, RetryPolicy
from flowscale.queues.base import Event, EventKind
from flowscale.queues.finding import (
    WORD_LENGTH,
    WORDS_ASKED,
    WORDS_KEPT,
    Wanted,
    card_of,
    needles_of,
    read_question,
    title_of,
)
from flowscale.queues.history import POINTS, Point, Sample, points
from flowscale.queues.told import FACTS_BYTES, Facts, from_json, to_json
from flowscale.testing import START_MS, a_job
from flowscale_api.admin.timeline import timeline
from flowscale_api.admin.views import without_query
from flowscale_worker.describing import Describer, probe_of
from flowscale_worker.source import Picture, Sound, SourceInfo

names = st.text(max_size=60)


@pytest.mark.parametrize(
    ("spec", "title"),
    [
        ({"outputName": "holiday", "sources": [{"key": "uploads/ab/bikes.mp4"}]}, "holiday"),
        ({"sources": [{"key": "uploads/ab/bikes#1.mp4"}, {"key": "uploads/cd/other.mp4"}]}, "bikes#1.mp4"),
        ({"outputName": "", "sources": [{"url": "https://h.example/a/b.mov?X-Amz-Signature=s/x#y"}]}, "b.mov"),
        ({"sources": [{"url": "https://h.example/"}]}, None),
        ({"sources": [{"key": 7}]}, None),
        ({"sources": []}, None),
        ({}, None),
    ],
)
def test_a_job_is_called_by_its_label_or_its_source(spec: dict[str, Any], title: str | None) -> None:
    assert title_of(spec) == title
    assert title is None or finds(title.upper(), a_job(spec=spec))


def finds(question: str, job: Job) -> bool:
    card = card_of(job)
    return all(needle.is_in(job.id, card) for needle in needles_of(Wanted(words=read_question(question))))


@given(names, names)
def test_every_word_of_a_project_and_a_label_finds_its_job(project: str, label: str) -> None:
    job = a_job(project_id=project, spec={"outputName": label})
    for word in (project.split() + label.split())[: WORDS_KEPT // 6]:
        assert finds(word, job)
        assert finds(word[: len(word) // 2], job)


@given(names, st.sampled_from(["p", "c"]))
def test_no_question_means_an_exact_line(text: str, mark: str) -> None:
    job = a_job(project_id="beta", spec={}).start("e", "w", 1)
    failed = job.fail(Failure("DISK_FULL", "full"), 2, RetryPolicy(), 0)
    card = card_of(failed)
    for needle in needles_of(Wanted(words=read_question(text)[:WORDS_ASKED])) if len(text.split()) <= 8 else ():
        assert "\x01" not in needle.text
    assert not finds(f"\x01{mark}DISK_FULL x", failed)
    assert card == "\n\x01pbeta\nbeta\n\x01cDISK_FULL\ndisk_full\n"


def test_a_card_is_bounded_and_so_is_a_question() -> None:
    job = a_job(project_id=" ".join(f"w{number}" for number in range(100)), spec={"outputName": "x" * 300})
    words = [line for line in card_of(job).split("\n") if line and not line.startswith("\x01")]
    assert len(words) == WORDS_KEPT
    assert all(len(word) <= WORD_LENGTH for word in words)
    assert read_question("b a  b\tA") == ("b", "a")
    with pytest.raises(InvalidOptions, match="9 words"):
        read_question(" ".join("abcdefghi"))


def test_minutes_between_samples_are_differences_and_others_are_not_known() -> None:
    samples = [Sample(10, 5, 1, 0, 2, 1), Sample(11, 9, 3, 1, 4, 2), Sample(13, 9, 3, 1, 0, 0)]
    found = points(samples, Sample(13, 12, 4, 1, 7, 3))
    assert len(found) == POINTS
    assert found[-4:] == (
        Point(600_000, 4, 2, 1, 2, 1),
        Point(660_000, waiting=4, running=2),
        Point(720_000),
        Point(780_000, 3, 1, 0, 7, 3),
    )
    counted_anew = points([Sample(10, 5, 1, 0, 2, 1), Sample(11, 1, 0, 0, 0, 0)], Sample(11, 1, 0, 0, 0, 0))
    assert counted_anew[-2] == Point(600_000, waiting=2, running=1)


def test_facts_are_bounded_and_the_last_command_stays_longest() -> None:
    facts = Facts(({"size": 1},), tuple((f"command {number}", "x" * 9_000) for number in range(12)))
    kept = from_json(to_json(facts))
    assert len(to_json(facts).encode()) <= FACTS_BYTES
    assert kept.commands == facts.commands[kept.commands_left_out :]
    assert kept.commands_left_out > 0
    assert from_json(to_json(kept)) == kept
    assert from_json(to_json(Facts(({"note": "x" * FACTS_BYTES},)))) == Facts()
    for text in ("[]", "{}", '{"sources":1,"commands":[],"commands_left_out":0}', "x"):
        with pytest.raises(ValueError, match=r"\w"):
            from_json(text)


def test_a_timeline_tells_attempts_and_the_end_in_their_order() -> None:
    job = a_job().start("e1", "w-1", START_MS + 10)
    job = job.fail(Failure("DISK_FULL", "no room", retryable=True), START_MS + 20, RetryPolicy(jitter=0.0), 0)
    assert [entry.what for entry in timeline(job, ())] == ["accepted", "started", "failed", "tried again"]
    job = job.due().start("e2", "w-2", START_MS + 6_000)
    running = timeline(job, [Event(1, EventKind.STATE, START_MS, {"status": "queued"})])
    assert [(entry.what, entry.detail) for entry in running] == [
        ("accepted", None),
        ("started", "attempt 1 on w-1"),
        ("failed", "attempt 1: DISK_FULL: no room"),
        ("runs", "attempt 2 on w-2"),
    ]
    given_back = [Event(7, EventKind.STATE, START_MS + 6_500, {"status": "queued"})]
    ended = replace(job, state=JobState.ERROR, failure=Failure("CANCELLED", "cancelled"), completed_ms=START_MS + 7_000)
    assert [entry.what for entry in timeline(ended, given_back)][-2:] == ["queued again", "ended in error"]


def test_what_happens_in_one_millisecond_stands_in_its_order() -> None:
    """A worker that waits takes up a retried job in the moment in which it is queued."""
    failed = a_job().start("e1", "w-1", START_MS + 10).fail(Failure("X", "no"), START_MS + 20, RetryPolicy(), 0)
    again = failed.retry().start("e2", "w-1", START_MS + 90).fail(Failure("X", "no"), START_MS + 95, RetryPolicy(), 0)
    states = ("queued", 0), ("running", 10), ("error", 20), ("queued", 90), ("running", 90), ("error", 95)
    events = [
        Event(number, EventKind.STATE, START_MS + at, {"status": status})
        for number, (status, at) in enumerate(states, 1)
    ]
    order = ["accepted", "started", "failed", "queued again", "started", "failed", "ended in error"]
    assert [entry.what for entry in timeline(again, events)] == order
    at_once = [replace(event, at_ms=START_MS) for event in events]
    attempts = tuple(replace(attempt, started_ms=START_MS, ended_ms=START_MS) for attempt in again.attempts)
    in_no_time = replace(again, attempts=attempts, completed_ms=START_MS)
    assert [entry.what for entry in timeline(in_no_time, at_once)] == order
    assert [entry.detail for entry in timeline(in_no_time, at_once)][4] == "attempt 2 on w-1"


def test_an_address_is_shown_without_what_may_be_a_secret() -> None:
    shown = without_query("https://user:pw@files.example.com:8443/a/b.mp4?X-Amz-Signature=secret#part")
    assert shown == "https://files.example.com:8443/a/b.mp4"


def test_a_probe_is_told_in_plain_terms() -> None:
    picture = Picture(0, "h264", 640, 360, "yuv420p", Fraction(30000, 1001), 300, 10_010_000)
    sound = Sound(1, "aac", 2, 48_000, 10_000_000)
    assert probe_of(SourceInfo("mov", False, picture, sound), 1_000) == {
        "container": "mov",
        "durationMs": 10_010,
        "size": 1_000,
        "streams": [
            {
                "kind": "video",
                "codec": "h264",
                "width": 640,
                "height": 360,
                "pixelFormat": "yuv420p",
                "frameRate": 29.97,
                "frames": 300,
            },
            {"kind": "audio", "codec": "aac", "channels": 2, "sampleRate": 48_000},
        ],
    }
    assert probe_of(SourceInfo("image2", True, picture, None), 5)["durationMs"] is None


def test_a_describer_hands_over_all_it_has_each_time() -> None:
    kept: list[Facts] = []
    describer = Describer(kept.append)
    describer.ran(["ffmpeg", "-i", "x"])
    describer.ran(["ffmpeg", "-i", "y"])
    assert [len(facts.commands) for facts in kept] == [1, 2]

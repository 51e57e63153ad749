"""Every step a job may take, from every state it may be in, drawn by hypothesis."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowscale.errors import IllegalTransition
from flowscale.jobs import (
    CANCELLED,
    LOG_LINE_LENGTH,
    LOG_LINES_KEPT,
    Failure,
    Job,
    JobState,
    Output,
    Priority,
    RetryPolicy,
    clip_lines,
)
from flowscale.testing import START_MS, a_failure, a_job

OUTPUT = Output("outputs/x", size=1, media_type="video/mp4")
POLICY = RetryPolicy()

Step = Callable[[Job, int, st.DataObject], Job]


def _percent(data: st.DataObject) -> int:
    return data.draw(st.integers(min_value=-10, max_value=200), label="percent")


def _failure(data: st.DataObject) -> Failure:
    return a_failure(retryable=data.draw(st.booleans(), label="retryable"))


STEPS: dict[str, Step] = {
    "start": lambda job, now, _: job.start(f"{now:032x}", "worker-1", now),
    "advance": lambda job, _, data: job.advance(_percent(data)),
    "finish": lambda job, now, _: job.finish(OUTPUT, now),
    "fail": lambda job, now, data: job.fail(_failure(data), now, POLICY, chance=0.5),
    "release": lambda job, now, _: job.release(now),
    "stall": lambda job, now, _: job.stall(now, POLICY),
    "due": lambda job, _, __: job.due(),
    "cancel": lambda job, now, _: job.cancel(now),
    "retry": lambda job, _, __: job.retry(),
}

ALLOWED = {
    JobState.QUEUED: {"start", "cancel"},
    JobState.DELAYED: {"due", "cancel"},
    JobState.RUNNING: {"advance", "finish", "fail", "release", "stall", "cancel"},
    JobState.DONE: set(),
    JobState.ERROR: {"retry"},
}

LEADS_TO = {
    "start": {JobState.RUNNING},
    "advance": {JobState.RUNNING},
    "finish": {JobState.DONE},
    "fail": {JobState.DELAYED, JobState.ERROR},
    "release": {JobState.QUEUED, JobState.ERROR},
    "stall": {JobState.QUEUED, JobState.ERROR},
    "due": {JobState.QUEUED},
    "cancel": {JobState.ERROR, JobState.RUNNING},
    "retry": {JobState.QUEUED},
}


@st.composite
def lives(draw: st.DrawFn) -> list[Job]:
    """A job's records from its first, by legal steps only, one second apart."""
    data = draw(st.data())
    history = [a_job(priority=draw(st.sampled_from(Priority)))]
    for number in range(draw(st.integers(min_value=0, max_value=25))):
        legal = sorted(ALLOWED[history[-1].state])
        if not legal:
            break
        step = draw(st.sampled_from(legal))
        history.append(STEPS[step](history[-1], START_MS + 1_000 * (number + 1), data))
    return history


def in_state(state: JobState) -> Job:
    running = a_job().start("e" * 32, "worker-1", START_MS)
    return {
        JobState.QUEUED: a_job(),
        JobState.RUNNING: running,
        JobState.DELAYED: running.fail(a_failure(), START_MS, POLICY, chance=0),
        JobState.DONE: running.finish(OUTPUT, START_MS),
        JobState.ERROR: running.fail(a_failure(retryable=False), START_MS, POLICY, chance=0),
    }[state]


@given(data=st.data(), state=st.sampled_from(JobState), step=st.sampled_from(sorted(STEPS)))
def test_a_step_is_taken_where_it_is_allowed_and_refused_elsewhere(
    data: st.DataObject, state: JobState, step: str
) -> None:
    job = in_state(state)
    if step in ALLOWED[state]:
        assert STEPS[step](job, START_MS, data).state in LEADS_TO[step]
    else:
        with pytest.raises(IllegalTransition, match=f"is {state}"):
            STEPS[step](job, START_MS, data)


@given(lives())
def test_every_record_of_a_life_is_whole(history: list[Job]) -> None:
    for job in history:
        running = job.state is JobState.RUNNING
        assert (job.execution_id is not None) == (job.worker is not None) == running
        assert (job.execution_started_ms is not None) == running
        assert (job.output is not None) == (job.state is JobState.DONE) == (job.progress == 100)
        assert (job.failure is not None) == (job.state is JobState.ERROR)
        assert (job.completed_ms is not None) == job.state.is_final
        assert (job.due_ms is not None) == (job.state is JobState.DELAYED)
        assert 0 <= job.progress <= 100
        assert job.failures <= POLICY.max_attempts
        assert job.stalls <= POLICY.max_stalls + 1
        assert [attempt.number for attempt in job.attempts] == list(range(1, len(job.attempts) + 1))
        assert not (job.cancel_requested and job.state in (JobState.QUEUED, JobState.DELAYED))


@given(lives())
def test_a_life_only_goes_forwards(history: list[Job]) -> None:
    for before, after in itertools.pairwise(history):
        assert after.progress >= before.progress
        assert after.attempts[: len(before.attempts)] == before.attempts
        assert (after.id, after.spec, after.created_ms) == (before.id, before.spec, before.created_ms)
        if before.started_ms is not None:
            retried = before.state is JobState.ERROR
            assert after.started_ms == (None if retried else before.started_ms)


@given(lives())
def test_a_life_that_is_not_retried_by_a_person_ends_within_the_attempts_and_stalls(history: list[Job]) -> None:
    retries = sum(a.state is JobState.ERROR and b.state is JobState.QUEUED for a, b in itertools.pairwise(history))
    most = (POLICY.max_attempts + POLICY.max_stalls) * (retries + 1)
    assert len(history[-1].attempts) <= most


@given(st.integers(min_value=1, max_value=10), st.floats(min_value=0, max_value=1, exclude_max=True))
def test_back_off_doubles_and_jitter_only_adds(failures: int, chance: float) -> None:
    base = 5_000 * 2 ** (failures - 1)
    assert base <= POLICY.delay_ms(failures, chance) <= base * 1.1
    assert POLICY.delay_ms(failures, 0) == base


def test_three_attempts_with_5_and_10_seconds_between() -> None:
    job = a_job()
    delays = []
    for _ in range(3):
        job = job.start("e" * 32, "worker-1", START_MS).fail(a_failure(), START_MS, POLICY, chance=0)
        if job.due_ms is not None:
            delays.append(job.due_ms - START_MS)
            job = job.due()
    assert delays == [5_000, 10_000]
    assert (job.state, job.failures) == (JobState.ERROR, 3)


def test_a_stall_uses_up_no_attempt_and_a_fourth_ends_the_job() -> None:
    job = a_job()
    for number in range(1, 5):
        job = job.start("e" * 32, "worker-1", START_MS).stall(START_MS, POLICY)
        assert (job.failures, job.stalls) == (0, number)
    assert job.failure is not None
    assert job.failure.code == "WORKER_LOST"


@pytest.mark.parametrize("step", ["release", "stall", "fail"])
def test_a_cancelled_job_is_never_queued_again(step: str) -> None:
    asked = in_state(JobState.RUNNING).cancel(START_MS)
    ended = {
        "release": lambda: asked.release(START_MS),
        "stall": lambda: asked.stall(START_MS, POLICY),
        "fail": lambda: asked.fail(a_failure(), START_MS, POLICY, chance=0),
    }[step]()
    assert (ended.state, ended.failure) == (JobState.ERROR, CANCELLED)


def test_a_cancel_does_not_hide_a_failure_that_would_not_have_passed() -> None:
    asked = in_state(JobState.RUNNING).cancel(START_MS)
    broken = a_failure("INVALID_MEDIA", retryable=False)
    assert asked.fail(broken, START_MS, POLICY, chance=0).failure == broken


def test_a_persons_retry_begins_anew_and_forgets_nothing_that_was_tried() -> None:
    failed = in_state(JobState.ERROR)
    again = failed.retry()
    assert (again.failures, again.stalls, again.cancel_requested) == (0, 0, False)
    assert again.attempts == failed.attempts


def test_the_time_until_a_persons_retry_is_not_time_that_the_job_took() -> None:
    a_day = 24 * 3600 * 1000
    failed = in_state(JobState.RUNNING).fail(a_failure(retryable=False), START_MS, POLICY, chance=0)
    done = failed.retry().start("0" * 32, "worker-1", START_MS + a_day).finish(OUTPUT, START_MS + a_day + 1_000)
    assert (done.started_ms, done.duration_ms) == (START_MS + a_day, 1_000)


@given(st.lists(st.lists(st.text(max_size=2 * LOG_LINE_LENGTH), max_size=30), max_size=4))
def test_the_log_keeps_its_last_lines_clipped(pieces: list[list[str]]) -> None:
    job = a_job()
    for lines in pieces:
        job = job.log(lines)
    everything = clip_lines([line for lines in pieces for line in lines])
    assert job.logs == everything[-LOG_LINES_KEPT:]
    assert all(len(line) <= LOG_LINE_LENGTH for line in job.logs)


def test_clients_know_four_states() -> None:
    assert {state.public for state in JobState} == {"queued", "running", "done", "error"}
    assert JobState.DELAYED.public == "queued"
    assert {state for state in JobState if state.is_final} == {JobState.DONE, JobState.ERROR}


def test_a_record_is_frozen() -> None:
    job = a_job()
    with pytest.raises(FrozenInstanceError):
        job.progress = 5  # type: ignore[misc]  # the point of the test
    assert replace(job, progress=5) != job

"""Workers killed and frozen: every accepted job ends, with one output at most.

A scene is a function; all are played at the same time, because each waits for a lease of 20 s to run out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from flowscale.clocks import SystemClock
from flowscale.jobs import Job, JobState
from integration.leased import HALTING_WORKER, Fleet, Played, Scene, Site, Stage, frozen, gone, name_of, played
from integration.processes import until

__all__ = ["played"]

Plan = Sequence[Sequence[tuple[str, str]]]

IN_WORKER = [f"{when} {what}" for what in ("peek", "start", "fork") for when in ("before", "after")]
IN_HORSE = [
    "born",
    *(
        f"{when} {what}"
        for what in ("fetch", "ffprobe", "progress", "ffmpeg", "renew", "put_file", "commit")
        for when in ("before", "after")
    ),
]
OF_WORKER = [
    "born",
    "after fetch",
    "after ffprobe",
    "after ffmpeg",
    "before put_file",
    "after put_file",
    "after commit",
]
"""Steps of a horse at which its worker is killed."""


def halting(site: Site, plan: Plan) -> tuple[Fleet, Path]:
    """A fleet with a seat for each entry of the plan, and the folder in which it notes what was met."""
    notes = site.folder / f"notes-{len(site.fleets)}"
    notes.mkdir()
    fleet = site.fleet(len(plan), command=(sys.executable, HALTING_WORKER, notes, json.dumps(plan)))
    return fleet, notes


def stalled_once(site: Site, job_id: str) -> Job:
    """The job, after it ran a second time to one output; the lost worker used up no attempt."""
    job = site.one_output(job_id)
    assert (job.failures, job.stalls) == (0, 1)
    assert [attempt.code for attempt in job.attempts] == ["WORKER_LOST", None]
    assert len(site.starts(job_id)) == 2
    return job


def tell_rerun(site: Site, job_id: str, killed_ms: int, what: str) -> None:
    """Wait until the job runs again, and print after how long: the lease of 20 s and a rest; 25 s are promised."""
    print(f"{what}: the job ran again after {(site.restarted(job_id) - killed_ms) / 1000:.1f} s")


def a_killed_worker(stage: Stage) -> None:
    with stage.site() as site:
        fleet = site.fleet()
        job_id = site.submit(12)
        ffmpeg, (worker,), (horse,) = fleet.rendering(), fleet.workers(), fleet.horses()
        killed_ms = SystemClock().now_ms()
        worker.kill()
        until(lambda: gone(horse) and gone(ffmpeg), "the end of the worker's horse and FFmpeg")
        tell_rerun(site, job_id, killed_ms, "worker killed")
        stalled_once(site, job_id)


def whole(fleet: Fleet) -> list[psutil.Process]:
    """All that descends from a fleet whose two workers render; nothing while one only looks at its source."""
    family = fleet.descendants()
    encoding = [process for process in fleet.ffmpegs() if name_of(process) == "ffmpeg"]
    return family if len(family) == 6 and len(encoding) == 2 else []


def a_killed_fleet(stage: Stage) -> None:
    with stage.site() as site:
        fleet = site.fleet(2)
        job_ids = [site.submit(12) for _ in range(2)]
        family = until(lambda: whole(fleet), "two workers, each with a horse and an FFmpeg that encodes")
        other = site.fleet(2).ready(2)
        killed_ms = SystemClock().now_ms()
        fleet.kill()
        until(lambda: all(gone(process) for process in family), "the end of all that descended from the fleet")
        assert len(other.workers()) == 2
        for job_id in job_ids:
            tell_rerun(site, job_id, killed_ms, "fleet killed")
            job = stalled_once(site, job_id)
            assert len({attempt.worker.rpartition("-")[0] for attempt in job.attempts}) == 2


def a_killed_horse(stage: Stage) -> None:
    with stage.site() as site:
        fleet = site.fleet()
        job_id = site.submit(9)
        ffmpeg, (worker,), (horse,) = fleet.rendering(), fleet.workers(), fleet.horses()
        horse.kill()
        until(lambda: gone(ffmpeg), "the end of its FFmpeg")
        stalled_once(site, job_id)
        assert fleet.workers() == [worker]  # which gave the job back by itself
        assert fleet.events("horse.lost")


def a_killed_ffmpeg(stage: Stage) -> None:
    with stage.site() as site:
        fleet = site.fleet()
        job_id = site.submit(9)
        fleet.rendering().kill()
        job = site.one_output(job_id)
        assert (job.failures, job.stalls) == (1, 0)
        assert [attempt.code for attempt in job.attempts] == ["OUT_OF_MEMORY", None]


def a_poison_job(stage: Stage) -> None:
    with stage.site() as site:
        halting(site, [[], []])
        poison = site.submit(project_id="poison")
        others = [site.submit() for _ in range(6)]
        job = site.ended(poison)
        assert job.failure is not None
        assert (job.state, job.failure.code) == (JobState.ERROR, "WORKER_LOST")
        assert len(site.starts(poison)) == 4
        assert [attempt.code for attempt in job.attempts] == ["WORKER_LOST"] * 4
        assert job.failures == 0
        assert site.outputs(poison) == []
        for job_id in others:
            job = site.one_output(job_id)
            assert (job.failures, job.stalls) == (0, 0)


def deaths_between_any_two_steps(stage: Stage) -> None:
    plan = [
        *([(step, "kill")] for step in (*IN_WORKER, *IN_HORSE)),
        *([(step, "kill worker")] for step in OF_WORKER),
        [("before commit", "kill"), ("before stall", "kill")],  # a horse, then its worker as it gives the job back
        [("after put_file", "kill"), ("after stall", "kill")],
    ]
    with stage.site() as site:
        site.ask(lambda queue: queue.pause())
        fleet, notes = halting(site, plan)
        fleet.ready(len(plan))
        job_ids = [site.submit(3) for _ in plan]
        site.ask(lambda queue: queue.resume())
        expected = {f"{seat}-{number}" for seat, halts in enumerate(plan) for number in range(len(halts))}

        def met() -> bool:
            missing = expected - {note.name for note in notes.iterdir()}
            if missing and all(site.job(job_id).state.is_final for job_id in job_ids):
                job_ids.append(site.submit(3))  # a seat that was faster had taken its job
            return not missing

        until(met, "every halt to be met")
        for job_id in job_ids:
            job = site.one_output(job_id)
            assert job.failures == 0, job.attempts
        print(f"{len(job_ids)} jobs, {len(expected)} deaths")


def deaths_of_two_executions_of_one_job(stage: Stage) -> None:
    """The first has stored its output, the second has committed its own: nobody comes after it to tidy up."""
    with stage.site() as site:
        halting(site, [[("after put_file", "kill"), ("after commit", "kill")]])
        stalled_once(site, site.submit())


def a_poison_job_that_stores(stage: Stage) -> None:
    """Each execution stores its output and dies before it can name it."""
    with stage.site() as site:
        halting(site, [[("after put_file", "kill") for _ in range(4)]])
        job_id = site.submit()
        assert site.ended(job_id).state is JobState.ERROR
        until(lambda: site.outputs(job_id) == [], f"no output of a failed job: {site.outputs(job_id)}")


def a_frozen_group(stage: Stage) -> None:
    with stage.site() as site:
        fleet = site.fleet()
        job_id = site.submit(12)
        ffmpeg, (worker,), (horse,) = fleet.rendering(), fleet.workers(), fleet.horses()
        with frozen(worker, horse, ffmpeg):
            other = site.fleet()
            site.restarted(job_id)
            other.rendering()
        until(lambda: gone(ffmpeg) and gone(horse), "the fenced one to end its FFmpeg")
        assert site.job(job_id).state is JobState.RUNNING
        stalled_once(site, job_id)
        assert fleet.said("execution.fenced")
        assert fleet.workers() == [worker]


def a_frozen_group_with_a_stored_output(stage: Stage) -> None:
    with stage.site() as site:
        fleet, notes = halting(site, [[("before commit", "freeze")]])
        job_id = site.submit()
        note = until(lambda: list(notes.glob("0-0")), "a worker that is about to commit")[0]
        pids = [int(pid) for pid in note.read_text().split()]
        kept = site.outputs(job_id)
        assert len(kept) == 1
        site.fleet()
        job = site.ended(job_id)
        for pid in pids:
            psutil.Process(pid).resume()
        assert fleet.said("execution.fenced")
        stalled_once(site, job_id)
        assert job.output is not None
        assert job.output.key not in kept


def a_frozen_horse(stage: Stage) -> None:
    with stage.site() as site:
        fleet = site.fleet()
        job_id = site.submit(9)
        ffmpeg, (worker,), (horse,) = fleet.rendering(), fleet.workers(), fleet.horses()
        site.fleet()
        horse.suspend()
        until(lambda: gone(horse) and gone(ffmpeg), "its worker to end it")
        assert fleet.said("horse.killed")
        stalled_once(site, job_id)
        assert fleet.workers() == [worker]


SCENES: tuple[Scene, ...] = (
    deaths_between_any_two_steps,
    a_killed_worker,
    a_killed_fleet,
    a_killed_horse,
    a_killed_ffmpeg,
    a_poison_job,
    a_poison_job_that_stores,
    deaths_of_two_executions_of_one_job,
    a_frozen_group,
    a_frozen_group_with_a_stored_output,
    a_frozen_horse,
)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_every_job_ends_with_one_output_at_most(scene: Scene, played: Played) -> None:
    played.result(scene)

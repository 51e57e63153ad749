"""Fleets asked to stop: what they render is finished or given back, and nothing is lost or counted.

Scenes are played at the same time, as those of test_leased_faults.py.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable

import psutil
import pytest

from flowscale.jobs import Job
from flowscale.queues.base import EventKind
from integration.leased import HALTING_WORKER, Fleet, Played, Scene, Site, Stage, played
from integration.processes import until

__all__ = ["played"]

AMPLE = 60.0
"""A grace that outlasts every render here."""

SCANT = 14.0
"""A grace of which 10 s are kept for giving back: 4 s are left for a render of 8 s."""


def untouched(site: Site, job_id: str) -> Job:
    """The job, done by its first execution."""
    job = site.one_output(job_id)
    assert (job.failures, job.stalls) == (0, 0)
    assert [attempt.code for attempt in job.attempts] == [None]
    return job


def deepest_first(fleet: Fleet) -> list[psutil.Process]:
    """FFmpeg hears of it before its horse can know why."""
    return sorted(fleet.descendants(), key=lambda process: len(process.parents()), reverse=True)


def ran_once(site: Site, fleet: Fleet, job_id: str) -> None:
    assert fleet.wait() == 0
    untouched(site, job_id)
    assert len(site.starts(job_id)) == 1
    assert not fleet.events("worker.lost")
    assert not fleet.events("worker.killed")


def stopped_while_it_renders(stage: Stage, stop: Callable[[Fleet], None], grace: float = AMPLE) -> None:
    """However it is asked, a fleet with enough grace finishes what it renders, and leaves well."""
    with stage.site() as site:
        fleet = site.fleet(grace=grace)
        job_id = site.submit(5)
        fleet.rendering()
        waiting = site.submit()
        stop(fleet)
        ran_once(site, fleet, job_id)
        assert site.starts(waiting) == []  # nothing new was begun
        site.fleet()
        untouched(site, waiting)


def enough_grace(stage: Stage) -> None:
    stopped_while_it_renders(stage, lambda fleet: fleet.signal())


def signals_again_and_again(stage: Stage) -> None:
    def stop(fleet: Fleet) -> None:
        while fleet.process.poll() is None:
            fleet.signal(signal.SIGTERM)
            fleet.signal(signal.SIGINT)
            time.sleep(0.2)

    stopped_while_it_renders(stage, stop)


def a_signal_to_the_process_group(stage: Stage) -> None:
    """Ctrl-C in a terminal, and twice."""

    def stop(fleet: Fleet) -> None:
        for _ in range(2):
            os.killpg(fleet.process.pid, signal.SIGINT)
            time.sleep(0.5)

    stopped_while_it_renders(stage, stop)


def a_signal_to_every_process(stage: Stage) -> None:
    """As a service manager does that ends all processes of a unit (systemd's KillMode=control-group, its default)."""

    def stop(fleet: Fleet) -> None:
        for process in deepest_first(fleet):
            process.send_signal(signal.SIGTERM)
        fleet.signal()

    stopped_while_it_renders(stage, stop)


def a_signal_to_every_process_but_the_fleet(stage: Stage) -> None:
    """Nobody asked the fleet: its worker leaves when its render is done, and another takes the seat."""
    with stage.site() as site:
        fleet = site.fleet(grace=AMPLE)
        job_id = site.submit(5)
        fleet.rendering()
        for process in deepest_first(fleet):
            process.send_signal(signal.SIGTERM)
        untouched(site, job_id)
        assert len(site.starts(job_id)) == 1
        untouched(site, site.submit())


def too_little_grace(stage: Stage) -> None:
    with stage.site() as site:
        fleet = site.fleet(grace=SCANT)
        job_id = site.submit(8)
        fleet.rendering()
        before = len(site.ask(lambda queue: queue.events(job_id, 0, 0)))
        fleet.signal()
        for _ in range(2):
            fleet.signal()
        assert fleet.wait() == 0
        events = site.ask(lambda queue: queue.events(job_id, before, 0))
        kinds = [event.kind for event in events]
        # It went on for a while: progress came between the signal and the end.
        assert EventKind.PROGRESS in kinds[: kinds.index(EventKind.STATE)]
        job = site.job(job_id)
        assert (job.state, job.failures, job.stalls, job.attempts) == ("queued", 0, 0, ())
        assert fleet.events("execution.released")
        assert not fleet.events("worker.killed")
        assert site.outputs(job_id) == []
        site.fleet()
        untouched(site, job_id)
        assert len(site.starts(job_id)) == 2


def no_grace_at_all_for_a_horse_just_born(stage: Stage) -> None:
    """The grace is shorter than what is kept for giving back, so the horse is asked as soon as it is there."""
    with stage.site() as site:
        notes = site.folder / "notes"
        notes.mkdir()
        plan = json.dumps([[("born", "wait")]])
        fleet = site.fleet(grace=8, command=(sys.executable, HALTING_WORKER, notes, plan))
        job_id = site.submit(4)
        until((notes / "0-0").exists, "a horse that is born")
        fleet.signal()
        time.sleep(1)  # the worker asks its horse to give the job back; nothing tells when it has
        (notes / "0-0.go").touch()
        assert fleet.wait() == 0
        job = site.job(job_id)
        assert (job.state, job.failures, job.stalls, job.attempts) == ("queued", 0, 0, ())
        site.fleet()
        untouched(site, job_id)


def a_stop_while_idle(stage: Stage) -> None:
    with stage.site() as site:
        fleet = site.fleet(3).ready(3)
        fleet.stop()
        assert len(fleet.events("worker.left")) == 3


def a_stop_while_one_fetches(stage: Stage) -> None:
    """SIGTERM comes between the look at the queue and the start: the job that was started is given back, not begun."""
    with stage.site() as site:
        notes = site.folder / "notes"
        notes.mkdir()
        plan = json.dumps([[("before start", "wait")]])
        fleet = site.fleet(grace=AMPLE, command=(sys.executable, HALTING_WORKER, notes, plan))
        job_id = site.submit(2)
        until((notes / "0-0").exists, "a worker that is about to start a job")
        fleet.signal()
        fleet.workers()[0].send_signal(signal.SIGTERM)
        (notes / "0-0.go").touch()
        assert fleet.wait() == 0
        assert not fleet.events("execution.started")
        site.fleet()
        untouched(site, job_id)


SCENES: tuple[Scene, ...] = (
    enough_grace,
    signals_again_and_again,
    a_signal_to_the_process_group,
    a_signal_to_every_process,
    a_signal_to_every_process_but_the_fleet,
    too_little_grace,
    no_grace_at_all_for_a_horse_just_born,
    a_stop_while_idle,
    a_stop_while_one_fetches,
)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_a_stop_loses_nothing(scene: Scene, played: Played) -> None:
    played.result(scene)

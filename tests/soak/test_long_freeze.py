"""A worker frozen for a minute: its job is done by another meanwhile, and when it goes on it publishes nothing."""

from __future__ import annotations

import time

import pytest

from flowscale.jobs import JobState
from integration.leased import Played, Scene, Stage, frozen, gone, played
from integration.processes import until
from redis_fixtures import redis_server

__all__ = ["played", "redis_server"]

FROZEN_SECONDS = 60.0


def a_frozen_group(stage: Stage) -> None:
    with stage.site() as site:
        fleet = site.fleet()
        job_id = site.submit(8)
        ffmpeg, (worker,), (horse,) = fleet.rendering(), fleet.workers(), fleet.horses()
        with frozen(worker, horse, ffmpeg):
            site.fleet()
            time.sleep(FROZEN_SECONDS)
            done = site.job(job_id)
            assert (done.state, done.stalls, done.failures) == (JobState.DONE, 1, 0)
        until(lambda: gone(ffmpeg) and gone(horse), "the fenced one to end its FFmpeg")
        assert fleet.said("execution.fenced")
        assert site.one_output(job_id) == done
        assert len(site.starts(job_id)) == 2
        assert fleet.workers() == [worker]


SCENES: tuple[Scene, ...] = (a_frozen_group,)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_a_long_freeze_costs_one_stall(scene: Scene, played: Played) -> None:
    played.result(scene)

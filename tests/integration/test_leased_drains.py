"""Fleets that an operator asks to take no more jobs: they are well, take none, and take some again when they may.

Scenes are played at the same time, as those of test_leased_faults.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from flowscale.clocks import SystemClock
from flowscale.queues.base import QueuePolicy
from flowscale.queues.redis import open_scaling_queue
from flowscale.queues.scaling_view import GroupState
from integration.leased import Played, Scene, Site, Stage, played
from integration.processes import until

__all__ = ["played"]

TTL_MS = 600_000
"""Longer than any scene."""


def drain(site: Site, *groups: str) -> set[str]:
    async def ask() -> set[str]:
        queue = open_scaling_queue(site.settings, QueuePolicy(), SystemClock())
        try:
            return set(await queue.drain(groups, TTL_MS))
        finally:
            await queue.close()

    return asyncio.run(ask())


def undrain(site: Site, *groups: str) -> None:
    async def ask() -> None:
        queue = open_scaling_queue(site.settings, QueuePolicy(), SystemClock())
        try:
            await queue.undrain(groups)
        finally:
            await queue.close()

    asyncio.run(ask())


def groups(site: Site) -> dict[str, GroupState]:
    async def ask() -> dict[str, GroupState]:
        queue = open_scaling_queue(site.settings, QueuePolicy(), SystemClock())
        try:
            return dict((await queue.demand()).groups)
        finally:
            await queue.close()

    return asyncio.run(ask())


def rendered_by(site: Site, job_ids: Sequence[str]) -> list[str]:
    """The workers that did them."""
    return [site.one_output(job_id).attempts[0].worker for job_id in job_ids]


def a_drained_pod_takes_no_job_and_says_nothing_is_wrong(stage: Stage) -> None:
    with stage.site() as site:
        drained, other = site.fleet(2, POD_NAME="pod-1").ready(2), site.fleet(1, POD_NAME="pod-2").ready()
        until(lambda: {"pod-1", "pod-2"} <= groups(site).keys(), "both fleets to report")
        assert drain(site, "pod-1") == {"pod-1"}
        workers = rendered_by(site, [site.submit() for _ in range(4)])
        (report,) = [each for each in site.ask(lambda queue: queue.workers()) if each.group == "pod-2"]
        assert all(worker.startswith(report.worker) for worker in workers)
        state = groups(site)["pod-1"]
        assert (state.busy, state.slots, state.draining) == (0, 2, True)
        assert {each.problem for each in site.ask(lambda queue: queue.workers())} == {None}
        other.stop()
        undrain(site, "pod-1")
        assert not rendered_by(site, [site.submit()])[0].startswith(report.worker)
        assert not drained.events("worker.lost")


def a_pod_that_renders_is_not_granted_until_it_is_done(stage: Stage) -> None:
    with stage.site() as site:
        fleet = site.fleet(2, POD_NAME="pod-1").ready(2)
        job_id = site.submit(5)
        fleet.rendering()
        assert drain(site, "pod-1") == set()
        assert groups(site)["pod-1"].busy == 1
        site.one_output(job_id)
        assert drain(site, "pod-1") == {"pod-1"}
        undrain(site, "pod-1")


def a_fleet_without_a_pod_is_a_group_by_its_own_name(stage: Stage) -> None:
    with stage.site() as site:
        fleet = site.fleet(POD_NAME="").ready()
        job_id = site.submit(5)
        fleet.rendering()
        (report,) = until(lambda: site.ask(lambda queue: queue.workers()), "its report")
        assert report.group == report.worker
        assert groups(site)[report.worker].busy == 1
        site.one_output(job_id)


def a_drained_fleet_stops_well(stage: Stage) -> None:
    with stage.site() as site:
        fleet = site.fleet(POD_NAME="pod-1").ready()
        assert drain(site, "pod-1") == {"pod-1"}
        waiting = site.submit()
        fleet.stop()
        assert site.starts(waiting) == []
        undrain(site, "pod-1")
        site.fleet(POD_NAME="pod-2")
        site.one_output(waiting)


SCENES: tuple[Scene, ...] = (
    a_drained_pod_takes_no_job_and_says_nothing_is_wrong,
    a_pod_that_renders_is_not_granted_until_it_is_done,
    a_fleet_without_a_pod_is_a_group_by_its_own_name,
    a_drained_fleet_stops_well,
)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_a_drain_holds_and_hurts_nobody(scene: Scene, played: Played) -> None:
    played.result(scene)

"""The queue's server away for 60 s and for 300 s, which the queue promises to outlast. Run by `make soak`.

Scenes are played at the same time, as those of integration/test_leased_faults.py: it takes as long as the longest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import psutil
import pytest

from fault_proxy import FaultProxy
from integration.leased import Played, Scene, Site, Stage, gone, played
from integration.processes import until
from redis_fixtures import redis_server
from redis_server import RedisServer

__all__ = ["played", "redis_server"]

SECONDS = (60.0, 300.0)

Away = Callable[[RedisServer, FaultProxy], AbstractContextManager[None]]


@contextmanager
def down(server: RedisServer, _: FaultProxy) -> Iterator[None]:
    server.kill()
    try:
        yield
    finally:
        server.start()


@contextmanager
def frozen(server: RedisServer, _: FaultProxy) -> Iterator[None]:
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


@contextmanager
def unreachable(_: RedisServer, proxy: FaultProxy) -> Iterator[None]:
    proxy.black_hole()
    try:
        yield
    finally:
        proxy.pass_through()


def outlasted(stage: Stage, away: Away, seconds: float) -> None:
    """Renders that end within the outage and after it, and one that loses its worker meanwhile."""
    with RedisServer() as server, FaultProxy(server.port) as proxy, stage.site(server, port=proxy.port) as site:
        gateway, fleet = site.gateway(), site.fleet(4)
        shorter, longer = site.submit(seconds / 2), site.submit(seconds + 10)
        until(lambda: len(fleet.ffmpegs()) == 2, "two renders")
        healthy = set(fleet.horses())
        orphaned = site.submit(20)
        until(lambda: len(fleet.ffmpegs()) == 3, "a third render")
        (victim,) = set(fleet.horses()) - healthy
        with away(server, proxy):
            time.sleep(seconds / 4)
            psutil.Process(victim.ppid()).kill()
            until(lambda: gone(victim), "the end of the dead worker's horse")
            time.sleep(seconds * 3 / 4)
            assert gateway.http.get("/api/jobs").status_code == 503
            assert len(fleet.workers()) == 4  # the dead one's seat is taken
        run_once(site, shorter)
        run_once(site, longer)
        job = site.one_output(orphaned)
        assert (job.failures, job.stalls) == (0, 1)
        assert gateway.http.get("/api/jobs").status_code == 200
        site.one_output(gateway.execute(site.source, trim={"start": 0, "end": 0.4}))


def run_once(site: Site, job_id: str) -> None:
    job = site.one_output(job_id)
    assert (job.failures, job.stalls) == (0, 0)
    assert [attempt.code for attempt in job.attempts] == [None]
    assert len(site.starts(job_id)) == 1


SCENES: dict[str, Scene] = {
    f"{away.__name__} for {seconds:.0f} s": partial(outlasted, away=away, seconds=seconds)
    for seconds in SECONDS
    for away in (down, frozen, unreachable)
}


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES.keys())
def test_a_long_outage_costs_nothing(scene: Scene, played: Played) -> None:
    played.result(scene)

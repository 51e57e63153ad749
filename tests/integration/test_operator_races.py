"""Scaling down while jobs start and end: no worker that renders is ever removed."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from api_server import ApiServer
from integration.operator_site import enqueue
from integration.played_workers import PlayedWorkers, sizes_fell
from operator_process import OperatorProcess, scaler
from played_cluster import PlayedCluster
from redis_server import RedisServer

SCALE_DOWNS = int(os.environ.get("SCALE_DOWNS", "60"))

MOST = 12

DEPLOYMENTS = tuple(f"worker-{letter}" for letter in "abcdef")

HANG_SECONDS = 15.0 * SCALE_DOWNS
"""Six times as long as it takes."""


def race(api: ApiServer, redis: RedisServer, folder: Path) -> PlayedWorkers:
    """Jobs come in waves and end at random, while the operator may remove workers after no idle time at all.

    Several Deployments work on the one queue, so that as many scale-downs are under way at once.
    """
    chance = random.Random(11)
    settings = redis.settings()
    workers = PlayedWorkers(api, settings, seed=5)
    with PlayedCluster(api, removing=workers.gone, seed=3) as cluster:
        cluster.ends = False
        for name in DEPLOYMENTS:
            cluster.deploy(name, 0)
            down = {"idleSeconds": 0, "maxStepPercent": 100}
            api.put("workerscalers", scaler(name, name, replicas={"min": 0, "max": MOST}, scaleDown=down))
        with OperatorProcess(api, redis, folder) as operator:
            operator.until("lease.held")
            deadline = time.monotonic() + HANG_SECONDS
            while sum(map(sizes_fell, cluster.sizes.values())) < SCALE_DOWNS and not workers.broken:
                assert operator.running, operator.log
                assert time.monotonic() < deadline, f"{cluster.sizes}\n{operator.log}"
                if chance.random() < 0.12:
                    enqueue(settings, chance.randint(1, 8))
                workers.tick()
                time.sleep(chance.random() * 0.02)
            assert operator.terminate() == 0
        assert max(max(sizes) for sizes in cluster.sizes.values()) > 1
        assert max(max(sizes) for sizes in cluster.sizes.values()) <= MOST
    workers.close()
    return workers


def test_no_busy_worker_is_removed(own_redis: RedisServer, tmp_path: Path) -> None:
    with ApiServer() as api:
        workers = race(api, own_redis, tmp_path)
        assert workers.broken == []
        assert workers.done > SCALE_DOWNS

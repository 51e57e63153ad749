"""A played cluster with a real queue and real operators, for tests of what they do."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from api_server import ApiServer, Request
from flowscale.clocks import SystemClock
from flowscale.errors import QueueUnavailable
from flowscale.queues.base import QueuePolicy
from flowscale.queues.redis import open_job_queue, open_scaling_queue
from flowscale.queues.scaling_view import Demand
from flowscale.settings import RedisSettings
from flowscale.testing import a_job
from flowscale_operator.facts import COST, MARKS
from flowscale_operator.marks import LOWEST_COST
from integration.played_workers import PlayedWorkers, replicas
from operator_process import OperatorProcess, scaler, until
from played_cluster import PlayedCluster
from redis_server import RedisServer

SCALE = r"^PATCH .*/deployments/worker/scale"


class Site:
    """One Deployment called `worker`, one WorkerScaler called `flowscale`."""

    def __init__(self, redis: RedisServer, api: ApiServer, folder: Path, stack: ExitStack) -> None:
        self.redis, self.api, self._folder, self._stack = redis, api, folder, stack
        self.workers = PlayedWorkers(api, redis.settings(), seed=5)
        self.cluster = PlayedCluster(api, removing=self.workers.gone)

    def operator(self, name: str = "operator-1", **more: str) -> OperatorProcess:
        """A running one."""
        return self._stack.enter_context(OperatorProcess(self.api, self.redis, self._folder, name, **more))

    def leading(self, name: str = "operator-1", **more: str) -> OperatorProcess:
        """A running one that leads, and has told how its WorkerScaler is."""
        operator = self.operator(name, **more)
        operator.until("lease.held")
        until(lambda: self.status.get("conditions"), lambda: operator.log)
        return operator

    # --- the queue

    def enqueue(self, count: int) -> None:
        enqueue(self.redis.settings(), count)

    def demand(self) -> Demand:
        async def go() -> Demand:
            queue = open_scaling_queue(self.redis.settings(), QueuePolicy(), SystemClock())
            try:
                return await queue.demand()
            finally:
                await queue.close()

        return asyncio.run(go())

    def draining(self) -> set[str]:
        return {name for name, group in self.demand().groups.items() if group.draining}

    def start(self, jobs: int) -> None:
        """As many jobs, and a worker that renders each."""
        self.enqueue(jobs)
        self.until_replicas(jobs)
        until(lambda: self.workers.ticked(ends=0.0).busy == jobs)

    def start_more(self, jobs: int) -> None:
        """As `start`, with workers that are there already."""
        self.enqueue(jobs)
        until(lambda: self.workers.ticked(ends=0.0).busy == jobs)

    # --- the cluster

    @property
    def replicas(self) -> int:
        return replicas(self.api)

    def until_replicas(self, count: int) -> None:
        until(lambda: self.replicas == count, lambda: f"there are {self.replicas} replicas, not {count}")

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get("workerscalers", "flowscale").get("status") or {}
        return found

    def lowest(self) -> set[str]:
        """Pods that carry the mark of those who agreed to go."""
        return {
            pod["metadata"]["name"]
            for pod in self.cluster.pods("worker")
            if (pod["metadata"].get("annotations") or {}).get(COST) == str(LOWEST_COST)
        }

    def marked(self) -> set[str]:
        """Pods that carry any mark."""
        pods = self.cluster.pods("worker")
        return {pod["metadata"]["name"] for pod in pods if set(pod["metadata"].get("annotations") or {}) & set(MARKS)}

    def condition(self, kind: str) -> dict[str, Any]:
        return next((each for each in self.status.get("conditions", ()) if each["type"] == kind), {})

    def until_condition(self, kind: str, status: str, reason: str) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            condition = self.condition(kind)
            return condition if (condition.get("status"), condition.get("reason")) == (status, reason) else None

        return until(found, lambda: f"{kind} is {self.condition(kind)}")

    def reasons(self) -> list[str]:
        """Of the Events."""
        return [event["reason"] for event in self.api.all("events")]

    def respec(self, **spec: Any) -> None:
        """Replace parts of the WorkerScaler's spec."""
        self.api.change("workerscalers", "flowscale", {"spec": spec})

    def requests(self, pattern: str, since: int = 0, agent: str = "") -> list[Request]:
        return [
            each
            for each in self.api.requests[since:]
            if re.search(pattern, f"{each.method} {each.path}") and agent in each.agent
        ]

    def rounds(self, count: int) -> None:
        """Wait while the operator comes round so often: it reads its Lease about once a second."""
        since = len(self.api.requests)
        until(lambda: len(self.requests(r"^GET .*/leases/", since)) >= count)


def enqueue(settings: RedisSettings, count: int) -> None:
    """So many jobs, as a gateway does for clients that try again."""

    async def go() -> None:
        queue = open_job_queue(settings, QueuePolicy(max_waiting=100_000), SystemClock())
        made = 0
        try:
            while made < count:
                with suppress(QueueUnavailable):  # the machine may be slower than a gateway's patience
                    await queue.enqueue(a_job(created_ms=SystemClock().now_ms()))
                    made += 1
        finally:
            await queue.close()

    asyncio.run(go())


@contextmanager
def site(redis: RedisServer, folder: Path, replicas: int = 0, **spec: Any) -> Iterator[Site]:
    """A site whose Deployment has so many replicas; `spec` replaces parts of the WorkerScaler's."""
    with ApiServer() as api, ExitStack() as stack:
        made = Site(redis, api, folder, stack)
        with made.cluster:
            made.cluster.deploy("worker", replicas)
            api.put("workerscalers", scaler(**spec))
            yield made
            stack.close()
        made.workers.close()
        assert made.workers.broken == []

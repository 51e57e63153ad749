"""Workers without processes: each pod of a played cluster fetches from the real queue, by the product's own code.

    workers = PlayedWorkers(cluster, api, redis.settings(), seed=7)
    workers.tick()

One thread moves them all, so that a test can say what each of them holds at the moment at which a pod is removed.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Collection
from itertools import pairwise
from typing import Any, Self

from api_server import ApiServer
from flowscale.clocks import SystemClock
from flowscale.errors import LeaseLost
from flowscale.queues.base import Execution, QueuePolicy
from flowscale.queues.redis import open_work_queue
from flowscale.settings import RedisSettings
from flowscale.testing import an_output


class PlayedWorkers:
    """`gone` is to be called as pods are removed: what it finds busy is a broken promise, kept in `broken`."""

    def __init__(self, api: ApiServer, settings: RedisSettings, seed: int) -> None:
        self.broken: list[str] = []
        self.done = 0
        self._api = api
        self._queue = open_work_queue(settings, QueuePolicy(), SystemClock())
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._held: dict[str, Execution] = {}
        self._removed: set[str] = set()

    @property
    def busy(self) -> int:
        with self._lock:
            return len(self._held)

    def gone(self, pod: str) -> None:
        """The controller deletes the pod now."""
        with self._lock:
            self._removed.add(pod)
            if pod in self._held:
                self.broken.append(f"{pod} was removed while it rendered")

    def tick(self, *, ends: float = 0.3) -> None:
        """Each worker that is free asks for a job, and each that is busy ends with a chance of `ends`.

        A pod that is being removed goes on asking, as a real worker does until it hears of it, and is gone some time
        after.
        """
        pods = [pod for pod in self._api.all("pods") if (pod.get("status") or {}).get("phase") == "Running"]
        for pod in self._random.sample(pods, len(pods)):
            name = pod["metadata"]["name"]
            held = self._held.get(name)
            if held is None:
                self._fetch(name)
            elif self._random.random() < ends:
                self._finish(name, held)
            if "deletionTimestamp" in pod["metadata"] and name not in self._held and self._random.random() < 0.02:
                self._api.delete("pods", name)

    @property
    def holders(self) -> set[str]:
        """The pods that render."""
        with self._lock:
            return set(self._held)

    def finish_all(self, but: Collection[str] = ()) -> None:
        """All renders end but those of the pods named."""
        for name, held in list(self._held.items()):
            if name not in but:
                self._finish(name, held)

    def ticked(self, *, ends: float) -> Self:
        """After a tick."""
        self.tick(ends=ends)
        return self

    def _fetch(self, name: str) -> None:
        with self._lock:  # so that `gone` sees either no job, or the job
            execution = self._queue.fetch(name, 0, name)
            if execution is None:
                return
            if name in self._removed:
                self.broken.append(f"{name} was given a job after it had been removed")
            self._held[name] = execution

    def _finish(self, name: str, held: Execution) -> None:
        try:
            self._queue.renew(held)
            self._queue.commit(held, an_output(held))
            self.done += 1
        except LeaseLost:
            self.broken.append(f"{name} lost its job")
        with self._lock:
            self._held.pop(name, None)

    def close(self) -> None:
        self._queue.close()


def sizes_fell(sizes: list[int]) -> int:
    """How many of the changes were downwards."""
    return sum(after < before for before, after in pairwise(sizes))


def replicas(api: ApiServer, name: str = "worker") -> int:
    spec: dict[str, Any] = api.get("deployments", name)["spec"]
    return int(spec["replicas"])

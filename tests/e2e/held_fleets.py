"""Fleets that render for as long as a test wants: each worker waits in the middle of a job for a clip held back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from e2e.cluster import COMPONENT, Cluster, is_ready
from e2e.followers import Follower
from e2e.neighbours import Gate
from e2e.renders import FINAL, Service
from e2e.scalers import Scaler, installed, scaled
from e2e.verdicts import begun_again, busy_removals
from e2e.waiting import until

TRIM = {"start": 0, "end": 0.5}


class Fleet:
    """A release, its gate, and the jobs that it was given. `workers` follows its worker pods."""

    def __init__(self, scaler: Scaler, service: Service, gate: Gate, workers: Follower) -> None:
        self.cluster = scaler.cluster
        self.scaler = scaler
        self.service = service
        self.gate = gate
        self.workers = workers
        self.jobs: list[str] = []

    def hold(self, count: int) -> None:
        """So many more workers render, and none is idle."""
        self.jobs += [self.service.execute(inputFileUrl=self.gate.url, trim=TRIM) for _ in range(count)]
        self.wait_until_held()

    def hold_by_key(self, key: str) -> float:
        """One more job, by any way that leads to a gateway; when it was accepted (Unix seconds)."""
        self.jobs.append(self.scaler.execute(key, inputFileUrl=self.gate.url, trim=TRIM))
        return time.time()

    def wait_until_held(self) -> None:
        """Until each job that has not ended has its worker."""
        for job_id in self.jobs:
            self.service.wait(job_id, lambda job: job["status"] in ("running", *FINAL), "running")

    def wait_for_pods(self, count: int) -> list[Any]:
        """The workers, when there are so many and all are ready."""
        return self.cluster.wait_for_ready(self.scaler.namespace, "worker", count)

    def finish(self) -> list[dict[str, Any]]:
        """Let all renders end, and see that none began again and that no worker was removed in the middle of one."""
        self.gate.open()
        jobs = self.service.wait_for_all(self.jobs)
        assert begun_again(jobs) == []
        assert busy_removals(self.workers.removals(), jobs) == []
        return jobs

    def server(self) -> Any:
        """The pod of the bundled server of the queue."""
        (pod,) = until(
            lambda: [pod for pod in self.cluster.pods(self.scaler.namespace, "redis") if is_ready(pod)],
            "the queue's server to be ready",
        )
        return pod


@contextmanager
def fleet(cluster: Cluster, purpose: str, clips: Path, **values: Any) -> Iterator[Fleet]:
    """On a release with the bundled server, files on a volume, and an operator."""
    with ExitStack() as kept:
        scaler = kept.enter_context(installed(cluster, purpose, scaled(**values)))
        gate = Gate(cluster, scaler.namespace)
        gate.start(clips / "bikes.mp4")
        url = cluster.node_port(scaler.namespace, scaler.release.component("api"), 80)
        service = kept.enter_context(Service(url))
        service.wait_until_well()
        pods = f"/api/v1/namespaces/{scaler.namespace}/pods"
        workers = kept.enter_context(Follower(cluster, pods, f"{COMPONENT}=worker"))
        yield Fleet(scaler, service, gate, workers)

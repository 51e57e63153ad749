"""Scale-downs at random while jobs start and end: no worker is removed that renders, and no job begins again.

What is allowed (`replicas.max`) goes up and down without a rest, which is an order that waits for nothing, while short
renders come and go. So workers are asked to go in the very moments in which they take jobs.

FLOWSCALE_E2E_SCALE_DOWNS: how many workers have to be removed, 60 by default.
FLOWSCALE_E2E_SEED: of what is drawn, 7 by default.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.cluster import COMPONENT, Cluster
from e2e.conftest import ServiceAt
from e2e.followers import Follower
from e2e.renders import FINAL, Service
from e2e.scalers import installed, scaled
from e2e.tables import Figures
from e2e.verdicts import begun_again, busy_removals, late_starts
from e2e.waiting import LOOK_SECONDS

REMOVALS = int(os.environ.get("FLOWSCALE_E2E_SCALE_DOWNS", "60"))
SEED = int(os.environ.get("FLOWSCALE_E2E_SEED", "7"))
MOST = 8
PATIENCE_SECONDS = 60.0 * REMOVALS


class Feeder:
    """Keeps some jobs in the queue, a number that is drawn again and again."""

    def __init__(self, service: Service, source: str, draw: random.Random) -> None:
        self.jobs: list[str] = []
        self._service = service
        self._source = source
        self._draw = draw
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feeder")

    @contextmanager
    def feeding(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._ended.set()
            self._thread.join()

    def _run(self) -> None:
        open_jobs: list[str] = []
        while not self._ended.wait(LOOK_SECONDS):
            open_jobs = [job_id for job_id in open_jobs if self._service.job(job_id)["status"] not in FINAL]
            for _ in range(self._draw.randint(0, MOST) - len(open_jobs)):
                end = self._draw.choice([0.1, 0.3, 1.0])
                open_jobs.append(self._service.execute(sourcePath=self._source, trim={"start": 0, "end": end}))
                self.jobs.append(open_jobs[-1])


def test_random_scale_downs_remove_no_busy_worker(
    cluster: Cluster, service_at: ServiceAt, clips: Path, figures: Figures
) -> None:
    draw = random.Random(SEED)
    with installed(cluster, "races", scaled(most=MOST, idle_seconds=1)) as scaler:
        service = service_at(cluster.node_port(scaler.namespace, scaler.release.component("api"), 80))
        source = service.upload(clips / "carphone_pristine.mp4")
        pods = f"/api/v1/namespaces/{scaler.namespace}/pods"
        with Follower(cluster, pods, f"{COMPONENT}=worker") as workers:
            feeder = Feeder(service, source, draw)
            began = time.monotonic()
            with feeder.feeding():
                while len(workers.removals()) < REMOVALS:
                    assert time.monotonic() - began < PATIENCE_SECONDS, f"only {len(workers.removals())} were removed"
                    scaler.ask(replicas={"max": draw.randint(1, MOST)})
                    time.sleep(draw.uniform(0.2, 4.0))
            scaler.ask(replicas={"max": MOST})
            jobs = service.wait_for_all(feeder.jobs)
            removals = workers.removals()
        downs = [change for change in scaler.changes() if change.down]
        refusals = scaler.total(scaler.leader(), "flowscale_scaler_drain_refusals_total")
        again, hit, late = begun_again(jobs), busy_removals(removals, jobs), late_starts(removals, jobs)
        figures.note(
            f"random scale-downs under {len(jobs)} jobs: workers removed, in steps; refused to go",
            f"{len(removals)}, {len(downs)}; {refusals:.0f}",
        )
        figures.note(
            "  workers removed that rendered; that began a job before their signal came; jobs begun again",
            f"{len(hit)}; {len(late)}; {len(again)}",
        )
        assert hit == []
        assert again == []

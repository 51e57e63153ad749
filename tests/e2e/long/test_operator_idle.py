"""Sixty seconds after the queue is empty, all workers go, in one step."""

from __future__ import annotations

import time
from pathlib import Path

from e2e.cluster import Cluster
from e2e.conftest import ServiceAt
from e2e.scalers import installed, scaled
from e2e.tables import Figures
from e2e.verdicts import begun_again, moment

WORKERS = 4
IDLE_SECONDS = 60
LOOK_SECONDS = 2
"""The operator looks once a second: so much before a job's end it may have seen it last."""


def test_idle_workers_go_in_one_step(cluster: Cluster, service_at: ServiceAt, clips: Path, figures: Figures) -> None:
    with installed(cluster, "idle", scaled(most=WORKERS, idle_seconds=IDLE_SECONDS)) as scaler:
        service = service_at(cluster.node_port(scaler.namespace, scaler.release.component("api"), 80))
        began = time.time()
        source = service.upload(clips / "bikes.mp4")
        jobs = [service.execute(sourcePath=source, trim={"start": 0, "end": 2}) for _ in range(3 * WORKERS)]
        ended = service.wait_for_all(jobs)
        assert begun_again(ended) == []
        empty = max(moment(job["completedAt"]) for job in ended)
        gone = scaler.wait_for_change(began, 0)
        figures.note(f"queue empty: until its {gone.before} idle workers went, in one step", f"{gone.at - empty:.1f} s")
        assert [change for change in scaler.changes(began) if change.down] == [gone]
        assert gone.at - empty >= IDLE_SECONDS - LOOK_SECONDS

"""`maxWaitSeconds` in place of jobs for each worker: as many workers as keep the longest wait below it, by what renders
of one kind were seen to take."""

from __future__ import annotations

import time
from pathlib import Path

from e2e.cluster import Cluster
from e2e.conftest import ServiceAt
from e2e.scalers import installed, scaled
from e2e.tables import Figures
from e2e.verdicts import begun_again, moment

MAX_WAIT_SECONDS = 120
SAMPLES = 6
JOBS = 12
MOST = 8


def test_few_workers_do_where_renders_are_short(
    cluster: Cluster, service_at: ServiceAt, clips: Path, figures: Figures
) -> None:
    target = {"jobsPerReplica": None, "maxWaitSeconds": MAX_WAIT_SECONDS}
    with installed(cluster, "waits", scaled(most=MOST, idle_seconds=5, autoscaling=target)) as scaler:
        service = service_at(cluster.node_port(scaler.namespace, scaler.release.component("api"), 80))
        source = service.upload(clips / "carphone_pristine.mp4")

        def render(count: int) -> list[str]:
            return [service.execute(sourcePath=source, trim={"start": 0, "end": 0.5}) for _ in range(count)]

        # One after the other: how long one takes is what is learned, not how long it takes beside others.
        for _ in range(SAMPLES):
            assert begun_again(service.wait_for_all(render(1))) == []
        scaler.wait_for_replicas(0)
        began = time.time()
        ended = service.wait_for_all(render(JOBS))
        assert begun_again(ended) == []
        most = max(change.after for change in scaler.changes(began))
        waits = [moment(job["attempts"][0]["startedAt"]) - moment(job["createdAt"]) for job in ended]
        takes = [moment(each["endedAt"]) - moment(each["startedAt"]) for job in ended for each in job["attempts"]]
        figures.note(
            f"maxWaitSeconds {MAX_WAIT_SECONDS}, {JOBS} jobs of {sum(takes) / JOBS:.1f} s: workers, longest wait",
            f"{most}, {max(waits):.1f} s",
        )
        assert 1 <= most < min(JOBS, MOST)
        scaler.wait_for_replicas(0)

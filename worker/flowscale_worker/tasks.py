"""The one function that a queued job names. RQ's own workers would call it; FlowScale's never do.

A FlowScale worker takes the job's id from the queue and everything else from its record (leased_worker.py). The name is
in the record so that RQ's tools show what a job is.
"""

from __future__ import annotations

from typing import NoReturn

from flowscale.errors import SettingsError


def render(job_id: str) -> NoReturn:
    """Raises SettingsError: an RQ worker renews no lease, and would lose the job or render it twice."""
    raise SettingsError(
        f"{job_id} was taken by a plain RQ worker, which cannot keep it; run `flowscale worker` instead"
    )

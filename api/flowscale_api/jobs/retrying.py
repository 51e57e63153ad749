"""A person's retry of a failed job, whichever route asks for it."""

from __future__ import annotations

from flowscale.jobs import Job
from flowscale_api.deps import Gateway
from flowscale_api.files.keeping import refuse_aged_sources


async def retry(gateway: Gateway, job_id: str) -> Job:
    """Raises JobNotFound, FileNotFound, Conflict, QueueFull."""
    if gateway.files.upload_retention_seconds is not None:
        await refuse_aged_sources(await gateway.queue.get(job_id), gateway)
    return await gateway.queue.retry(job_id)

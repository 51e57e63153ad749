"""Deleting what removed jobs had stored.

The queue forgets the job first, and notes in the same step that its outputs are to be deleted: from then on nobody is
told of them. Whoever dies before they are gone leaves the note to the next round, of any gateway.
"""

from __future__ import annotations

from flowscale import logs
from flowscale.queues.admin_view import AdminQueue
from flowscale.storage.base import Storage
from flowscale_api.threads import in_thread

ROUND_SECONDS = 30.0
"""How often is looked for outputs that nobody came to delete."""

_log = logs.get("gateway")


class Removals:
    """The gateway's share of it, for Housekeeping."""

    def __init__(self, queue: AdminQueue, storage: Storage) -> None:
        self._queue = queue
        self._storage = storage

    async def round(self) -> None:
        """Raises QueueUnavailable, StorageUnavailable: what is left is done in the next round."""
        while job_ids := await self._queue.removed():
            for job_id in job_ids:
                await clear(self._queue, self._storage, job_id)


async def clear(queue: AdminQueue, storage: Storage, job_id: str) -> None:
    """Delete whatever the executions of a removed job had stored. Raises StorageUnavailable, QueueUnavailable."""

    def delete() -> int:
        stored = [each.key for each in storage.find(f"outputs/{job_id}/")]
        for key in stored:
            storage.delete(key)
        return len(stored)

    deleted = await in_thread(delete)
    await queue.cleared(job_id)
    _log.info("output.removed", "Deleted what a removed job had stored", job_id=job_id, count=deleted)

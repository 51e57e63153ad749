"""Files that have had their time: uploads and outputs by age, and what was begun and never finished.

No file goes that a job needs. An upload that has reached its age cannot be named by a new job from that moment on
(jobs/submissions.py), and is deleted MARGIN_SECONDS later at the earliest: whatever job named it before is in the
queue by then, and keeps it until it has ended. So the two need no lock between them, only clocks that agree to within
the margin.
"""

from __future__ import annotations

from collections.abc import Iterable

from flowscale import logs
from flowscale.clocks import Clock
from flowscale.errors import FileNotFound
from flowscale.jobs import Job
from flowscale.keys.base import AccessStore
from flowscale.queues.base import JobQueue
from flowscale.settings import StorageSettings
from flowscale.specs import RenderSpec
from flowscale.storage.base import Storage, StoredObject
from flowscale_api.deps import Gateway
from flowscale_api.threads import in_thread

ROUND_SECONDS = 600.0
"""Between two rounds. Each lists the storage, which a bucket's owner pays for."""

MARGIN_SECONDS = 900.0
"""How much longer than its age a file stays: longer than any request lasts or clocks disagree."""

PAGE = 100
"""Jobs read at once."""

_log = logs.get("storage")


class FileKeeper:
    """One gateway's share; several may do it at once."""

    def __init__(
        self,
        queue: JobQueue,
        storage: Storage,
        settings: StorageSettings,
        clock: Clock,
        access: AccessStore | None = None,
    ) -> None:
        self._queue = queue
        self._storage = storage
        self._access = access
        self._settings = settings
        self._clock = clock

    async def round(self) -> None:
        """Raises QueueUnavailable, StorageUnavailable: what is left is done in the next round."""
        now_ms = self._clock.now_ms()
        unfinished = now_ms - int(2 * self._settings.upload_expiry_seconds * 1000)
        if reaped := await in_thread(self._storage.reap, unfinished):
            _log.info("upload.reaped", "Removed what was begun and never finished", count=reaped)
        old = await self._old("uploads/", self._settings.upload_retention_seconds, now_ms)
        old += await self._old("outputs/", self._settings.output_retention_seconds, now_ms)
        if not old:
            return
        # Read after the files were listed: a job that comes later cannot name one of them.
        needed = await self._needed()
        for stored in old:
            if not _is_needed(stored.key, needed):
                if self._access is not None and stored.key.startswith("uploads/"):
                    # First: whoever is killed in between leaves a file, which the next round deletes, and no fact.
                    await self._access.disown(stored.key.split("/")[1])
                await in_thread(self._storage.delete, stored.key)
                _log.info("file.retired", "Deleted a file that had reached its age", key=stored.key, size=stored.size)

    async def _old(self, prefix: str, seconds: float | None, now_ms: int) -> list[StoredObject]:
        if seconds is None:
            return []
        before_ms = now_ms - int((seconds + MARGIN_SECONDS) * 1000)

        def old() -> list[StoredObject]:
            return [stored for stored in self._storage.find(prefix) if stored.modified_ms < before_ms]

        return await in_thread(old)

    async def _needed(self) -> set[str]:
        """Keys of sources, and ids, of the jobs that have not ended."""
        needed: set[str] = set()
        cursor: str | None = None
        while True:
            # All of them: by state, one that changes its own while we read could be missed.
            page = await self._queue.list(None, PAGE, cursor)
            for job in page.jobs:
                if not job.state.is_final:
                    needed.add(job.id)
                    needed.update(_sources(job))
            cursor = page.next_cursor
            if cursor is None:
                return needed


def has_reached_its_age(stored: StoredObject, seconds: float | None, now_ms: int) -> bool:
    """Whether no new job may name this upload any more."""
    return seconds is not None and stored.modified_ms + seconds * 1000 <= now_ms


async def refuse_aged_sources(job: Job, gateway: Gateway) -> None:
    """Before an ended job runs again. Raises FileNotFound when a source of it is gone, or about to go."""
    for key in _sources(job):
        stored = await in_thread(gateway.storage.stat, key)
        if has_reached_its_age(stored, gateway.files.upload_retention_seconds, gateway.clock.now_ms()):
            raise FileNotFound(f"The upload {key} has reached its age and is about to be deleted: upload it again.")


def _sources(job: Job) -> Iterable[str]:
    try:
        spec = RenderSpec.from_record(job.spec)
    except ValueError:
        return ()  # no options of ours: its execution says so, and reads no file
    return [source.key for source in spec.sources if source.key is not None]


def _is_needed(key: str, needed: set[str]) -> bool:
    return key in needed or key.split("/")[1] in needed

"""From a typed request to a queued job: find its sources, check that something can render, enqueue once."""

from __future__ import annotations

import hashlib
import json
import re
from uuid import uuid4

from fastapi import Request

from flowscale import logs, names, tracing
from flowscale.errors import FileNotFound, InvalidOptions, InvalidPath
from flowscale.jobs import Job, Priority
from flowscale.plans import PlanRequest
from flowscale.queues.base import Enqueued, Idempotency
from flowscale.specs import ExecuteRequest, Source, checked_url, stored_reference, upload_key_in_url
from flowscale.storage.base import Storage, StoredObject
from flowscale_api.access.callers import Caller, caller_of
from flowscale_api.access.owned import own_idempotency_key, project_of, sees_file
from flowscale_api.deps import Gateway
from flowscale_api.files.keeping import has_reached_its_age
from flowscale_api.health.availability import best_report, ffmpeg_fault
from flowscale_api.schemas import Accepted
from flowscale_api.threads import in_thread
from flowscale_api.webhooks.targets import targets_of

IDEMPOTENCY_KEY = "Idempotency-Key"

_log = logs.get("gateway")

_FINE_KEY = re.compile(r"[\x20-\x7e]{1,200}\Z")

Wanted = ExecuteRequest | PlanRequest


async def submit(gateway: Gateway, request: Request, wanted: Wanted) -> Accepted:
    """Queue what the request asks for. Raises what the contract lists for execute and execute-plan."""
    caller = caller_of(request)
    project = project_of(request, wanted.project_id)
    idempotency = _idempotency(request, wanted)
    # First of all: a repeat is answered even when its source was deleted meanwhile, or nothing can render now.
    if idempotency is not None and (known := await gateway.queue.earlier(idempotency)) is not None:
        return accepted(known)
    webhooks = targets_of(gateway.webhooks, wanted.webhook_url)
    texts = wanted.named_sources()
    by_url = not (isinstance(wanted, ExecuteRequest) and wanted.source_path)
    sources = [await find_source(gateway, caller, text, by_url=by_url) for text in texts]
    if fault := ffmpeg_fault(best_report(await gateway.queue.workers())):
        raise fault
    now_ms = gateway.clock.now_ms()
    job_id = names.job_id(now_ms, uuid4().hex)
    with logs.bind(job_id=job_id), tracing.span("enqueue", {"flowscale.job.id": job_id}, tracing.Kind.PRODUCER):
        job = Job(
            id=job_id,
            spec=wanted.to_spec(tuple(sources)).to_record(),
            created_ms=now_ms,
            priority=(wanted.priority if isinstance(wanted, ExecuteRequest) else None) or Priority.NORMAL,
            project_id=project,
            webhooks=webhooks,
            origin=tracing.origin(getattr(request.state, "request_id", None)),
        )
        enqueued = await gateway.queue.enqueue(job, idempotency)
        tracing.note({"flowscale.job.priority": job.priority.value, "flowscale.queue.position": enqueued.position})
        request.state.job_id = enqueued.job.id  # for the request's own line of the log
        if enqueued.created:
            _log.info("job.enqueued", "Took a job", position=enqueued.position)
        else:
            tracing.note({"flowscale.job.id": enqueued.job.id, "flowscale.job.repeated": True})
    return accepted(enqueued)


def accepted(enqueued: Enqueued) -> Accepted:
    """The 202. A repeat under its Idempotency-Key says `queued` too, as the first answer did."""
    return Accepted(
        job_id=enqueued.job.id,
        queue_position=max(1, enqueued.position),
        status_url=f"/api/jobs/{enqueued.job.id}",
        estimated_wait_ms=enqueued.estimated_wait_ms,
    )


async def find_source(gateway: Gateway, caller: Caller, text: str, *, by_url: bool) -> Source:
    """What a client's text stands for: an upload, or with `by_url` another host's file.

    An address of our own uploads is read from the storage, not over the network. Raises InvalidPath for text
    of neither form, FileNotFound for an upload that is not there.
    """
    reference = stored_reference(text)
    if reference is not None:
        stored = await _usable(gateway, caller, reference)
        if stored is None:
            raise FileNotFound(f"There is no uploaded file {reference}: upload it again, or check the name.")
        return Source(key=stored.key)
    if not by_url:
        raise InvalidPath(
            "sourcePath takes the filePath or the fileId that an upload was answered with, and nothing else; "
            "for a file on another host use inputFileUrl."
        )
    url = checked_url(text)
    ours = upload_key_in_url(url)
    if ours is not None and (stored := await _usable(gateway, caller, ours)) is not None:
        return Source(key=stored.key)
    return Source(url=url)


async def _usable(gateway: Gateway, caller: Caller, reference: str) -> StoredObject | None:
    """The upload, unless it is gone, or another project's, or has reached its age and is about to go."""
    stored = await in_thread(_stored, gateway.storage, reference)
    if stored is not None and has_reached_its_age(
        stored, gateway.files.upload_retention_seconds, gateway.clock.now_ms()
    ):
        return None
    return stored if stored is None or await sees_file(gateway, caller, stored.key) else None


def _stored(storage: Storage, reference: str) -> StoredObject | None:
    """The upload under a key or a bare file id."""
    if names.is_file_id(reference):
        return next(storage.find(f"uploads/{reference}/"), None)
    try:
        return storage.stat(reference)
    except FileNotFound:
        return None


def _idempotency(request: Request, wanted: Wanted) -> Idempotency | None:
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is None:
        return None
    if not _FINE_KEY.match(key):
        fault = {"path": IDEMPOTENCY_KEY, "message": "must be 1 to 200 printable ASCII characters"}
        raise InvalidOptions(
            f"The header {IDEMPOTENCY_KEY} must be 1 to 200 printable ASCII characters.", details={"faults": [fault]}
        )
    # Options at their default are left out, so that a newer gateway with more options reads an old key alike.
    body = wanted.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return Idempotency(
        own_idempotency_key(caller_of(request), key),
        hashlib.sha256(f"{request.url.path}\n{canonical}".encode()).hexdigest(),
    )

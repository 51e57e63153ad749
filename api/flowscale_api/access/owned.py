"""Whose jobs and files are whose: what a key of one project sees and touches.

An upload's owner is a fact of its own, kept before the upload is answered and forgotten when the file is deleted by
age; of one that is not finished the ledger knows it. An output belongs to its job's project, as long as the job is
kept. Whatever has no owner that is known is there for keys without a project alone. To others all of it is answered
as if it were not there.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from fastapi import Depends, Request

from flowscale import names
from flowscale.errors import FileNotFound, Forbidden, JobNotFound, QueueUnavailable
from flowscale.jobs import Job, JobState
from flowscale.keys.base import Scope
from flowscale.queues import answers
from flowscale.queues.base import JobPage
from flowscale.uploads.base import unknown
from flowscale_api.access import audit
from flowscale_api.access.callers import ANYBODY, Caller, Proof, caller_of
from flowscale_api.access.file_links import is_link, link_fits
from flowscale_api.access.gate import bearer_in
from flowscale_api.deps import Gateway, gateway_of

LOOKED_AT = 2000
"""Jobs of all projects that one listing for one of them looks at."""

MOST_AT_ONCE = 200

_HIDDEN = 24
"""Of the 32 hex digits of a job's id: what stays tells when, not which."""


def project_of(request: Request, given: str | None) -> str | None:
    """The project of something new, where `given` is what the request says. Raises Forbidden for another's."""
    caller = caller_of(request)
    if caller.project is None:
        return given
    if given is not None and given != caller.project:
        _audit(request, caller)
        raise Forbidden(
            f"The key {caller.name!r} is of another project than the request's projectId: leave that out, or use a key "
            "of that project."
        )
    return caller.project


async def keep_owner(gateway: Gateway, file_id: str, project: str | None) -> None:
    """Before an upload is answered. Raises QueueUnavailable."""
    if project is not None and gateway.gate.asks:
        await gateway.gate.store.own(file_id, project)


def check_seen(request: Request, job: Job) -> None:
    """Raises JobNotFound for another project's job, in the words for one that is not there."""
    caller = caller_of(request)
    if caller.project is not None and job.project_id != caller.project:
        _audit(request, caller)
        raise answers.job_not_found(job.id)


async def check_job(request: Request, gateway: Gateway, job_id: str) -> None:
    """Likewise, before something is done to it; a job's project never changes."""
    if caller_of(request).project is not None:
        check_seen(request, await gateway.queue.get(job_id))


async def own_page(gateway: Gateway, caller: Caller, state: JobState | None, limit: int, cursor: str | None) -> JobPage:
    """A page of the jobs that the caller sees. With a project it may be short, or empty, and still have a next one: no
    request looks at more than LOOKED_AT jobs of all."""
    if caller.project is None:
        return await gateway.queue.list(state, limit, cursor)
    found: list[Job] = []
    for _ in range(LOOKED_AT // MOST_AT_ONCE):
        page = await gateway.queue.list(state, MOST_AT_ONCE, cursor)
        for job in page.jobs:
            if job.project_id == caller.project:
                found.append(job)
                if len(found) == limit:
                    return JobPage(tuple(found), answers.cursor_after(job))
        if page.next_cursor is None:
            return JobPage(tuple(found), None)
        cursor = _between(page.next_cursor)
    return JobPage(tuple(found), cursor)


def _between(cursor: str) -> str:
    """A cursor that means the same and is not the id of another project's job: a little before it, where with a
    chance of less than one in 2**32 another job lies, made in the same millisecond."""
    return cursor[:-_HIDDEN] + "0" * _HIDDEN


async def sees_file(gateway: Gateway, caller: Caller, key: str) -> bool:
    """Whether the caller may know of the stored file. Raises QueueUnavailable."""
    if caller.project is None:
        return True
    if not names.is_key(key):
        return False
    folder, owner_id, *_ = key.split("/")
    if folder == "uploads":
        return await gateway.gate.store.owner(owner_id) == caller.project
    try:
        return (await gateway.queue.get(owner_id)).project_id == caller.project
    except JobNotFound:
        return False


async def check_upload(request: Request, file_id: str) -> None:
    """Raises FileNotFound for another project's upload, in the words for one that is not there."""
    caller = caller_of(request)
    if caller.project is None or not names.is_file_id(file_id):
        return
    if (await gateway_of(request).uploads.get(file_id)).project_id != caller.project:
        _audit(request, caller)
        raise unknown(file_id)


OwnUpload = Depends(check_upload)
"""For routes with a `file_id`, after their rule."""


async def while_allowed(gateway: Gateway, caller: Caller, pieces: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    """An answer that goes on for long, until its caller's key is revoked or login ended: looked at before each
    piece."""
    async with aclosing(pieces):
        async for piece in pieces:
            try:
                if not await gateway.gate.still_allowed(caller):
                    return
            except QueueUnavailable:
                return  # whoever reads comes back, and is told so
            yield piece


async def file_caller(request: Request, gateway: Gateway) -> Caller:
    """Who asks for the file that the request's path names. Raises Unauthorized, Forbidden, FileNotFound."""
    gate = gateway.gate
    if not gate.asks:
        return ANYBODY
    key = request.scope["path"].lstrip("/")
    if is_link(request):
        if link_fits(await gate.load_seals(), request, key, gateway.clock.now_ms()):
            return Caller("a link", Scope.READ.included, None, Proof.LINK)
        if bearer_in(request) is None:
            audit.refused(request, "link")
            raise Forbidden(
                "The address has expired, or was not made for this file: ask for the job or the upload again, whose "
                "answer has a fresh one, or send a key."
            )
    caller = await gate.renderer(request, Scope.READ)
    if not await sees_file(gateway, caller, key):
        _audit(request, caller)
        raise FileNotFound(f"There is no file {key[:200]}.")
    return caller


def own_idempotency_key(caller: Caller, key: str) -> str:
    """The Idempotency-Key as the queue has it: the same word of two projects is two keys."""
    if caller.project is None:
        return key
    return "project:" + hashlib.sha256(f"{caller.project}\n{key}".encode()).hexdigest()


def _audit(request: Request, caller: Caller) -> None:
    audit.refused(request, "project", name=caller.name, key_id=caller.key_id)

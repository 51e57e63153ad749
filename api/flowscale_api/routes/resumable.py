"""Resumable uploads by tus 1.0 at /api/uploads, and the state of any upload as JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Depends, Request, Response

from flowscale import logs
from flowscale.errors import (
    Conflict,
    FileNotFound,
    FileTooLarge,
    FlowScaleError,
    InvalidOptions,
    MethodNotAllowed,
    NoFile,
    QueueFull,
    QueueUnavailable,
    RequestError,
    ServiceError,
    StorageUnavailable,
    UnsupportedMedia,
    UploadError,
)
from flowscale.keys.base import Scope
from flowscale.uploads.base import Upload, UploadGone, UploadKind, UploadLocked, UploadState
from flowscale_api.access.owned import OwnUpload, project_of
from flowscale_api.access.rules import OPEN_TO_ALL, needs
from flowscale_api.deps import Gateway, Parts
from flowscale_api.description.openapi import failures
from flowscale_api.problems import problem
from flowscale_api.schemas import UploadFacts, json_answer
from flowscale_api.uploads import tus
from flowscale_api.uploads.figures import Way
from flowscale_api.uploads.receiving import checked_project
from flowscale_api.uploads.resumable import end, find_upload, gone, held, new_upload, receive, settle
from flowscale_api.uploads.views import upload_facts
from flowscale_api.wire.bodies import Body

router = APIRouter(tags=["uploads"])

ADDRESS = "/api/uploads"

_log = logs.get("gateway")

_COMMON: tuple[type[FlowScaleError], ...] = (tus.OtherVersion, QueueUnavailable, StorageUnavailable)


@router.options(
    ADDRESS,
    operation_id="describeUploads",
    summary="What of tus 1.0 is spoken here",
    status_code=204,
    responses=failures(),
    dependencies=[Depends(OPEN_TO_ALL)],
)
async def describe_uploads(gateway: Parts) -> Response:
    """Versions, extensions, checksum algorithms and the largest upload, in the headers of the answer."""
    headers = {
        tus.RESUMABLE: tus.VERSION,
        "Tus-Version": tus.VERSION,
        "Tus-Extension": tus.EXTENSIONS,
        "Tus-Max-Size": str(gateway.settings.max_upload_bytes),
        "Tus-Checksum-Algorithm": ",".join(tus.ALGORITHMS),
    }
    return Response(status_code=204, headers=headers)


@router.post(
    ADDRESS,
    operation_id="createUpload",
    summary="Begin a resumable upload (tus)",
    status_code=201,
    response_class=Response,
    responses=failures(NoFile, UploadError, FileTooLarge, UnsupportedMedia, InvalidOptions, QueueFull, *_COMMON),
    dependencies=[Depends(needs(Scope.RENDER))],
)
async def create_upload(request: Request, gateway: Parts) -> Response:
    """Takes `Upload-Length` and, in `Upload-Metadata`, `filename` and `projectId`. The answer's `Location` is where
    the bytes go; the first of them may come with this request. What the file is, is judged by its content."""
    return await _in_tus(lambda: _sent(gateway, _create(request, gateway)))


@router.head(
    f"{ADDRESS}/{{file_id}}",
    operation_id="findOffset",
    summary="How far a resumable upload is (tus)",
    response_class=Response,
    responses=failures(FileNotFound, UploadGone, UploadLocked, *_COMMON),
    dependencies=[Depends(needs(Scope.RENDER)), OwnUpload],
)
async def find_offset(request: Request, gateway: Parts, file_id: str) -> Response:
    """`Upload-Offset` says how many bytes are stored: whatever happened, go on from there."""
    return await _in_tus(lambda: _look(request, gateway, file_id))


@router.patch(
    f"{ADDRESS}/{{file_id}}",
    operation_id="continueUpload",
    summary="Send bytes of a resumable upload (tus)",
    status_code=204,
    responses=failures(
        UploadError,
        FileNotFound,
        Conflict,
        UploadGone,
        FileTooLarge,
        UnsupportedMedia,
        UploadLocked,
        tus.ChecksumMismatch,
        *_COMMON,
    ),
    dependencies=[Depends(needs(Scope.RENDER)), OwnUpload],
)
async def continue_upload(request: Request, gateway: Parts, file_id: str) -> Response:
    """Bytes from `Upload-Offset` on, as many as the client likes. What came of a request that was cut is kept; one
    with `Upload-Checksum` counts as a whole or not at all. The last byte makes the file."""
    return await _in_tus(lambda: _sent(gateway, _continue(request, gateway, file_id)))


@router.delete(
    f"{ADDRESS}/{{file_id}}",
    operation_id="endUpload",
    summary="End an upload that is not complete",
    status_code=204,
    responses=failures(FileNotFound, Conflict, UploadGone, UploadLocked, *_COMMON),
    dependencies=[Depends(needs(Scope.RENDER)), OwnUpload],
)
async def end_upload(request: Request, gateway: Parts, file_id: str) -> Response:
    """Removes what is stored of a resumable or a presigned upload, also while its bytes are coming."""
    return await _in_tus(lambda: _end(request, gateway, file_id))


@router.post(f"{ADDRESS}/{{file_id}}", include_in_schema=False, dependencies=[Depends(needs(Scope.RENDER)), OwnUpload])
async def overridden(request: Request, gateway: Parts, file_id: str) -> Response:
    """For clients behind something that lets neither PATCH nor DELETE through."""
    match request.headers.get(tus.OVERRIDE, "").upper():
        case "PATCH":
            return await continue_upload(request, gateway, file_id)
        case "DELETE":
            return await end_upload(request, gateway, file_id)
    return await _in_tus(lambda: _no_method())


@router.get(
    f"{ADDRESS}/{{file_id}}",
    operation_id="getProgress",
    summary="Look at an upload",
    response_model=UploadFacts,
    responses=failures(FileNotFound, UploadGone, UploadLocked, QueueUnavailable, StorageUnavailable),
    dependencies=[Depends(needs(Scope.READ)), OwnUpload],
)
async def get_upload(request: Request, gateway: Parts, file_id: str) -> Response:
    """How far it is, or, when it is complete, the answer of `POST /api/upload`: its `filePath` is what a render takes
    as its source."""
    upload = await find_upload(gateway, file_id)
    if upload.state is UploadState.ENDED:
        raise gone(upload)
    if upload.whole:
        upload = await _settled(gateway, upload)
    return json_answer(upload_facts(gateway, request, upload))


async def _create(request: Request, gateway: Gateway) -> Response:
    headers = request.headers
    tus.check_version(headers)
    total = tus.length_in(headers, gateway.settings.max_upload_bytes)
    metadata = tus.metadata_in(headers)
    project = metadata.project_id
    if project is not None:
        project = checked_project(project, tus.METADATA)
    project = project_of(request, project)
    brings_bytes = "content-type" in headers
    checksum = None
    if brings_bytes:
        tus.check_content_type(headers)
        checksum = tus.checksum_in(headers)
    body = _body(request, total, checksum)
    upload = await gateway.uploads.create(new_upload(gateway, UploadKind.RESUMABLE, total, metadata.filename, project))
    if brings_bytes:
        async with held(gateway, upload.file_id) as (upload, token):
            upload = await receive(gateway, upload, token, body, checksum)
    location = f"{ADDRESS}/{upload.file_id}"
    if gateway.settings.public_url is not None:
        location = gateway.settings.public_url.rstrip("/") + location
    # Without an address of our own to name, the path alone: the client knows best by which host it came.
    return Response(status_code=201, headers={"Location": location, **_state(upload)})


async def _look(request: Request, gateway: Gateway, file_id: str) -> Response:
    tus.check_version(request.headers)
    upload = _resumable(await find_upload(gateway, file_id))
    if upload.state is UploadState.OPEN:
        # Not before the request before it has let go: it may be storing bytes that this client has sent.
        async with held(gateway, file_id) as (upload, token):
            if upload.whole:
                upload = await settle(gateway, upload, token)
    elif upload.state is UploadState.ENDED:
        raise gone(upload)
    headers = {tus.LENGTH: str(upload.total), "Cache-Control": "no-store", **_state(upload)}
    return Response(status_code=200, headers=headers)


async def _continue(request: Request, gateway: Gateway, file_id: str) -> Response:
    headers = request.headers
    tus.check_version(headers)
    tus.check_content_type(headers)
    offset = tus.offset_in(headers)
    checksum = tus.checksum_in(headers)
    _resumable(await find_upload(gateway, file_id))
    async with held(gateway, file_id) as (upload, token):
        if offset != upload.offset:
            raise tus.wrong_offset(offset, upload.offset)
        body = _body(request, upload.total - upload.offset, checksum)
        if upload.state is UploadState.OPEN:
            upload = await receive(gateway, upload, token, body, checksum)
        elif await body.read():
            raise FileTooLarge(_too_long(upload.total))
    return Response(status_code=204, headers=_state(upload))


async def _end(request: Request, gateway: Gateway, file_id: str) -> Response:
    if tus.RESUMABLE in request.headers:
        tus.check_version(request.headers)
    async with held(gateway, file_id, seize=True) as (upload, token):
        if upload.state is UploadState.COMPLETE:
            raise Conflict(f"The upload {file_id} is complete; files are removed by age alone.")
        await end(gateway, upload, token, "Its client ended it.")
    _log.info("upload.ended", "An upload was ended by its client", file_id=file_id)
    return Response(status_code=204)


async def _no_method() -> Response:
    error = MethodNotAllowed(f"POST to an upload needs the header {tus.OVERRIDE}: PATCH or DELETE.")
    return problem(error, {"Allow": "DELETE, GET, HEAD, PATCH"})


async def _settled(gateway: Gateway, upload: Upload) -> Upload:
    """One whose bytes are all there: if whoever brought the last of them was killed, this request completes it."""
    if upload.kind is UploadKind.PRESIGNED or upload.state is not UploadState.OPEN:
        return upload
    async with held(gateway, upload.file_id) as (upload, token):
        return await settle(gateway, upload, token)


def _resumable(upload: Upload) -> Upload:
    if upload.kind is not UploadKind.RESUMABLE:
        raise FileNotFound(f"The upload {upload.file_id} is sent to the storage directly; tus knows nothing of it.")
    return upload


def _body(request: Request, most: int, checksum: tus.Checksum | None) -> Body:
    if checksum is not None and most > tus.MAX_CHECKED:
        return Body(request, tus.MAX_CHECKED, tus.checked_too_large())
    return Body(request, most, _too_long(most))


def _too_long(most: int) -> str:
    return f"The request brings more than the {most} bytes that are left of the upload."


def _state(upload: Upload) -> dict[str, str]:
    state = {tus.OFFSET: str(upload.offset)}
    if upload.state is UploadState.OPEN:
        state[tus.EXPIRES] = tus.http_date(upload.expires_ms)
    return state


async def _sent(gateway: Gateway, answer: Awaitable[Response]) -> Response:
    with gateway.figures.uploads.asked(Way.RESUMABLE):
        return await answer


async def _in_tus(answer: Callable[[], Awaitable[Response]]) -> Response:
    """The answer, or the error it raises, with the headers that every answer of tus has."""
    try:
        response = await answer()
    except (RequestError, ServiceError) as error:
        response = problem(error)
    response.headers[tus.RESUMABLE] = tus.VERSION
    if response.status_code == tus.OtherVersion.status:
        response.headers["Tus-Version"] = tus.VERSION
    return response

"""POST /api/upload."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from flowscale import logs
from flowscale.errors import (
    FileTooLarge,
    InvalidOptions,
    NoFile,
    StorageUnavailable,
    UnsupportedMedia,
    UploadError,
)
from flowscale.keys.base import Scope
from flowscale_api.access.owned import keep_owner, project_of
from flowscale_api.access.rules import needs
from flowscale_api.deps import Gateway, Parts
from flowscale_api.description.openapi import failures, form_body
from flowscale_api.links import public_url
from flowscale_api.schemas import Uploaded, json_answer
from flowscale_api.uploads.figures import Way
from flowscale_api.uploads.multipart import FORM_OVERHEAD, UploadForm, boundary_of
from flowscale_api.uploads.receiving import MAX_PROJECT_ID, receive_upload, too_large
from flowscale_api.wire.bodies import Body

router = APIRouter(tags=["uploads"])
_log = logs.get("gateway")


@router.post(
    "/api/upload",
    operation_id="upload",
    summary="Upload a clip or a picture",
    response_model=Uploaded,
    responses=failures(NoFile, UploadError, FileTooLarge, UnsupportedMedia, InvalidOptions, StorageUnavailable),
    openapi_extra=form_body(MAX_PROJECT_ID),
    dependencies=[Depends(needs(Scope.RENDER))],
)
async def upload(request: Request, gateway: Parts) -> Response:
    """Stores the file of the form's field `file`. What it is, is judged by its content: mp4, webm, mov, avi, mkv,
    jpeg, png or webp. The answer's `filePath` is what a render takes as its source."""
    with gateway.figures.uploads.asked(Way.FORM):
        return await _upload(request, gateway)


async def _upload(request: Request, gateway: Gateway) -> Response:
    limit = gateway.settings.max_upload_bytes
    form = UploadForm(boundary_of(request.headers.get("content-type")))
    body = Body(request, limit + FORM_OVERHEAD, too_large(limit))
    figures = gateway.figures.uploads

    async def admit(file_id: str, given: str | None) -> str | None:
        project = project_of(request, given)
        await keep_owner(gateway, file_id, project)
        return project

    with figures.receiving(Way.FORM):
        received = await receive_upload(body, form, gateway.storage, limit, admit)
    stored = received.stored
    figures.stored(Way.FORM, stored.size)
    _log.info("upload.stored", "Stored an upload", key=stored.key, size=stored.size, project_id=received.project_id)
    return json_answer(
        Uploaded(
            file_id=received.file_id,
            file_path=stored.key,
            public_url=public_url(gateway, request, stored.key),
            filename=received.name,
            size=stored.size,
            mimetype=received.media.mime,
        )
    )

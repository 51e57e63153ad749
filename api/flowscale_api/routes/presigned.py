"""Uploads whose bytes do not pass through the gateway: POST /api/uploads/presign and what follows it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from flowscale.clocks import iso_utc
from flowscale.errors import (
    Conflict,
    FileNotFound,
    FileTooLarge,
    InvalidOptions,
    QueueFull,
    QueueUnavailable,
    StorageUnavailable,
    UnsupportedMedia,
    UnsupportedOption,
    UploadError,
)
from flowscale.keys.base import Scope
from flowscale.uploads.base import UploadGone, UploadLocked
from flowscale_api.access.owned import OwnUpload, project_of
from flowscale_api.access.rules import needs
from flowscale_api.deps import Gateway, Parts
from flowscale_api.description.openapi import failures
from flowscale_api.schemas import PartUrls, Presigned, Uploaded, json_answer
from flowscale_api.uploads.figures import Way
from flowscale_api.uploads.presigned import (
    URL_SECONDS,
    PartsRequest,
    PresignRequest,
    complete,
    part_count,
    part_urls,
    presign,
)
from flowscale_api.uploads.views import uploaded
from flowscale_api.wire.bodies import read_json

router = APIRouter(tags=["uploads"])


def _json_body(model: type[BaseModel]) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}  # document.py has it
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


@router.post(
    "/api/uploads/presign",
    operation_id="presignUpload",
    summary="Begin an upload that goes to the storage directly",
    status_code=201,
    response_model=Presigned,
    responses=failures(
        UploadError,
        FileTooLarge,
        UnsupportedMedia,
        InvalidOptions,
        UnsupportedOption,
        QueueUnavailable,
        QueueFull,
        StorageUnavailable,
    ),
    openapi_extra=_json_body(PresignRequest),
    dependencies=[Depends(needs(Scope.RENDER))],
)
async def presign_upload(request: Request, gateway: Parts) -> Response:
    """Where the storage is a bucket, its clients can send the file there by themselves, in parts of `partSize` bytes,
    in any order and several at once. PUT each to its address, then complete the upload."""
    wanted = await read_json(request, PresignRequest, gateway.settings.max_body_bytes)
    wanted = wanted.model_copy(update={"project_id": project_of(request, wanted.project_id)})
    with gateway.figures.uploads.asked(Way.PRESIGNED):
        upload, urls = await presign(gateway, wanted)
    return json_answer(
        Presigned(
            file_id=upload.file_id,
            part_size=upload.part_size,
            parts=part_count(upload),
            expires_at=iso_utc(upload.expires_ms),
            urls=urls,
            urls_expire_at=_until(gateway),
        ),
        status=201,
    )


@router.post(
    "/api/uploads/{file_id}/parts",
    operation_id="presignParts",
    summary="Addresses for parts of a presigned upload",
    response_model=PartUrls,
    responses=failures(
        UploadError,
        FileNotFound,
        Conflict,
        UploadGone,
        FileTooLarge,
        InvalidOptions,
        UnsupportedOption,
        UploadLocked,
        QueueUnavailable,
        StorageUnavailable,
    ),
    openapi_extra=_json_body(PartsRequest),
    dependencies=[Depends(needs(Scope.RENDER)), OwnUpload],
)
async def presign_parts(request: Request, gateway: Parts, file_id: str) -> Response:
    """Addresses can be asked for as often as they are needed: to send a part again, or when they have expired."""
    wanted = await read_json(request, PartsRequest, gateway.settings.max_body_bytes)
    with gateway.figures.uploads.asked(Way.PRESIGNED):
        urls = await part_urls(gateway, file_id, wanted)
    return json_answer(PartUrls(urls=urls, urls_expire_at=_until(gateway)))


@router.post(
    "/api/uploads/{file_id}/complete",
    operation_id="completeUpload",
    summary="Complete a presigned upload",
    response_model=Uploaded,
    responses=failures(
        FileNotFound,
        Conflict,
        UploadGone,
        UnsupportedMedia,
        UploadLocked,
        QueueUnavailable,
        StorageUnavailable,
    ),
    dependencies=[Depends(needs(Scope.RENDER)), OwnUpload],
)
async def complete_upload(request: Request, gateway: Parts, file_id: str) -> Response:
    """Makes the file of its parts. When some are missing, `details.missing` of the answer has their numbers. The
    content must be of the kind that the name says, else the file is deleted. Asking twice is no error."""
    with gateway.figures.uploads.asked(Way.PRESIGNED):
        upload = await complete(gateway, file_id)
    return json_answer(uploaded(gateway, request, upload))


def _until(gateway: Gateway) -> str:
    return iso_utc(gateway.clock.now_ms() + URL_SECONDS * 1000)

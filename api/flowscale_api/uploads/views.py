"""What clients are told of an upload."""

from __future__ import annotations

from fastapi import Request

from flowscale.media import MEDIA_TYPES
from flowscale.uploads.base import Upload, UploadState
from flowscale_api.deps import Gateway
from flowscale_api.links import public_url
from flowscale_api.schemas import Uploaded, UploadFacts

_MIME = {media.name: media.mime for media in MEDIA_TYPES}


def uploaded(gateway: Gateway, request: Request, upload: Upload) -> Uploaded:
    """Of a complete upload: what POST /api/upload answers."""
    return Uploaded(
        file_id=upload.file_id,
        file_path=upload.key,
        public_url=public_url(gateway, request, upload.key),
        filename=upload.key.rpartition("/")[2],
        size=upload.total,
        mimetype=_MIME[upload.media],
    )


def upload_facts(gateway: Gateway, request: Request, upload: Upload) -> UploadFacts:
    """Of any upload that has not ended."""
    if upload.state is not UploadState.COMPLETE:
        return UploadFacts(file_id=upload.file_id, size=upload.total, complete=False, offset=upload.offset)
    return UploadFacts(**uploaded(gateway, request, upload).model_dump(by_alias=False), complete=True)

"""Presigned uploads: the client sends the parts to the storage by itself, the gateway only says where.

What a client says of its file counts for nothing in the end: the parts are counted and measured where they lie, and
the content must be of the kind that the name says, by which it is stored and served. What is not is deleted.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import ConfigDict, Field

from flowscale import logs, names
from flowscale.errors import Conflict, FileNotFound, FileTooLarge, UnsupportedMedia, UnsupportedOption
from flowscale.media import MEDIA_TYPES, SNIFF_BYTES, MediaType, sniff
from flowscale.storage.base import Part, Storage
from flowscale.uploads.base import Upload, UploadKind, UploadState
from flowscale.validation import Strict
from flowscale_api.access.owned import keep_owner
from flowscale_api.deps import Gateway
from flowscale_api.schemas import PartUrl
from flowscale_api.uploads.figures import Way
from flowscale_api.uploads.receiving import KINDS, MAX_PROJECT_ID, stored_name, too_large
from flowscale_api.uploads.resumable import end, held, in_storage, lost, new_upload

MOST_URLS = 100
"""Addresses in one answer."""

URL_SECONDS = 3600
"""How long an address can be used."""

MAX_SHOWN = 100
"""Missing parts listed in one answer."""

_log = logs.get("gateway")


class PresignRequest(Strict):
    """A file that the client is going to send to the storage by itself."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"filename": "holiday.mp4", "size": 1_048_576}]})

    filename: str = Field(min_length=1, max_length=1000)
    """Its name; the extension says what it is, and the content must agree."""
    size: int = Field(ge=1, le=2**53)
    """Its size in bytes."""
    project_id: str | None = Field(default=None, max_length=MAX_PROJECT_ID)


class PartsRequest(Strict):
    """Parts whose addresses are wanted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"numbers": [1, 2]}]})

    numbers: list[int] = Field(min_length=1, max_length=MOST_URLS)
    """From 1; each at most once."""


async def presign(gateway: Gateway, wanted: PresignRequest) -> tuple[Upload, list[PartUrl]]:
    """Begin an upload; the addresses of its first parts. Raises UnsupportedMedia, FileTooLarge, and UnsupportedOption
    for a storage that only the gateway can write to."""
    if wanted.size > gateway.settings.max_upload_bytes:
        raise FileTooLarge(too_large(gateway.settings.max_upload_bytes))
    media = _media_named(wanted.filename)
    upload = new_upload(gateway, UploadKind.PRESIGNED, wanted.size, wanted.filename, wanted.project_id)
    key = names.upload_key(upload.file_id, stored_name(wanted.filename, media))
    upload = replace(upload, key=key, media=media.name, upload=await in_storage(gateway.storage.begin, key))
    try:
        urls = await _urls(gateway.storage, upload, range(1, min(MOST_URLS, part_count(upload)) + 1))
        upload = await gateway.uploads.create(upload)
    except BaseException:
        await in_storage(gateway.storage.abort, upload.key, upload.upload)
        raise
    return upload, urls


async def part_urls(gateway: Gateway, file_id: str, wanted: PartsRequest) -> list[PartUrl]:
    """Raises Conflict for an upload that is complete, or a number that it has no part of."""
    async with held(gateway, file_id) as (upload, token):
        _check_presigned(upload)
        if upload.state is not UploadState.OPEN:
            raise Conflict(f"The upload {file_id} is complete; nothing more can be sent.")
        count = part_count(upload)
        if any(not 1 <= number <= count for number in wanted.numbers):
            raise Conflict(f"The upload {file_id} has the parts 1 to {count}.", details={"parts": count})
        urls = await _urls(gateway.storage, upload, sorted(set(wanted.numbers)))
        await gateway.uploads.record(file_id, token, 0, (), 0)  # somebody works on it: it does not expire
    return urls


async def complete(gateway: Gateway, file_id: str) -> Upload:
    """Make the file of the parts that the storage holds. Raises Conflict when some are missing or have another size,
    UnsupportedMedia when the content is not of the kind that the name says."""
    async with held(gateway, file_id) as (upload, token):
        _check_presigned(upload)
        if upload.state is UploadState.COMPLETE:
            return upload
        storage = gateway.storage
        await keep_owner(gateway, file_id, upload.project_id)
        try:
            try:
                parts = await in_storage(storage.parts, upload.key, upload.upload)
                _check_parts(upload, parts)
                stored = await in_storage(storage.complete, upload.key, upload.upload, parts)
            except FileNotFound:  # whoever completed it was killed before it could say so
                stored = await in_storage(storage.stat, upload.key)
                await in_storage(storage.abort, upload.key, upload.upload)
            head = await in_storage(_head, storage, upload.key)
        except FileNotFound as error:
            raise await lost(gateway, upload, token) from error
        found = sniff(head)
        if found is None or found.name != upload.media:
            what = f"{found.name}, not {upload.media} as its name says" if found else f"none of {KINDS}"
            refusal = UnsupportedMedia(f"The file's content is {what}; it has been deleted.")
            await in_storage(storage.delete, upload.key)
            await end(gateway, upload, token, refusal.message)
            raise refusal
        upload = await gateway.uploads.complete(file_id, token)
        gateway.figures.uploads.stored(Way.PRESIGNED, stored.size)
    _log.info("upload.stored", "Stored an upload", key=upload.key, size=stored.size, project_id=upload.project_id)
    return upload


def part_count(upload: Upload) -> int:
    return -(-upload.total // upload.part_size)


def _size_of(upload: Upload, number: int) -> int:
    return min(upload.part_size, upload.total - (number - 1) * upload.part_size)


async def _urls(storage: Storage, upload: Upload, numbers: range | list[int]) -> list[PartUrl]:
    return await in_storage(_urls_now, storage, upload, numbers)


def _urls_now(storage: Storage, upload: Upload, numbers: range | list[int]) -> list[PartUrl]:
    made = []
    for number in numbers:
        size = _size_of(upload, number)
        url = storage.presigned_part(upload.key, upload.upload, number, size, URL_SECONDS)
        if url is None:
            raise UnsupportedOption(
                "The storage of this service cannot be sent to directly; upload through the gateway instead: "
                "resumable (tus) at /api/uploads, or in one form at /api/upload."
            )
        made.append(PartUrl(number=number, url=url, size=size))
    return made


def _check_parts(upload: Upload, parts: list[Part]) -> None:
    sizes = {part.number: part.size for part in parts}
    count = part_count(upload)
    missing = [number for number in range(1, count + 1) if sizes.get(number) != _size_of(upload, number)]
    beyond = sorted(number for number in sizes if number > count)
    if not missing and not beyond:
        return
    details: dict[str, object] = {"missing": missing[:MAX_SHOWN], "missingCount": len(missing)}
    if beyond:
        details["beyond"] = beyond[:MAX_SHOWN]
    raise Conflict(
        f"The upload {upload.file_id} is not whole: of its {count} parts {len(missing)} are missing or have another "
        f"size, and {len(beyond)} are too many. Send those in details.missing, then complete it again.",
        details=details,
    )


def _head(storage: Storage, key: str) -> bytes:
    pieces = storage.open_range(key, 0, SNIFF_BYTES)
    try:
        return b"".join(pieces)
    finally:
        pieces.close()


def _check_presigned(upload: Upload) -> None:
    if upload.kind is not UploadKind.PRESIGNED:
        raise Conflict(f"The upload {upload.file_id} is resumable: its bytes come by PATCH, and the last completes it.")


def _media_named(filename: str) -> MediaType:
    name = filename.lower()
    for media in MEDIA_TYPES:
        if name.endswith(media.extensions):
            return media
    known = ", ".join(extension for media in MEDIA_TYPES for extension in media.extensions)
    raise UnsupportedMedia(f"The name of the file must end in one of {known}.")

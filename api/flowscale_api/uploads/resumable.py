"""Resumable uploads: the bytes of one request, from where the upload was to where it is then.

Bytes are gathered to whole parts. Each is stored, then recorded, so that it counts as soon as it is durable. What is
left when the body ends, or is cut, is kept as a rest: nothing that came is asked for again. A request holds the
upload's lock all the while, and a keeper beside it renews the lease. It lets go at once when its client goes away,
when the gateway stops, and when another request wants the upload while nothing comes: then its client is gone, and
nobody has told us.

A request with a checksum counts as a whole or not at all: its parts are stored as they come and recorded at its end.

An upload whose bytes are all there is made visible by whoever meets it so: the last PATCH, or, if that was killed, the
next request of any kind.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar
from uuid import uuid4

from flowscale import logs, names
from flowscale.errors import (
    Conflict,
    DiskFull,
    FileNotFound,
    FlowScaleError,
    LeaseLost,
    QueueUnavailable,
    ServiceError,
    StorageUnavailable,
    UnsupportedMedia,
    UploadError,
)
from flowscale.media import SNIFF_BYTES
from flowscale.storage.base import Part
from flowscale.uploads.base import Begun, Hold, Upload, UploadGone, UploadKind, UploadLocked, UploadState, locked
from flowscale_api.access.owned import keep_owner
from flowscale_api.deps import Gateway
from flowscale_api.threads import in_thread
from flowscale_api.uploads.figures import Way
from flowscale_api.uploads.receiving import media_of, stored_name
from flowscale_api.uploads.tus import Checksum
from flowscale_api.wire.bodies import Body

RENEW_SECONDS = 1.0
"""Between two signs of life of a lock's holder; a fraction of the lease."""

STALLED_SECONDS = 1.0
"""Without a byte for so long, a request gives way to another that wants its upload."""

LOCK_PATIENCE_SECONDS = 4.0
"""How long a request waits for the one before it to let go: that one may be storing what came last."""

LOCK_POLL_SECONDS = 0.1

_Result = TypeVar("_Result")
_log = logs.get("gateway")


class Interrupted(ServiceError):
    """The request is ended by us; what came of it is kept."""

    code = "UPLOAD_INTERRUPTED"
    retry_after = 1


async def find_upload(gateway: Gateway, file_id: str) -> Upload:
    """Raises FileNotFound."""
    if not names.is_file_id(file_id):
        raise FileNotFound("There is no such upload: its id has another form than ours.")
    return await gateway.uploads.get(file_id)


@asynccontextmanager
async def held(gateway: Gateway, file_id: str, *, seize: bool = False) -> AsyncIterator[tuple[Upload, str]]:
    """The upload, locked for the block, and the lock's token; a settled one is only read. Raises UploadGone for one
    that has ended; UploadLocked when another request does not let go, or took the lock from this one."""
    if not names.is_file_id(file_id):
        raise FileNotFound("There is no such upload: its id has another form than ours.")
    token = uuid4().hex
    upload = await _locked(gateway, file_id, token, seize)
    try:
        if upload.state is UploadState.ENDED:
            raise gone(upload)
        yield upload, token
    except LeaseLost as error:
        raise locked(file_id) from error
    finally:
        # A server that is away frees it too: by the lease.
        with suppress(QueueUnavailable):
            await asyncio.shield(gateway.uploads.unlock(file_id, token))


async def _locked(gateway: Gateway, file_id: str, token: str, seize: bool) -> Upload:
    deadline = gateway.clock.monotonic() + LOCK_PATIENCE_SECONDS
    while True:
        try:
            return await gateway.uploads.lock(file_id, token, seize=seize)
        except UploadLocked:
            if gateway.clock.monotonic() > deadline:
                raise
        await asyncio.sleep(LOCK_POLL_SECONDS)


def gone(upload: Upload) -> UploadGone:
    return UploadGone(f"The upload {upload.file_id} has ended. {upload.reason} Begin another.")


async def in_storage(call: Callable[..., _Result], *arguments: object) -> _Result:
    """A call of the storage, in a thread. Raises StorageUnavailable for a full one, too."""
    try:
        return await in_thread(call, *arguments)
    except DiskFull as error:
        raise StorageUnavailable(f"The upload cannot be stored: {error.message}") from error


async def settle(gateway: Gateway, upload: Upload, token: str) -> Upload:
    """Make an upload visible whose bytes are all there. Raises UploadGone when the storage has lost it."""
    if upload.state is not UploadState.OPEN:
        return upload
    storage = gateway.storage
    await keep_owner(gateway, upload.file_id, upload.project_id)
    parts = await gateway.uploads.parts(upload.file_id)
    try:
        try:
            size = (await in_storage(storage.complete, upload.key, upload.upload, parts)).size
        except FileNotFound:  # whoever completed it was killed before it could say so
            size = (await in_storage(storage.stat, upload.key)).size
            await in_storage(storage.abort, upload.key, upload.upload)
    except FileNotFound as error:
        raise await lost(gateway, upload, token) from error
    upload = await gateway.uploads.complete(upload.file_id, token)
    gateway.figures.uploads.stored(Way.RESUMABLE, size)
    await in_storage(storage.drop_rests, upload.file_id)
    _log.info("upload.stored", "Stored an upload", key=upload.key, size=size, project_id=upload.project_id)
    return upload


async def lost(gateway: Gateway, upload: Upload, token: str) -> UploadGone:
    """The error for an upload whose parts the storage no longer has; it is ended."""
    return gone(await end(gateway, upload, token, "The storage has lost what it had of it."))


async def end(gateway: Gateway, upload: Upload, token: str, reason: str) -> Upload:
    """Remove what the storage has of an upload, then say so: whoever is killed in between can be asked again."""
    if upload.upload:
        await in_storage(gateway.storage.abort, upload.key, upload.upload)
    await in_storage(gateway.storage.drop_rests, upload.file_id)
    return await gateway.uploads.end(upload.file_id, token, reason)


async def receive(gateway: Gateway, upload: Upload, token: str, body: Body, checksum: Checksum | None) -> Upload:
    """Take in the bytes that follow the upload's offset; the upload as it is then, complete if those were the last.

    Raises UnsupportedMedia when its content is none that can be uploaded (the upload is ended); ChecksumMismatch;
    Interrupted when the client goes away or silent, or we end it: what came is kept; LeaseLost.
    """
    receiving = Receiving(gateway, upload, token, checksum)
    await receiving.load()
    async with _kept(gateway, receiving) as interruption:
        with gateway.figures.uploads.receiving(Way.RESUMABLE):
            await receiving.take(body, interruption)
        upload = receiving.upload
        if upload.whole:
            upload = await settle(gateway, upload, token)
    return upload


class Receiving:
    """The bytes of one request on their way into the storage. `upload` is what is recorded."""

    def __init__(self, gateway: Gateway, upload: Upload, token: str, checksum: Checksum | None) -> None:
        self.upload = upload
        self.token = token
        self.last_byte = gateway.clock.monotonic()
        self._gateway = gateway
        self._storage = gateway.storage
        self._checksum = checksum
        self._buffer = bytearray()  # follows what is in parts
        self._begun: Begun | None = None  # not recorded yet
        self._parts: list[Part] = []  # stored, not recorded yet
        self._had_rest = upload.rest > 0
        self._unsupported: UnsupportedMedia | None = None

    async def load(self) -> None:
        """Take up the rest of an earlier request. Raises Conflict when the storage has lost it."""
        upload = self.upload
        if not upload.rest:
            return
        try:
            rest = await in_storage(self._storage.rest, upload.file_id, upload.stored)
        except FileNotFound:
            rest = b""
        if len(rest) < upload.rest:
            upload = await self._gateway.uploads.record(upload.file_id, self.token, upload.count, (), 0)
            raise Conflict(
                f"The storage has lost the last bytes of the upload; it is at byte {upload.offset} now: go on there.",
                details={"offset": upload.offset},
            )
        # It may be longer: whoever kept it was killed before it could record so.
        self._buffer += memoryview(rest)[: upload.rest]

    async def take(self, body: Body, interruption: asyncio.Future[FlowScaleError]) -> None:
        """To the end of the body, or of the upload."""
        try:
            while data := await _next(body, interruption):
                self.last_byte = self._gateway.clock.monotonic()
                await self._take(data)
        except (Interrupted, asyncio.CancelledError):
            await (self._discard() if self._checksum else self._keep())
            raise
        except LeaseLost:
            await self._withdraw()
            raise
        except FlowScaleError:
            if self._checksum:
                await self._discard()
            raise
        if self._checksum is not None:
            try:
                self._checksum.check()
            except FlowScaleError:
                await self._discard()
                raise
            if self._unsupported is not None:
                raise await self._refuse(self._unsupported)
        await self._keep()

    @property
    def _received(self) -> int:
        """Bytes of the file up to the last that came."""
        return self.upload.stored + sum(part.size for part in self._parts) + len(self._buffer)

    async def _take(self, data: bytes) -> None:
        if self._checksum is not None:
            self._checksum.update(data)
            if self._unsupported is not None:
                return  # it is refused when it has proved to be what the client meant to send
        self._buffer += data
        if not self._key and len(self._buffer) >= SNIFF_BYTES:
            await self._open()
        while self._key and len(self._buffer) >= self.upload.part_size:
            await self._store(self.upload.part_size)

    @property
    def _key(self) -> str:
        return self._begun.key if self._begun else self.upload.key

    async def _open(self) -> None:
        upload = self.upload
        try:
            media = media_of(self._buffer)
        except UnsupportedMedia as error:
            if self._checksum is None:
                raise await self._refuse(error) from error
            self._unsupported = error
            self._buffer.clear()
            return
        key = names.upload_key(upload.file_id, stored_name(upload.name, media))
        self._begun = Begun(key, media.name, await in_storage(self._storage.begin, key))
        if self._checksum is None:
            await self._record(upload.rest)

    async def _store(self, size: int) -> None:
        """The first `size` bytes of the buffer as the next part."""
        name = self._begun.upload if self._begun else self.upload.upload
        number = self.upload.count + len(self._parts) + 1
        start = self.upload.stored + sum(part.size for part in self._parts)
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        try:
            self._parts.append(await in_storage(self._storage.part, self._key, name, number, start, data))
        except FileNotFound as error:
            raise await lost(self._gateway, self.upload, self.token) from error
        if self._checksum is None:
            await self._record(0)

    async def _record(self, rest: int) -> None:
        """Tell the ledger what is durable."""
        uploads, upload = self._gateway.uploads, self.upload
        self.upload = await uploads.record(upload.file_id, self.token, upload.count, self._parts, rest, self._begun)
        recorded, self._parts, self._begun = bool(self._parts), [], None
        if recorded and self._had_rest and not rest:
            self._had_rest = False
            await in_storage(self._storage.drop_rests, upload.file_id)

    async def _keep(self) -> None:
        """Make durable what is in memory, and record it."""
        upload = self.upload
        if self._received == upload.offset and not self._parts:
            return  # nothing new came
        try:
            if not self._key and self._received == upload.total:
                await self._open()
            if self._key and self._received == upload.total:
                await self._store(len(self._buffer)) if self._buffer else None
            elif self._buffer:
                start = self._received - len(self._buffer)
                await in_storage(self._storage.put_rest, upload.file_id, start, self._buffer)
            if self._parts or self._received != self.upload.offset:
                await self._record(len(self._buffer))
        except LeaseLost:
            await self._withdraw()
            raise

    async def _discard(self) -> None:
        """Nothing of this request counts. Parts it stored are replaced by those that come in their place."""
        if self._begun is not None:
            await in_storage(self._storage.abort, self._begun.key, self._begun.upload)

    async def _withdraw(self) -> None:
        """Another request has the upload: leave nothing that it does not know of."""
        await self._discard()
        try:
            upload = await self._gateway.uploads.get(self.upload.file_id)
        except FileNotFound:
            upload = None
        if upload is None or upload.state is not UploadState.OPEN:
            await in_storage(self._storage.drop_rests, self.upload.file_id)

    async def _refuse(self, error: UnsupportedMedia) -> UnsupportedMedia:
        await end(self._gateway, self.upload, self.token, error.message)
        return error


async def _next(body: Body, interruption: asyncio.Future[FlowScaleError]) -> bytes:
    """The next bytes of the body, unless something ends the request before they come."""
    reading = asyncio.ensure_future(body.read())
    try:
        await asyncio.wait((reading, interruption), return_when=asyncio.FIRST_COMPLETED)
        if reading.done():
            return reading.result()
    except UploadError as error:
        # In tus' terms no fault of the client, who would give up on one: it is to come back.
        raise Interrupted(
            "The bytes stopped coming, or came too slowly. Ask with HEAD how many are stored, and go on from there."
        ) from error
    finally:
        if not reading.done():
            reading.cancel()
            await asyncio.wait((reading,))
    raise interruption.result()


@asynccontextmanager
async def _kept(gateway: Gateway, receiving: Receiving) -> AsyncIterator[asyncio.Future[FlowScaleError]]:
    """Renews the lock beside the block. What it yields is done when the request must end, and tells why."""
    interruption: asyncio.Future[FlowScaleError] = asyncio.get_running_loop().create_future()
    keeper = asyncio.create_task(_keep_lock(gateway, receiving, interruption))
    try:
        yield interruption
    finally:
        keeper.cancel()
        await asyncio.wait((keeper,))


async def _keep_lock(gateway: Gateway, receiving: Receiving, interruption: asyncio.Future[FlowScaleError]) -> None:
    def interrupt(error: FlowScaleError) -> None:
        if not interruption.done():
            interruption.set_result(error)

    while True:
        with suppress(TimeoutError):
            await asyncio.wait_for(gateway.stopping.wait(), RENEW_SECONDS)
            interrupt(Interrupted("This gateway stops. What came of the upload is kept; go on with another."))
            await asyncio.sleep(RENEW_SECONDS)
        try:
            hold = await gateway.uploads.renew(receiving.upload.file_id, receiving.token)
        except QueueUnavailable:
            continue  # what cannot be recorded fails by itself, and tells the client why
        silent_s = gateway.clock.monotonic() - receiving.last_byte
        if hold is Hold.LOST:
            interrupt(LeaseLost("The lock of the upload was taken by another request."))
        elif hold is Hold.WANTED and silent_s >= STALLED_SECONDS:
            interrupt(Interrupted("Another request goes on with the upload, and nothing came of this one."))


def new_upload(gateway: Gateway, kind: UploadKind, total: int, name: str, project_id: str | None) -> Upload:
    """A fresh record; `name` is the client's."""
    return Upload(
        file_id=uuid4().hex,
        kind=kind,
        total=total,
        name=names.safe_name(name, fallback=""),
        project_id=project_id,
        part_size=gateway.storage.part_size(total),
        created_ms=gateway.clock.now_ms(),
    )

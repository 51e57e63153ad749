"""The storage protocol over a bucket.

    <prefix>uploads/<fileId>/<name>
    <prefix>outputs/<jobId>/<execution>/<name>
    <prefix>rests/<fileId>/<start>       what does not fill a part yet
    <prefix>checks/writable              what readiness writes

An object appears when it was put whole, or when its parts are completed: never half. Every failure path aborts what it
began; what a killed process leaves is found by `open_uploads` and ended by `reap`.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

from flowscale import logs
from flowscale.errors import DiskFull, FileNotFound, FlowScaleError, InvalidPath, StorageUnavailable
from flowscale.media import mime_of
from flowscale.names import is_file_id, is_key, is_key_prefix
from flowscale.storage.base import CHUNK, WRITER_MOST, OpenUpload, Part, StoredObject
from flowscale.storage.s3.client import Clients, patiently, translated
from flowscale.storage.s3.place import S3Place
from flowscale.storage.s3.reading import Reading
from flowscale.storage.s3.sending import S3Writer, Senders, part_size_for
from flowscale.storage.tree import open_plain

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

FOLDERS = ("uploads", "outputs")
RESTS = "rests/"
CHECK = "checks/writable"

_log = logs.get("storage")


class S3Storage:
    """A bucket as a storage. `close` it at the end."""

    def __init__(self, place: S3Place) -> None:
        self._place = place
        self._clients = Clients(place)
        self._starting = threading.Lock()
        self._senders: tuple[int, Senders] | None = None

    # Whole objects.

    def writer(self, key: str, most: int = WRITER_MOST) -> S3Writer:
        _checked(key)
        return S3Writer(self, key, most)

    def put_file(self, key: str, source: Path) -> StoredObject:
        """Leaves the file where it is."""
        _checked(key)
        try:
            file = open_plain(source)
        except OSError as fault:
            raise _local(fault, source) from fault
        with file, self.writer(key, max(os.fstat(file.fileno()).st_size, 1)) as writer:
            while piece := file.read(CHUNK):
                writer.write(piece)
            return writer.commit()

    def put_whole(self, key: str, data: bytes | bytearray) -> StoredObject:
        def put() -> StoredObject:
            with self._calling(key) as client, self.senders().held(len(data)):
                answer = client.put_object(
                    Bucket=self._place.bucket, Key=self._name(key), Body=_body(data), ContentType=mime_of(key)
                )
            try:
                return self.stat(key)
            except FileNotFound:  # deleted already
                said = answer["ResponseMetadata"]["HTTPHeaders"]["date"]
                return _stored(key, len(data), answer["ETag"], parsedate_to_datetime(said))

        return patiently(put)

    def fetch(self, key: str, target: Path) -> StoredObject:
        reading = self._reading(key, 0, None)
        try:
            with open(target, "xb") as file:
                try:
                    for piece in reading:
                        file.write(piece)
                except BaseException:
                    target.unlink()
                    raise
        except OSError as fault:
            raise _local(fault, target) from fault
        finally:
            reading.close()
        return reading.stored

    def open_range(self, key: str, start: int, length: int) -> Generator[bytes, None, None]:
        """Opened before it returns. Raises ValueError below 0."""
        if start < 0 or length < 0:
            raise ValueError(f"a range has no negative numbers: start {start}, length {length}")
        return _pieces(self._reading(key, start, length))

    def stat(self, key: str) -> StoredObject:
        _checked(key)
        with self._calling(key) as client:
            head = client.head_object(Bucket=self._place.bucket, Key=self._name(key))
        return _stored(key, head["ContentLength"], head["ETag"], head["LastModified"])

    def find(self, prefix: str) -> Iterator[StoredObject]:
        if not is_key_prefix(prefix):
            raise InvalidPath(f"{prefix!r} is not the beginning of a storage key.")
        return (stored for stored in self._listed(prefix) if is_key(stored.key))

    def delete(self, key: str) -> None:
        _checked(key)
        self._delete(key)

    def url(self, key: str) -> str | None:
        _checked(key)
        return f"{self._place.public_base}/{self._name(key)}" if self._place.public_base else None

    def signed_url(self, key: str, seconds: int, *, attachment: bool = False) -> str | None:
        _checked(key)
        disposition = f'{"attachment" if attachment else "inline"}; filename="{key.rsplit("/", 1)[-1]}"'
        with self._calling(key) as client:
            return client.generate_presigned_url(
                "get_object",
                Params={
                    "Bucket": self._place.bucket,
                    "Key": self._name(key),
                    "ResponseContentType": mime_of(key),
                    "ResponseContentDisposition": disposition,
                },
                ExpiresIn=seconds,
            )

    # Objects in parts.

    def part_size(self, total: int) -> int:
        return part_size_for(total)

    def begin(self, key: str) -> str:
        _checked(key)

        def begin() -> str:
            with self._calling(key) as client:
                begun = client.create_multipart_upload(
                    Bucket=self._place.bucket, Key=self._name(key), ContentType=mime_of(key)
                )
            return begun["UploadId"]

        return patiently(begin)

    def part(self, key: str, upload: str, number: int, start: int, data: bytes | memoryview) -> Part:
        """The bucket knows the order by the numbers: `start` is not used."""
        with self.senders().held(len(data)):
            return self.send_part(key, upload, number, bytes(data), threading.Event())

    def send_part(self, key: str, upload: str, number: int, data: bytes | bytearray, stop: threading.Event) -> Part:
        _checked(key)

        def send() -> Part:
            with self._calling(f"that is being uploaded as {key}") as client:
                sent = client.upload_part(
                    Bucket=self._place.bucket, Key=self._name(key), UploadId=upload, PartNumber=number, Body=_body(data)
                )
            return Part(number, len(data), sent["ETag"].strip('"'))

        return patiently(send, stop)

    def complete(self, key: str, upload: str, parts: Sequence[Part]) -> StoredObject:
        _checked(key)
        named: list[CompletedPartTypeDef] = [{"PartNumber": part.number, "ETag": f'"{part.tag}"'} for part in parts]

        def complete() -> StoredObject:
            try:
                with translated(f"that is being uploaded as {key}", self._place):
                    # Some services copy all parts for it.
                    self._clients.slow.complete_multipart_upload(
                        Bucket=self._place.bucket,
                        Key=self._name(key),
                        UploadId=upload,
                        MultipartUpload={"Parts": named},
                    )
            except FileNotFound:
                # Perhaps it was done, and the answer lost: by us, or by whoever asked before.
                stored = self.stat(key)
                if stored.size != sum(part.size for part in parts):
                    raise
                return stored
            return self.stat(key)

        return patiently(complete)

    def abort(self, key: str, upload: str) -> None:
        _checked(key)
        with suppress(FileNotFound), self._calling(key) as client:
            client.abort_multipart_upload(Bucket=self._place.bucket, Key=self._name(key), UploadId=upload)

    def abandon(self, key: str, upload: str) -> None:
        """Abort what failed; when that fails too, `reap` will do it."""
        try:
            self.abort(key, upload)
        except FlowScaleError as fault:
            _log.warning(
                "upload.left", "An upload that failed could not be aborted; it will be", key=key, reason=fault.message
            )

    def open_uploads(self) -> Iterator[OpenUpload]:
        with self._calling("in parts") as client:
            pages = client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._place.bucket, Prefix=self._place.prefix
            )
            for page in pages:
                for found in page.get("Uploads", []):
                    key = found["Key"].removeprefix(self._place.prefix)
                    if is_key(key):
                        yield OpenUpload(key, found["UploadId"], _ms(found["Initiated"]))

    def presigned_part(self, key: str, upload: str, number: int, size: int, seconds: int) -> str | None:
        """Its size is signed, too: no more can be stored by it than was agreed."""
        _checked(key)
        with self._calling(key) as client:
            return client.generate_presigned_url(
                "upload_part",
                Params={
                    "Bucket": self._place.bucket,
                    "Key": self._name(key),
                    "UploadId": upload,
                    "PartNumber": number,
                    "ContentLength": size,
                },
                ExpiresIn=seconds,
            )

    def parts(self, key: str, upload: str) -> list[Part]:
        _checked(key)
        with self._calling(f"that is being uploaded as {key}") as client:
            pages = client.get_paginator("list_parts").paginate(
                Bucket=self._place.bucket, Key=self._name(key), UploadId=upload
            )
            return [
                Part(found["PartNumber"], found["Size"], found["ETag"].strip('"'))
                for page in pages
                for found in page.get("Parts", [])
            ]

    # Rests.

    def put_rest(self, file_id: str, start: int, data: bytes | memoryview) -> None:
        name = self._name(f"{_rests(file_id)}{start}")

        def put() -> None:
            with self._calling(f"the rest of {file_id}") as client, self.senders().held(len(data)):
                client.put_object(Bucket=self._place.bucket, Key=name, Body=bytes(data))

        patiently(put)

    def rest(self, file_id: str, start: int) -> bytes:
        name = self._name(f"{_rests(file_id)}{start}")

        def get() -> bytes:
            with self._calling(f"that is the rest of {file_id}") as client:
                return client.get_object(Bucket=self._place.bucket, Key=name)["Body"].read()

        return patiently(get)

    def drop_rests(self, file_id: str) -> None:
        for stored in self._listed(_rests(file_id)):
            self._delete(stored.key)

    def reap(self, before_ms: int) -> int:
        reaped = 0
        for upload in list(self.open_uploads()):
            if upload.begun_ms < before_ms:
                self.abort(upload.key, upload.upload)
                reaped += 1
        old = [stored.key for stored in self._listed(RESTS) if stored.modified_ms < before_ms]
        for key in old:
            self._delete(key)
        return reaped + len({key.split("/")[1] for key in old})

    # The bucket.

    def describe(self, folder: str) -> str:
        if folder not in FOLDERS:
            raise InvalidPath(f"There is no folder {folder!r} in the storage.")
        return f"s3://{self._place.bucket}/{self._place.prefix}{folder}"

    def check(self) -> None:
        """Writes one small object, always the same."""
        try:
            with translated("a test of writing", self._place):
                self._clients.quick.put_object(Bucket=self._place.bucket, Key=self._name(CHECK), Body=b"")
        except (DiskFull, FileNotFound) as fault:
            raise StorageUnavailable(fault.message) from fault

    def close(self) -> None:
        with self._starting:
            senders, self._senders = self._senders, None
        if senders is not None and senders[0] == os.getpid():
            senders[1].close()
        self._clients.close()

    def senders(self) -> Senders:
        """This process's; a fork makes its own."""
        with self._starting:
            if self._senders is None or self._senders[0] != os.getpid():
                self._senders = (os.getpid(), Senders())
            return self._senders[1]

    def _reading(self, key: str, start: int, length: int | None) -> Reading:
        _checked(key)
        return Reading(self._clients, self._place, key, self._name(key), start, length)

    def _name(self, key: str) -> str:
        return f"{self._place.prefix}{key}"

    def _listed(self, prefix: str) -> Iterator[StoredObject]:
        with self._calling(prefix) as client:
            pages = client.get_paginator("list_objects_v2").paginate(
                Bucket=self._place.bucket, Prefix=self._name(prefix)
            )
            for page in pages:
                for found in page.get("Contents", []):
                    key = found["Key"].removeprefix(self._place.prefix)
                    yield _stored(key, found["Size"], found["ETag"], found["LastModified"])

    def _delete(self, key: str) -> None:
        with suppress(FileNotFound), self._calling(key) as client:
            client.delete_object(Bucket=self._place.bucket, Key=self._name(key))

    @contextmanager
    def _calling(self, what: str) -> Iterator[S3Client]:
        with translated(what, self._place):
            yield self._clients.usual


def _pieces(reading: Reading) -> Generator[bytes, None, None]:
    try:
        yield from reading
    finally:
        reading.close()


def _body(data: bytes | bytearray) -> bytes:
    """The types know no bytearray; the client takes it as it is, and a copy would double what a part holds."""
    return cast(bytes, data)


def _checked(key: str) -> None:
    if not is_key(key):
        raise InvalidPath(f"{key!r} is not a storage key.")


def _rests(file_id: str) -> str:
    if not is_file_id(file_id):
        raise InvalidPath(f"{file_id!r} is not the id of a file.")
    return f"{RESTS}{file_id}/"


def _stored(key: str, size: int, etag: str, modified: datetime) -> StoredObject:
    return StoredObject(key, size, etag.strip('"'), _ms(modified))


def _ms(moment: datetime) -> int:
    """Whole seconds: some answers carry no more, and one object must look the same in all."""
    return int(moment.timestamp()) * 1000


def _local(fault: OSError, path: Path) -> FlowScaleError:
    """A fault of the local file at the other end."""
    if fault.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return DiskFull(f"There is no room for {path.name} in {path.parent} ({fault.strerror}). Free space there.")
    if fault.errno in (errno.ELOOP, errno.EISDIR):
        return InvalidPath(f"{path.name} is no plain file.")
    if fault.errno == errno.ENOENT and not path.is_file():
        return FileNotFound(f"There is no file {path.name}.")
    return StorageUnavailable(f"{path} cannot be used ({fault.strerror}). See that its folder is there and writable.")

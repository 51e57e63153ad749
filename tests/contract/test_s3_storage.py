"""Storage in a bucket: the suite of every backend on real S3 servers, and what only a bucket can get wrong."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from contract.storage_suite import MIB, StorageSuite, ask, keys, put, read, upload_key
from flowscale.errors import FileNotFound, StorageUnavailable
from flowscale.storage.base import Storage
from flowscale.storage.opening import open_storage
from redis_server import make_certificates
from s3_servers import Endpoint, MotoServer, RcloneServer, VersityGateway
from s3_shims import R2Shim, SupabaseShim

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef


@contextmanager
def opened(endpoint: Endpoint, bucket: str, **changes: Any) -> Iterator[Storage]:
    storage = open_storage(endpoint.settings(bucket, **changes))
    try:
        yield storage
    finally:
        storage.close()


@contextmanager
def asking(endpoint: Endpoint, **config: Any) -> Iterator[S3Client]:
    client = endpoint.client(**config)
    try:
        yield client
    finally:
        client.close()


@pytest.fixture(scope="module")
def versity() -> Iterator[VersityGateway]:
    with VersityGateway() as server:
        yield server


@pytest.fixture(scope="module")
def rclone() -> Iterator[RcloneServer]:
    with RcloneServer() as server:
        yield server


@pytest.fixture(scope="module")
def moto() -> Iterator[MotoServer]:
    with MotoServer() as server:
        yield server


@pytest.fixture(scope="module")
def r2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[R2Shim]:
    certificates = make_certificates(tmp_path_factory.mktemp("certificates"))
    with VersityGateway(region="auto") as server, R2Shim(server, certificates) as shim:
        yield shim


@pytest.fixture(scope="module")
def supabase(versity: VersityGateway) -> Iterator[SupabaseShim]:
    with SupabaseShim(versity) as shim:
        yield shim


@pytest.fixture(scope="module")
def shared_bucket(versity: VersityGateway) -> str:
    """Another installation is in it, too."""
    name = versity.make_bucket()
    with asking(versity) as client:
        client.put_object(Bucket=name, Key=upload_key(), Body=b"not ours")
        client.create_multipart_upload(Bucket=name, Key=upload_key())
    return name


class S3Suite(StorageSuite):
    """A test that a server cannot pass is replaced in its class by one of what it does instead, and why."""

    memory_limit = 96 * MIB  # parts on their way, and one being gathered

    @pytest.fixture
    def endpoint(self) -> Endpoint:
        raise NotImplementedError

    @pytest.fixture
    def bucket(self, endpoint: Endpoint) -> Iterator[str]:
        self.server, self.name = endpoint, endpoint.make_bucket()
        yield self.name
        endpoint.empty(self.name)

    @pytest.fixture
    def storage(self, endpoint: Endpoint, bucket: str) -> Iterator[Storage]:
        with opened(endpoint, bucket) as storage:
            yield storage


class TestVersityGateway(S3Suite):
    @pytest.fixture
    def endpoint(self, versity: VersityGateway) -> Endpoint:
        return versity


class TestVersityGatewayWithAPrefix(S3Suite):
    """All of it in one bucket, where other things lie too."""

    @pytest.fixture
    def storage(self, versity: VersityGateway, shared_bucket: str) -> Iterator[Storage]:
        with opened(versity, shared_bucket, prefix=f"videos/{secrets.token_hex(8)}") as storage:
            yield storage


class TestR2(S3Suite):
    @pytest.fixture
    def endpoint(self, r2: R2Shim, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
        monkeypatch.setenv("AWS_CA_BUNDLE", str(r2.certificate))
        monkeypatch.setenv("SSL_CERT_FILE", str(r2.certificate))
        r2.refused.clear()
        yield r2
        assert not r2.refused


class TestSupabase(S3Suite):
    @pytest.fixture
    def endpoint(self, supabase: SupabaseShim) -> Endpoint:
        return supabase


class TestRclone(S3Suite):
    @pytest.fixture
    def endpoint(self, rclone: RcloneServer) -> Endpoint:
        return rclone

    # It writes parts to their file as they come, and takes each number once.
    def test_a_part_that_comes_again_replaces_the_first(self, storage: Storage) -> None:
        key = upload_key()
        upload = storage.begin(key)
        stored = storage.part(key, upload, 1, 0, b"content")
        with pytest.raises(StorageUnavailable, match="NotImplemented"):
            storage.part(key, upload, 1, 0, b"another")
        storage.complete(key, upload, [stored])
        assert read(storage, key) == b"content"

    # An upload that it would not complete is gone.
    def test_parts_that_are_not_as_they_were_stored_make_no_object(self, storage: Storage) -> None:
        key = upload_key()
        upload = storage.begin(key)
        stored = storage.part(key, upload, 1, 0, b"content")
        forged = type(stored)(1, stored.size, "0" * 32)
        with pytest.raises(StorageUnavailable, match="InvalidPart"):
            storage.complete(key, upload, [forged])
        with pytest.raises(FileNotFound):
            storage.complete(key, upload, [stored])
        with pytest.raises(FileNotFound):
            storage.stat(key)


class TestMoto(S3Suite):
    big = 16 * MIB  # it copies what it holds many times over

    @pytest.fixture
    def endpoint(self, moto: MotoServer) -> Endpoint:
        return moto

    # What is asked of an upload that is not open ends in an exception of its own: nobody can tell it from a failure.
    def test_a_completed_upload_takes_no_more_parts(self, storage: Storage) -> None:
        key = upload_key()
        upload = storage.begin(key)
        stored = storage.complete(key, upload, [storage.part(key, upload, 1, 0, b"content")])
        self._fails_to_take_a_part(key, upload)
        storage.abort(key, upload)
        assert storage.stat(key) == stored

    def test_an_aborted_upload_leaves_nothing(self, storage: Storage) -> None:
        key = upload_key()
        upload = storage.begin(key)
        part = storage.part(key, upload, 1, 0, b"content")
        storage.abort(key, upload)
        storage.abort(key, upload)
        assert list(storage.open_uploads()) == []
        self._fails_to_take_a_part(key, upload)
        with pytest.raises(FileNotFound):
            storage.parts(key, upload)
        with asking(self.server) as client, pytest.raises(ClientError, match="500"):
            client.complete_multipart_upload(
                Bucket=self.name,
                Key=key,
                UploadId=upload,
                MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part.tag}]},
            )

    def test_an_upload_that_never_was(self, storage: Storage) -> None:
        key, upload = upload_key(), "f" * 32
        self._fails_to_take_a_part(key, upload)
        with pytest.raises(FileNotFound):
            storage.parts(key, upload)
        storage.abort(key, upload)

    def _fails_to_take_a_part(self, key: str, upload: str) -> None:
        with asking(self.server) as client, pytest.raises(ClientError, match="500"):
            client.upload_part(Bucket=self.name, Key=key, UploadId=upload, PartNumber=1, Body=b"content")

    # Every upload was begun in 2010.
    def test_open_uploads_are_found(self, storage: Storage) -> None:
        begun = {(key, storage.begin(key)) for key in (upload_key(), upload_key())}
        found = list(storage.open_uploads())
        assert {(each.key, each.upload) for each in found} == begun
        assert {each.begun_ms for each in found} == {1_289_422_113_000}

    def test_what_was_begun_before_is_reaped(self, storage: Storage) -> None:
        storage.begin(upload_key())
        storage.put_rest(secrets.token_hex(16), 0, b"kept now")
        assert storage.reap(1_289_422_113_000) == 0
        assert storage.reap(1_289_422_114_000) == 1
        assert list(storage.open_uploads()) == []

    # Signatures are not looked at.
    def test_the_address_of_a_part_is_good_for_that_part_alone(self, storage: Storage) -> None:
        key = upload_key()
        upload = storage.begin(key)
        url = storage.presigned_part(key, upload, 1, 7, 600)
        assert url is not None
        assert ask(url, b"content and more")[0] == 200

    def test_a_signed_address_is_good_for_its_object_alone(self, storage: Storage) -> None:
        key, other = upload_key(), upload_key()
        put(storage, key, b"content")
        put(storage, other, b"secret")
        url = storage.signed_url(key, 600)
        assert url is not None
        assert ask(url.replace(key, other))[2] == b"secret"


# What else lies in a bucket.


def test_installations_in_one_bucket_do_not_see_each_other(versity: VersityGateway) -> None:
    bucket = versity.make_bucket()
    places = ("", "videos", "videos/of-ours/")
    key, file_id = upload_key(), secrets.token_hex(16)
    for prefix in places:
        with opened(versity, bucket, prefix=prefix) as storage:
            put(storage, key, f"in {prefix!r}".encode())
            storage.put_rest(file_id, 0, prefix.encode())
            storage.begin(key)
    for prefix in places:
        with opened(versity, bucket, prefix=prefix) as storage:
            assert keys(storage, "uploads/") == {key}
            assert read(storage, key) == f"in {prefix!r}".encode()
            assert storage.rest(file_id, 0) == prefix.encode()
            assert [upload.key for upload in storage.open_uploads()] == [key]
            assert storage.reap(10**14) == 2
            storage.delete(key)
            assert keys(storage, "uploads/") == set()
    assert versity.left_over(bucket) == []


def test_what_is_no_object_of_ours_is_passed_over(versity: VersityGateway) -> None:
    bucket, key = versity.make_bucket(), upload_key()
    with asking(versity) as client, opened(versity, bucket) as storage:
        put(storage, key, b"content")
        for other in ("uploads/readme.txt", f"{key}.part/1", "outputs/my job/film.mp4", "index.html"):
            client.put_object(Bucket=bucket, Key=other, Body=b"not ours")
            client.create_multipart_upload(Bucket=bucket, Key=other)
        assert keys(storage, "uploads/") == {key}
        assert keys(storage, "outputs/") == set()
        assert list(storage.open_uploads()) == []
        assert storage.reap(10**14) == 0
        assert len(versity.left_over(bucket)) == 4


def test_more_objects_than_one_answer_holds(versity: VersityGateway) -> None:
    bucket, stored = versity.make_bucket(), {upload_key() for _ in range(1100)}
    with asking(versity, max_pool_connections=8) as client, opened(versity, bucket) as storage:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: client.put_object(Bucket=bucket, Key=key, Body=b""), stored))
        assert keys(storage, "uploads/") == stored


def test_more_uploads_than_one_answer_holds(rclone: RcloneServer) -> None:
    with SupabaseShim(rclone, page=2) as service:
        bucket, begun = service.make_bucket(), {upload_key() for _ in range(5)}
        with asking(service) as client, opened(service, bucket) as storage:
            for key in begun:
                client.create_multipart_upload(Bucket=bucket, Key=key)
            assert len(client.list_multipart_uploads(Bucket=bucket)["Uploads"]) == 2
            assert {upload.key for upload in storage.open_uploads()} == begun
            assert storage.reap(10**14) == 5
            assert list(storage.open_uploads()) == []


def test_versitygw_does_not_take_the_markers_it_gave(versity: VersityGateway) -> None:
    """Why the test above is on another server: of more than one page of uploads, it answers the first alone."""
    bucket = versity.make_bucket()
    with asking(versity) as client:
        for _ in range(2):
            client.create_multipart_upload(Bucket=bucket, Key=upload_key())
        page = client.list_multipart_uploads(Bucket=bucket, MaxUploads=1)
        assert page["IsTruncated"]
        key, upload = page["NextKeyMarker"], page["NextUploadIdMarker"]
        with pytest.raises(ClientError, match="Invalid uploadId marker"):
            client.list_multipart_uploads(Bucket=bucket, MaxUploads=1, KeyMarker=key, UploadIdMarker=upload)


def test_links_lead_to_the_public_address(versity: VersityGateway) -> None:
    bucket, key = versity.make_bucket(), upload_key()
    with opened(versity, bucket, prefix="videos", public_base_url="https://cdn.example.com/films/") as storage:
        assert storage.url(key) == f"https://cdn.example.com/films/videos/{key}"
    with opened(versity, bucket) as storage:
        assert storage.url(key) is None


# That the shims refuse what the services refuse: by clients that ask wrongly.


@pytest.fixture
def strict(r2: R2Shim) -> R2Shim:
    r2.refused.clear()
    return r2


def test_r2_refuses_trailers(strict: R2Shim) -> None:
    bucket = strict.make_bucket()
    with asking(strict, request_checksum_calculation="when_supported") as client:
        with pytest.raises(ClientError, match=r"NotImplemented.*STREAMING-UNSIGNED-PAYLOAD-TRAILER"):
            client.put_object(Bucket=bucket, Key="clip.mp4", Body=b"content")
        upload = "f" * 32
        with pytest.raises(ClientError, match=r"NotImplemented.*STREAMING-UNSIGNED-PAYLOAD-TRAILER"):
            client.upload_part(Bucket=bucket, Key="clip.mp4", UploadId=upload, PartNumber=1, Body=b"content")
    assert strict.refused == {"chunked": 2}


def test_r2_refuses_checksums_asked_for(strict: R2Shim) -> None:
    bucket = strict.make_bucket()
    with asking(strict) as client, pytest.raises(ClientError, match=r"x-amz-checksum-algorithm.*not implemented"):
        client.create_multipart_upload(Bucket=bucket, Key="clip.mp4", ChecksumAlgorithm="CRC32")
    assert strict.refused == {"checksum": 1}


def test_r2_refuses_signatures_of_the_second_version(strict: R2Shim) -> None:
    bucket = strict.make_bucket()
    with asking(strict) as client:
        client.put_object(Bucket=bucket, Key="clip.mp4", Body=b"content")
    with asking(strict, signature_version="s3") as client:
        with pytest.raises(ClientError, match="SigV2 authorization is not supported"):
            client.get_object(Bucket=bucket, Key="clip.mp4")
        url = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "clip.mp4"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(strict.certificate))
        assert ask(url)[0] == 401
    assert strict.refused == {"sigv2": 2}


@pytest.mark.parametrize(
    ("sizes", "taken"),
    [((6, 6, 1), True), ((6, 6), True), ((1,), True), ((6, 5, 5), False), ((5, 6, 1), False), ((5, 6), False)],
)
def test_r2_refuses_parts_of_unequal_size(strict: R2Shim, sizes: tuple[int, ...], taken: bool) -> None:
    bucket = strict.make_bucket()
    with asking(strict) as client:
        upload = client.create_multipart_upload(Bucket=bucket, Key="clip.mp4")["UploadId"]
        sent = [
            client.upload_part(
                Bucket=bucket, Key="clip.mp4", UploadId=upload, PartNumber=number, Body=bytes(size * MIB)
            )
            for number, size in enumerate(sizes, 1)
        ]
        parts: list[CompletedPartTypeDef] = [
            {"PartNumber": number, "ETag": part["ETag"]} for number, part in enumerate(sent, 1)
        ]

        def complete() -> None:
            client.complete_multipart_upload(
                Bucket=bucket, Key="clip.mp4", UploadId=upload, MultipartUpload={"Parts": parts}
            )

        if taken:
            complete()
            assert client.head_object(Bucket=bucket, Key="clip.mp4")["ContentLength"] == sum(sizes) * MIB
            assert not strict.refused
        else:
            with pytest.raises(ClientError, match="InvalidPart"):
                complete()
            assert strict.refused == {"parts": 1}


def stranger(service: Endpoint, *, path: str, secret: str) -> Endpoint:
    """The same service, asked otherwise."""
    endpoint = Endpoint(service.port)
    endpoint.key_id, endpoint.secret, endpoint.path = service.key_id, secret, path
    return endpoint


def test_supabase_checks_what_was_signed(supabase: SupabaseShim) -> None:
    supabase.refused.clear()
    bucket = supabase.make_bucket()
    with asking(supabase) as client:
        client.put_object(Bucket=bucket, Key="clip.mp4", Body=b"content")
        url = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "clip.mp4"}, ExpiresIn=60)
    assert ask(url)[2] == b"content"
    assert ask(url.replace("Expires=60", "Expires=6000"))[0] == 403
    assert ask(url.replace(supabase.path, ""))[0] == 404
    thief = stranger(supabase, path=supabase.path, secret="another")
    with asking(thief) as client, pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        client.list_objects_v2(Bucket=bucket)
    with asking(stranger(supabase, path="", secret=supabase.secret)) as client:  # who does not sign the whole path
        bare = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "clip.mp4"})
    assert ask(bare.replace(f"/{bucket}/", f"{supabase.path}/{bucket}/"))[0] == 403
    assert supabase.refused == {"SignatureDoesNotMatch": 3, "NotFound": 1}


def test_supabase_by_its_service_key(supabase: SupabaseShim) -> None:
    """A session: its id is the project's reference, its secret the anon key, and the service key is its token."""
    bucket, key = supabase.make_bucket(), upload_key()
    asked = {"access_key_id": None, "secret_access_key": None, "endpoint_url": None}
    project = {
        "supabase_url": supabase.project_url,
        "supabase_anon_key": supabase.anon_key,
        "supabase_service_key": supabase.service_key,
    }
    with opened(supabase, bucket, **asked, **project) as storage:
        put(storage, key, b"content")
        assert read(storage, key) == b"content"
        url = storage.signed_url(key, 60)
        assert url is not None
        assert ask(url)[2] == b"content"
    project["supabase_service_key"] = "another"
    with (
        opened(supabase, bucket, **asked, **project) as storage,
        pytest.raises(StorageUnavailable, match="InvalidToken"),
    ):
        storage.check()

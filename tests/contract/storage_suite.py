"""The conformance suite of storage: a test for each sentence of flowscale.storage.base. A backend plugs in so:

class TestMyStorage(StorageSuite):
    @pytest.fixture
    def storage(self) -> Iterator[Storage]: ...      # empty and usable

What only one backend can get wrong (links in a folder, parts of a multipart upload) is tested beside it.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
import tracemalloc
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from email.message import Message
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from flowscale import names
from flowscale.errors import FileNotFound, InvalidPath, StorageUnavailable
from flowscale.storage.base import CHUNK, WRITER_MOST, Part, Storage, StoredObject

MIB = 1024 * 1024
FILE_ID = "0123456789abcdef" * 2
JOB_ID = f"job_1700000000000_{FILE_ID}"

BAD_KEYS = {
    "empty": "",
    "a slash": "/",
    "absolute": "/etc/passwd",
    "absolute key": f"/uploads/{FILE_ID}/clip.mp4",
    "above the root": "../secret",
    "above the root, later": f"uploads/{FILE_ID}/../../../secret",
    "a step up as the name": f"uploads/{FILE_ID}/..",
    "a step nowhere": f"uploads/./{FILE_ID}/clip.mp4",
    "the folder itself": f"uploads/{FILE_ID}/.",
    "no name": f"uploads/{FILE_ID}",
    "slash at the end": f"uploads/{FILE_ID}/clip.mp4/",
    "slash twice": f"uploads//{FILE_ID}/clip.mp4",
    "one part too many": f"uploads/{FILE_ID}/more/clip.mp4",
    "no id": "uploads/clip.mp4",
    "an id of somebody's": "uploads/my-file/clip.mp4",
    "capitals in the id": f"uploads/{FILE_ID.upper()}/clip.mp4",
    "no execution": f"outputs/{JOB_ID}/clip.mp4",
    "a job's id as a file's": f"uploads/{JOB_ID}/clip.mp4",
    "half-written files": f"incoming/{FILE_ID}/clip.mp4",
    "another folder": f"secrets/{FILE_ID}/clip.mp4",
    "NUL": f"uploads/{FILE_ID}/clip\0.mp4",
    "backslash": f"uploads\\{FILE_ID}\\clip.mp4",
    "backslash in the name": f"uploads/{FILE_ID}/..\\clip.mp4",
    "an escaped slash": f"uploads/{FILE_ID}/..%2f..%2fsecret",
    "an escaped dot": f"uploads/{FILE_ID}/%2e%2e",
    "a line's end": f"uploads/{FILE_ID}/clip.mp4\n",
    "a space": f"uploads/{FILE_ID}/my clip.mp4",
    "not ASCII": f"uploads/{FILE_ID}/caf\u00e9.mp4",
    "digits that are not ASCII": f"uploads/{FILE_ID[:-1]}\u0661/clip.mp4",
    "a lone surrogate": f"uploads/{FILE_ID}/clip\udc80.mp4",
    "hidden": f"uploads/{FILE_ID}/.clip.mp4",
    "too long": f"uploads/{FILE_ID}/" + "x" * (names.MAX_NAME + 1),
    "an address": f"s3://bucket/uploads/{FILE_ID}/clip.mp4",
}
BAD_PREFIXES = [
    "",
    "/",
    "uploads",
    f"uploads/{FILE_ID}",
    "uploads/../",
    "../",
    "incoming/",
    f"uploads/{FILE_ID}/clip.mp4",
]


def upload_key(name: str = "clip.mp4") -> str:
    return names.upload_key(secrets.token_hex(16), name)


def output_key(job_id: str = JOB_ID) -> str:
    return names.output_key(job_id, secrets.token_hex(16), "clip.mp4")


def put(storage: Storage, key: str, content: bytes) -> StoredObject:
    with storage.writer(key) as writer:
        writer.write(content)
        return writer.commit()


def read(storage: Storage, key: str, start: int = 0, length: int = 10**12) -> bytes:
    return b"".join(storage.open_range(key, start, length))


def keys(storage: Storage, prefix: str) -> set[str]:
    return {stored.key for stored in storage.find(prefix)}


def parts_of(storage: Storage, count: int) -> list[bytes]:
    """Contents of so many parts, the last of them short."""
    size = storage.part_size(count * MIB)
    return [secrets.token_bytes(1000) * (size // 1000) + bytes(size % 1000) for _ in range(count - 1)] + [b"the last"]


def send(storage: Storage, key: str, upload: str, content: list[bytes]) -> list[Part]:
    """All the parts, one after the other."""
    starts = [sum(map(len, content[:index])) for index in range(len(content))]
    return [storage.part(key, upload, index + 1, starts[index], data) for index, data in enumerate(content)]


def ask(url: str, data: bytes | None = None) -> tuple[int, Message, bytes]:
    """GET the address, or PUT to it, as a stranger does."""
    request = Request(url, data, {"Content-Type": ""}, method="GET" if data is None else "PUT")
    try:
        with urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except HTTPError as fault:
        with fault:
            return fault.code, fault.headers, fault.read()


class StorageSuite:
    memory_limit = 16 * MIB
    """Most that storing or reading one object may hold at once; more for a backend with parts in flight."""

    big = 64 * MIB
    """Size of the object that this is tried with."""

    # What is being written is invisible until it is complete.

    @pytest.mark.parametrize("key", [upload_key(), output_key()], ids=["upload", "output"])
    def test_an_object_is_visible_only_after_its_commit(self, storage: Storage, key: str) -> None:
        with storage.writer(key) as writer:
            writer.write(b"some bytes")
            with pytest.raises(FileNotFound):
                storage.stat(key)
            with pytest.raises(FileNotFound):
                storage.open_range(key, 0, 10)
            assert keys(storage, "uploads/") == keys(storage, "outputs/") == set()
            stored = writer.commit()
        assert storage.stat(key) == stored
        assert read(storage, key) == b"some bytes"
        assert keys(storage, key[:8]) == {key}

    def test_an_earlier_object_stays_until_the_commit(self, storage: Storage) -> None:
        key = upload_key()
        first = put(storage, key, b"the first")
        with storage.writer(key) as writer:
            writer.write(b"the second, longer")
            assert storage.stat(key) == first
            assert read(storage, key) == b"the first"
            writer.commit()
        assert read(storage, key) == b"the second, longer"

    def test_a_writer_that_is_left_without_a_commit_leaves_nothing(self, storage: Storage) -> None:
        key = upload_key()
        with storage.writer(key) as writer:
            writer.write(bytes(3 * CHUNK))
        with pytest.raises(FileNotFound):
            storage.stat(key)
        assert keys(storage, "uploads/") == set()

    def test_a_writer_that_is_left_by_an_error_leaves_nothing(self, storage: Storage) -> None:
        key = upload_key()

        def upload() -> None:
            with storage.writer(key) as writer:
                writer.write(bytes(3 * CHUNK))
                raise KeyError("the client went away")

        with pytest.raises(KeyError, match="the client went away"):
            upload()
        assert keys(storage, "uploads/") == set()

    def test_an_abandoned_overwrite_leaves_the_earlier_object(self, storage: Storage) -> None:
        key = upload_key()
        first = put(storage, key, b"the first")
        with storage.writer(key) as writer:
            writer.write(b"the second")
        assert storage.stat(key) == first
        assert read(storage, key) == b"the first"

    def test_a_reader_in_the_middle_of_an_overwrite_sees_one_whole_object(self, storage: Storage) -> None:
        key = upload_key()
        put(storage, key, b"1" * 4 * CHUNK)
        pieces = storage.open_range(key, 0, 4 * CHUNK)
        seen = [next(pieces)]
        put(storage, key, b"2" * 4 * CHUNK)
        seen.extend(pieces)
        assert b"".join(seen) == b"1" * 4 * CHUNK
        assert read(storage, key) == b"2" * 4 * CHUNK

    def test_writers_of_one_key_at_once_leave_the_whole_object_of_one(self, storage: Storage) -> None:
        key = upload_key()
        size = 2 * CHUNK + 17
        put(storage, key, b"0" * size)
        writing = threading.Event()
        writing.set()

        def write(letter: bytes) -> None:
            with storage.writer(key) as writer:
                for start in range(0, size, 100_000):
                    writer.write(letter * min(100_000, size - start))
                writer.commit()

        def look() -> set[bytes]:
            seen = set()
            while writing.is_set():
                content = read(storage, key)
                assert len(content) == size
                seen.add(content[:1])
                assert content == content[:1] * size
            return seen

        with ThreadPoolExecutor(10) as pool:
            reader = pool.submit(look)
            try:
                list(pool.map(write, [b"%d" % number for number in range(1, 9)]))
            finally:
                writing.clear()
            assert reader.result() <= {b"%d" % number for number in range(9)}
        last = read(storage, key)
        assert last == last[:1] * size
        assert last[:1] != b"0"

    def test_writers_of_many_keys_at_once(self, storage: Storage) -> None:
        contents = {upload_key(): secrets.token_bytes(50_000 + number) for number in range(24)}
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda item: put(storage, *item), contents.items()))
        assert keys(storage, "uploads/") == set(contents)
        assert all(read(storage, key) == content for key, content in contents.items())

    def test_storing_and_deleting_one_object_at_once(self, storage: Storage) -> None:
        key = output_key()
        storing = threading.Event()
        storing.set()

        def keep_deleting() -> None:
            while storing.is_set():
                storage.delete(key)

        with ThreadPoolExecutor(4) as pool:
            deletions = [pool.submit(keep_deleting) for _ in range(3)]
            try:
                for _ in range(60):
                    assert put(storage, key, b"content").size == 7
            finally:
                storing.clear()
            for deletion in deletions:
                deletion.result()
        with suppress(FileNotFound):
            assert read(storage, key) == b"content"

    # What a writer takes.

    @pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 10 * CHUNK + 3])
    def test_objects_of_many_sizes_come_back_as_they_were(self, storage: Storage, size: int) -> None:
        key = upload_key()
        content = secrets.token_bytes(size)
        stored = put(storage, key, content)
        assert stored.size == size
        assert read(storage, key) == content

    def test_bytes_and_views_of_any_length_are_appended_in_order(self, storage: Storage) -> None:
        key = upload_key()
        content = secrets.token_bytes(3 * CHUNK)
        with storage.writer(key) as writer:
            writer.write(b"")
            writer.write(content[:1])
            writer.write(memoryview(content)[1:1000])
            reused = bytearray(content[1000:2000])
            writer.write(memoryview(reused))
            reused[:] = bytes(1000)  # the caller may use its buffer again at once
            writer.write(content[2000:])
            writer.commit()
        assert read(storage, key) == content

    def test_a_big_object_passes_in_bounded_memory(self, storage: Storage, tmp_path: Path) -> None:
        key, size, piece = upload_key(), self.big, secrets.token_bytes(MIB)
        expected = hashlib.sha256()
        tracemalloc.start()
        try:
            with storage.writer(key) as writer:
                for _ in range(size // MIB):
                    writer.write(piece)
                    expected.update(piece)
                assert writer.commit().size == size
            assert tracemalloc.get_traced_memory()[1] < self.memory_limit
            tracemalloc.reset_peak()
            digest = hashlib.sha256()
            for part in storage.open_range(key, 0, size):
                assert len(part) <= CHUNK
                digest.update(part)
            assert digest.digest() == expected.digest()
            assert tracemalloc.get_traced_memory()[1] < self.memory_limit
            tracemalloc.reset_peak()
            storage.fetch(key, tmp_path / "fetched")
            storage.put_file(upload_key(), tmp_path / "fetched")
            assert tracemalloc.get_traced_memory()[1] < self.memory_limit
        finally:
            tracemalloc.stop()

    # Files.

    @pytest.mark.parametrize("size", [0, 5, 9 * CHUNK + 1])
    def test_a_finished_file_is_stored(self, storage: Storage, tmp_path: Path, size: int) -> None:
        source, content, key = tmp_path / "out.mp4", secrets.token_bytes(size), output_key()
        source.write_bytes(content)
        stored = storage.put_file(key, source)
        assert storage.stat(key) == stored
        assert stored.size == size
        assert read(storage, key) == content

    def test_a_finished_file_replaces_an_earlier_object(self, storage: Storage, tmp_path: Path) -> None:
        key = output_key()
        first = put(storage, key, b"the first")
        (tmp_path / "out.mp4").write_bytes(b"the other")
        assert storage.put_file(key, tmp_path / "out.mp4").etag != first.etag
        assert read(storage, key) == b"the other"

    def test_a_file_that_is_not_there_cannot_be_stored(self, storage: Storage, tmp_path: Path) -> None:
        key = output_key()
        with pytest.raises(FileNotFound, match=r"missing\.mp4"):
            storage.put_file(key, tmp_path / "missing.mp4")
        assert keys(storage, "outputs/") == set()

    @pytest.mark.parametrize("size", [0, 5, 9 * CHUNK + 1])
    def test_an_object_is_fetched_to_a_new_file(self, storage: Storage, tmp_path: Path, size: int) -> None:
        key, content, target = upload_key(), secrets.token_bytes(size), tmp_path / "source"
        stored = put(storage, key, content)
        assert storage.fetch(key, target) == stored
        assert target.read_bytes() == content
        assert list(tmp_path.glob("source*")) == [target]

    def test_a_fetched_file_outlives_its_object(self, storage: Storage, tmp_path: Path) -> None:
        key, target = upload_key(), tmp_path / "source"
        put(storage, key, b"the first")
        storage.fetch(key, target)
        put(storage, key, b"the second")
        storage.delete(key)
        assert target.read_bytes() == b"the first"

    def test_a_fetch_of_nothing_leaves_no_file(self, storage: Storage, tmp_path: Path) -> None:
        with pytest.raises(FileNotFound):
            storage.fetch(upload_key(), tmp_path / "source")
        assert not (tmp_path / "source").exists()

    # Ranges.

    @pytest.mark.parametrize(
        ("start", "length"),
        [
            (0, 10 * CHUNK),
            (0, 0),
            (0, 1),
            (5, 7),
            (CHUNK - 1, 2),
            (CHUNK, CHUNK),
            (17, 3 * CHUNK + 5),
            (10 * CHUNK - 1, 1),
            (10 * CHUNK - 5, 100),  # a shorter object ends early
            (10 * CHUNK, 1),
            (11 * CHUNK, 5),
            (0, 10**15),
            (2**70, 1),
        ],
    )
    def test_a_range_is_the_bytes_asked_for(self, storage: Storage, start: int, length: int) -> None:
        key, content = upload_key(), secrets.token_bytes(10 * CHUNK)
        put(storage, key, content)
        pieces = list(storage.open_range(key, start, length))
        assert b"".join(pieces) == content[start : start + length]
        assert all(1 <= len(piece) <= CHUNK for piece in pieces)

    @pytest.mark.parametrize(("start", "length"), [(0, 0), (0, 1), (5, 5)])
    def test_an_empty_object_has_no_bytes_in_any_range(self, storage: Storage, start: int, length: int) -> None:
        key = upload_key()
        put(storage, key, b"")
        assert read(storage, key, start, length) == b""

    def test_negative_numbers_are_no_range(self, storage: Storage) -> None:
        key = upload_key()
        put(storage, key, b"content")
        for start, length in ((-1, 5), (0, -1)):
            with pytest.raises(ValueError, match="negative"):
                storage.open_range(key, start, length)

    def test_the_call_itself_says_that_there_is_nothing(self, storage: Storage) -> None:
        with pytest.raises(FileNotFound):
            storage.open_range(upload_key(), 0, 1)

    def test_many_readers_at_once(self, storage: Storage) -> None:
        key, content = upload_key(), secrets.token_bytes(4 * CHUNK)
        put(storage, key, content)
        ranges = [(number * 100_000, 150_000) for number in range(32)]
        with ThreadPoolExecutor(8) as pool:
            parts = list(pool.map(lambda part: read(storage, key, *part), ranges))
        assert parts == [content[start : start + length] for start, length in ranges]

    # What is known of an object.

    def test_stat_says_what_the_commit_said(self, storage: Storage) -> None:
        key = upload_key()
        stored = put(storage, key, b"content")
        assert stored.key == key
        assert stored.size == 7
        assert stored.modified_ms > 1_600_000_000_000  # milliseconds, not seconds
        assert storage.stat(key) == stored == storage.stat(key)
        assert list(storage.find("uploads/")) == [stored]

    def test_the_etag_is_opaque_and_fit_for_a_header(self, storage: Storage) -> None:
        etag = put(storage, upload_key(), b"content").etag
        assert etag
        assert all(0x21 <= ord(letter) <= 0x7E and letter != '"' for letter in etag)

    def test_the_etag_changes_with_the_content_even_at_the_same_size(self, storage: Storage) -> None:
        key = upload_key()
        etags = [put(storage, key, b"%04d" % number).etag for number in range(20)]
        assert len(set(etags)) == 20

    # Finding and deleting.

    def test_find_gives_what_begins_with_the_prefix(self, storage: Storage) -> None:
        other_job = f"job_1700000000001_{FILE_ID}"
        uploads, outputs = (
            [upload_key("a.mp4"), upload_key("b.mov")],
            [output_key(), output_key(), output_key(other_job)],
        )
        for key in uploads + outputs:
            put(storage, key, key.encode())
        assert keys(storage, "uploads/") == set(uploads)
        assert keys(storage, "outputs/") == set(outputs)
        assert keys(storage, f"outputs/{JOB_ID}/") == set(outputs[:2])
        assert keys(storage, outputs[2].rpartition("/")[0] + "/") == {outputs[2]}
        assert keys(storage, uploads[0].rpartition("/")[0] + "/") == {uploads[0]}
        assert keys(storage, f"uploads/{FILE_ID}/") == set()
        assert {stored.key: stored.size for stored in storage.find("uploads/")} == {key: len(key) for key in uploads}

    def test_a_deleted_object_is_gone(self, storage: Storage) -> None:
        keep, key = upload_key(), upload_key()
        put(storage, keep, b"keep")
        put(storage, key, b"content")
        storage.delete(key)
        with pytest.raises(FileNotFound):
            storage.stat(key)
        assert keys(storage, "uploads/") == {keep}
        put(storage, key, b"anew")
        assert read(storage, key) == b"anew"

    def test_deleting_what_is_gone_is_no_error(self, storage: Storage) -> None:
        key = output_key()
        storage.delete(key)
        put(storage, key, b"content")
        storage.delete(key)
        storage.delete(key)

    def test_everything_found_can_be_deleted_while_it_is_found(self, storage: Storage) -> None:
        for _ in range(12):
            put(storage, output_key(), b"content")
        for stored in storage.find("outputs/"):
            storage.delete(stored.key)
        assert keys(storage, "outputs/") == set()

    # Objects in parts.

    def test_an_object_in_parts_is_visible_only_when_it_is_complete(self, storage: Storage) -> None:
        key, content = upload_key(), parts_of(storage, 3)
        upload = storage.begin(key)
        assert storage.parts(key, upload) == []
        stored = send(storage, key, upload, content)
        assert storage.parts(key, upload) == stored
        with pytest.raises(FileNotFound):
            storage.stat(key)
        assert keys(storage, "uploads/") == set()
        whole = storage.complete(key, upload, stored)
        assert whole.key == key
        assert whole.size == sum(map(len, content))
        assert storage.stat(key) == whole
        assert read(storage, key) == b"".join(content)
        assert list(storage.find("uploads/")) == [whole]
        assert list(storage.open_uploads()) == []

    def test_one_part_alone_is_an_object(self, storage: Storage) -> None:
        key = upload_key()
        upload = storage.begin(key)
        storage.complete(key, upload, [storage.part(key, upload, 1, 0, b"x")])
        assert read(storage, key) == b"x"

    def test_parts_come_in_any_order_and_at_once(self, storage: Storage) -> None:
        key, content = upload_key(), parts_of(storage, 4)
        upload = storage.begin(key)
        starts = [sum(map(len, content[:index])) for index in range(len(content))]
        with ThreadPoolExecutor(4) as pool:
            sent = [
                pool.submit(storage.part, key, upload, index + 1, starts[index], memoryview(content[index]))
                for index in reversed(range(len(content)))
            ]
        stored = [future.result() for future in reversed(sent)]
        assert [part.number for part in stored] == [1, 2, 3, 4]
        assert [part.size for part in stored] == [len(data) for data in content]
        assert storage.parts(key, upload) == stored
        storage.complete(key, upload, stored)
        assert read(storage, key) == b"".join(content)

    def test_a_part_that_comes_again_replaces_the_first(self, storage: Storage) -> None:
        key, content = upload_key(), parts_of(storage, 2)
        upload = storage.begin(key)
        first = storage.part(key, upload, 1, 0, bytes(len(content[0])))
        stored = send(storage, key, upload, content)
        assert first != stored[0]
        assert storage.parts(key, upload) == stored
        storage.complete(key, upload, stored)
        assert read(storage, key) == b"".join(content)

    def test_an_upload_goes_on_after_its_process_let_go_of_the_storage(self, storage: Storage) -> None:
        key, content = upload_key(), parts_of(storage, 2)
        upload = storage.begin(key)
        storage.part(key, upload, 1, 0, content[0])
        storage.close()
        (found,) = storage.open_uploads()
        assert (found.key, found.upload) == (key, upload)
        assert [part.number for part in storage.parts(key, upload)] == [1]
        storage.part(key, upload, 2, len(content[0]), content[1])
        storage.complete(key, upload, storage.parts(key, upload))
        assert read(storage, key) == b"".join(content)

    def test_an_earlier_object_stays_until_another_in_parts_is_complete(self, storage: Storage) -> None:
        key = upload_key()
        first = put(storage, key, b"the first")
        upload = storage.begin(key)
        parts = [storage.part(key, upload, 1, 0, b"the second")]
        assert storage.stat(key) == first
        assert read(storage, key) == b"the first"
        assert storage.complete(key, upload, parts).etag != first.etag
        assert read(storage, key) == b"the second"

    def test_parts_that_are_not_as_they_were_stored_make_no_object(self, storage: Storage) -> None:
        key = upload_key()
        upload = storage.begin(key)
        stored = storage.part(key, upload, 1, 0, b"content")
        forged = Part(1, stored.size, ("0" if stored.tag[0] != "0" else "1") + stored.tag[1:])
        missing = Part(2, stored.size, stored.tag)
        for named in ([forged], [stored, missing]):
            with pytest.raises(StorageUnavailable):
                storage.complete(key, upload, named)
        with pytest.raises(FileNotFound):
            storage.stat(key)
        storage.complete(key, upload, [stored])
        assert read(storage, key) == b"content"

    def test_what_was_completed_can_be_asked_for_again(self, storage: Storage) -> None:
        key = upload_key()
        upload = storage.begin(key)
        parts = [storage.part(key, upload, 1, 0, b"content")]
        stored = storage.complete(key, upload, parts)
        with suppress(FileNotFound):
            assert storage.complete(key, upload, parts) == stored
        assert storage.stat(key) == stored
        assert read(storage, key) == b"content"

    def test_a_completed_upload_takes_no_more_parts(self, storage: Storage) -> None:
        key = upload_key()
        upload = storage.begin(key)
        stored = storage.complete(key, upload, [storage.part(key, upload, 1, 0, b"content")])
        with pytest.raises(FileNotFound):
            storage.part(key, upload, 2, 7, b"more")
        with pytest.raises(FileNotFound):
            storage.parts(key, upload)
        storage.abort(key, upload)  # no error, and no harm
        assert storage.stat(key) == stored

    def test_an_aborted_upload_leaves_nothing(self, storage: Storage) -> None:
        key = upload_key()
        upload = storage.begin(key)
        parts = [storage.part(key, upload, 1, 0, b"content")]
        storage.abort(key, upload)
        storage.abort(key, upload)
        assert list(storage.open_uploads()) == []
        with pytest.raises(FileNotFound):
            storage.part(key, upload, 1, 0, b"content")
        with pytest.raises(FileNotFound):
            storage.parts(key, upload)
        with pytest.raises(FileNotFound):
            storage.complete(key, upload, parts)
        with pytest.raises(FileNotFound):
            storage.stat(key)

    def test_an_upload_that_never_was(self, storage: Storage) -> None:
        key = upload_key()
        for upload in ("f" * 32, str(uuid.UUID(int=5)), "../../uploads"):
            with pytest.raises(FileNotFound):
                storage.part(key, upload, 1, 0, b"content")
            with pytest.raises(FileNotFound):
                storage.parts(key, upload)
            storage.abort(key, upload)

    def test_open_uploads_are_found(self, storage: Storage) -> None:
        key, other = upload_key(), output_key()
        begun = {(each, storage.begin(each)) for each in (key, key, other)}
        assert len(begun) == 3
        found = list(storage.open_uploads())
        assert {(each.key, each.upload) for each in found} == begun
        day_ms, now_ms = 24 * 3600 * 1000, time.time_ns() // 1_000_000
        assert all(abs(now_ms - each.begun_ms) < day_ms for each in found)

    def test_the_size_of_parts_keeps_within_the_limits_of_every_service(self, storage: Storage) -> None:
        for total in (1, MIB, 8 * MIB, 8 * MIB + 1, 10 * 1024 * MIB, WRITER_MOST):
            size = storage.part_size(total)
            assert size >= 5 * MIB
            assert -(-total // size) <= 10_000

    def test_a_part_is_put_by_whoever_has_its_address(self, storage: Storage) -> None:
        key, content = upload_key(), parts_of(storage, 2)
        upload = storage.begin(key)
        for number, data in enumerate(content, 1):
            url = storage.presigned_part(key, upload, number, len(data), 600)
            if url is None:  # only the gateway can
                assert storage.signed_url(key, 600) is None
                return
            assert ask(url, data)[0] == 200
        storage.complete(key, upload, storage.parts(key, upload))
        assert read(storage, key) == b"".join(content)

    def test_the_address_of_a_part_is_good_for_that_part_alone(self, storage: Storage) -> None:
        key = upload_key()
        upload = storage.begin(key)
        url = storage.presigned_part(key, upload, 1, 7, 600)
        if url is None:
            return
        assert ask(url, b"content and more")[0] == 403
        assert ask(url.replace("partNumber=1", "partNumber=2"), b"content")[0] == 403
        assert storage.parts(key, upload) == []
        assert ask(url, b"content")[0] == 200
        assert [(part.number, part.size) for part in storage.parts(key, upload)] == [(1, 7)]

    # Rests.

    def test_a_rest_is_kept_for_its_start(self, storage: Storage) -> None:
        file_id, other = secrets.token_hex(16), secrets.token_hex(16)
        content = secrets.token_bytes(3 * CHUNK + 1)
        storage.put_rest(file_id, 0, b"first")
        storage.put_rest(file_id, 0, memoryview(content))
        storage.put_rest(file_id, 8 * MIB, b"")
        storage.put_rest(other, 0, b"another file's")
        storage.close()
        assert storage.rest(file_id, 0) == content
        assert storage.rest(file_id, 8 * MIB) == b""
        assert storage.rest(other, 0) == b"another file's"
        with pytest.raises(FileNotFound):
            storage.rest(file_id, 1)
        assert keys(storage, "uploads/") == keys(storage, "outputs/") == set()
        storage.drop_rests(file_id)
        storage.drop_rests(file_id)
        for start in (0, 8 * MIB):
            with pytest.raises(FileNotFound):
                storage.rest(file_id, start)
        assert storage.rest(other, 0) == b"another file's"

    @pytest.mark.parametrize("file_id", ["", "..", "../uploads", FILE_ID.upper(), f"{FILE_ID}/..", f"{FILE_ID}\n"])
    def test_a_rest_of_what_is_no_file_is_refused(self, storage: Storage, file_id: str) -> None:
        with pytest.raises(InvalidPath):
            storage.put_rest(file_id, 0, b"content")
        with pytest.raises(InvalidPath):
            storage.rest(file_id, 0)
        with pytest.raises(InvalidPath):
            storage.drop_rests(file_id)

    # Reaping.

    def test_what_was_begun_before_is_reaped(self, storage: Storage) -> None:
        key, file_id, whole = upload_key(), secrets.token_hex(16), upload_key()
        stored = put(storage, whole, b"content")
        storage.close()
        upload = storage.begin(key)
        storage.part(key, upload, 1, 0, b"content")
        storage.put_rest(file_id, 0, b"first")
        storage.put_rest(file_id, 5, b"second")
        hour_ms, now_ms = 3600 * 1000, time.time_ns() // 1_000_000
        assert storage.reap(now_ms - hour_ms) == 0
        assert [part.size for part in storage.parts(key, upload)] == [7]
        assert storage.rest(file_id, 5) == b"second"
        assert storage.reap(now_ms + hour_ms) == 2
        assert storage.reap(now_ms + hour_ms) == 0
        assert list(storage.open_uploads()) == []
        with pytest.raises(FileNotFound):
            storage.parts(key, upload)
        for start in (0, 5):
            with pytest.raises(FileNotFound):
                storage.rest(file_id, start)
        assert storage.stat(whole) == stored

    def test_a_writer_leaves_nothing_to_reap(self, storage: Storage) -> None:
        size = 2 * storage.part_size(WRITER_MOST) + 1
        with storage.writer(upload_key()) as abandoned:
            abandoned.write(bytes(size))
        with storage.writer(upload_key()) as writer:
            writer.write(bytes(size))
            assert writer.commit().size == size
        assert list(storage.open_uploads()) == []

    # Keys.

    @pytest.mark.parametrize("key", BAD_KEYS.values(), ids=BAD_KEYS.keys())
    def test_a_key_that_is_not_ours_is_refused_by_every_call(self, storage: Storage, tmp_path: Path, key: str) -> None:
        source = tmp_path / "source.mp4"
        source.write_bytes(b"content")
        with pytest.raises(InvalidPath):
            storage.writer(key)
        with pytest.raises(InvalidPath):
            storage.put_file(key, source)
        with pytest.raises(InvalidPath):
            storage.fetch(key, tmp_path / "target")
        with pytest.raises(InvalidPath):
            storage.open_range(key, 0, 1)
        with pytest.raises(InvalidPath):
            storage.stat(key)
        with pytest.raises(InvalidPath):
            storage.delete(key)
        with pytest.raises(InvalidPath):
            storage.url(key)
        with pytest.raises(InvalidPath):
            storage.signed_url(key, 60)
        with pytest.raises(InvalidPath):
            storage.begin(key)
        upload = storage.begin(upload_key())
        with pytest.raises(InvalidPath):
            storage.part(key, upload, 1, 0, b"content")
        with pytest.raises(InvalidPath):
            storage.parts(key, upload)
        with pytest.raises(InvalidPath):
            storage.presigned_part(key, upload, 1, 7, 60)
        with pytest.raises(InvalidPath):
            storage.complete(key, upload, [])
        with pytest.raises(InvalidPath):
            storage.abort(key, upload)
        assert source.read_bytes() == b"content"
        assert not (tmp_path / "target").exists()

    @pytest.mark.parametrize("prefix", BAD_PREFIXES)
    def test_a_prefix_that_is_not_whole_parts_is_refused_at_once(self, storage: Storage, prefix: str) -> None:
        with pytest.raises(InvalidPath):
            storage.find(prefix)

    # The rest.

    def test_a_url_is_an_address_or_nothing(self, storage: Storage) -> None:
        key = upload_key()
        put(storage, key, b"content")
        url = storage.url(key)
        assert url is None or url.startswith(("https://", "http://"))

    def test_a_signed_address_is_for_anyone(self, storage: Storage) -> None:
        key = upload_key("my-clip.mp4")
        put(storage, key, b"content")
        url = storage.signed_url(key, 600)
        if url is None:  # it must go through the gateway
            return
        status, headers, body = ask(url)
        assert (status, body) == (200, b"content")
        assert headers["content-type"] == "video/mp4"
        status, headers, body = ask(storage.signed_url(key, 600, attachment=True) or "")
        assert (status, body) == (200, b"content")
        assert headers["content-disposition"] == 'attachment; filename="my-clip.mp4"'

    def test_a_signed_address_is_good_for_its_object_alone(self, storage: Storage) -> None:
        key, other = upload_key(), upload_key()
        put(storage, key, b"content")
        put(storage, other, b"secret")
        url = storage.signed_url(key, 600)
        if url is None:
            return
        assert ask(url.replace(key, other))[0] == 403
        assert ask(url, b"overwritten")[0] == 403
        assert read(storage, key) == b"content"

    def test_each_folder_is_described(self, storage: Storage) -> None:
        uploads, outputs = storage.describe("uploads"), storage.describe("outputs")
        assert uploads != outputs
        assert "uploads" in uploads
        assert "outputs" in outputs
        with pytest.raises(InvalidPath):
            storage.describe("incoming")

    def test_a_check_of_a_healthy_storage_passes_and_leaves_nothing(self, storage: Storage) -> None:
        storage.check()
        storage.check()
        assert keys(storage, "uploads/") == keys(storage, "outputs/") == set()

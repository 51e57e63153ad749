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
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from flowscale import names
from flowscale.errors import FileNotFound, InvalidPath
from flowscale.storage.base import CHUNK, Storage, StoredObject

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


class StorageSuite:
    memory_limit = 16 * MIB
    """Most that storing or reading one object may hold at once; more for a backend with parts in flight."""

    big = 64 * MIB
    """Size of the object that this is tried with."""

    # What is being written is invisible until it is complete.

    @pytest.mark.parametrize("key", [upload_key(), output_key()])
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

"""A storage that is counted is a storage, and what it counts is what was done."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from contract.storage_suite import MIB, StorageSuite
from flowscale import names
from flowscale.clocks import SystemClock
from flowscale.errors import FileNotFound, StorageUnavailable
from flowscale.storage.counting import OPERATIONS, CountingStorage, Tally
from flowscale.storage.local import LocalStorage

KEY = names.upload_key("0123456789abcdef" * 2, "clip.mp4")


@pytest.fixture
def counted(tmp_path: Path) -> CountingStorage:
    return CountingStorage(LocalStorage(tmp_path / "root"), Tally(), SystemClock())


class TestCountingStorage(StorageSuite):
    memory_limit = 8 * MIB

    @pytest.fixture
    def storage(self, counted: CountingStorage) -> CountingStorage:
        return counted


def without_times(storage: CountingStorage) -> dict[str, int]:
    return {name: count for name, count in storage.tally.counts().items() if not name.startswith("storage:ms:")}


def test_each_operation_is_counted_with_its_bytes(counted: CountingStorage, tmp_path: Path) -> None:
    with counted.writer(KEY) as writer:
        writer.write(b"0" * 600)
        writer.write(b"1" * 400)
        writer.commit()
    counted.fetch(KEY, tmp_path / "fetched")
    (tmp_path / "made").write_bytes(b"2" * 50)
    counted.put_file(KEY, tmp_path / "made")
    assert b"".join(counted.open_range(KEY, 10, 30)) == b"2" * 30
    assert [stored.key for stored in counted.find("uploads/")] == [KEY]
    counted.delete(KEY)
    assert without_times(counted) == {
        "storage:calls:write": 1,
        "storage:bytes:write": 1000,
        "storage:calls:fetch": 1,
        "storage:bytes:fetch": 1000,
        "storage:calls:put": 1,
        "storage:bytes:put": 50,
        "storage:calls:read": 1,
        "storage:bytes:read": 30,
        "storage:calls:list": 1,
        "storage:calls:delete": 1,
    }
    times = {name for name in counted.tally.counts() if name.startswith("storage:ms:")}
    assert times == {f"storage:ms:{name}" for name in ("write", "fetch", "put", "read", "list", "delete")}
    assert {name.rpartition(":")[2] for name in times} <= set(OPERATIONS)


def test_what_is_not_there_is_an_answer_and_what_cannot_be_asked_a_failure(
    counted: CountingStorage, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFound):
        counted.stat(KEY)
    assert without_times(counted) == {"storage:calls:stat": 1}
    shutil.rmtree(tmp_path / "root")
    (tmp_path / "root").write_text("somebody put a file in its place")
    with pytest.raises(StorageUnavailable):
        counted.check()
    assert without_times(counted) == {
        "storage:calls:stat": 1,
        "storage:calls:check": 1,
        "storage:failed:check:STORAGE_UNAVAILABLE": 1,
    }


def test_a_reader_that_is_closed_before_its_first_step_leaves_nothing_open(counted: CountingStorage) -> None:
    with counted.writer(KEY) as writer:
        writer.write(b"content")
        writer.commit()
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    reader = counted.open_range(KEY, 0, 7)
    assert len(list(descriptors.iterdir())) == before + 1
    reader.close()
    assert len(list(descriptors.iterdir())) == before

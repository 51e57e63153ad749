"""Local storage: the suite of every backend, and what only a folder can get wrong."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import psutil
import pytest

from contract.storage_suite import MIB, StorageSuite, keys, output_key, put, read, upload_key
from flowscale.errors import FileNotFound, InvalidPath, StorageUnavailable
from flowscale.settings import StorageSettings
from flowscale.storage.base import CHUNK, Storage
from flowscale.storage.local import LocalStorage
from flowscale.storage.opening import open_storage


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalStorage]:
    storage = LocalStorage(tmp_path / "data" / "storage")
    yield storage
    storage.close()


def files_under(folder: Path) -> set[str]:
    """Every file there is, hidden ones too, except the locks of owned folders."""
    paths = (path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())
    return {str(path.relative_to(folder)) for path in paths if path.name != ".lock"}


class TestLocalStorage(StorageSuite):
    memory_limit = 8 * MIB

    @pytest.fixture
    def storage(self, local: LocalStorage) -> Storage:
        return local


class TestLocalStorageOverTwoFileSystems(StorageSuite):
    """Sources and targets elsewhere than the root: nothing can be moved or linked, everything is copied."""

    memory_limit = 8 * MIB
    big = 16 * MIB  # containers give /dev/shm 64 MiB

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Iterator[Storage]:
        shared_memory = Path("/dev/shm")
        assert shared_memory.stat().st_dev != tmp_path.stat().st_dev
        root = shared_memory / f"flowscale-test-{os.getpid()}-{os.urandom(8).hex()}"
        storage = LocalStorage(root)
        yield storage
        storage.close()
        shutil.rmtree(root)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A folder by a second mount, as another machine has it; where nobody lets us mount, by a link."""
    exported, mount = tmp_path / "exported", tmp_path / "mounted"
    exported.mkdir()
    mount.mkdir()
    if subprocess.run(["mount", "--bind", exported, mount], check=False, capture_output=True).returncode != 0:
        mount.rmdir()
        mount.symlink_to(exported)
        yield mount
        return
    try:
        assert f" {mount} " in Path("/proc/self/mounts").read_text()
        yield mount
    finally:
        subprocess.run(["umount", "--lazy", mount], check=True)


def shared(root: Path) -> Storage:
    return open_storage(StorageSettings.model_validate({"type": "nfs", "dir": root}))


class TestNfsStorage(StorageSuite):
    memory_limit = 8 * MIB

    @pytest.fixture
    def storage(self, mounted: Path) -> Iterator[Storage]:
        storage = shared(mounted)
        yield storage
        storage.close()


def test_machines_that_share_a_folder_go_on_with_what_another_began(mounted: Path) -> None:
    here, there = shared(mounted), shared(mounted.parent / "exported")
    key, file_id = upload_key(), os.urandom(16).hex()
    upload = here.begin(key)
    parts = [here.part(key, upload, 1, 0, b"begun here")]
    here.put_rest(file_id, 10, b"kept here")
    assert [found.upload for found in there.open_uploads()] == [upload]
    assert there.parts(key, upload) == parts
    assert there.rest(file_id, 10) == b"kept here"
    parts.append(there.part(key, upload, 2, 10, b", ended there"))
    stored = there.complete(key, upload, parts)
    assert here.stat(key) == stored
    assert read(here, key) == b"begun here, ended there"
    for storage in (here, there):
        storage.close()


def test_a_shared_folder_that_is_not_mounted_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="Mount it"):
        shared(tmp_path / "mounted")
    assert not (tmp_path / "mounted").exists()


# Nothing is left behind.


def test_only_objects_are_left_in_the_root(local: LocalStorage) -> None:
    key = upload_key()
    put(local, key, b"content")
    with local.writer(upload_key()) as writer:
        writer.write(b"never committed")
    local.check()
    assert files_under(local.root) == {key}
    local.close()
    assert sorted(path.name for path in local.root.iterdir()) == ["incoming", "outputs", "uploads"]
    assert list((local.root / "incoming").iterdir()) == []


def test_a_deletion_removes_the_folders_it_empties(local: LocalStorage) -> None:
    key, sibling = output_key(), output_key()  # of the same job
    for each in (key, sibling):
        put(local, each, b"content")
    local.delete(key)
    assert files_under(local.root) == {sibling}
    assert not (local.root / key).parent.exists()
    local.delete(sibling)
    assert list((local.root / "outputs").iterdir()) == []


def test_a_deletion_that_was_cut_short_is_finished_by_the_next(local: LocalStorage) -> None:
    key = output_key()
    put(local, key, b"content")
    (local.root / key).unlink()  # as far as the killed one came
    local.delete(key)
    assert list((local.root / "outputs").iterdir()) == []


def test_a_writer_that_has_ended_takes_nothing_more(local: LocalStorage) -> None:
    key = upload_key()
    with local.writer(key) as committed:
        committed.write(b"content")
        committed.commit()
        with pytest.raises(ValueError, match="closed"):
            committed.write(b"more")
        with pytest.raises(ValueError, match="closed"):
            committed.commit()
    assert read(local, key) == b"content"
    with local.writer(key) as abandoned:
        pass
    with pytest.raises(ValueError, match="closed"):
        abandoned.commit()


def open_files(folder: Path) -> list[str]:
    return [file.path for file in psutil.Process().open_files() if file.path.startswith(str(folder))]


def test_a_reader_closes_its_file_however_it_ends(local: LocalStorage) -> None:
    key = upload_key()
    put(local, key, bytes(3 * CHUNK))
    uploads = local.root / "uploads"
    unread = local.open_range(key, 0, CHUNK)
    begun = local.open_range(key, 0, 3 * CHUNK)
    next(begun)
    dropped = local.open_range(key, 0, CHUNK)
    assert len(open_files(uploads)) == 3
    unread.close()
    begun.close()
    del dropped
    list(local.open_range(key, 0, 3 * CHUNK))
    assert open_files(uploads) == []


def test_no_call_leaves_a_folder_or_file_open(local: LocalStorage, tmp_path: Path) -> None:
    def everything() -> None:
        key = output_key()
        put(local, key, b"content")
        local.fetch(key, tmp_path / "fetched")
        local.put_file(upload_key(), tmp_path / "fetched")
        list(local.find("outputs/"))
        local.stat(key)
        local.delete(key)
        local.check()
        for wrong in (upload_key(), "../secret"):
            with pytest.raises((FileNotFound, InvalidPath)):
                local.stat(wrong)
            with pytest.raises((FileNotFound, InvalidPath)):
                local.fetch(wrong, tmp_path / "nothing")

    everything()  # claims the folder for half-written files, whose lock stays open
    before = psutil.Process().num_fds()
    everything()
    assert psutil.Process().num_fds() == before


# Moves and links instead of copies.


def test_a_finished_file_is_moved(local: LocalStorage, tmp_path: Path) -> None:
    source, key = tmp_path / "out.mp4", output_key()
    source.write_bytes(b"content")
    inode = source.stat().st_ino
    local.put_file(key, source)
    assert not source.exists()
    assert (local.root / key).stat().st_ino == inode


def test_a_fetched_file_is_a_link(local: LocalStorage, tmp_path: Path) -> None:
    key = upload_key()
    put(local, key, b"content")
    local.fetch(key, tmp_path / "source")
    assert (tmp_path / "source").samefile(local.root / key)


@pytest.mark.parametrize(
    "make", [lambda path: path.mkdir(), lambda path: os.mkfifo(path), lambda path: path.symlink_to("x")]
)
def test_only_a_plain_file_can_be_stored(local: LocalStorage, tmp_path: Path, make: Callable[[Path], None]) -> None:
    source, key = tmp_path / "source", upload_key()
    make(source)
    with pytest.raises(InvalidPath, match="source"):
        local.put_file(key, source)
    assert files_under(local.root) == set()


def test_a_fetch_never_overwrites_a_file(local: LocalStorage, tmp_path: Path) -> None:
    key, target = upload_key(), tmp_path / "source"
    put(local, key, b"content")
    target.write_bytes(b"precious")
    with pytest.raises(StorageUnavailable, match="File exists"):
        local.fetch(key, target)
    assert target.read_bytes() == b"precious"


def test_a_fetch_to_a_folder_that_is_not_there(local: LocalStorage, tmp_path: Path) -> None:
    key = upload_key()
    put(local, key, b"content")
    with pytest.raises(StorageUnavailable, match="nowhere"):
        local.fetch(key, tmp_path / "nowhere" / "source")


# Links in the tree.


def every_call_is_refused(storage: LocalStorage, key: str, folder: Path) -> None:
    source = folder / "source.mp4"
    source.write_bytes(b"content")
    with pytest.raises(InvalidPath):
        put(storage, key, b"content")
    with pytest.raises(InvalidPath):
        storage.put_file(key, source)
    with pytest.raises(InvalidPath):
        storage.stat(key)
    with pytest.raises(InvalidPath):
        storage.open_range(key, 0, 1)
    with pytest.raises(InvalidPath):
        storage.fetch(key, folder / "target")
    with pytest.raises(InvalidPath):
        storage.delete(key)
    assert source.read_bytes() == b"content"
    assert not os.path.lexists(folder / "target")
    assert list((storage.root / "incoming").rglob("[0-9a-f]*/[0-9a-f]*")) == []


@pytest.mark.parametrize("depth", [1, 2, 3, 4], ids=["folder", "job", "execution", "file"])
@pytest.mark.parametrize("relative", [False, True], ids=["absolute", "relative"])
def test_a_symbolic_link_anywhere_below_the_root_is_refused(
    local: LocalStorage, tmp_path: Path, depth: int, relative: bool
) -> None:
    key = output_key()
    put(local, key, b"content")
    parts = key.split("/")
    here = local.root.joinpath(*parts[:depth])
    outside = tmp_path / "outside"
    here.rename(outside)  # the same things, outside, and a link to them where they were
    here.symlink_to(os.path.relpath(outside, here.parent) if relative else outside)
    every_call_is_refused(local, key, tmp_path)
    if depth > 1:
        assert keys(local, "outputs/") == set()
    else:
        with pytest.raises(InvalidPath):
            keys(local, "outputs/")
    there = outside.joinpath(*parts[depth:])
    assert there.read_bytes() == b"content"


@pytest.mark.parametrize("depth", [1, 2, 3, 4], ids=["folder", "job", "execution", "file"])
def test_a_link_to_somewhere_else_below_the_root_is_refused_too(
    local: LocalStorage, tmp_path: Path, depth: int
) -> None:
    key = output_key()
    put(local, key, b"content")
    here = local.root.joinpath(*key.split("/")[:depth])
    elsewhere = local.root / "elsewhere"
    here.rename(elsewhere)
    here.symlink_to(elsewhere)
    every_call_is_refused(local, key, tmp_path)


def test_half_written_files_follow_no_link(local: LocalStorage, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (local.root / "incoming").symlink_to(tmp_path / "outside")
    with pytest.raises(InvalidPath):
        local.writer(upload_key())
    with pytest.raises(StorageUnavailable, match="link"):
        local.check()
    assert list((tmp_path / "outside").iterdir()) == []


def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "disk")
    storage, key = LocalStorage(tmp_path / "data"), upload_key()
    put(storage, key, b"content")
    storage.close()
    assert (tmp_path / "disk" / key).read_bytes() == b"content"


def test_what_is_no_object_is_passed_over(local: LocalStorage) -> None:
    key = upload_key()
    put(local, key, b"content")
    folder = (local.root / key).parent
    (folder / ".nfs0001").write_bytes(b"")
    (folder / "folder.mp4").mkdir()
    os.mkfifo(folder / "pipe.mp4")
    (local.root / "uploads" / "stray").write_bytes(b"")
    (local.root / "uploads" / ("f" * 32)).write_bytes(b"")
    assert keys(local, "uploads/") == {key}
    for name in ("folder.mp4", "pipe.mp4"):
        with pytest.raises(InvalidPath):
            local.stat(key.replace("clip.mp4", name))


# A disk that fails.


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageUnavailable, match=str(tmp_path / "file" / "data")):
        LocalStorage(tmp_path / "file" / "data")


def test_a_root_that_has_gone_is_a_failure_and_not_an_empty_storage(local: LocalStorage) -> None:
    key = upload_key()
    put(local, key, b"content")
    local.close()
    local.root.rename(local.root.with_name("elsewhere"))
    for call in (local.check, lambda: local.stat(key), lambda: local.writer(key), lambda: keys(local, "uploads/")):
        with pytest.raises(StorageUnavailable, match="has gone"):
            call()
    assert not local.root.exists()
    local.root.with_name("elsewhere").rename(local.root)
    local.check()
    assert read(local, key) == b"content"


def test_half_written_files_removed_by_somebody(local: LocalStorage) -> None:
    key = upload_key()
    with local.writer(key) as writer:
        writer.write(b"content")
        subprocess.run(["rm", "-rf", local.root / "incoming"], check=True)
        with pytest.raises(StorageUnavailable, match=key):
            writer.commit()
    with pytest.raises(FileNotFound):
        local.stat(key)
    put(local, key, b"anew")
    assert read(local, key) == b"anew"


def test_half_written_files_of_a_killed_process_go_with_the_next_write(local: LocalStorage) -> None:
    key = upload_key()
    with Elsewhere("HALF", str(local.root), upload_key()) as other:
        assert other.readline() == "ready"
        (half,) = files_under(local.root)
        put(local, key, b"content")
        assert files_under(local.root) == {half, key}  # the other one lives and goes on
    local.close()
    local.check()
    assert files_under(local.root) == {key}


def test_a_forked_child_has_its_own_half_written_files(tmp_path: Path) -> None:
    with Elsewhere("FORK", str(tmp_path), upload_key()) as other:
        assert other.read().splitlines() == ["in the child 2 folders", "after it 1", "at the end 0"]


def test_a_folder_that_we_may_not_write_to_fails_the_check() -> None:
    with tempfile.TemporaryDirectory() as private:
        root = Path(private, "data")
        root.mkdir(mode=0o555)
        Path(private).chmod(0o755)
        with Elsewhere("CHECK", str(root)) as other:
            assert other.read() == f"StorageUnavailable Permission denied {root}\n"


AS_IT_WAS = ["half-written: 0, found: the first", "done", "and works again"]


def test_a_file_that_may_not_grow_is_a_full_disk(tmp_path: Path) -> None:
    with Elsewhere("LIMITED", str(tmp_path), upload_key(), upload_key()) as other:
        assert other.read().splitlines() == [f"DiskFull File too large {tmp_path}", *AS_IT_WAS]


def test_a_full_disk(tmp_path: Path) -> None:
    """On a real file system of 2 MiB; where nobody lets us mount one, with a limit as above."""
    namespace = namespace_for_mounts(tmp_path)
    if namespace is None:
        test_a_file_that_may_not_grow_is_a_full_disk(tmp_path)
        return
    with Elsewhere("FULL", str(tmp_path), upload_key(), upload_key(), prefix=namespace) as other:
        assert other.read().splitlines() == [
            f"DiskFull No space left on device {tmp_path}",
            *AS_IT_WAS[:-1],
            f"StorageUnavailable No space left on device {tmp_path}",
            "done",
            AS_IT_WAS[-1],
        ]


def namespace_for_mounts(folder: Path) -> list[str] | None:
    """What to put before a command so that it may mount, unseen by others; None where we may not."""
    for namespace in (["unshare", "--mount"], ["unshare", "--map-root-user", "--mount"]):
        trial = [*namespace, "mount", "-t", "tmpfs", "tmpfs", str(folder)]
        if subprocess.run(trial, check=False, capture_output=True).returncode == 0:
            return namespace
    return None


class Elsewhere:
    """A process of its own, for limits, mounts, forks and kills. SIGKILL ends it with the `with` block."""

    def __init__(self, *arguments: str, prefix: list[str] | None = None) -> None:
        command = [*(prefix or []), sys.executable, "-c", SCRIPT, *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        self._said = self._process.stdout

    def readline(self) -> str:
        return self._said.readline().strip()

    def read(self) -> str:
        return self._said.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self._process as process:
            process.kill()


SCRIPT = """
import os, resource, subprocess, sys
from pathlib import Path
from flowscale.errors import FlowScaleError
from flowscale.storage.local import LocalStorage

what, root, *keys = sys.argv[1:]
REASONS = "Permission denied", "No space left on device", "File too large"

def attempt(action, *arguments):
    try:
        action(*arguments)
    except FlowScaleError as fault:
        reason = next((text for text in REASONS if text in fault.message), fault.message)
        return f"{type(fault).__name__} {reason} {root if root in fault.message else 'somewhere'}"
    return "done"

def write(storage, key, size):
    with storage.writer(key) as writer:
        writer.write(bytes(size))  # of which the last call to the system may take a part only
        writer.commit()

def folders():
    return len(os.listdir(Path(root, "incoming")))

if what == "CHECK":
    storage = LocalStorage(Path(root))
    if os.geteuid() == 0:  # to whom nothing is forbidden
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    print(attempt(storage.check))
elif what == "HALF":
    writer = LocalStorage(Path(root)).writer(keys[0])
    writer.write(b"half a file")
    print("ready", flush=True)
    sys.stdin.read()
elif what == "FORK":
    storage = LocalStorage(Path(root))
    storage.check()
    child = os.fork()
    if child == 0:
        write(storage, keys[0], 65536)
        print("in the child", folders(), "folders", flush=True)
        storage.close()
        os._exit(0)
    os.waitpid(child, 0)
    print("after it", folders())
    storage.close()
    print("at the end", folders())
else:
    if what == "FULL":
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", root], check=True)
    if what == "LIMITED":
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))
    storage = LocalStorage(Path(root))
    write(storage, keys[0], 1_000_000)
    print(attempt(write, storage, keys[1], 4_000_000))
    half = [path for path in Path(root, "incoming").rglob("*") if path.is_file() and path.name != ".lock"]
    found = [stored.key for stored in storage.find("uploads/")]
    print(f"half-written: {len(half)}, found: {'the first' if found == keys[:1] else found}")
    source = Path(root, "source")
    source.write_bytes(b"this fits")
    print(attempt(storage.put_file, keys[1], source))
    if what == "FULL":
        filler = Path(root, "filler")
        with open(filler, "wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                print(attempt(storage.check))
        filler.unlink()
        print(attempt(storage.check))
    storage.delete(keys[0])
    write(storage, keys[0], 1_000_000)
    storage.close()
    print("and works again")
"""

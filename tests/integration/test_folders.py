"""Owned folders, with real processes that are killed, forked and started at once."""

from __future__ import annotations

import json
import os
import secrets
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest

from flowscale.folders import OwnedFolder, sweep
from integration.processes import until

# What another process does with the root; it talks by lines, and waits until its input ends.
PROLOGUE = """
import os, subprocess, sys
from pathlib import Path
from flowscale import logs
from flowscale.folders import OwnedFolder, sweep
logs.configure("error")
root = Path(sys.argv[1])

def say(*words):
    print(*words, flush=True)

def wait():
    sys.stdin.read()
"""
OWNER = """
folder = OwnedFolder.claim(root)
(folder.path / "deep" / "er").mkdir(parents=True)
(folder.path / "deep" / "er" / "file").write_bytes(bytes(1000))
say(folder.path)
wait()
"""
OWNER_WITH_A_PROGRAM = """
folder = OwnedFolder.claim(root)
program = subprocess.Popen(["sleep", "1000"], close_fds=False, cwd=folder.path)
say(folder.path, program.pid)
wait()
"""
OWNER_WITH_A_FORK = """
folder = OwnedFolder.claim(root)
child = os.fork()
if child == 0:
    folder.release()  # not its own: nothing happens
    say(folder.path, os.getpid(), folder.held)
    wait()
    os._exit(0)
os.waitpid(child, 0)
"""
CLAIMING_AGAIN_AND_AGAIN = """
say("ready")
sys.stdin.readline()
for _ in range(25):
    with OwnedFolder.claim(root) as folder:
        (folder.path / "mine").write_text(str(os.getpid()))
        sweep(root)
        assert (folder.path / "mine").read_text() == str(os.getpid())
        assert sorted(os.listdir(folder.path)) == [".lock", "mine"]
    assert not folder.path.exists()
say("done")
OwnedFolder.claim(root)
wait()
"""
UNPRIVILEGED = """
import json
logs.configure(form="json", stream=sys.stdout)
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
folder = OwnedFolder.claim(root)
say(json.dumps({"claimed": str(folder.path), "swept": folder.swept}))
"""


@contextmanager
def elsewhere(script: str, root: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process; killed at the end of the `with` block if it has not ended by then."""
    command = [sys.executable, "-c", PROLOGUE + script, str(root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout
    return process.stdout.readline().split()


def end_orphan(pid: int) -> None:
    orphan = psutil.Process(pid)
    orphan.kill()
    psutil.wait_procs([orphan])


def test_a_claimed_folder_is_private_and_ours(tmp_path: Path) -> None:
    root = tmp_path / "some" / "scratch"
    folder = OwnedFolder.claim(root)
    assert folder.path.parent == root
    assert folder.held
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    (folder.path / "file").write_bytes(b"content")
    (folder.path / "link").symlink_to(tmp_path)
    (folder.path / "sub" / "folder").mkdir(parents=True)
    folder.release()
    assert not folder.held
    assert list(root.iterdir()) == []
    folder.release()  # again is no error
    assert tmp_path.exists()


def test_the_end_of_a_with_block_removes_the_folder_also_after_an_error(tmp_path: Path) -> None:
    def fail() -> None:
        with OwnedFolder.claim(tmp_path) as folder:
            (folder.path / "file").write_bytes(b"content")
            raise KeyError("an error inside")

    with pytest.raises(KeyError, match="an error inside"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_one_process_may_own_many(tmp_path: Path) -> None:
    with OwnedFolder.claim(tmp_path) as one, OwnedFolder.claim(tmp_path) as other:
        assert one.path != other.path
        assert sweep(tmp_path) == 0
        assert one.held
        assert other.held


def test_a_folder_of_a_killed_process_is_swept_by_the_next_claim(tmp_path: Path) -> None:
    with elsewhere(OWNER, tmp_path) as owner:
        path = Path(*line(owner))
        with OwnedFolder.claim(tmp_path) as folder:
            assert folder.swept == 0  # its owner lives
            assert (path / "deep" / "er" / "file").exists()
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        with OwnedFolder.claim(tmp_path) as folder:
            assert folder.swept == 1
            assert list(tmp_path.iterdir()) == [folder.path]


def test_a_stopped_process_keeps_its_folder(tmp_path: Path) -> None:
    with elsewhere(OWNER, tmp_path) as owner:
        path = Path(*line(owner))
        owner.send_signal(signal.SIGSTOP)
        assert sweep(tmp_path) == 0
        assert path.exists()


def test_a_program_that_outlives_the_owner_does_not_keep_the_folder(tmp_path: Path) -> None:
    with elsewhere(OWNER_WITH_A_PROGRAM, tmp_path) as owner:
        path, program = line(owner)
        owner.kill()
        owner.wait()
        try:
            assert psutil.pid_exists(int(program))
            assert sweep(tmp_path) == 1
            assert not Path(path).exists()
        finally:
            end_orphan(int(program))


def test_a_forked_child_that_outlives_the_owner_does_not_keep_the_folder(tmp_path: Path) -> None:
    with elsewhere(OWNER_WITH_A_FORK, tmp_path) as owner:
        path, child, held = line(owner)
        try:
            assert held == "False"
            assert Path(path).exists()
            assert sweep(tmp_path) == 0  # the child's release changed nothing for the owner
            owner.kill()
            owner.wait()
            assert psutil.pid_exists(int(child))
            assert sweep(tmp_path) == 1
            assert not Path(path).exists()
        finally:
            end_orphan(int(child))


def test_many_processes_that_start_at_once_take_nothing_from_each_other(tmp_path: Path) -> None:
    with ExitStack() as stack:
        processes = [stack.enter_context(elsewhere(CLAIMING_AGAIN_AND_AGAIN, tmp_path)) for _ in range(8)]
        for process in processes:
            assert line(process) == ["ready"]
        for process in processes:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            assert line(process) == ["done"]
    # All were killed, each with a folder or in the middle of getting one.
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def is_gone(path: Path) -> bool:
    return not path.exists()


def test_sweepers_never_take_a_folder_between_its_making_and_its_locking(tmp_path: Path) -> None:
    claiming = threading.Event()
    claiming.set()

    def keep_sweeping() -> None:
        while claiming.is_set():
            sweep(tmp_path)

    sweepers = [threading.Thread(target=keep_sweeping) for _ in range(3)]
    for sweeper in sweepers:
        sweeper.start()
    try:
        for _ in range(100):
            with OwnedFolder.claim(tmp_path) as folder:
                (folder.path / "mine").write_bytes(b"content")
                assert sorted(os.listdir(folder.path)) == [".lock", "mine"]
            # A sweeper that came upon it as it was released removes it in our place.
            until(partial(is_gone, folder.path), "the folder to be gone")
    finally:
        claiming.clear()
        for sweeper in sweepers:
            sweeper.join()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("files", [[], ["file"], [".lock"], [".lock", "file"]])
def test_whatever_a_process_left_when_it_was_killed_half_way_is_swept(tmp_path: Path, files: list[str]) -> None:
    dead = tmp_path / secrets.token_hex(16)
    dead.mkdir()
    for name in files:
        (dead / name).write_bytes(b"")
    assert sweep(tmp_path) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_leaves_alone_what_is_not_an_owned_folder(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"content")
    root = tmp_path / "root"
    root.mkdir()
    (root / "folder").mkdir()
    (root / secrets.token_hex(16)).write_bytes(b"a file by that name")
    (root / secrets.token_hex(16)).symlink_to(outside)
    (root / secrets.token_hex(16).upper().replace("0", "A", 1)).mkdir()
    (root / secrets.token_hex(17)).mkdir()
    before = sorted(root.iterdir())
    assert sweep(root) == 0
    assert sorted(root.iterdir()) == before
    assert (outside / "file").exists()


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    dead, precious = tmp_path / secrets.token_hex(16), tmp_path / "precious"
    dead.mkdir()
    (dead / ".lock").symlink_to(precious)
    assert sweep(tmp_path) == 0
    assert not precious.exists()


def test_a_folder_that_cannot_be_removed_is_reported_and_hinders_nobody() -> None:
    with tempfile.TemporaryDirectory() as private:
        root = Path(private)
        root.chmod(0o777)
        dead = root / secrets.token_hex(16)
        dead.mkdir()
        (dead / "file").write_bytes(b"content")
        dead.chmod(0)
        with elsewhere(UNPRIVILEGED, root) as other:
            said = [json.loads(text) for text in other.communicate()[0].splitlines()]
        dead.chmod(0o700)
        assert [report.get("event") for report in said] == ["folder.stuck", None]
        assert said[0]["path"] == str(dead)
        assert "Permission denied" in said[0]["reason"]
        assert said[1]["swept"] == 0
        assert sweep(root) == 2  # now that we may: that one, and the one of the process that could not


def test_a_folder_that_somebody_removed_is_held_no_more(tmp_path: Path) -> None:
    folder = OwnedFolder.claim(tmp_path)
    subprocess.run(["rm", "-rf", folder.path], check=True)
    assert not folder.held
    folder.release()
    assert list(tmp_path.iterdir()) == []


def test_a_root_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        OwnedFolder.claim(tmp_path / "file" / "scratch")


def test_nothing_stays_open(tmp_path: Path) -> None:
    with OwnedFolder.claim(tmp_path):
        before = psutil.Process().num_fds()
        (tmp_path / secrets.token_hex(16)).mkdir()
        with OwnedFolder.claim(tmp_path) as folder:
            assert folder.swept == 1
            assert psutil.Process().num_fds() == before + 1
        assert psutil.Process().num_fds() == before

"""Symbolic links in the storage, planted there by somebody who may write to the folder: nothing goes through them.

Neither reading nor rendering, neither age nor sweeping leads out of the root; the links' targets stay as they are, to
the inode. Each test looks at a plain file that is treated the same way, so that the way is known to be taken.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flowscale.names import output_key, upload_key
from integration.frontend import Frontend
from integration.leased import make_clip
from integration.processes import until
from integration.program import running
from integration.raw_http import RawAnswer, ask
from integration.traversal_site import SENTINEL, tree

OLD = 1_700_000_000
"""Seconds since 1970: long ago, so that what is as old has reached any age."""


def hexed(number: int) -> str:
    return f"{number:032x}"


def job_id(number: int) -> str:
    return f"job_1700000000000_{hexed(number)}"


@dataclass(frozen=True)
class Ground:
    """A folder with a storage in it, and beside it what links lead to."""

    folder: Path
    clip: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def outside(self) -> Path:
        return self.folder / "outside"

    @property
    def log(self) -> Path:
        return self.folder / "dev.log"

    def put(self, key: str) -> Path:
        """A plain file with the clip under the key."""
        path = self.data / key
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.clip, path)
        return path

    def plant(self, path: str, target: Path | str) -> Path:
        link = self.data / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
        return link

    def plant_all(self) -> list[str]:
        """Links of every kind in every place; the keys that lead over them."""
        film, folder = self.outside / "film.mp4", self.outside / "folder"
        keys = [upload_key(hexed(number), "film.mp4") for number in range(1, 8)]
        self.plant(keys[0], film)
        self.plant(keys[1], "../../../outside/film.mp4")
        self.plant(f"uploads/{hexed(3)}", folder)
        self.plant(keys[3], self.outside / "nothing.mp4")
        self.plant(keys[4], "film.mp4")  # to itself
        self.plant(keys[5], "/etc/passwd")
        self.plant(f"uploads/{hexed(7)}", "../../outside/folder")
        outputs = [output_key(job_id(number), hexed(9), "film.mp4") for number in range(1, 4)]
        self.plant(outputs[0], film)
        self.plant(f"outputs/{job_id(2)}/{hexed(9)}", folder)
        self.plant(f"outputs/{job_id(3)}", self.outside / "job")
        return [*keys, *outputs]

    def make_old(self, top: Path) -> None:
        for path in [top, *top.rglob("*")]:
            os.utime(path, (OLD, OLD), follow_symlinks=False)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """At the end, all beside the storage must be what it was when it was made."""
    outside = tmp_path / "outside"
    (outside / "folder").mkdir(parents=True)
    (outside / "job" / hexed(9)).mkdir(parents=True)
    (outside / "empty").mkdir()
    clip = make_clip(tmp_path, seconds=1)
    # A film that would render, and would show where it comes from.
    content = clip.read_bytes() + SENTINEL.encode()
    for place in (outside, outside / "folder", outside / "job" / hexed(9)):
        (place / "film.mp4").write_bytes(content)
    (outside / "folder" / ".lock").touch()
    ground = Ground(tmp_path, clip)
    ground.data.mkdir()
    ground.make_old(outside)
    before = tree(outside)
    yield ground
    assert tree(outside) == before
    assert SENTINEL not in ground.log.read_text()


@pytest.fixture(params=["local", "nfs"])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def planted(ground: Ground) -> dict[str, str]:
    """The links in the storage, as they are."""
    return {path: state for path, state in tree(ground.data).items() if Path(path).is_symlink()}


def shows_nothing(answer: RawAnswer) -> None:
    assert SENTINEL.encode() not in answer.content
    assert b"root:x:0:0" not in answer.content
    assert 400 <= answer.status < 500, answer


def test_links_are_neither_served_nor_rendered(ground: Ground, kind: str) -> None:
    keys = ground.plant_all()
    plain = upload_key(hexed(100), "film.mp4")
    ground.put(plain)
    links = planted(ground)
    with running("dev", ground.folder, STORAGE_TYPE=kind) as program:
        for key in keys:
            for method, query in (("GET", ""), ("HEAD", ""), ("GET", "?download"), ("GET", "?redirect")):
                shows_nothing(ask(program.url, method, f"/{key}{query}".encode()))
        frontend = Frontend(program.url)
        with frontend.http as http:
            for key in keys[:7]:
                for source in (key, key.split("/")[1]):
                    for body in ({"sourcePath": source}, {"sources": [plain, source]}):
                        answer = http.post("/api/execute", json=body)
                        assert answer.status_code in (400, 404), answer.text
            assert http.get(f"/{plain}").content == ground.clip.read_bytes()
            assert frontend.wait(frontend.execute(plain))["status"] == "done"
    assert planted(ground) == links
    assert "Traceback" not in ground.log.read_text()


def test_a_link_that_takes_the_place_of_a_source_is_not_followed(ground: Ground) -> None:
    """Between the request, which saw a file, and the worker, which finds a link."""
    with running("dev", ground.folder, WORKER_CONCURRENCY="1") as program:
        frontend = Frontend(program.url)
        with frontend.http as http:
            first, second = (frontend.upload(ground.clip) for _ in range(2))
            # The only worker has something to do for a while.
            busy = frontend.execute(first, speed=0.25, quality="lossless", resize={"width": 3840, "height": 2160})
            frontend.wait(busy, "running")
            job = frontend.execute(second)
            swapped = ground.data / second
            swapped.unlink()
            swapped.symlink_to(ground.outside / "film.mp4")
            http.post(f"/api/jobs/{busy}/cancel")
            ended = frontend.wait(job)
            assert ended["status"] == "error"
            assert ended["error"]["code"] == "INVALID_MEDIA"
            assert swapped.is_symlink()
            assert "Traceback" not in ground.log.read_text()


@pytest.mark.parametrize("top", ["uploads", "outputs"])
def test_a_folder_that_becomes_a_link_is_not_written_through(ground: Ground, kind: str, top: str) -> None:
    with running("dev", ground.folder, STORAGE_TYPE=kind) as program:
        frontend = Frontend(program.url)
        with frontend.http as http:
            source = frontend.upload(ground.clip)
            assert frontend.wait(frontend.execute(source))["status"] == "done"
            (ground.data / top).rename(ground.data / f"{top}-before")
            (ground.data / top).symlink_to(ground.outside / "empty")
            if top == "uploads":
                with ground.clip.open("rb") as file:
                    refused = http.post("/api/upload", files={"file": ("clip.mp4", file)})
                assert not refused.json()["ok"]
                assert http.post("/api/execute", json={"sourcePath": source}).status_code in (400, 404)
            else:
                ended = frontend.wait(frontend.execute(source))
                assert ended["status"] == "error"
            assert http.get("/readyz").status_code in (200, 503)
            assert list((ground.outside / "empty").iterdir()) == []
            if top == "uploads":
                assert "Traceback" not in ground.log.read_text()


def test_a_link_under_the_name_of_the_readiness_check_is_not_written_through(ground: Ground) -> None:
    with running("dev", ground.folder) as program:
        link = ground.plant("uploads/.writable", ground.outside / "film.mp4")
        frontend = Frontend(program.url)
        with frontend.http as http:
            until(lambda: http.get("/readyz").status_code == 503, "the gateway to notice the link")
        assert link.is_symlink()
    assert "Traceback" not in ground.log.read_text()


def test_age_and_sweeping_remove_nothing_through_links(ground: Ground, kind: str) -> None:
    ground.plant_all()
    plain = ground.put(upload_key(hexed(100), "film.mp4"))
    made = ground.put(output_key(job_id(100), hexed(100), "film.mp4"))
    # What is half-written, in folders of dead processes; and links that pass for some.
    hosts = [""] if kind == "local" else [f"{os.uname().nodename}/", "another-machine/"]
    swept = []
    for host in hosts:
        dead = ground.data / f"incoming/{host}{hexed(200)}"
        dead.mkdir(parents=True)
        (dead / "half").write_bytes(b"half")
        (dead / "link").symlink_to(ground.outside / "film.mp4")
        (dead / "folder").symlink_to(ground.outside / "folder")
        (dead / ".lock").touch()
        swept.append(dead)
        ground.plant(f"incoming/{host}{hexed(201)}", ground.outside / "folder")
    ground.plant(f"scratch/{hexed(202)}", ground.outside / "folder")
    ground.plant(f"partial/{hexed(203)}", ground.outside / "folder")
    ground.plant(f"partial/{hexed(204)}/1", ground.outside / "film.mp4")
    ground.plant(f"partial/rests/{hexed(205)}", ground.outside / "folder")
    ground.plant("incoming/no-machine", ground.outside / "folder")
    ground.make_old(ground.data)
    links = {path for path in planted(ground) if hexed(200) not in path and hexed(204) not in path}
    ages = ("FLOWSCALE_UPLOAD_RETENTION", "FLOWSCALE_OUTPUT_RETENTION", "FLOWSCALE_UPLOAD_EXPIRY")
    scratch = {"FLOWSCALE_SCRATCH_DIR": str(ground.data / "scratch")}
    with running("dev", ground.folder, STORAGE_TYPE=kind, **dict.fromkeys(ages, "1"), **scratch):
        until(lambda: not plain.exists() and not made.exists(), "old files to be deleted")
        until(lambda: not any(folder.exists() for folder in swept), "folders of dead processes to be swept")
    assert planted(ground).keys() == links
    assert "Traceback" not in ground.log.read_text()

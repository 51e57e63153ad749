"""What `flowscale render --url` uploads arrives whole, whatever happens to the way there and to the server."""

from __future__ import annotations

import hashlib
import re
import signal
import struct
import subprocess
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from fault_proxy import FaultProxy
from flowscale.errors import InvalidPath
from flowscale_cli.client import Client, ServerError
from flowscale_cli.resumable import PIECE_BYTES, upload_resumably
from http_relay import Answer, HttpRelay, Request
from integration.processes import until
from integration.program import FLOWSCALE, Program, probe
from redis_server import RedisServer, free_port

Start = Callable[..., Program]

MIB = 1024**2
FILM_BYTES = 72 * MIB  # three requests


@pytest.fixture
def film(clips: Path, tmp_path: Path) -> Path:
    """A real clip with room behind it, as MP4 allows, filled with bytes of which none is like its neighbours."""
    made = tmp_path / "film.mp4"
    clip = (clips / "bikes.mp4").read_bytes()
    room = FILM_BYTES - len(clip)
    noise = hashlib.shake_256(b"film").digest(MIB + 1)
    made.write_bytes(clip + struct.pack(">I4s", room, b"free") + (noise * 72)[: room - 8])
    return made


@pytest.fixture
def line(dev_server: Program) -> Iterator[FaultProxy]:
    with FaultProxy(urlsplit(dev_server.url).port or 0) as proxy:
        yield proxy


class Incidents:
    """A watcher that has something happen when so many bytes are on their way, each time once."""

    def __init__(self, *incidents: tuple[int, Callable[[], object]]) -> None:
        self._coming = list(incidents)
        self.marks: list[int] = []
        self.notes: list[str] = []

    def sent(self, done: int) -> None:
        self.marks.append(done)
        if self._coming and done >= self._coming[0][0]:
            self._coming.pop(0)[1]()

    def note(self, words: str) -> None:
        if words:
            self.notes.append(words)


def upload(url: str, file: Path, watcher: Incidents | None = None, **how: Any) -> dict[str, Any]:
    with Client(url) as client:
        return upload_resumably(client, file, watcher or Incidents(), **how)


def digest(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def assert_stored(answer: dict[str, Any], data: Path, film: Path) -> None:
    assert answer["size"] == film.stat().st_size
    assert digest(data / answer["filePath"]) == digest(film)


def unfinished(data: Path) -> set[Path]:
    """Files of uploads that are not complete."""
    return {path for path in (data / "partial").rglob("*") if path.is_file()}


def address(proxy: FaultProxy | HttpRelay) -> str:
    return f"http://127.0.0.1:{proxy.port}"


def test_an_undisturbed_upload(dev_server: Program, film: Path) -> None:
    watcher = Incidents()
    answer = upload(dev_server.url, film, watcher)
    assert_stored(answer, dev_server.data, film)
    assert answer["filename"] == "film.mp4"
    assert answer["mimetype"] == "video/mp4"
    assert watcher.marks[-1] == FILM_BYTES
    assert watcher.marks == sorted(watcher.marks)
    assert watcher.notes == []


def test_cuts_cost_only_what_was_on_the_way(dev_server: Program, line: FaultProxy, film: Path) -> None:
    watcher = Incidents(*((megabytes * MIB, line.cut) for megabytes in (1, 20, 40, 50, 70)))
    answer = upload(address(line), film, watcher)
    assert_stored(answer, dev_server.data, film)
    assert len(watcher.notes) >= 5
    assert all("was lost" in words for words in watcher.notes)
    lost = [before - after for before, after in pairwise(watcher.marks) if after < before]
    assert len(lost) >= 5
    assert max(lost) <= PIECE_BYTES  # no more than the request that was cut: what was answered for is never sent again


def test_a_way_that_is_closed_for_a_while(dev_server: Program, line: FaultProxy, film: Path) -> None:
    watcher = Incidents((40 * MIB, line.refuse))

    def note(words: str) -> None:
        Incidents.note(watcher, words)
        if len(watcher.notes) == 3:
            line.pass_through()

    watcher.note = note  # type: ignore[method-assign]
    assert_stored(upload(address(line), film, watcher), dev_server.data, film)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_gateway_that_is_started_again_in_the_middle(
    start: Start, own_redis: RedisServer, film: Path, number: int
) -> None:
    environment = {"QUEUE_MODE": "redis", "REDIS_PORT": str(own_redis.port), "PORT": str(free_port())}
    program = start("api", **environment)

    def restart() -> None:
        program.process.send_signal(number)
        program.process.wait()
        start("api", **environment)

    watcher = Incidents((50 * MIB, restart))
    answer = upload(program.url, film, watcher)
    assert_stored(answer, program.data, film)
    after = watcher.marks[next(index for index, mark in enumerate(watcher.marks) if mark >= 50 * MIB) :]
    assert min(after) >= PIECE_BYTES


def test_an_upload_the_server_forgot_begins_anew(start: Start, film: Path) -> None:
    environment = {"PORT": str(free_port())}
    program = start("dev", **environment)  # remembers uploads in its memory alone

    def restart() -> None:
        program.process.kill()
        program.process.wait()
        start("dev", **environment)

    watcher = Incidents((50 * MIB, restart))
    assert_stored(upload(program.url, film, watcher), program.data, film)
    assert any("begins anew" in words for words in watcher.notes)


class Refusing(HttpRelay):
    """A server that refuses the first requests of a kind."""

    def __init__(self, target: int, method: str, status: int, times: int) -> None:
        super().__init__(target)
        self._kind = method
        self._status = status
        self.left = times

    async def answer(self, request: Request) -> Answer | None:
        if request.method != self._kind or not request.path.startswith("/api/uploads") or not self.left:
            return None
        self.left -= 1
        return Answer(self._status, "Refused", "Not now.")


@pytest.mark.parametrize("method", ["POST", "PATCH", "GET"])
@pytest.mark.parametrize("status", [423, 503])
def test_a_passing_refusal_is_sat_out(dev_server: Program, clips: Path, method: str, status: int) -> None:
    with Refusing(urlsplit(dev_server.url).port or 0, method, status, 2) as relay:
        watcher = Incidents()
        answer = upload(address(relay), clips / "bikes.mp4", watcher)
        assert relay.left == 0
    assert_stored(answer, dev_server.data, clips / "bikes.mp4")
    assert len(watcher.notes) == 2


def test_a_server_without_resumable_uploads_gets_a_form(dev_server: Program, clips: Path) -> None:
    with Refusing(urlsplit(dev_server.url).port or 0, "POST", 404, 1) as relay:
        answer = upload(address(relay), clips / "bikes.mp4")
    assert_stored(answer, dev_server.data, clips / "bikes.mp4")


def test_patience_ends_with_what_happened_and_what_to_do(dev_server: Program, line: FaultProxy, film: Path) -> None:
    with pytest.raises(ServerError) as caught:
        upload(address(line), film, Incidents((40 * MIB, line.refuse)), patience_s=1.0)
    assert caught.value.code == "UPLOAD_INTERRUPTED"
    found = re.search(rf"film.mp4 was not uploaded: (\d+) of {FILM_BYTES} bytes had arrived", caught.value.message)
    assert found is not None
    assert PIECE_BYTES <= int(found[1]) < FILM_BYTES
    assert "run the command again" in caught.value.message


def test_a_server_that_is_not_there_is_said_at_once(clips: Path) -> None:
    with pytest.raises(ServerError) as caught:
        upload(f"http://127.0.0.1:{free_port()}", clips / "bikes.mp4")
    assert caught.value.code == "UNREACHABLE"


def test_a_file_that_cannot_be_taken_is_refused_in_the_servers_words(dev_server: Program, tmp_path: Path) -> None:
    letter = tmp_path / "letter.mp4"
    letter.write_text("Dear reader, this is no film.\n" * 5000)
    kept = unfinished(dev_server.data)
    with pytest.raises(ServerError) as caught:
        upload(dev_server.url, letter)
    assert caught.value.code == "UNSUPPORTED_MEDIA"
    assert unfinished(dev_server.data) == kept


def test_a_file_that_changes_on_the_way_is_not_stored(dev_server: Program, film: Path) -> None:
    def grow() -> None:
        with film.open("ab") as behind:
            behind.write(b"more")

    kept = unfinished(dev_server.data)
    with pytest.raises(InvalidPath, match="changed while it was uploaded"):
        upload(dev_server.url, film, Incidents((20 * MIB, grow)))
    assert unfinished(dev_server.data) == kept


def render(url: str, film: Path, folder: Path) -> subprocess.Popen[str]:
    words = [str(FLOWSCALE), "render", str(film), "--end", "0.4", "--url", url, "-o", "short.mp4"]
    return subprocess.Popen(words, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def read_until(program: subprocess.Popen[str], words: str) -> str:
    """What it says up to a line with these words."""
    assert program.stderr is not None
    said = ""
    for line_said in program.stderr:
        said += line_said
        if words in line_said:
            return said
    raise AssertionError(f"it ended without {words!r}: {said}")


def test_the_program_renders_what_arrived_over_a_bad_line(line: FaultProxy, film: Path, tmp_path: Path) -> None:
    line.delay(0.005)
    program = render(address(line), film, tmp_path)
    read_until(program, "25 %")
    line.refuse()
    read_until(program, "Trying again")
    line.pass_through()
    _, said = program.communicate(timeout=120)
    assert program.returncode == 0, said
    assert "upload film.mp4: 100 %" in said
    assert probe(tmp_path / "short.mp4")["video"]["nb_read_frames"] == "10"


def test_ctrl_c_leaves_nothing_on_the_server(dev_server: Program, line: FaultProxy, film: Path, tmp_path: Path) -> None:
    line.delay(0.01)
    before, kept = set((dev_server.data / "uploads").rglob("*")), unfinished(dev_server.data)
    program = render(address(line), film, tmp_path)
    read_until(program, "25 %")
    until(lambda: unfinished(dev_server.data) - kept, "bytes of the upload to be kept")
    program.send_signal(signal.SIGINT)
    _, said = program.communicate(timeout=60)
    assert program.returncode == 130
    assert "Traceback" not in said
    assert unfinished(dev_server.data) == kept
    assert set((dev_server.data / "uploads").rglob("*")) == before
    assert not (tmp_path / "short.mp4").exists()

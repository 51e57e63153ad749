"""Hostile files: whatever is uploaded, an answer comes in time, in little memory, and nothing else is touched.

`pytest -rP` shows what came of each, how long it took and how much memory FFmpeg had.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import pytest

from flowscale.specs import RenderSpec, Source
from flowscale_worker.command import DEMUXERS, probe_command, render_command
from flowscale_worker.kit import Kit
from flowscale_worker.plan import make_plan
from flowscale_worker.probe import examine
from integration import (
    hostile_clips,
    hostile_films,
    hostile_matroska,
    hostile_passengers,
    hostile_pictures,
    hostile_texts,
    hostile_timelines,
)
from integration.canary import MARKER, Canary
from integration.hostile_cases import DONE, H264, Case, Workshop
from integration.hostile_run import SETTINGS, run_case
from integration.processes import until
from integration.rendering import Renderer, make_kit

KINDS = (
    *(hostile_texts, hostile_films, hostile_timelines, hostile_passengers),
    *(hostile_matroska, hostile_pictures, hostile_clips),
)
CASES = [case for kind in KINDS for case in kind.cases.all]

GOOD_EVERY = 8
"""After every so many hostile files the same process renders a good clip."""

MAX_PEAK_MIB = 1536
"""The most memory a hostile file may make FFmpeg use."""


@dataclass(slots=True)
class Yard:
    """Everything that hostile files are made of and run in."""

    folder: Path
    workshop: Workshop
    canary: Canary
    good: Path
    kit: Kit
    numbers: Iterator[int]

    def place(self, content: bytes) -> Path:
        """The content as an uploaded file."""
        path = self.folder / f"upload-{next(self.numbers)}"
        path.write_bytes(content)
        return path


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    folder = tmp_path_factory.mktemp("hostile")
    film, text, good = folder / "canary.mov", folder / "canary.txt", folder / "good.mp4"
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", "color=magenta:size=64x48:duration=1"]
    subprocess.run([*command, *H264, "-metadata", f"title={MARKER}", film], check=True, capture_output=True)
    source = ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=0.2"]
    subprocess.run([*command[:4], *source, *H264, good], check=True, capture_output=True)
    text.write_text(f"{MARKER}\n" * 50)
    with Canary(film, text) as canary:
        workshop = Workshop(folder, canary, f"../../../../{film.name}")
        yield Yard(folder, workshop, canary, good, make_kit(SETTINGS), count())


@pytest.mark.parametrize(("number", "case"), list(enumerate(CASES)), ids=[case.name for case in CASES])
def test_hostile_file(number: int, case: Case, yard: Yard) -> None:
    source = yard.place(case.make(yard.workshop))
    folder = yard.folder / f"run-{next(yard.numbers)}"
    good = yard.good if number % GOOD_EVERY == 0 else None
    outcome = run_case(case, source, good, folder, yard.kit, yard.canary)
    print(f"| {case.name} | {outcome.code} | {outcome.seconds:.1f} | {outcome.peak_mib:.0f} | {outcome.message}")
    assert outcome.code in case.outcomes, outcome.message
    assert outcome.peak_mib <= MAX_PEAK_MIB
    assert not outcome.touched
    assert outcome.good == DONE
    assert outcome.open_files == 0
    assert outcome.left_in_scratch == ()
    assert outcome.left_running == ()
    for text in (outcome.message, *outcome.lines):
        assert_fit_for_people(text, folder)
    assert case.says in outcome.message
    if outcome.code == DONE:
        assert outcome.output is not None
        assert MARKER.encode() not in outcome.output.read_bytes()
    else:
        assert re.match(r"[A-Z][^.]{10,}[.]", outcome.message), "a message is a sentence"
    source.unlink()


def assert_fit_for_people(text: str, folder: Path) -> None:
    """No path of ours, no address in memory, nothing that a terminal would obey, nothing of the canary."""
    assert text.isprintable()
    assert str(folder) not in text
    assert "/scratch" not in text
    assert " @ 0x" not in text
    assert MARKER not in text
    assert len(text) < 2_000


PLAIN = ("ffprobe", "-hide_banner", "-loglevel", "error", "-show_packets")


def test_the_canary_film_notices_a_plain_command_that_obeys_a_playlist(yard: Yard) -> None:
    playlist = yard.folder / "control.ffconcat"
    playlist.write_bytes(hostile_texts.ffconcat(yard.workshop))
    yard.canary.look()
    subprocess.run([*PLAIN, "-safe", "0", playlist], capture_output=True, check=False, timeout=60)
    assert yard.canary.look().opened


def test_the_canary_film_notices_a_plain_command_that_follows_an_alias(yard: Yard) -> None:
    film = yard.place(hostile_films.alias_absolute(yard.workshop))
    yard.canary.look()
    options = ("-enable_drefs", "1", "-use_absolute_path", "1")
    subprocess.run([*PLAIN, *options, film], capture_output=True, check=False, timeout=60)
    assert yard.canary.look().opened


def test_the_canary_host_notices_a_plain_command_that_obeys_a_playlist(yard: Yard) -> None:
    playlist = yard.folder / "control.m3u8"
    playlist.write_bytes(hostile_texts.hls_host(yard.workshop))
    yard.canary.look()
    options = ("-protocol_whitelist", "file,http,tcp")
    with subprocess.Popen(
        [*PLAIN, *options, playlist], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        connections = until(lambda: yard.canary.look().connections, "a connection at the canary")
        process.kill()
    assert connections


LURES = [case for case in CASES if case.lure]


@pytest.mark.parametrize("demuxer", DEMUXERS)
def test_the_lists_alone_hold_even_where_the_sniffing_and_the_fence_do_not(demuxer: str, yard: Yard) -> None:
    """The worker's own arguments, given to a bare FFmpeg for files that it would never open."""
    info = replace(examine(yard.good, yard.kit), demuxer=demuxer)
    plan = make_plan(RenderSpec(sources=(Source(key="a"),)), (info,), make_kit().source_limits)
    assert len(LURES) >= 12
    for case in LURES:
        source, output = yard.place(case.make(yard.workshop)), yard.folder / f"bare-{next(yard.numbers)}.mp4"
        yard.canary.look()
        commands = {"ffprobe": probe_command(str(source), demuxer, yard.kit.allowance)}
        if demuxer in ("mov", "avi"):  # the two that know of references to other files
            commands["ffmpeg"] = render_command(plan, [str(source)], str(output), yard.kit.allowance)
        for program, arguments in commands.items():
            subprocess.run([program, *arguments], capture_output=True, check=False, timeout=60)
            assert not yard.canary.look(), f"{program} touched the canary for {case.name}"


NASTY_NAMES = [
    *("-i", "-filter_complex", "--help", "%03d.png", "a|b.mp4", "concat:a|b", "file:a", "http:", "pipe:0", "data:,x"),
    *("a b\tc", "line\nbreak", "\x1b[31mred", 'it\'s "quoted" \\ back', "$(id)`id`;&&", "*?[x]{a,b}", "a,b;c[d]=e:f"),
    *("ü€日本語", "\u202egpj.4pm", "n" * 255, "~", "..."),
]


@pytest.mark.parametrize("name", NASTY_NAMES, ids=ascii)
def test_no_name_of_a_file_or_folder_changes_what_is_done(name: str, yard: Yard, tmp_path: Path) -> None:
    source = tmp_path / name
    source.write_bytes(yard.good.read_bytes())
    folder = tmp_path / "renders" / name
    folder.mkdir(parents=True)
    rendered = Renderer(folder)(source, kit=yard.kit)
    assert rendered.duration_ms == 200
    assert rendered.path.is_relative_to(folder)

"""The page at `/`, in a real browser against a real server: what a person does there, and what they then see."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx2
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from fault_proxy import FaultProxy
from integration.accessibility import Axe
from integration.browser import Visit, visit
from integration.processes import until
from integration.program import Program

SOON_MS = 15_000  # the page and the server answer
RENDERED_MS = 90_000  # a short clip is rendered, on a busy machine too

SLOW_LINE_SECONDS = 0.03  # for each 64 KiB
MIB = 1024**2
PIECE_BYTES = 16 * MIB  # of one request of the page's
FILM_BYTES = 24 * MIB  # two requests

ERROR_OF_THE_NETWORK = "Failed to load resource"  # Chromium says so itself of every answer from 400 on


class Server(Protocol):
    url: str


@pytest.fixture
def seen(browser: Browser, dev_server: Server) -> Iterator[Visit]:
    with visit(browser, dev_server.url) as visited:
        yield visited
    scripts = [text for text in visited.complaints if ERROR_OF_THE_NETWORK not in text]
    assert scripts == []
    assert visited.origins() == {dev_server.url.rstrip("/")}


def choose(page: Page, clip: Path, *, length: str | None = None) -> None:
    """Choose a clip; with `length` (as the End field shows it), wait until the browser has measured it."""
    page.locator("#file").set_input_files(clip)
    expect(page.locator("#source-name")).to_have_text(clip.name)
    if length is not None:
        expect(page.get_by_role("spinbutton", name="End")).to_have_value(length)


def pick(page: Page, *names: str) -> None:
    for name in names:
        page.get_by_role("radio", name=name, exact=True).check()


def press_render(page: Page) -> None:
    page.get_by_role("button", name="Render", exact=True).click()


def trim(page: Page, start: str, end: str) -> None:
    page.get_by_role("spinbutton", name="Start").fill(start)
    page.get_by_role("spinbutton", name="End").fill(end)


def expect_state(page: Page, state: str, timeout_ms: int = RENDERED_MS) -> None:
    expect(page.locator("#job")).to_have_attribute("data-state", state, timeout=timeout_ms)


def loaded(video: Locator) -> dict[str, Any]:
    """What the browser knows of the video, once it has a picture to show."""
    expect(video).to_be_visible()
    facts = video.evaluate(
        """async (video) => {
            if (video.readyState < 2) await new Promise((done) => video.addEventListener("loadeddata", done));
            const { duration, readyState, videoWidth, videoHeight } = video;
            return { duration, readyState, videoWidth, videoHeight };
        }"""
    )
    assert isinstance(facts, dict)
    return facts


def render_short(page: Page, clips: Path) -> None:
    """One quick render, to its end."""
    choose(page, clips / "bigbuckbunny.mp4", length="5.31")
    trim(page, "1", "3")
    pick(page, "480p", "Low")
    press_render(page)
    expect_state(page, "done")


def start_long(page: Page, clips: Path) -> None:
    """A render that takes long enough to be met while it runs: four times the length, large and lossless."""
    choose(page, clips / "bigbuckbunny.mp4", length="5.31")
    pick(page, "1080p", "Lossless")
    page.get_by_role("slider", name="Speed").fill("0.25")
    press_render(page)


def test_clip_is_trimmed_rendered_and_played(seen: Visit, clips: Path) -> None:
    page = seen.page
    render_short(page, clips)

    video = loaded(page.get_by_label("Rendered video"))
    assert video["duration"] == pytest.approx(2, abs=0.15)
    assert video["readyState"] >= 2
    assert video["videoHeight"] == 480
    assert video["videoWidth"] in (852, 853, 854)
    expect(page.get_by_role("link", name="Download")).to_have_attribute("download", "bigbuckbunny.mp4")
    facts = page.locator("#job-facts")
    expect(facts).to_contain_text("Size")
    expect(facts).to_contain_text("Rendered in")
    assert page.get_by_label("Rendered video").evaluate("(video) => video.play().then(() => !video.paused)")
    assert seen.complaints == []


def test_only_options_that_differ_are_sent(seen: Visit, clips: Path) -> None:
    page = seen.page
    choose(page, clips / "carphone_pristine.mp4", length="4")
    press_render(page)
    expect_state(page, "done")
    trim(page, "0.5", "1.5")
    pick(page, "Custom", "High", "MOV")
    page.get_by_role("spinbutton", name="Width").fill("320")
    page.get_by_role("spinbutton", name="Height").fill("240")
    page.get_by_role("combobox", name="Fit").select_option("cover")
    page.get_by_role("slider", name="Speed").fill("2")
    page.get_by_role("slider", name="Volume").fill("50")
    with page.expect_request("**/api/execute"):
        press_render(page)
    expect(page.get_by_role("button", name="Render", exact=True)).to_be_enabled()
    expect_state(page, "done")

    plain, full = seen.bodies("/api/execute")
    source = plain.pop("sourcePath")
    assert plain == {"outputName": "carphone_pristine"}
    assert full == {
        "sourcePath": source,
        "outputName": "carphone_pristine",
        "trim": {"start": 0.5, "end": 1.5},
        "resize": {"width": 320, "height": 240, "fit": "cover"},
        "quality": "high",
        "format": "mov",
        "speed": 2,
        "audio": {"volume": 0.5},
    }
    assert len(seen.begun_uploads()) == 1  # the same clip is sent once for all its renders
    expect(page.locator("#curl")).to_contain_text(source)


def test_refused_file_is_explained_in_the_servers_words(seen: Visit, tmp_path: Path) -> None:
    letter = tmp_path / "letter.mp4"
    letter.write_text("Dear reader, this is no video.\n" * 40)
    page = seen.page
    choose(page, letter)
    none = page.locator("#preview-none")
    expect(none).to_contain_text("This does not look like a video or a picture that can be rendered")
    expect(none).to_be_visible()
    with page.expect_response(lambda answer: answer.request.method == "PATCH") as answered:
        press_render(page)

    refusal = answered.value.json()["error"]
    assert refusal["code"] == "UNSUPPORTED_MEDIA"
    expect_state(page, "error", SOON_MS)
    expect(page.locator("#job-detail")).to_have_text(refusal["message"])
    assert seen.count("/api/execute") == 0


def test_names_of_files_are_text_and_never_markup(seen: Visit, tmp_path: Path) -> None:
    hostile = tmp_path / "<img src=x onerror=document.title='owned'>.mp4"
    hostile.write_text("no video")
    page = seen.page
    choose(page, hostile)
    press_render(page)

    expect_state(page, "error", SOON_MS)
    expect(page.locator("#job-name")).to_have_text(hostile.name)
    expect(page.locator("main img")).to_have_count(0)
    expect(page).to_have_title("FlowScale")


@pytest.mark.parametrize(
    ("start", "end", "field", "words"),
    [
        ("3", "1", "End", "The end must come after the start."),
        ("1", "9", "End", "The clip is 5.31 s long"),
        ("7", "5", "Start", "The clip is 5.31 s long"),
        ("-1", "2", "Start", "enter 0 or more"),
    ],
)
def test_impossible_trim_is_said_at_its_field_and_nothing_is_sent(
    seen: Visit, clips: Path, start: str, end: str, field: str, words: str
) -> None:
    page = seen.page
    choose(page, clips / "bigbuckbunny.mp4", length="5.31")
    trim(page, start, end)
    press_render(page)

    number = page.get_by_role("spinbutton", name=field)
    expect(number).to_have_attribute("aria-invalid", "true")
    expect(number).to_have_accessible_description(re.compile(re.escape(words)))
    expect(number).to_be_focused()
    assert seen.begun_uploads() == []
    assert seen.count("/api/execute") == 0

    trim(page, "1", "2")
    expect(number).not_to_have_attribute("aria-invalid", "true")


def test_fault_the_server_finds_is_said_at_its_field(seen: Visit, clips: Path) -> None:
    page = seen.page
    choose(page, clips / "carphone_pristine.mp4", length="4")
    pick(page, "Custom")
    page.get_by_role("spinbutton", name="Width").fill("99999")
    page.get_by_role("spinbutton", name="Height").fill("480")
    with page.expect_response("**/api/execute") as answered:
        press_render(page)

    (fault,) = answered.value.json()["error"]["details"]["faults"]
    assert fault["path"] == "$.resize.width"
    width = page.get_by_role("spinbutton", name="Width")
    expect(width).to_have_accessible_description(re.compile(re.escape(fault["message"]), re.IGNORECASE))
    expect(width).to_be_focused()


def test_running_render_is_cancelled(seen: Visit, clips: Path) -> None:
    page = seen.page
    start_long(page, clips)
    expect(page.get_by_role("heading", name="Rendering")).to_be_visible(timeout=RENDERED_MS)
    page.get_by_role("button", name="Cancel", exact=True).click()

    expect(page.get_by_role("heading", name="Cancelled")).to_be_visible(timeout=SOON_MS)
    expect(page.locator("#job")).to_have_attribute("data-state", "cancelled")
    expect(page.locator("#recent-list button").first).to_contain_text("Cancelled", timeout=SOON_MS)


def test_progress_is_shown_without_the_event_stream(seen: Visit, clips: Path) -> None:
    page = seen.page
    page.route("**/api/jobs/*/events", lambda route: route.abort())
    render_short(page, clips)

    assert loaded(page.get_by_label("Rendered video"))["duration"] == pytest.approx(2, abs=0.15)


def test_recent_renders_survive_a_reload_and_play(seen: Visit, clips: Path) -> None:
    page = seen.page
    render_short(page, clips)
    page.reload()

    newest = page.locator("#recent-list button").first
    expect(newest).to_contain_text("bigbuckbunny.mp4", timeout=SOON_MS)
    expect(newest).to_contain_text("Done")
    newest.click()
    expect_state(page, "done", SOON_MS)
    assert loaded(page.get_by_label("Rendered video"))["duration"] == pytest.approx(2, abs=0.15)
    expect(newest).to_have_attribute("aria-current", "true")
    assert seen.complaints == []


def test_banner_says_when_the_server_is_gone_and_leaves_when_it_is_back(seen: Visit) -> None:
    page = seen.page
    expect(page.locator("#health")).to_have_attribute("data-well", "true", timeout=SOON_MS)
    expect(page.get_by_role("alert")).to_be_hidden()
    page.route("**/api/health", lambda route: route.abort())
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("The server cannot be reached.", timeout=SOON_MS)
    page.unroute("**/api/health")
    expect(page.get_by_role("alert")).to_be_hidden(timeout=SOON_MS)


def test_keyboard_alone_trims_and_renders(seen: Visit, clips: Path) -> None:
    page = seen.page
    choose(page, clips / "carphone_pristine.mp4", length="4")
    page.get_by_role("slider", name="Start").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Tab")
    expect(page.get_by_role("slider", name="End")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("spinbutton", name="Start")).to_have_value("0.1")
    expect(page.get_by_role("spinbutton", name="End")).to_have_value("3.9")
    page.get_by_role("radio", name="Medium").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("radio", name="Low")).to_be_checked()
    page.get_by_role("spinbutton", name="End").focus()
    page.keyboard.press("Enter")
    expect_state(page, "done")
    (body,) = seen.bodies("/api/execute")
    assert (body["trim"], body["quality"]) == ({"start": 0.1, "end": 3.9}, "low")


def test_narrow_screen_needs_no_sideways_scroll(browser: Browser, dev_server: Server, clips: Path) -> None:
    with visit(browser, dev_server.url, viewport={"width": 360, "height": 740}) as visited:
        page = visited.page
        choose(page, clips / "bigbuckbunny.mp4", length="5.31")
        pick(page, "Custom")
        page.get_by_text("The same with curl").click()
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 360


@pytest.fixture
def line(dev_server: Server) -> Iterator[FaultProxy]:
    """A slow way to the server, on which a clip of a few MB takes long enough to be met while it is sent."""
    with FaultProxy(urlsplit(dev_server.url).port or 0) as proxy:
        proxy.delay(SLOW_LINE_SECONDS)
        yield proxy


@pytest.fixture
def film(clips: Path, tmp_path: Path) -> Path:
    """A real clip with room behind it, as MP4 allows: so large that its upload takes a while."""
    made = tmp_path / "film.mp4"
    clip = (clips / "bigbuckbunny.mp4").read_bytes()
    made.write_bytes(clip + struct.pack(">I4s", FILM_BYTES - len(clip), b"free") + bytes(FILM_BYTES - len(clip) - 8))
    return made


@pytest.fixture
def far(browser: Browser, line: FaultProxy) -> Iterator[Visit]:
    """The page, at the far end of the slow line."""
    with visit(browser, f"http://127.0.0.1:{line.port}/") as visited:
        yield visited
    assert [text for text in visited.complaints if ERROR_OF_THE_NETWORK not in text] == []


def start_upload(page: Page, film: Path) -> None:
    """To its middle: a fifth is on its way."""
    choose(page, film, length="5.31")
    trim(page, "1", "2")
    pick(page, "480p", "Low")
    press_render(page)
    expect_sent(page, 20)


def expect_sent(page: Page, percent: int) -> None:
    page.wait_for_function(
        "(percent) => document.getElementById('job').dataset.state === 'uploading'"
        " && document.getElementById('job-progress').value >= percent",
        arg=percent,
        timeout=SOON_MS,
    )


def offsets(visited: Visit) -> list[tuple[str, int]]:
    """Upload and first byte of each request that brought bytes."""
    return [
        (request.url, int(request.headers["upload-offset"]))
        for request in visited.requests
        if request.method == "PATCH"
    ]


def is_taken_up(visited: Visit) -> bool:
    """Whether a piece was gone on with in its middle, where the server had got to."""
    return any(offset % PIECE_BYTES for _, offset in offsets(visited))


def kept_of_uploads(server: Program) -> set[Path]:
    """Files of uploads that are not complete."""
    return {path for path in (server.data / "partial").rglob("*") if path.is_file()}


def stored_films(server: Program) -> list[Path]:
    return [path for path in (server.data / "uploads").rglob("film.mp4") if path.is_file()]


def test_upload_goes_on_after_the_connection_was_lost(
    far: Visit, line: FaultProxy, film: Path, dev_server: Program
) -> None:
    page = far.page
    before = set(stored_films(dev_server))
    start_upload(page, film)
    line.refuse()
    expect(page.get_by_role("heading", name="Connection lost")).to_be_visible(timeout=SOON_MS)
    expect(page.locator("#announcer")).to_have_text("Connection lost")
    expect(page.get_by_role("progressbar", name="Progress")).to_be_visible()
    line.pass_through()

    expect_state(page, "done")
    assert len(far.begun_uploads()) == 1
    assert is_taken_up(far)
    (stored,) = set(stored_films(dev_server)) - before
    assert stored.read_bytes() == film.read_bytes()
    assert page.evaluate("() => localStorage.getItem('flowscale.uploads')") == "[]"


def test_upload_is_paused_and_resumed(far: Visit, line: FaultProxy, film: Path) -> None:
    page = far.page
    start_upload(page, film)
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_role("heading", name="Paused")).to_be_visible(timeout=SOON_MS)
    expect_state(page, "paused", SOON_MS)
    requests = len(offsets(far))
    page.get_by_role("button", name="Resume", exact=True).click()
    line.pass_through()

    expect_state(page, "done")
    assert len(far.begun_uploads()) == 1
    assert len(offsets(far)) > requests
    assert is_taken_up(far)


def test_upload_goes_on_after_a_reload(far: Visit, line: FaultProxy, film: Path) -> None:
    page = far.page
    start_upload(page, film)
    page.reload()
    expect(page.locator("#unfinished")).to_contain_text("film.mp4")
    choose(page, film, length="5.31")
    trim(page, "1", "2")
    pick(page, "480p", "Low")
    line.pass_through()
    press_render(page)

    expect_state(page, "done")
    assert len(far.begun_uploads()) == 1
    assert is_taken_up(far)


def test_another_file_of_the_same_name_is_another_upload(far: Visit, line: FaultProxy, film: Path) -> None:
    page = far.page
    start_upload(page, film)
    page.reload()
    with film.open("ab") as behind:
        behind.write(struct.pack(">I4s", 16, b"free") + bytes(8))
    line.pass_through()
    choose(page, film, length="5.31")
    press_render(page)
    expect(page.get_by_role("heading", name="Rendering")).to_be_visible(timeout=RENDERED_MS)
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect_state(page, "cancelled")
    assert len(far.begun_uploads()) == 2
    second = [request for request in far.requests if request.method == "PATCH"][-1].url
    assert next(offset for url, offset in offsets(far) if url == second) == 0


def test_cancelled_upload_leaves_nothing(far: Visit, film: Path, dev_server: Program) -> None:
    page = far.page
    films, kept = set(stored_films(dev_server)), kept_of_uploads(dev_server)
    start_upload(page, film)
    until(lambda: kept_of_uploads(dev_server) - kept, "bytes of the upload to be kept")
    page.get_by_role("button", name="Cancel", exact=True).click()

    expect(page.get_by_role("heading", name="Cancelled")).to_be_visible(timeout=SOON_MS)
    expect(page.locator("#job-detail")).to_have_text("The upload was stopped. Nothing was rendered.")
    until(lambda: not kept_of_uploads(dev_server) - kept, "the server to remove what it had")
    assert set(stored_films(dev_server)) == films
    assert page.evaluate("() => localStorage.getItem('flowscale.uploads')") == "[]"
    assert far.count("/api/execute") == 0


def test_upload_that_is_lost_is_cancelled_too(far: Visit, line: FaultProxy, film: Path, dev_server: Program) -> None:
    page = far.page
    kept = kept_of_uploads(dev_server)
    start_upload(page, film)
    line.refuse()
    expect_state(page, "lost", SOON_MS)
    until(lambda: kept_of_uploads(dev_server) - kept, "the server to keep what came")
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.get_by_role("heading", name="Cancelled")).to_be_visible(timeout=SOON_MS)
    line.pass_through()
    until(lambda: not kept_of_uploads(dev_server) - kept, "the server to be told when it is back")


def test_job_that_nothing_starts_is_said_to_wait_and_for_what(
    browser: Browser, dev_server: Program, clips: Path
) -> None:
    with visit(browser, dev_server.url) as visited, httpx2.Client(base_url=dev_server.url) as http:
        page = visited.page
        token = {"X-CSRF-Token": http.get("/api/admin/session").json()["csrfToken"]}
        http.post("/api/admin/queue/pause", headers=token).raise_for_status()
        try:
            choose(page, clips / "bigbuckbunny.mp4", length="5.31")
            trim(page, "1", "2")
            press_render(page)
            expect(page.locator("#job-detail")).to_contain_text(
                "The queue is paused: nothing starts until somebody resumes it.", timeout=SOON_MS
            )
            expect(page.get_by_role("progressbar", name="Progress")).to_be_hidden()
        finally:
            http.post("/api/admin/queue/resume", headers=token).raise_for_status()
        expect_state(page, "done")


def test_jobs_of_others_are_called_by_their_source(browser: Browser, dev_server: Program, clips: Path) -> None:
    with httpx2.Client(base_url=dev_server.url, timeout=60) as http:
        with (clips / "bikes.mp4").open("rb") as clip:
            path = http.post("/api/upload", files={"file": ("bikes.mp4", clip)}).json()["filePath"]
        http.post("/api/execute", json={"sourcePath": path, "trim": {"start": 500, "end": 501}}).raise_for_status()
    with visit(browser, dev_server.url) as visited:
        newest = visited.page.locator("#recent-list button").first
        expect(newest).to_contain_text("Failed", timeout=RENDERED_MS)
        expect(newest.locator(".name")).to_have_text("bikes.mp4")


def test_page_and_program_lead_to_the_queue(seen: Visit, dev_server: Program) -> None:
    assert f"Its queue is at {dev_server.url}/admin/queues" in dev_server.log.read_text()
    seen.page.get_by_role("link", name="Queue", exact=True).click()
    expect(seen.page).to_have_url(f"{dev_server.url.rstrip('/')}/admin/queues")
    expect(seen.page.get_by_role("heading", name="Queue", exact=True)).to_be_visible()


def test_reference_fits_every_screen_and_its_contents_lead_on(seen: Visit, dev_server: Program, axe: Axe) -> None:
    page = seen.page
    page.goto(f"{dev_server.url}/docs")
    for width in (390, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    links = page.get_by_role("navigation", name="Contents").get_by_role("link")
    assert links.count() == page.locator("section").count() > 30
    dangling = (
        "(links) => links.filter((link) => !document.getElementById(link.hash.slice(1))).map((link) => link.hash)"
    )
    assert links.evaluate_all(dangling) == []
    links.filter(has_text="Render a timeline").click()
    expect(page.locator("#executePlan")).to_be_in_viewport()
    assert axe.grave_findings(page) == []

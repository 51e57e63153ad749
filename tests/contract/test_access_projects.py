"""A key of one project neither sees nor touches another's files and jobs; and files open by their addresses."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from contract.access_site import MINE, THEIRS, TUS, Site, site_at
from contract.gateway_calls import PLAN
from contract.gateway_server import MP4, error_of, fields
from flowscale.keys.base import Scope
from flowscale.settings import StorageSettings
from flowscale.specs import RenderSpec
from flowscale_api.access import owned
from flowscale_api.access.file_links import LINK_SECONDS, STEP_SECONDS, link_query


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_at(tmp_path) as made:
        yield made


@pytest.fixture
def mine(site: Site) -> Iterator[httpx2.Client]:
    with site.client(site.keys["mine"]) as client:
        yield client


@pytest.fixture
def every(site: Site) -> Iterator[httpx2.Client]:
    """A key without a project."""
    with site.client(site.keys["render"]) as client:
        yield client


def upload(client: httpx2.Client, **form: str) -> dict[str, str]:
    answer = client.post("/api/upload", files={"file": ("clip.mp4", MP4)}, data=form)
    assert answer.status_code == 200, answer.text
    return fields(answer)


def tus_upload(client: httpx2.Client, **metadata: str) -> httpx2.Response:
    pairs = ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in metadata.items())
    headers = TUS | {"Upload-Length": str(len(MP4)), "Content-Type": "application/offset+octet-stream"}
    return client.post("/api/uploads", headers=headers | ({"Upload-Metadata": pairs} if pairs else {}), content=MP4)


def test_a_listing_shows_the_keys_own_jobs(site: Site, mine: httpx2.Client, every: httpx2.Client) -> None:
    assert fields(mine.get("/api/jobs"))["jobs"] == []
    stored = upload(mine)
    own = fields(mine.post("/api/execute", json={"sourcePath": stored["filePath"]}))["jobId"]
    assert [job["jobId"] for job in fields(mine.get("/api/jobs"))["jobs"]] == [own]
    assert {job["projectId"] for job in fields(every.get("/api/jobs"))["jobs"]} == {MINE, THEIRS}


def test_pages_lead_through_all_jobs_and_name_nobody_elses(
    site: Site, mine: httpx2.Client, every: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owned, "MOST_AT_ONCE", 3)
    monkeypatch.setattr(owned, "LOOKED_AT", 6)
    stored = upload(mine)
    own, others = [], set()
    for number in range(20):
        project = MINE if number % 5 == 0 else f"other-{number}"
        made = fields(every.post("/api/execute", json={"sourcePath": stored["filePath"], "projectId": project}))
        own.append(made["jobId"]) if project == MINE else others.add(made["jobId"])
    found, cursor, pages = [], None, 0
    while True:
        page = fields(mine.get("/api/jobs", params={"limit": 1} | ({"cursor": cursor} if cursor else {})))
        found += [job["jobId"] for job in page["jobs"]]
        pages += 1
        cursor = page.get("nextCursor")
        assert cursor not in others
        if cursor is None:
            break
    assert found == own[::-1]
    assert pages <= 20


def test_a_job_gets_the_keys_project_and_no_other(site: Site, mine: httpx2.Client) -> None:
    stored = upload(mine)
    for body in ({}, {"projectId": MINE}):
        made = fields(mine.post("/api/execute", json={"sourcePath": stored["filePath"]} | body))
        assert fields(mine.get(f"/api/jobs/{made['jobId']}"))["projectId"] == MINE
    before = fields(mine.get("/api/jobs"))["jobs"]
    other = {"projectId": THEIRS}
    error_of(mine.post("/api/execute", json={"sourcePath": stored["filePath"]} | other), 403, "FORBIDDEN")
    error_of(
        mine.post("/api/execute-plan", json={"sourceVideoUrl": stored["filePath"], "plan": PLAN} | other),
        403,
        "FORBIDDEN",
    )
    assert fields(mine.get("/api/jobs"))["jobs"] == before


def test_another_projects_file_is_no_source(site: Site, mine: httpx2.Client) -> None:
    theirs = site.theirs["upload"]
    missing = f"uploads/{'0' * 32}/clip.mp4"
    calls: tuple[Callable[[str], httpx2.Response], ...] = (
        lambda path: mine.post("/api/execute", json={"sourcePath": path}),
        lambda path: mine.post("/api/execute", json={"sourcePath": path.split("/")[1]}),
        lambda path: mine.post("/api/execute", json={"sources": [upload(mine)["filePath"], path]}),
        lambda path: mine.post("/api/execute-plan", json={"sourceVideoUrl": path, "plan": PLAN}),
    )
    for wanted in calls:
        there = error_of(wanted(theirs), 404, "FILE_NOT_FOUND")["message"]
        gone = error_of(wanted(missing), 404, "FILE_NOT_FOUND")["message"]
        # In the words for one that is not there: even that it is there is not told.
        assert there.replace(theirs, "X").replace(theirs.split("/")[1], "Y") == gone.replace(missing, "X").replace(
            missing.split("/")[1], "Y"
        )
    # By its address it is another host's file, as it would be if it were not there: nothing is read of the storage.
    assert mine.post("/api/execute", json={"inputFileUrl": f"https://h.example/{theirs}"}).status_code == 202
    execution = site.gateway.queue.fetch("worker", 0)
    assert execution is not None
    assert [source.key for source in RenderSpec.from_record(execution.job.spec).sources] == [None]


def test_steps_on_another_projects_job_change_nothing(site: Site, mine: httpx2.Client) -> None:
    with site.client(site.keys["theirs"]) as theirs:
        job = fields(theirs.post("/api/execute", json={"sourcePath": site.theirs["upload"]}))["jobId"]
        before = fields(theirs.get(f"/api/jobs/{job}"))
        for call in ("cancel", "retry"):
            error_of(mine.post(f"/api/jobs/{job}/{call}"), 404, "JOB_NOT_FOUND")
        missing = error_of(mine.get(f"/api/jobs/job_1700000000000_{'0' * 32}"), 404, "JOB_NOT_FOUND")["message"]
        there = error_of(mine.get(f"/api/jobs/{job}"), 404, "JOB_NOT_FOUND")["message"]
        assert there.replace(job, "X") == missing.replace(f"job_1700000000000_{'0' * 32}", "X")
        assert fields(theirs.get(f"/api/jobs/{job}")) == before
        assert theirs.post(f"/api/jobs/{job}/cancel").status_code == 200


def test_an_idempotency_key_is_its_projects(site: Site, mine: httpx2.Client) -> None:
    header = {"Idempotency-Key": "one"}
    made = set()
    for name in ("theirs", "mine", "render"):
        with site.client(site.keys[name]) as client:
            body = {"sourcePath": upload(client)["filePath"]}
            twice = {fields(client.post("/api/execute", json=body, headers=header))["jobId"] for _ in range(2)}
            assert len(twice) == 1
            made |= twice
    assert len(made) == 3


def test_uploads_in_all_ways_are_the_keys(site: Site, mine: httpx2.Client, every: httpx2.Client) -> None:
    location = tus_upload(mine).headers["Location"]
    resumable = fields(mine.get(location))
    form = upload(mine, projectId=MINE)
    given = upload(every, projectId=MINE)
    nobodys = upload(every)
    with site.client(site.keys["theirs"]) as theirs:
        for stored in (resumable, form, given):
            path = f"/{stored['filePath']}"
            assert mine.get(path).content == MP4
            assert mine.head(path).status_code == 200
            error_of(theirs.get(path), 404, "FILE_NOT_FOUND")
            assert theirs.head(path).status_code == 404
            assert every.get(path).content == MP4
        error_of(theirs.get(location), 404, "FILE_NOT_FOUND")
        assert fields(every.get(location))["complete"] is True
    # What has no owner is there for keys without a project alone.
    error_of(mine.get(f"/{nobodys['filePath']}"), 404, "FILE_NOT_FOUND")
    error_of(mine.post("/api/execute", json={"sourcePath": nobodys["fileId"]}), 404, "FILE_NOT_FOUND")
    assert every.post("/api/execute", json={"sourcePath": nobodys["fileId"]}).status_code == 202


def test_an_upload_for_another_project_leaves_nothing(site: Site, mine: httpx2.Client) -> None:
    before = site.gateway.files()
    answer = mine.post("/api/upload", files={"file": ("clip.mp4", MP4)}, data={"projectId": THEIRS})
    error_of(answer, 403, "FORBIDDEN")
    error_of(tus_upload(mine, projectId=THEIRS), 403, "FORBIDDEN")
    presign = {"filename": "clip.mp4", "size": 10, "projectId": THEIRS}
    error_of(mine.post("/api/uploads/presign", json=presign), 403, "FORBIDDEN")
    assert site.gateway.files() == before


def test_an_owner_is_forgotten_with_the_file(tmp_path: Path) -> None:
    from flowscale.clocks import SystemClock
    from flowscale_api.files.keeping import MARGIN_SECONDS, FileKeeper

    with site_at(tmp_path, files=StorageSettings(upload_retention_seconds=1)) as site:
        store = site.gateway.gateway.gate.store
        file_id = site.theirs["upload"].split("/")[1]
        assert asyncio.run(store.owner(file_id)) == THEIRS

        class Later(SystemClock):
            def now_ms(self) -> int:
                return super().now_ms() + int((MARGIN_SECONDS + 10) * 1000)

        settings = site.gateway.gateway.files
        keeper = FileKeeper(site.gateway.queue, site.gateway.storage, settings, Later(), store)
        asyncio.run(keeper.round())
        assert asyncio.run(store.owner(file_id)) is None


def test_an_output_is_its_jobs_projects(site: Site, mine: httpx2.Client, every: httpx2.Client) -> None:
    path = f"/{site.their_output}"
    with site.client(site.keys["theirs"]) as theirs, site.client() as nobody:
        assert theirs.get(path, headers={"Range": "bytes=0-9"}).content == MP4[:10]
        error_of(mine.get(path), 404, "FILE_NOT_FOUND")
        assert every.get(path).content == MP4
        error_of(nobody.get(path), 401, "UNAUTHORIZED")
        unknown = f"/outputs/job_1700000000000_{'0' * 32}/{'0' * 32}/x.mp4"
        for client in (theirs, every):
            error_of(client.get(unknown), 404, "FILE_NOT_FOUND")


def test_an_address_in_an_answer_opens_the_file_for_a_browser(site: Site) -> None:
    with site.client(site.keys["theirs"]) as theirs, site.client() as browser:
        url = fields(theirs.get(f"/api/jobs/{site.theirs['job_id']}"))["outputUrl"]
        assert browser.get(url, headers={"Range": "bytes=4-7"}).status_code == 206
        assert browser.head(url).status_code == 200
        assert browser.get(f"{url}&download").headers["content-disposition"].startswith("attachment")
        listed = fields(theirs.get("/api/jobs?status=done"))["jobs"][0]["outputUrl"]
        assert listed == url  # the same for a while: browsers use their copies
        public = upload(theirs)["publicUrl"]
        assert browser.get(public).content == MP4
        # It opens that file, and nothing else.
        query = urlsplit(url).query
        error_of(browser.get(f"{urlsplit(public).path}?{query}"), 403, "FORBIDDEN")
        error_of(browser.get(f"/api/jobs?{query}"), 401, "UNAUTHORIZED")


def test_an_address_is_good_for_a_day_and_then_no_more(site: Site) -> None:
    gate, key = site.gateway.gateway.gate, site.their_output
    now_ms = site.gateway.gateway.clock.now_ms()
    expires = int(parse_qs(link_query(gate.seals, key, now_ms))["expires"][0])
    assert LINK_SECONDS <= expires - now_ms / 1000 <= LINK_SECONDS + STEP_SECONDS
    with site.client() as browser, site.client(site.keys["theirs"]) as theirs:
        expired = link_query(gate.seals, key, now_ms - (LINK_SECONDS + STEP_SECONDS) * 1000)
        error_of(browser.get(f"/{key}?{expired}"), 403, "FORBIDDEN")
        assert theirs.get(f"/{key}?{expired}").status_code == 200  # a key opens it all the same
        right = link_query(gate.seals, key, now_ms)
        later = right.replace(f"expires={expires}", f"expires={expires + 1}")
        for wrong in (later, right[:-1], right.replace("expires", "x"), "signature=", "signature=%FF&expires=9e9"):
            error_of(browser.get(f"/{key}?{wrong}"), 403, "FORBIDDEN")


def test_a_stream_of_events_ends_when_its_key_is_revoked(site: Site) -> None:
    key = site.key("watcher", Scope.READ)
    with site.client(site.keys["render"]) as client, site.client(key) as watcher:
        job = fields(client.post("/api/execute", json={"sourcePath": upload(client)["filePath"]}))["jobId"]
        with watcher.stream("GET", f"/api/jobs/{job}/events") as answer:
            lines = answer.iter_lines()
            assert next(lines) == "id: 1"
            site.revoke(key)
            client.post(f"/api/jobs/{job}/cancel")
            assert "CANCELLED" not in "".join(lines)
        assert watcher.get(f"/api/jobs/{job}/events").status_code == 401

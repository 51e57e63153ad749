"""Ways out of the storage against a real gateway: nothing beside the root is read, made, changed or removed.

Requests go out byte for byte, for most clients would tidy them. Beside the root lies a secret; whatever an answer
holds, it is not that, and after each test the tree around the root is, to the inode, what it was before.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from integration.forged_urls import PLAN
from integration.frontend import Frontend
from integration.leased import make_clip
from integration.program import running
from integration.raw_http import RawAnswer, ask, form, send
from integration.traversal_names import CLIMBS, odd_targets, quoted, texts
from integration.traversal_site import FILE_ID, JOB_ID, SENTINEL, Site, in_bucket, in_folder, tree

SOURCE_HOST = "127.0.0.2"
"""Where a server is that sources may be fetched from. Linux has all of 127/8."""

FILE_KEY = re.compile(r"uploads/[0-9a-f]{32}/[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
OUTPUT_KEY = re.compile(r"/outputs/job_[0-9]{13}_[0-9a-f]{32}/[0-9a-f]{32}/[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


@pytest.fixture(scope="module", params=["local", "nfs", "s3"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "secret.txt").write_text(SENTINEL)
    (folder / "beside").mkdir()
    (folder / "beside" / "secret.txt").write_text(SENTINEL)
    (folder / "temporary").mkdir()
    clip = make_clip(folder, seconds=1).read_bytes()
    with ExitStack() as stack:
        place = in_bucket(folder) if request.param == "s3" else in_folder(request.param, folder)
        settings, surroundings, inside = stack.enter_context(place)
        settings |= {"FLOWSCALE_DOWNLOAD_ALLOW_NETWORKS": f"{SOURCE_HOST}/32", "TMPDIR": str(folder / "temporary")}
        program = stack.enter_context(running("dev", folder, **settings))
        yield Site(program, folder, clip, surroundings, inside, request.param)
    log = (folder / "dev.log").read_text()
    assert "Traceback" not in log
    assert SENTINEL not in log


@pytest.fixture(autouse=True)
def _nothing_outside_is_touched(site: Site) -> Iterator[None]:
    before = site.surroundings()
    assert any("secret.txt" in name for name in before)
    yield
    assert site.surroundings() == before
    assert not Path("/etc/cron.d/a.mp4").exists()


@pytest.fixture
def frontend(site: Site) -> Iterator[Frontend]:
    frontend = Frontend(site.url)
    yield frontend
    frontend.http.close()


def at_once(call: Callable[[_Item], _Answer], items: Iterable[_Item]) -> list[_Answer]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(call, items))


def upload(site: Site) -> str:
    body, kind = form(b'filename="clip.mp4"', site.clip)
    key: str = ask(site.url, "POST", b"/api/upload", body, Content_Type=kind).json["filePath"]
    return key


FILE_PLACES = (b"/uploads/%b", b"/outputs/%b", f"/uploads/{FILE_ID}/".encode() + b"%b", b"/%b", b"/assets/%b")
OTHER_PLACES = (
    *(
        ("HEAD", b"/uploads/%b"),
        ("HEAD", f"/outputs/{JOB_ID}/{FILE_ID}/".encode() + b"%b"),
        ("GET", b"/outputs/%b?download"),
    ),
    *(
        ("GET", b"/uploads/%b?redirect"),
        ("DELETE", b"/uploads/%b"),
        ("PUT", b"/uploads/%b"),
        ("DELETE", b"/outputs/%b"),
    ),
    *(("GET", b"/api/jobs/%b"), ("GET", b"/api/jobs/%b/events"), ("POST", b"/api/jobs/%b/cancel")),
    *(
        ("POST", b"/api/jobs/%b/retry"),
        ("DELETE", b"/api/jobs/%b"),
        ("GET", b"/api/uploads/%b"),
        ("HEAD", b"/api/uploads/%b"),
    ),
    *(("PATCH", b"/api/uploads/%b"), ("DELETE", b"/api/uploads/%b"), ("POST", b"/api/uploads/%b/parts")),
    *(("POST", b"/api/uploads/%b/complete"), ("POST", b"/api/uploads/%b"), ("GET", b"/api/%b"), ("GET", b"/docs/%b")),
)


def test_paths_that_climb(site: Site) -> None:
    """Each of FILE_PLACES with each way to climb (every third of them where the storage is no local folder)."""
    key = upload(site)
    places = [*FILE_PLACES, key.rpartition("/")[0].encode() + b"/%b", f"/{key}/".encode() + b"%b"]
    step = 4 if site.kind == "local" else 12
    names = [*CLIMBS[::step], *odd_targets(str(site.secret))]
    shift = [*CLIMBS[1::step], *CLIMBS[2::step], *CLIMBS[3::step]]
    targets = [place % name for place in places for name in names] + [places[0] % name for name in shift]
    answers = at_once(lambda target: ask(site.url, "GET", target), targets)
    statuses = site.check(answers)
    found = [answer.request for answer in answers if answer.status < 400]
    print(f"{len(answers)} requests: {dict(statuses)}")
    # The page is found, by its own names alone. (The router takes a line end after a path for none.)
    assert {request.split(b" ")[1] for request in found} <= {b"/", b"/%0a", b"/assets/index.html"}
    assert len(answers) > 1000


def test_other_routes_with_names_that_climb(site: Site) -> None:
    names = [*CLIMBS[::101], *odd_targets(str(site.secret))]
    calls = [(method, place % name) for method, place in OTHER_PLACES for name in names]

    def call(asked: tuple[str, bytes]) -> RawAnswer:
        method, target = asked
        body = b'{"numbers": [1]}' if method in ("POST", "PUT", "PATCH") else None
        more = {"Content_Type": "application/offset+octet-stream", "Upload_Offset": "0"} if method == "PATCH" else {}
        return ask(site.url, method, target, body, Tus_Resumable="1.0.0", **more)

    before = site.inside()
    answers = at_once(call, calls)
    print(f"{len(answers)} requests: {dict(site.check(answers))}")
    for answer in answers:
        # /api/jobs/ with nothing behind it but a query or a separator is not the list of jobs, either.
        assert answer.status >= 400, answer
    assert site.inside() == before


def test_request_targets_of_other_forms(site: Site) -> None:
    host = site.url.removeprefix("http://").encode()
    secret = str(site.secret).encode()
    targets = [
        *(b"http://" + host + b"/uploads/../../secret.txt", b"http://evil.example/uploads/../../secret.txt"),
        *(b"http://" + host + b"/uploads/%2e%2e/%2e%2e/secret.txt", b"https://" + host + secret, b"file://" + secret),
        *(
            b"file:" + secret,
            secret,
            b"/" + secret,
            b"//" + host + secret,
            b"/." + secret,
            host,
            b"evil.example:80",
            b"*",
        ),
        *(
            b"../../secret.txt",
            b"uploads/../../secret.txt",
            b"..\\..\\secret.txt",
            b"\\" + secret,
            b"?" + secret,
            b"#" + secret,
        ),
        *(
            b"/uploads/#/../../secret.txt",
            b"/uploads?path=../../secret.txt",
            b"/uploads/?/../../secret.txt",
            b"/uploads/..;/..;/secret.txt",
        ),
        *(
            b"/uploads/\t../../secret.txt",
            b"/uploads/../../secret.txt\x00",
            b"/uploads/../../secret.txt HTTP/1.1\r\nX: y",
        ),
    ]
    for method in ("GET", "HEAD", "OPTIONS", "CONNECT", "DELETE", "TRACE", "PROPFIND", "get", "GET /"):
        answers = at_once(partial(ask, site.url, method), targets)
        site.check(answers)
        for answer in answers:
            assert b"\r\n\r\n" in answer.content
    for line in (b"GET /uploads/../../secret.txt\r\n\r\n", b"GET /uploads/../../secret.txt HTTP/0.9\r\n\r\n"):
        site.check([send(site.url, line)])
    site.check([send(site.url, b"GET /uploads/../../secret.txt HTTP/1.0\r\n\r\n")])


def test_headers_and_queries_that_climb(site: Site) -> None:
    answers = []
    for text in texts(str(site.secret)):
        plain = re.sub(r"[\r\n\0]", "", text)[:500]
        value = base64.b64encode(text.encode()).decode()
        answers += [
            ask(site.url, "GET", b"/api/jobs", X_Request_Id=plain, Range=plain, If_None_Match=plain),
            ask(site.url, "GET", b"/api/jobs?cursor=" + value.replace("+", "-").encode(), Last_Event_ID=plain),
            ask(site.url, "GET", f"/api/jobs/{JOB_ID}/events".encode(), Last_Event_ID=plain),
            ask(site.url, "POST", b"/api/execute", b"{}", Idempotency_Key=plain, Content_Type="application/json"),
            ask(site.url, "GET", b"/api/health", Host=plain, X_Forwarded_Host=plain, X_Forwarded_Proto=plain),
            ask(
                site.url, "GET", b"/api/health", X_Original_URL=plain, X_Rewrite_URL=plain, X_HTTP_Method_Override=plain
            ),
        ]
    site.check(answers)


def test_names_of_uploaded_files(site: Site) -> None:
    """Whatever a client calls its file, it lies at a key of ours, and comes back under a harmless name."""
    forms = [one for name in texts(str(site.secret)) for one in quoted(name)]
    before = set(site.inside())

    def send_form(filename: bytes) -> RawAnswer:
        body, kind = form(filename, site.clip, project=b"../../project")
        return ask(site.url, "POST", b"/api/upload", body, Content_Type=kind)

    answers = at_once(send_form, forms)
    statuses = site.check(answers)
    print(f"{len(forms)} names: {dict(statuses)}")
    kept = {answer.json["filePath"] for answer in answers if answer.status == 200}
    assert len(kept) == statuses[200] > len(forms) // 2
    assert set(site.inside()) - before == kept
    assert all(FILE_KEY.fullmatch(key) for key in kept)
    for served in at_once(lambda key: ask(site.url, "GET", f"/{key}?download".encode()), sorted(kept)):
        key = served.request.split(b" ")[1].partition(b"?")[0].decode()
        assert served.body == site.clip
        assert served.header("content-disposition") == f'attachment; filename="{key.rpartition("/")[2]}"'


def test_names_of_resumable_uploads(site: Site) -> None:
    before = set(site.inside())

    def begin(name: str) -> RawAnswer:
        metadata = ",".join(
            f"{word} {base64.b64encode(name.encode()).decode()}"
            for word in ("filename", "name", "path", "relativePath")
        )
        return ask(
            site.url,
            "POST",
            b"/api/uploads",
            site.clip,
            Tus_Resumable="1.0.0",
            Upload_Length=str(len(site.clip)),
            Upload_Metadata=metadata,
            Content_Type="application/offset+octet-stream",
        )

    names = texts(str(site.secret))
    answers = at_once(begin, names)
    assert site.check(answers) == {201: len(names)}
    places = [answer.header("location") for answer in answers]
    assert all(re.fullmatch(r"/api/uploads/[0-9a-f]{32}", place) for place in places)
    kept = {ask(site.url, "GET", place.encode()).json["filePath"] for place in places}
    assert all(FILE_KEY.fullmatch(key) for key in kept)
    assert set(site.inside()) - before == kept


def test_names_of_presigned_uploads(site: Site) -> None:
    def begin(name: str) -> RawAnswer:
        body = json.dumps({"filename": f"{name[:900]}.mp4", "size": len(site.clip)}).encode()
        return ask(site.url, "POST", b"/api/uploads/presign", body, Content_Type="application/json")

    before = site.inside()
    answers = at_once(begin, texts(str(site.secret)))
    site.check(answers)
    assert {answer.status for answer in answers} == {201 if site.kind == "s3" else 422}
    for answer in answers if site.kind == "s3" else []:
        (part,) = answer.json["urls"]
        path = part["url"].partition("?")[0].partition("://")[2].partition("/")[2].partition("/")[2]
        assert path.startswith("ours/")
        assert FILE_KEY.fullmatch(path.removeprefix("ours/"))
        assert answer.json["fileId"] in path
        ended = ask(site.url, "DELETE", f"/api/uploads/{answer.json['fileId']}".encode())
        assert ended.status == 204
    assert site.inside() == before


def test_paths_of_sources(site: Site) -> None:
    """None of them is anything but an upload, whatever the field."""
    key = upload(site)
    file_id = key.split("/")[1]
    own = [
        *(
            f"{key}/../../../secret.txt",
            f"uploads/{file_id}/../../../secret.txt",
            f"./{key}",
            f"/{key}",
            f"{key}/",
            f"{key}\0",
        ),
        *(
            key.replace("/", "//"),
            key.replace("/", "\\"),
            f"{key}\n",
            f" {key}",
            f"{file_id}/..",
            file_id.upper() + "A",
            f"{file_id}\n",
        ),
        *(f"uploads/{file_id}/%2e%2e/clip.mp4", f"outputs/{JOB_ID}/{file_id}/../../../secret.txt", f"data/{key}"),
    ]
    paths = [*texts(str(site.secret)), *own]

    def render(asked: tuple[str, dict[str, Any]]) -> RawAnswer:
        path, body = asked
        return ask(site.url, "POST", path.encode(), json.dumps(body).encode(), Content_Type="application/json")

    calls: list[tuple[str, dict[str, Any]]] = []
    for path in paths:
        calls.append(("/api/execute", {"sourcePath": path}))
        calls.append(("/api/execute", {"inputFileUrl": path}))
        calls.append(("/api/execute", {"sources": [key, path]}))
        calls.append(("/api/execute-plan", {"sourceVideoUrl": path, "plan": PLAN}))
    answers = at_once(render, calls)
    statuses = site.check(answers)
    print(f"{len(answers)} sources: {dict(statuses)}")
    assert {answer.json["error"]["code"] for answer in answers} == {"INVALID_PATH"}


def test_names_of_outputs(site: Site, frontend: Frontend) -> None:
    key = upload(site)
    names = [name[:200] for name in texts(str(site.secret))][::9]
    before = set(site.inside())
    answers = [
        frontend.http.post(
            "/api/execute",
            json={"sourcePath": key, "outputName": name, "projectId": name, "trim": {"start": 0, "end": 0.2}},
        )
        for name in names
    ]
    assert {answer.status_code for answer in answers} <= {202, 422}
    jobs = [frontend.wait(answer.json()["jobId"]) for answer in answers if answer.status_code == 202]
    assert len(jobs) > len(names) // 2
    made = [job["outputUrl"].removeprefix(site.url) for job in jobs if job["status"] == "done"]
    assert len(made) == len(jobs)
    assert all(OUTPUT_KEY.fullmatch(path) for path in made)
    assert {f"/{key}" for key in set(site.inside()) - before} == set(made)


@contextmanager
def naming_server(names: Sequence[str], content: bytes) -> Iterator[str]:
    """Serves the content at /<number>/..., and calls it by the name of that number."""
    listener = socket.create_server((SOURCE_HOST, 0), backlog=64)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # closed: the test is over
            with connection:
                target = connection.recv(65536).split(b" ")[1].decode("latin-1")
                name = re.sub(r"[\r\n\0]", "_", names[int(target.split("/")[1])]).encode()
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Disposition: attachment; filename=\"%b\"; filename*=utf-8''%b\r\n"
                    b"Content-Location: %b\r\nContent-Type: video/mp4\r\nContent-Length: %d\r\n\r\n%b"
                    % (name, name, name, len(content), content)
                )

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://{SOURCE_HOST}:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def test_names_of_downloaded_sources(site: Site, frontend: Frontend) -> None:
    """Neither a URL's last part nor what its server calls the file has a say in where it goes."""
    names = [
        *(
            "../../secret.txt",
            "..%2f..%2fsecret.txt",
            "%2e%2e%5csecret.mp4",
            str(site.secret),
            "..\\..\\a.mp4",
            "a%00.mp4",
        ),
        *(
            "%c0%ae%c0%ae%c0%afa.mp4",
            "C:%5ca.mp4",
            "NUL",
            "",
            ".",
            "..",
            "%e2%80%ae4pm.exe",
            "a" * 1500,
            f"uploads/{FILE_ID}/a.mp4",
        ),
    ]
    before = set(site.inside())
    with naming_server(names, site.clip) as server:
        jobs = []
        for number, name in enumerate(names):
            body = {"inputFileUrl": f"{server}/{number}/{name}", "trim": {"start": 0, "end": 0.2}}
            answer = frontend.http.post("/api/execute", json=body)
            assert answer.status_code == 202, answer.text
            jobs.append(answer.json()["jobId"])
        ended = [frontend.wait(job) for job in jobs]
    assert {job["status"] for job in ended} == {"done"}, ended
    made = {job["outputUrl"].removeprefix(site.url) for job in ended}
    assert all(OUTPUT_KEY.fullmatch(path) for path in made)
    assert {f"/{key}" for key in set(site.inside()) - before} == made


def test_the_watch_over_the_surroundings_sees(site: Site, tmp_path: Path) -> None:
    """A copy of the tree, harmed in each way: so equality above means that nothing happened."""
    copy = tmp_path / "copy"
    shutil.copytree(site.folder / "beside", copy)
    before = tree(copy)
    harms: list[Callable[[], object]] = [
        lambda: (copy / "new").touch(),
        lambda: (copy / "secret.txt").write_text("other"),
        lambda: (copy / "secret.txt").unlink(),
        lambda: (copy / "link").symlink_to("/etc"),
    ]
    for harm in harms:
        harm()
        after = tree(copy)
        assert after != before
        before = after
    assert SENTINEL in site.secret.read_text()

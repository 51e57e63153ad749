"""What gateway and operator really show, beside the page that describes it and the dashboard that asks for it.

One gateway, one fleet and one operator, which have done a little of everything; a real Prometheus reads them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from chart.rules import GATEWAY, OPERATOR, rule_file
from integration import operator_site
from integration.frontend import Frontend
from integration.leased import Site, make_clip
from prometheus_server import Prometheus, Target
from redis_server import RedisServer

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| (.+?) \| (\S+) \| (.+) \|$", re.MULTILINE)
METRIC = re.compile(r"\b(?:flowscale|kubelet)_[a-z0-9_]+")

ONLY_AFTER_A_FAULT = {
    "flowscale_gateway_storage_failures_total",
    "flowscale_worker_storage_failures_total",
}
"""They have no series before the storage, or FFmpeg, has failed once; tests/integration/test_alerts.py sees to that."""


CHOSEN = {"$namespace": GATEWAY["namespace"], "$service": GATEWAY["service"], "$__rate_interval": "1m"}
"""What Grafana puts for the dashboard's variables."""


@dataclass(frozen=True)
class World:
    frontend: Frontend
    prometheus: Prometheus
    shown: dict[str, str]  # the exposition by whose it is


@dataclass(frozen=True, slots=True)
class Row:
    """Of docs/metrics.md."""

    kind: str
    labels: frozenset[str]
    meaning: str


def documented(*sections: str) -> dict[str, Row]:
    """The rows of these sections by name, counters with their _total."""
    page = (ROOT / "docs" / "metrics.md").read_text()
    texts = [part for part in page.split("\n## ") if part.partition("\n")[0] in sections]
    assert len(texts) == len(sections)
    return {
        name: Row(kind, frozenset(re.findall(r"`(\w+)`", labels)), meaning)
        for text in texts
        for name, kind, labels, _, meaning in ROW.findall(text)
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    with ExitStack() as stack:
        server = stack.enter_context(RedisServer())
        clip = make_clip(folder)
        site = stack.enter_context(Site(folder / "site", server, clip))
        frontend = site.gateway()
        site.fleet()
        operated = stack.enter_context(operator_site.site(server, folder))
        operator = operated.leading(OPERATOR["pod"])
        address = f"http://127.0.0.1:{operator.until('operator.started')['port']}"
        targets = [Target(str(frontend.http.base_url), GATEWAY), Target(address, OPERATOR)]
        prometheus = stack.enter_context(Prometheus(rule_file(), targets))
        prometheus.until_read("flowscale_queue_up == 1", "flowscale_operator_leader == 1")

        operated.start(2)
        operated.workers.finish_all()
        operated.until_replicas(0)
        _use(frontend, clip, folder)
        prometheus.until_read(
            "flowscale_scaler_changes_total", 'flowscale_jobs_failed_total{code="INVALID_MEDIA"} == 1'
        )
        prometheus.until_read("rate(flowscale_rendered_media_seconds_total[1m])")
        shown = {"gateway": frontend.http.get("/metrics").text, "operator": operator.ask("/metrics")[1]}
        yield World(frontend, prometheus, shown)
        server.forget(f"{site.settings.prefix}:upload:")  # what is remembered of an upload for a day


def _use(frontend: Frontend, clip: Path, folder: Path) -> None:
    """Uploads by form and by tus, one that is refused, a render, and one of a file that holds nothing."""
    source = frontend.upload(clip)
    assert frontend.http.post("/api/upload", files={"file": ("a.txt", b"words" * 100)}).status_code == 415
    broken = folder / "broken.mp4"
    broken.write_bytes(b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp41" + bytes(4096))
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(broken.stat().st_size)}
    headers["Content-Type"] = "application/offset+octet-stream"
    made = frontend.http.post("/api/uploads", headers=headers, content=broken.read_bytes())
    assert made.status_code == 201, made.text
    resumable = frontend.http.get(made.headers["location"]).json()["filePath"]
    assert frontend.http.get("/no/such/../route-of-a-client").status_code == 404
    done = frontend.wait(frontend.execute(source, trim={"start": 0, "end": 0.4}))
    assert done["status"] == "done", done
    assert frontend.wait(frontend.execute(resumable))["error"]["code"] == "INVALID_MEDIA"
    assert frontend.http.get(done["outputUrl"]).status_code == 200


def families(text: str) -> dict[str, Any]:
    """By the name that the page has. The library's own times of birth are left out, as the page says."""
    found = {}
    for family in text_string_to_metric_families(text):
        if not family.name.endswith("_created"):
            found[f"{family.name}_total" if family.type == "counter" else family.name] = family
    return found


@pytest.mark.parametrize(
    ("whose", "sections"), [("gateway", ("The queue", "A gateway")), ("operator", ("An operator",))]
)
def test_the_page_describes_what_is_shown_and_nothing_else(world: World, whose: str, sections: tuple[str, ...]) -> None:
    shown, told = families(world.shown[whose]), documented(*sections)
    assert shown.keys() == told.keys()
    for name, family in shown.items():
        assert family.type == told[name].kind, name
        assert told[name].meaning.startswith(family.documentation), name
        labels = {
            frozenset(sample.labels) - {"le"} for sample in family.samples if not sample.name.endswith("_created")
        }
        assert labels <= {told[name].labels}, name


def test_requests_are_counted_by_the_template_of_their_route(world: World) -> None:
    """A client cannot make a series by the path it chooses."""
    routes = {
        sample.labels["route"]: sample.labels["status"]
        for sample in families(world.shown["gateway"])["flowscale_gateway_requests_total"].samples
    }
    assert {"/api/upload", "/api/execute", "/api/jobs/{job_id}", "none"} <= routes.keys()
    assert not any("route-of-a-client" in route or "job_1" in route for route in routes)


def test_a_render_is_counted_with_its_price(world: World) -> None:
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in families(world.shown["gateway"]).values()
        for sample in family.samples
    }
    assert samples["flowscale_rendered_media_seconds_total", "mp4"] == pytest.approx(0.4, abs=0.1)
    assert samples["flowscale_render_seconds_total", "mp4"] > 0
    assert samples["flowscale_worker_storage_operations_total", "fetch"] == 2
    assert samples["flowscale_worker_storage_operations_total", "put"] == 1
    assert samples["flowscale_worker_storage_bytes_total", "put"] > 0
    assert samples["flowscale_job_wait_seconds_count",] == samples["flowscale_job_attempts_total",] == 2
    assert (
        samples["flowscale_gateway_uploads_total", "form"]
        == samples["flowscale_gateway_uploads_total", "resumable"]
        == 1
    )
    assert samples["flowscale_gateway_uploads_refused_total", "UNSUPPORTED_MEDIA", "form"] == 1
    assert samples["flowscale_gateway_uploads_in_progress", "form"] == 0


def test_every_question_of_the_dashboard_is_answered(world: World) -> None:
    board = json.loads((ROOT / "charts" / "flowscale" / "files" / "dashboard.json").read_text())
    known = documented("The queue", "A gateway", "An operator")
    questions = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    assert questions
    waits = []
    for question in questions:
        names = METRIC.findall(question)
        assert all(name in known or re.sub(r"_(bucket|sum|count)$", "", name) in known for name in names), question
        asked = re.sub(r"\$\w+", lambda found: CHOSEN[found[0]], question)
        world.prometheus.query(asked)  # raises when it cannot be read
        if not ONLY_AFTER_A_FAULT & set(names):
            waits.append(asked)
    world.prometheus.until_read(*waits)


def test_the_variables_of_the_dashboard_have_values(world: World) -> None:
    board = json.loads((ROOT / "charts" / "flowscale" / "files" / "dashboard.json").read_text())
    asked = {each["name"]: each["query"]["query"] for each in board["templating"]["list"] if each["type"] == "query"}
    assert asked.keys() == {"namespace", "service"}
    for name, question in asked.items():
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", question)
        assert found, question
        series = found[1].replace("$namespace", GATEWAY["namespace"])
        assert {each["metric"][found[2]] for each in world.prometheus.query(series)} == {GATEWAY[name]}

"""Forged addresses against the whole product: gateway, Redis and worker as in production, and nobody is reached.

All of forged_urls.py is asked for in one run of forged_world.py, in a network where every address leads to a canary.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from contract.test_local_storage import namespace_for_mounts
from integration.forged_urls import GOOD, Forged, table
from integration.forged_world import ANYWHERE, Report
from integration.leased import make_clip

WORLD = Path(__file__).with_name("forged_world.py")

SECONDS = 300
"""For the whole run: far beyond what it takes, so that only a hang ends it."""

FORGED = list(table())


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("forged")
    trial = folder / "trial"
    trial.mkdir()
    namespace = namespace_for_mounts(trial)
    assert namespace, "These tests need namespaces of their own: run them as root, or allow user namespaces."
    clip = make_clip(folder, seconds=1)
    ran = subprocess.run(
        [*namespace, "--net", sys.executable, WORLD, folder, clip],
        timeout=SECONDS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return Report.read(folder)


def test_nobody_is_reached(report: Report) -> None:
    kinds = Counter(report.outcomes.values())
    print(f"{len(report.outcomes)} forged requests, {report.heard} hits on the canary: {dict(kinds)}")
    assert set(report.outcomes) == {forged.name for forged in FORGED}
    assert len(FORGED) == len(report.outcomes) > 600
    assert report.strangers == {}
    assert report.heard == 0


def test_the_canary_hears_a_worker_that_may_go_anywhere(report: Report) -> None:
    """The same network, the same worker, every network allowed: so silence above means that nobody came."""
    assert report.control == {"127.0.0.1 8080": 1, "169.254.169.254 80": 2, "64:ff9b::7f00:1 8080": 1}
    assert report.control_heard == len(ANYWHERE)


@pytest.mark.parametrize("forged", FORGED, ids=lambda forged: forged.name)
def test_each_is_refused_as_documented(report: Report, forged: Forged) -> None:
    assert report.outcomes[forged.name] in forged.refusals


def test_nothing_is_stored(report: Report) -> None:
    assert any(name.startswith("uploads/") for name in report.files_before)
    assert report.files_after == report.files_before
    assert report.scratch == []


def test_no_program_takes_it_for_a_fault_of_its_own(report: Report) -> None:
    assert report.faults == []


def test_what_is_no_forgery_is_fetched(report: Report) -> None:
    assert set(report.good.values()) == {"job done"}, report.good
    assert report.good_strangers == {}


def test_a_name_that_turns_is_asked_once_for_each_connection(report: Report) -> None:
    assert report.good["http://turns-at-once.example/clip.mp4"] == "job done"
    assert report.questions["turns-at-once.example A"] == 1
    for name in ("turns-at-redirect", "turns-at-cut", "turns-to-metadata", "turns-to-6"):
        assert report.questions[f"{name}.example A"] == 2
        asked = [request for request in report.requests if request["host"] == f"{name}.example"]
        assert len(asked) == 1


def test_redirects_were_followed_until_they_led_inside(report: Report) -> None:
    lines = Counter(request["line"] for request in report.requests if request["host"] == GOOD)
    assert lines["GET /loop HTTP/1.1"] == 4
    # /ping and /pong lead to each other, and each is asked for once: 2 + 2 requests either way.
    assert lines["GET /ping HTTP/1.1"] == lines["GET /pong HTTP/1.1"] == 4
    assert [lines[f"GET /chain/{number} HTTP/1.1"] for number in range(3)] == [1, 2, 3]
    assert sum(times for line, times in lines.items() if line.startswith("GET /to/")) > 250
    for status in (301, 302, 303, 307, 308):
        assert lines[f"GET /{status}/loopback HTTP/1.1"] == 1


def test_proxies_and_passwords_of_the_environment_are_not_used(report: Report) -> None:
    """http_proxy and its like named the canary, which heard nothing; a .netrc had a password for the good server."""
    assert report.requests
    for request in report.requests:
        assert request["line"].startswith("GET /")
        assert not {"authorization", "proxy-authorization", "cookie", "referer"} & set(request)

"""A real Prometheus for tests, which reads real programs and evaluates the chart's alerts.

    with Prometheus(rules, [Target(gateway.url, GATEWAY)]) as prometheus:
        prometheus.until_firing("FlowScaleDown")

`scripts/bootstrap prometheus` brings it. The kernel ends it with the thread that started it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

import yaml

from redis_server import HOST, free_port

PROGRAM = Path(__file__).parents[1] / ".tools" / "prometheus" / "bin" / "prometheus"

PATIENCE_SECONDS = 240.0
"""When waiting for something that must happen: far beyond what it takes, so that only a hang ends it."""

LOOK_SECONDS = 0.2

Found = TypeVar("Found")


class Rejected(Exception):
    """Prometheus would not; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Target:
    """A program's address, and the labels that Kubernetes' discovery would give its series."""

    url: str
    labels: Mapping[str, str]


class Prometheus:
    """Reads each target once a second, and evaluates as often."""

    def __init__(self, rules: Mapping[str, Any], targets: Sequence[Target]) -> None:
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="flowscale-prometheus-"))
        self._process: subprocess.Popen[bytes] | None = None
        (self._folder / "rules.yaml").write_text(yaml.safe_dump(dict(rules)))
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [
                {
                    "job_name": f"target-{number}",
                    "static_configs": [{"targets": [urlsplit(each.url).netloc], "labels": dict(each.labels)}],
                }
                for number, each in enumerate(targets)
            ],
        }
        (self._folder / "prometheus.yaml").write_text(yaml.safe_dump(config))

    def __enter__(self) -> Self:
        assert PROGRAM.exists(), "Prometheus is missing: `scripts/bootstrap prometheus` brings it"
        command = [
            *("setpriv", "--pdeathsig", "KILL", "--", str(PROGRAM)),
            f"--config.file={self._folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address={HOST}:{self.port}",
            "--log.level=warn",
        ]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self.until(self._ready, "Prometheus to be ready")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE_SECONDS)
        shutil.rmtree(self._folder, ignore_errors=True)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query; each `metric` and `value`. Raises Rejected."""
        answer = self._ask("query", query=expression)["data"]
        if answer["resultType"] == "scalar":
            return [{"metric": {}, "value": answer["result"]}]
        found: list[dict[str, Any]] = answer["result"]
        return found

    def alerts(self) -> list[dict[str, Any]]:
        """Those that are pending or firing: `labels`, `annotations`, `state`."""
        found: list[dict[str, Any]] = self._ask("alerts")["data"]["alerts"]
        return found

    def firing(self) -> set[str]:
        return {each["labels"]["alertname"] for each in self.alerts() if each["state"] == "firing"}

    def until_firing(self, *names: str, while_: Callable[[], object] = lambda: None) -> None:
        """Until all of them fire at once; `while_` is done again and again until then."""

        def all_fire() -> bool:
            while_()
            return set(names) <= self.firing()

        self.until(all_fire, lambda: f"{names} to fire; it sees {self.alerts()}")
        for each in self.alerts():
            texts = "".join(each["annotations"].values())
            assert "<error" not in texts, texts
            assert each["annotations"]["runbook_url"].endswith(f"#{each['labels']['alertname'].lower()}")

    def until_quiet(self, *names: str, while_: Callable[[], object] = lambda: None) -> None:
        """Until none of them fires."""

        def none_fires() -> bool:
            while_()
            return not set(names) & self.firing()

        self.until(none_fires, lambda: f"{names} to end; it sees {self.alerts()}")

    def until_read(self, *series: str) -> None:
        """Until each of these expressions has a value."""
        self.until(
            lambda: all(self.query(each) for each in series),
            lambda: f"values of {[each for each in series if not self.query(each)]}",
        )

    def until(self, check: Callable[[], Found], what: str | Callable[[], str]) -> Found:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := check()):
            assert self._process is not None, "it was not started"
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < deadline, f"waited in vain for {what if isinstance(what, str) else what()}"
            time.sleep(LOOK_SECONDS)  # between two looks
        return found

    def _ready(self) -> bool:
        try:
            with urlopen(f"http://{HOST}:{self.port}/-/ready", timeout=10) as answer:
                return bool(answer.status == 200)
        except (URLError, ConnectionError):
            return False

    def _ask(self, what: str, **parameters: str) -> dict[str, Any]:
        address = f"http://{HOST}:{self.port}/api/v1/{what}?{urlencode(parameters)}"
        try:
            with urlopen(address, timeout=60) as answer:
                told: dict[str, Any] = json.load(answer)
        except HTTPError as error:
            with error:
                raise Rejected(json.load(error)["error"]) from error
        return told

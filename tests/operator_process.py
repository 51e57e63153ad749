"""The real operator, as a process of its own, for tests that hurt it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from api_server import NAMESPACE, ApiServer
from redis_server import RedisServer

PATIENCE_SECONDS = 240.0
"""When waiting for something that must happen: far beyond what it takes, so that only a hang ends it."""

PROGRAM = """
import sys
sys.modules["kubernetes"] = None
from flowscale_operator.main import run
run()
"""
"""`flowscale-operator`, without a package that other tests need, and its image does not hold: kopf would load it."""

Found = TypeVar("Found")


class OperatorProcess:
    """Started by `with`; its log is read as it comes."""

    def __init__(
        self,
        api: ApiServer,
        redis: RedisServer,
        folder: Path,
        name: str = "operator-1",
        program: str = PROGRAM,
        **more: str,
    ) -> None:
        config = api.kubeconfig(folder)
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("FLOWSCALE_", "KUBE"))},
            "KUBECONFIG": str(config),
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(redis.port),
            "POD_NAMESPACE": NAMESPACE,
            "POD_NAME": name,
            "FLOWSCALE_OPERATOR_HOST": "127.0.0.1",
            "FLOWSCALE_OPERATOR_PORT": "0",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            **more,
        }
        self.name = name
        self._program = program
        self.lines: list[dict[str, Any]] = []
        self.text: list[str] = []
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.running:
            self.kill()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        command = ["setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-c", self._program]
        self._process = subprocess.Popen(
            command, env=self._environment, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
        )
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()

    def terminate(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(PATIENCE_SECONDS)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(PATIENCE_SECONDS)

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def events(self) -> list[str]:
        """The event names that it logged."""
        return [str(line.get("event")) for line in list(self.lines)]

    def until(self, *events: str) -> dict[str, Any]:
        """Wait until it has logged one of them."""
        wanted: Sequence[str] = events
        return until(
            lambda: next((line for line in list(self.lines) if line.get("event") in wanted), None),
            lambda: f"{self.name} logged none of {wanted}:\n{self.log}",
        )

    @property
    def log(self) -> str:
        return "\n".join(self.text[-60:])

    def ask(self, path: str) -> tuple[int, str]:
        """Status and body of what it answers over HTTP."""
        port = self.until("operator.started")["port"]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:
                self.text.append(line.rstrip())
                try:
                    self.lines.append(json.loads(line))
                except ValueError:
                    continue  # a traceback; it is in the text


def until(found: Callable[[], Found | None], otherwise: Callable[[], str] = lambda: "it did not happen") -> Found:
    """What `found` gives once it is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (value := found()):
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.01)
    return value


def scaler(name: str = "flowscale", target: str = "worker", **spec: Any) -> dict[str, Any]:
    """A WorkerScaler with the schema's defaults, whose workers may go after a second."""
    chosen: dict[str, Any] = {
        "targetRef": {"name": target},
        "mode": "Auto",
        "queues": [{"name": "flowscale-render"}],
        "replicas": {"min": 0, "max": 20},
        "target": {"jobsPerReplica": 1},
        "scaleUp": {"maxStep": 100},
        "scaleDown": {"idleSeconds": 1, "maxStepPercent": 100},
        "onSourceError": "Hold",
    }
    return {"metadata": {"name": name}, "spec": chosen | spec}

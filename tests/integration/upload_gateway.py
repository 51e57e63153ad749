"""A gateway with resumable uploads, in a process of its own that can be killed: over one folder and one Redis, as
many others may be. `python upload_gateway.py ROOT REDIS_URL PREFIX PORT`; it prints its address as its first line.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parents[1]


@dataclass
class GatewayProcess:
    """Start it, kill it, start it again: on the same port."""

    root: Path
    redis_url: str
    prefix: str
    port: int
    process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Until it listens."""
        arguments = [str(self.root), self.redis_url, self.prefix, str(self.port)]
        self.process = subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert json.loads(self.process.stdout.readline()) == self.url

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None


@contextmanager
def gateway_process(root: Path, redis_url: str, prefix: str, port: int) -> Iterator[GatewayProcess]:
    gateway = GatewayProcess(root, redis_url, prefix, port)
    gateway.start()
    try:
        yield gateway
    finally:
        if gateway.process is not None:
            gateway.kill()


def main(root: str, redis_url: str, prefix: str, port: str) -> None:
    from flowscale import logs
    from flowscale.clocks import SystemClock
    from flowscale.queues.base import QueuePolicy
    from flowscale.queues.memory import MemoryQueue
    from flowscale.settings import RedisSettings, Settings
    from flowscale.storage.local import LocalStorage
    from flowscale.uploads.redis import open_upload_ledger
    from flowscale_api import Server, create_app

    logs.configure("warning", "json", sys.stderr)
    clock = SystemClock()
    storage = LocalStorage(Path(root))
    ledger = open_upload_ledger(RedisSettings.model_validate({"url": redis_url, "prefix": prefix}))
    app = create_app(
        settings=Settings(), queue=MemoryQueue(QueuePolicy(), clock), storage=storage, clock=clock, uploads=ledger
    )
    server = Server(app, host="127.0.0.1", port=int(port))
    print(json.dumps(server.url), flush=True)
    server.run()
    storage.close()


if __name__ == "__main__":
    sys.path.insert(0, str(TESTS))
    main(*sys.argv[1:])

"""A gateway in a process of its own, to be measured, limited and killed: `python gateway_child.py ROOT [FILE_LIMIT]`.

It prints its address as its first line and serves until SIGTERM. FILE_LIMIT is the size in bytes at which the
kernel refuses to let any file grow: a full disk, without filling one.
"""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def child(root: Path, file_limit: int | None = None) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and its address; it is ended, if it has not, when the block ends."""
    arguments = [sys.executable, __file__, str(root)] + ([str(file_limit)] if file_limit is not None else [])
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            if process.poll() is None:
                process.kill()


def main(root: str, file_limit: str | None = None) -> None:
    from flowscale.clocks import SystemClock
    from flowscale.queues.base import QueuePolicy
    from flowscale.queues.memory import MemoryQueue
    from flowscale.settings import Settings
    from flowscale.storage.local import LocalStorage
    from flowscale_api import Server, create_app

    if file_limit is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that the write fails, as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(file_limit), int(file_limit)))
    clock = SystemClock()
    storage = LocalStorage(Path(root))
    app = create_app(
        settings=Settings(),
        queue=MemoryQueue(QueuePolicy(), clock),
        storage=storage,
        clock=clock,
    )
    server = Server(app, host="127.0.0.1", port=0)
    print(json.dumps(server.url), flush=True)
    server.run()
    storage.close()


if __name__ == "__main__":
    main(*sys.argv[1:])

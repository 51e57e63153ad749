"""The processes in a pod, from its node of kind: stopped, woken and killed, at once when it matters.

From inside a pod nobody can kill its first process, and starting a program there takes as long as what is to be hit.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from e2e.programs import run

_FIND = (
    'for folder in /proc/[0-9]*; do tr - _ <"$folder/cgroup" 2>/dev/null | grep -q "$0" || continue; '
    'case "$(cat "$folder/comm" 2>/dev/null)" in pause | tini | "") ;; *) echo "${folder#/proc/}" ;; esac; done'
)


class PodProcesses:
    """All programs of a pod but the two that only hold it, as they are when this is made."""

    def __init__(self, pod: Any) -> None:
        self.node: str = pod.spec.node_name
        group = pod.metadata.uid.replace("-", "_")
        self.numbers = run(["docker", "exec", self.node, "sh", "-c", _FIND, group]).split()
        assert self.numbers, f"{pod.metadata.name} has no process on {self.node}"

    def signal(self, name: str) -> None:
        run(["docker", "exec", self.node, "kill", f"-{name}", *self.numbers])

    @contextmanager
    def frozen(self) -> Iterator[None]:
        self.signal("STOP")
        try:
            yield
        finally:
            self.signal("CONT")

    @contextmanager
    def ready_to(self, name: str) -> Iterator[Callable[[], None]]:
        """What sends the signal when it is called, within milliseconds: all is prepared but the word."""
        script = f"read -r word && kill -{name} {' '.join(self.numbers)}"
        command = ["docker", "exec", "-i", self.node, "sh", "-c", script]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        assert process.stdin is not None

        def send() -> None:
            assert process.stdin is not None
            process.stdin.write(b"now\n")
            process.stdin.flush()

        try:
            yield send
        finally:
            process.stdin.close()
            process.wait()

    def resident_bytes(self) -> int:
        """Memory that they take now, together."""
        lines = self._read("status")
        return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))

    def processor_seconds(self) -> float:
        """That they have used since they began, together."""
        ticks = sum(sum(map(int, line.rpartition(")")[2].split()[11:13])) for line in self._read("stat"))
        return ticks / 100  # USER_HZ, 100 on every Linux

    def _read(self, file: str) -> list[str]:
        names = [f"/proc/{number}/{file}" for number in self.numbers]
        return run(["docker", "exec", self.node, "cat", *names]).splitlines()

"""What happened to objects, every version of it, whether anybody looked at that moment or not.

A watch that breaks, because the API server is frozen or gone, is taken up where it broke; the server keeps what
happened for some minutes. So what is asked afterwards ("was there ever a change downward?") has no gaps.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import TracebackType
from typing import Any, Self

import httpx2

from e2e.cluster import Cluster
from e2e.rest import get, rest
from e2e.waiting import until

WATCH_SECONDS = 5
"""After which the server ends a watch, and the next begins: so long does it take a follower to end."""

REST_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Seen:
    """A version of an object. `at` is when it was told of (Unix seconds)."""

    at: float
    gone: bool
    object: Mapping[str, Any]

    @property
    def name(self) -> str:
        name: str = self.object["metadata"]["name"]
        return name


@dataclass(frozen=True, slots=True)
class Change:
    """Of the number of replicas of a Deployment."""

    at: float
    before: int
    after: int

    @property
    def down(self) -> bool:
        return self.after < self.before


class _GoneError(Exception):
    """The server keeps no more what happened since; what is there now is all there is to know."""


class Follower:
    """Follows the objects of a collection (`path`), from a thread of its own. Nothing is missed while it is open."""

    def __init__(self, cluster: Cluster, path: str, labels: str = "") -> None:
        self._cluster = cluster
        self._path = path
        self._query = {"labelSelector": labels} if labels else {}
        self._seen: list[Seen] = []
        self._listed = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"follows {path}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        until(self._listed.is_set, f"{self._path} to be listed")
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def seen(self) -> list[Seen]:
        """All so far, oldest first."""
        return list(self._seen)

    def removals(self) -> dict[str, float]:
        """When the end of each object began, by its name: that of a pod begins when it is told to stop."""
        found: dict[str, float] = {}
        for each in self.seen:
            if each.gone or "deletionTimestamp" in each.object["metadata"]:
                found.setdefault(each.name, each.at)
        return found

    def sizes(self, name: str, since: float = 0.0) -> list[Change]:
        """The changes of `spec.replicas` of a Deployment since then."""
        versions = [each for each in self.seen if each.name == name and not each.gone]
        sizes = [(each.at, int(each.object["spec"]["replicas"])) for each in versions]
        changes = [Change(at, before, after) for (_, before), (at, after) in pairwise(sizes) if before != after]
        return [change for change in changes if change.at >= since]

    def _run(self) -> None:
        with rest(self._cluster) as client:
            version = ""
            while not self._ended.is_set():
                try:
                    version = self._watch(client, version or self._list(client))
                except _GoneError:
                    version = ""
                except httpx2.HTTPError:
                    self._ended.wait(REST_SECONDS)

    def _list(self, client: httpx2.Client) -> str:
        found = get(client, self._path, **self._query)
        at = time.time()
        self._seen += [Seen(at, False, item) for item in found["items"]]
        self._listed.set()
        version: str = found["metadata"]["resourceVersion"]
        return version

    def _watch(self, client: httpx2.Client, version: str) -> str:
        """The version up to which everything was told."""
        query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": str(WATCH_SECONDS)}
        timeout = httpx2.Timeout(10, read=WATCH_SECONDS + 10)
        try:
            with client.stream("GET", self._path, params={**query, **self._query}, timeout=timeout) as answer:
                if answer.status_code == 410:
                    raise _GoneError
                answer.raise_for_status()
                for line in answer.iter_lines():
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise _GoneError
                    version = event["object"]["metadata"]["resourceVersion"]
                    self._seen.append(Seen(time.time(), event["type"] == "DELETED", event["object"]))
        except httpx2.HTTPError:
            self._ended.wait(REST_SECONDS)  # what came until now stands; the next watch goes on from there
        return version

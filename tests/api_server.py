"""A Kubernetes API server for tests: real HTTP, objects in memory, and faults on demand.

    with ApiServer() as api:
        api.put("deployments", {...})
        api.freeze()

It keeps what the operator relies on: versions that grow with every write, preconditions (409), merge patches,
subresources that change their part alone, watches that begin at a version, bookmarks, and 410 for a version that is
too old. It validates nothing, and knows no rights. All methods may be called from any thread.
"""

from __future__ import annotations

import asyncio
import copy
import json
import re
import threading
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import yaml
from aiohttp import web

NAMESPACE = "media"

PATIENCE_SECONDS = 240.0
"""As in operator_process.py."""

Object = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    group: str
    version: str
    kind: str
    subresources: tuple[str, ...] = ()

    @property
    def prefix(self) -> str:
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"


RESOURCES = {
    "pods": Resource("", "v1", "Pod"),
    "events": Resource("", "v1", "Event"),
    "namespaces": Resource("", "v1", "Namespace"),
    "deployments": Resource("apps", "v1", "Deployment", ("scale", "status")),
    "leases": Resource("coordination.k8s.io", "v1", "Lease"),
    "horizontalpodautoscalers": Resource("autoscaling", "v2", "HorizontalPodAutoscaler"),
    "customresourcedefinitions": Resource("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
    "workerscalers": Resource("flowscale.dev", "v1alpha1", "WorkerScaler", ("status",)),
    "scaledobjects": Resource("keda.sh", "v1alpha1", "ScaledObject"),
}


@dataclass
class Fault:
    """The next `times` requests whose method and path match are answered with `status`; 0: carried out, unanswered."""

    pattern: re.Pattern[str]
    status: int
    times: int
    headers: dict[str, str]


class Hold:
    """The first request that matches is kept, from when `reached` is set until `let_go`."""

    def __init__(self, pattern: str, loop: asyncio.AbstractEventLoop) -> None:
        self.pattern = re.compile(pattern)
        self.reached = threading.Event()
        self.dropped = False
        self.gate = asyncio.Event()
        self._loop = loop

    def wait(self) -> None:
        assert self.reached.wait(PATIENCE_SECONDS), f"no request matched {self.pattern.pattern}"

    def let_go(self, *, drop: bool = False) -> None:
        """Carry it out now; or never, if `drop`."""
        self.dropped = drop
        self._loop.call_soon_threadsafe(self.gate.set)


@dataclass(frozen=True)
class Request:
    """One that came in, and how it was answered; `at` is of the server's loop."""

    method: str
    path: str
    status: int
    at: float
    body: Object | None
    agent: str


@dataclass
class _Event:
    version: int
    resource: str
    kind: str
    body: Object


class ApiServer:
    """KEDA is not installed until `serve` is called with it."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._absent = {"scaledobjects"}
        self._objects: dict[tuple[str, str], Object] = {}
        self._version = 100
        self._oldest = 0
        self._history: list[_Event] = []
        self._lock = threading.RLock()
        self._faults: list[Fault] = []
        self._holds: list[Hold] = []
        self._listeners: list[Callable[[str, str, Object], None]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="api-server", daemon=True)
        self._news: set[asyncio.Event] = set()
        self._cut = 0
        self._open = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self.thaw()
        self.cut_watches()
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_SECONDS)
        self._loop.close()

    # --- objects

    def put(self, resource: str, body: Object) -> Object:
        """Create or replace an object, as its owner would."""
        with self._lock:
            name = body["metadata"]["name"]
            known = self._objects.get((resource, name))
            if known is not None:
                body["metadata"] = {**known["metadata"], **body["metadata"]}
            return self._write(resource, copy.deepcopy(body), "MODIFIED" if known else "ADDED")

    def change(self, resource: str, name: str, patch: Object) -> Object:
        """A merge patch of the whole object, as its owner or a controller would."""
        with self._lock:
            return self._write(resource, _merge(copy.deepcopy(self._objects[resource, name]), patch), "MODIFIED")

    def delete(self, resource: str, name: str) -> None:
        with self._lock:
            body = self._objects.pop((resource, name))
            self._version += 1
            body["metadata"]["resourceVersion"] = str(self._version)
            self._note(resource, "DELETED", body)

    def get(self, resource: str, name: str) -> Object:
        """Raises KeyError."""
        with self._lock:
            return copy.deepcopy(self._objects[resource, name])

    def all(self, resource: str) -> list[Object]:
        with self._lock:
            return [copy.deepcopy(body) for (kind, _), body in self._objects.items() if kind == resource]

    def listen(self, listener: Callable[[str, str, Object], None]) -> None:
        """Called with resource, type and object for each write, while it is made."""
        self._listeners.append(listener)

    def writes(self, since: int = 0) -> list[Request]:
        """Requests that may change something, from the one of that number on."""
        return [each for each in self.requests[since:] if each.method != "GET"]

    # --- faults

    def serve(self, resource: str) -> None:
        """As if its CRD were installed now."""
        self._absent.discard(resource)

    def absent(self, resource: str) -> None:
        """As if its CRD were not installed."""
        self._absent.add(resource)

    def fail(self, pattern: str, status: int, times: int = 1, **headers: str) -> None:
        """Answer requests `METHOD /path` that match so; status 0: carry them out and cut the connection."""
        words = {name.replace("_", "-"): value for name, value in headers.items()}
        self._faults.append(Fault(re.compile(pattern), status, times, words))

    def hold(self, pattern: str) -> Hold:
        """Keep the next request that matches `METHOD /path user-agent`, before it is carried out."""
        hold = Hold(pattern, self._loop)
        self._holds.append(hold)
        return hold

    def mend(self) -> None:
        """No more faults."""
        self._faults.clear()

    def freeze(self) -> None:
        """Answer nothing; connections stay, and watches are silent."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def thaw(self) -> None:
        self._loop.call_soon_threadsafe(self._open.set)

    def cut_watches(self) -> None:
        """End every watch in the middle of its answer."""
        self._loop.call_soon_threadsafe(self._cut_now)

    def forget_history(self) -> None:
        """What watches could go on from is gone: they are answered 410."""
        with self._lock:
            self._version += 1
            self._oldest = self._version
        self.cut_watches()

    def kubeconfig(self, folder: Path) -> Path:
        """A file that leads here."""
        path = folder / "kubeconfig.yaml"
        cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}
        context = {"name": "x", "context": {"cluster": "c", "user": "u", "namespace": NAMESPACE}}
        users = [{"name": "u", "user": {"token": "secret"}}]
        document = {"current-context": "x", "clusters": [cluster], "contexts": [context], "users": users}
        path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **document}))
        return path

    # --- inside

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_SECONDS)

    async def _start(self) -> None:
        self._open.set()
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def _stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def _cut_now(self) -> None:
        self._cut += 1
        self._tell()

    def _tell(self) -> None:
        for event in self._news:
            event.set()

    def _write(self, resource: str, body: Object, kind: str) -> Object:
        self._version += 1
        known = self._objects.get((resource, body["metadata"]["name"]))
        metadata = body["metadata"]
        metadata.setdefault("namespace", NAMESPACE)
        metadata.setdefault("uid", str(uuid.uuid4()))
        metadata.setdefault("creationTimestamp", datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        metadata["resourceVersion"] = str(self._version)
        before = None if known is None else known.get("spec")
        metadata["generation"] = metadata.get("generation", 0) + int(before != body.get("spec"))
        self._objects[resource, metadata["name"]] = body
        self._note(resource, kind, body)
        return copy.deepcopy(body)

    def _note(self, resource: str, kind: str, body: Object) -> None:
        self._history.append(_Event(self._version, resource, kind, copy.deepcopy(body)))
        for listener in self._listeners:
            listener(resource, kind, body)
        self._loop.call_soon_threadsafe(self._tell)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        await self._open.wait()
        text = await request.text()
        body: Object | None = json.loads(text) if text else None
        words = f"{request.method} {request.path}"
        caller = f"{words} {request.headers.get('User-Agent', '')}"
        hold = next((each for each in self._holds if not each.reached.is_set() and each.pattern.search(caller)), None)
        if hold is not None:
            hold.reached.set()
            await hold.gate.wait()
            if hold.dropped:
                raise web.HTTPServiceUnavailable
        fault = next((each for each in self._faults if each.times > 0 and each.pattern.search(words)), None)
        if fault is not None:
            fault.times -= 1
        try:
            if fault is not None and fault.status:
                raise _Answer(fault.status, "a fault, for a test", fault.headers)
            if request.query.get("watch"):
                self._record(request, 200, body)
                return await self._watch(request)
            with self._lock:
                answer = self._answer(request, body)
        except _Answer as refused:
            self._record(request, refused.status, body)
            status = {"kind": "Status", "status": "Failure", "message": refused.message, "code": refused.status}
            return web.json_response(status, status=refused.status, headers=refused.headers)
        self._record(request, 200, body)
        await self._open.wait()  # frozen meanwhile: carried out, and not answered yet
        if fault is not None and request.transport is not None:
            request.transport.abort()
        return web.json_response(answer)

    def _record(self, request: web.Request, status: int, body: Object | None) -> None:
        agent = request.headers.get("User-Agent", "")
        self.requests.append(Request(request.method, request.path, status, self._loop.time(), body, agent))

    def _answer(self, request: web.Request, body: Object | None) -> Object:
        parts = request.path.strip("/").split("/")
        if "namespaces" not in parts:
            return self._discover(request.path)
        at = parts.index("namespaces")
        resource, *rest = parts[at + 2 :]
        self._check_served(resource, request.path)
        name, subresource = [*rest, "", ""][:2]
        if request.method == "POST":
            return self._create(resource, body or {})
        if not name:
            return self._list(resource, request.query.get("labelSelector", ""))
        known = self._objects.get((resource, name))
        if known is None:
            raise _Answer(404, f'{resource} "{name}" not found')
        if request.method == "GET":
            return _scale_of(known) if subresource == "scale" else copy.deepcopy(known)
        if request.method == "PATCH":
            return self._patch(resource, known, subresource, body or {})
        if request.method == "DELETE":
            self.delete(resource, name)
            return known
        raise _Answer(405, request.method)

    def _check_served(self, resource: str, path: str) -> None:
        known = RESOURCES.get(resource)
        if known is None or resource in self._absent or not path.startswith(known.prefix + "/"):
            raise _Answer(404, "the server could not find the requested resource")

    def _create(self, resource: str, body: Object) -> Object:
        if (resource, body["metadata"]["name"]) in self._objects:
            raise _Answer(409, "it exists already")
        return self._write(resource, body, "ADDED")

    def _list(self, resource: str, selector: str) -> Object:
        items = [body for body in self.all(resource) if _selected(body, selector)]
        return {
            "kind": f"{RESOURCES[resource].kind}List",
            "apiVersion": RESOURCES[resource].prefix.removeprefix("/apis/").removeprefix("/api/"),
            "metadata": {"resourceVersion": str(self._version)},
            "items": items,
        }

    def _patch(self, resource: str, known: Object, subresource: str, body: Object) -> Object:
        metadata = body.get("metadata") or {}
        for field_name in ("resourceVersion", "uid"):
            if field_name in metadata and metadata[field_name] != known["metadata"][field_name]:
                raise _Answer(409, "the object has been modified; please apply your changes to the latest version")
        fresh = copy.deepcopy(known)
        if subresource == "scale":
            fresh["spec"]["replicas"] = body["spec"]["replicas"]
        elif subresource == "status":
            given = dict(body.get("status") or {})
            if resource == "deployments" and "conditions" in given:  # a strategic patch: a list merged by types
                given["conditions"] = _by_type(fresh.get("status", {}).get("conditions", []), given["conditions"])
            fresh["status"] = _merge(fresh.get("status") or {}, given)
        else:
            kept = {"status": known.get("status")} if "status" in RESOURCES[resource].subresources else {}
            fresh = {**_merge(fresh, body), **kept}
        if fresh == known:
            return copy.deepcopy(known)  # the server writes nothing either
        written = self._write(resource, fresh, "MODIFIED")
        return _scale_of(written) if subresource == "scale" else written

    def _discover(self, path: str) -> Object:
        served = {name: each for name, each in RESOURCES.items() if name not in self._absent}
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        if path == "/apis":
            versions = sorted({(each.group, each.version) for each in served.values() if each.group})
            groups = [
                {
                    "name": group,
                    "versions": [{"groupVersion": f"{group}/{version}", "version": version}],
                    "preferredVersion": {"groupVersion": f"{group}/{version}", "version": version},
                }
                for group, version in versions
            ]
            return {"kind": "APIGroupList", "groups": groups}
        found = [
            {
                "name": name,
                "singularName": each.kind.lower(),
                "namespaced": name not in ("namespaces", "customresourcedefinitions"),
                "kind": each.kind,
                "verbs": ["get", "list", "watch", "patch", "create"],
            }
            for name, each in served.items()
            if each.prefix == path
        ]
        if not found:
            raise _Answer(404, path)
        return {"kind": "APIResourceList", "resources": found}

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        resource = request.path.strip("/").split("/")[-1]
        version = int(request.query.get("resourceVersion") or 0)
        news, cut = asyncio.Event(), self._cut
        self._news.add(news)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        try:
            await response.prepare(request)
            if version and version < self._oldest:
                gone = {"kind": "Status", "code": 410, "message": "too old resource version", "reason": "Expired"}
                await _send(response, {"type": "ERROR", "object": gone})
                return response
            async with asyncio.timeout(float(request.query.get("timeoutSeconds", "60"))):
                async for event in self._events(resource, version, news):
                    await self._open.wait()
                    if self._cut != cut:
                        break
                    await _send(response, event)
        except TimeoutError:
            return response
        except ConnectionError:
            return response
        finally:
            self._news.discard(news)
        if request.transport is not None:
            request.transport.abort()
        return response

    async def _events(self, resource: str, version: int, news: asyncio.Event) -> AsyncIterator[Object]:
        at = 0
        while True:
            with self._lock:
                found, at = self._history[at:], len(self._history)
                newest = self._version
            for event in found:
                if event.version > version and event.resource == resource:
                    yield {"type": event.kind, "object": event.body}
            news.clear()
            if at == len(self._history):
                yield {
                    "type": "BOOKMARK",
                    "object": {
                        "kind": RESOURCES[resource].kind,
                        "apiVersion": "v1",
                        "metadata": {"resourceVersion": str(newest)},
                    },
                }
                await news.wait()


@dataclass
class _Answer(Exception):
    status: int
    message: str
    headers: dict[str, str] = field(default_factory=dict)


async def _send(response: web.StreamResponse, event: Object) -> None:
    await response.write(json.dumps(event).encode() + b"\n")


def _scale_of(deployment: Object) -> Object:
    metadata = {name: deployment["metadata"][name] for name in ("name", "namespace", "uid", "resourceVersion")}
    spec = {"replicas": deployment["spec"]["replicas"]}
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec}


def _merge(body: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(body) if isinstance(body, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge(merged.get(name), value)
    return merged


def _by_type(known: list[Object], given: list[Object]) -> list[Object]:
    types = {each["type"] for each in given}
    return [each for each in known if each["type"] not in types] + given


def _selected(body: Object, selector: str) -> bool:
    """Equality alone."""
    labels = body["metadata"].get("labels") or {}
    return all(labels.get(word.partition("=")[0]) == word.partition("=")[2] for word in selector.split(",") if word)

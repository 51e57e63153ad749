"""A gateway that asks for keys, with keys of every kind, and jobs and files of two projects."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from pydantic import SecretStr

from contract.gateway_server import MP4, Running, running
from flowscale.keys.base import Key, Scope
from flowscale.keys.tokens import digest, new_token
from flowscale.testing import START_MS, a_report, an_output
from flowscale.webhooks.deliveries import delivery_id
from flowscale_api import openapi_json

ADMIN_KEY = "the-key-of-the-setting-which-is-long-enough"
MINE, THEIRS = "mine", "theirs"
TUS = {"Tus-Resumable": "1.0.0"}


@dataclass(frozen=True)
class Operation:
    """One operation of the OpenAPI document."""

    path: str
    method: str
    described: dict[str, Any] = field(hash=False, compare=False)

    @property
    def scope(self) -> Scope | None:
        """What it says it needs; None: open to all."""
        return Scope(self.described["x-scope"]) if "x-scope" in self.described else None

    @property
    def names(self) -> tuple[str, ...]:
        """Its path's parameters."""
        return tuple(re.findall(r"\{(\w+)\}", self.path))

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"


def operations() -> list[Operation]:
    paths = json.loads(openapi_json())["paths"]
    return [Operation(path, method, one) for path, methods in paths.items() for method, one in methods.items()]


@dataclass(frozen=True)
class Site:
    gateway: Running
    keys: dict[str, str]  # by what they are
    theirs: dict[str, str]  # by the name of a path's parameter
    their_output: str
    secrets: list[str]  # which no log may show

    def key(self, name: str = "k", *scopes: Scope, project: str | None = None) -> str:
        """A fresh key."""
        token = new_token()
        kept = Key(token.key_id, digest(token.secret), name, frozenset(scopes or {Scope.RENDER}), project, START_MS)
        asyncio.run(self.gateway.gateway.gate.store.add(kept))
        self.secrets.append(token.secret)
        return str(token)

    def revoke(self, key: str) -> None:
        asyncio.run(self.gateway.gateway.gate.store.revoke(key.split("_")[1]))

    @contextmanager
    def client(self, key: str | None = None, **headers: str) -> Iterator[httpx2.Client]:
        """A browser of its own: no cookie of another's."""
        given = {"Authorization": f"Bearer {key}"} if key else {}
        with httpx2.Client(base_url=self.gateway.url, timeout=30, headers=given | headers) as client:
            yield client

    def call(self, operation: Operation, key: str | None = None, **headers: str) -> httpx2.Response:
        """The operation, on what is theirs."""
        named = self.theirs | file_of(operation, self)
        if operation.described["operationId"] == "steerRemove":
            named["job_id"] = self.theirs["unneeded"]  # others look at the first one after it
        path = operation.path.format(**named)
        with (
            self.client(key, **headers) as client,
            client.stream(operation.method, path, **body_of(operation, self)) as answer,
        ):
            if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                answer.read()  # a stream of events has no end
            return answer

    @contextmanager
    def logged_in(self, key: str = ADMIN_KEY) -> Iterator[tuple[httpx2.Client, str]]:
        """A browser with a login, and the token for its changes."""
        with self.client() as client:
            answer = client.post("/api/admin/session", json={"key": key})
            assert answer.status_code == 200, answer.text
            self.secrets.append(client.cookies["flowscale_session"])
            yield client, client.get("/api/admin/session").json()["csrfToken"]


def file_of(operation: Operation, site: Site) -> dict[str, str]:
    if operation.names != ("path",):
        return {}
    whole = site.their_output if operation.path.startswith("/outputs") else site.theirs["upload"]
    return {"path": whole.partition("/")[2]}


def body_of(operation: Operation, site: Site) -> dict[str, Any]:
    """What a client would send, that the answer tells of the key and not of the body. A new operation with a body is
    to be added here."""
    content = operation.described.get("requestBody", {}).get("content", {})
    bodies: dict[str, dict[str, Any]] = {
        "execute": {"json": {"sourcePath": site.theirs["upload"]}},
        "executePlan": {"json": {"sourceVideoUrl": site.theirs["upload"], "plan": plan()}},
        "upload": {"files": {"file": ("clip.mp4", MP4)}},
        "presignUpload": {"json": {"filename": "clip.mp4", "size": 5}},
        "presignParts": {"json": {"numbers": [1]}},
        "logIn": {"json": {"key": "a wrong one"}},
        "steerRetryFailed": {"json": {"code": "DISK_FULL"}},
    }
    name = operation.described["operationId"]
    assert bool(content) == (name in bodies), f"say in body_of what {name} is sent"
    if name in ("createUpload", "findOffset", "continueUpload", "endUpload"):
        tus = TUS | {"Upload-Length": "10", "Upload-Offset": "0"}
        if name == "continueUpload":
            return {"headers": tus | {"Content-Type": "application/offset+octet-stream"}, "content": b"12345"}
        return {"headers": tus}
    return bodies.get(name, {})


def plan() -> dict[str, Any]:
    from contract.gateway_calls import PLAN

    return PLAN


@contextmanager
def site_at(root: Path, **settings: Any) -> Iterator[Site]:
    with running(root, auth="keys", admin_key=SecretStr(ADMIN_KEY), **settings) as gateway:
        gateway.queue.report(a_report())
        site = Site(gateway, {}, {}, "", [ADMIN_KEY])
        site.keys.update(
            admin=site.key("admin", Scope.ADMIN),
            render=site.key("render", Scope.RENDER),
            read=site.key("read", Scope.READ),
            mine=site.key("mine", Scope.RENDER, project=MINE),
            theirs=site.key("theirs", Scope.RENDER, project=THEIRS),
            setting=ADMIN_KEY,
            revoked=site.key("revoked", Scope.ADMIN),
        )
        site.revoke(site.keys["revoked"])
        with site.client(site.keys["theirs"]) as theirs:
            upload = theirs.post("/api/upload", files={"file": ("clip.mp4", MP4)}).json()
            job = theirs.post("/api/execute", json={"sourcePath": upload["filePath"]}).json()
            unneeded = theirs.post("/api/execute", json={"sourcePath": upload["filePath"]}).json()
            assert theirs.post(f"/api/jobs/{unneeded['jobId']}/cancel").status_code == 200
            execution = gateway.queue.fetch("worker", 0)
            assert execution is not None
            output = an_output(execution)
            with gateway.storage.writer(output.key) as writer:
                writer.write(memoryview(MP4))
                writer.commit()
            gateway.queue.commit(execution, output)
            begun = theirs.post("/api/uploads", headers=TUS | {"Upload-Length": "10"})
        site.theirs.update(
            job_id=job["jobId"],
            unneeded=unneeded["jobId"],
            delivery_id=delivery_id(job["jobId"], 1, "own0123456789ab"),
            file_id=begun.headers["Location"].rpartition("/")[2],
            upload=upload["filePath"],
        )
        yield Site(gateway, site.keys, site.theirs, output.key, site.secrets)
        log = gateway.log.getvalue()
        for secret in site.secrets:
            assert secret not in log
        assert "signature=" not in log

"""Every route has a rule, and keeps it: without a key, with a wrong, a revoked, a too narrow and another project's.

The cases are read from the OpenAPI document and from the routes, so that a new route without a rule, or with a
parameter whose owner nobody checks, fails here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from contract.access_site import ADMIN_KEY, Operation, Site, operations, site_at
from contract.gateway_server import error_of, fields, running
from flowscale.keys.base import Scope
from flowscale_api.access.callers import caller_of
from flowscale_api.access.rules import every_route, needs, rule_of

LOOKED_AT = (
    "/",
    "/admin/login",
    "/admin/login.css",
    "/admin/login.js",
    "/admin/login.json",
    "/api/health",
    "/assets/{name:path}",
    "/admin/assets/{name:path}",
    "/docs",
    "/livez",
    "/metrics",
    "/openapi.json",
    "/readyz",
)
OPEN = {
    *(f"{method} {path}" for path in LOOKED_AT for method in ("GET", "HEAD")),
    "OPTIONS /api/uploads",
    "POST /api/admin/session",  # asks for a key by itself
}
"""What is open to all, and meant to be."""

OPERATIONS = operations()
GUARDED = [operation for operation in OPERATIONS if operation.scope is not None]
ADMIN = [operation for operation in GUARDED if operation.scope is Scope.ADMIN]
OWNED = [operation for operation in GUARDED if operation.names and operation.scope is not Scope.ADMIN]

every = pytest.mark.parametrize("operation", OPERATIONS, ids=str)
every_guarded = pytest.mark.parametrize("operation", GUARDED, ids=str)
every_admin = pytest.mark.parametrize("operation", ADMIN, ids=str)
every_owned = pytest.mark.parametrize("operation", OWNED, ids=str)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site_at(tmp_path_factory.mktemp("storage"), page=True) as made:
        yield made


def test_every_route_has_a_rule(site: Site) -> None:
    found = [(route, rule_of(route)) for route in every_route(site.gateway.app.routes)]
    assert len(found) > len(OPERATIONS)
    assert [route.path for route, rule in found if rule is None] == []
    are_open = {
        f"{method} {route.path}"
        for route, rule in found
        if rule is not None and rule.scope is None
        for method in route.methods
    }
    assert are_open == OPEN


def test_the_document_says_what_the_rules_do() -> None:
    are_open = {str(operation) for operation in OPERATIONS if operation.scope is None}
    assert are_open <= OPEN
    for operation in GUARDED:
        assert {"401", "403", "429"} <= operation.described["responses"].keys(), operation
        assert {} not in operation.described["security"] or operation.scope is not Scope.ADMIN


@every
def test_without_a_key(site: Site, operation: Operation) -> None:
    answer = site.call(operation)
    if operation.scope is None:
        assert answer.status_code not in (403, 404)
        assert answer.status_code != 401 or operation.described["operationId"] == "logIn"
        return
    refused(answer, operation, 401, "UNAUTHORIZED")
    assert answer.headers["www-authenticate"] == "Bearer"


@every_guarded
def test_with_a_key_that_is_not_known(site: Site, operation: Operation) -> None:
    # From an address of its own, so that others' wrong keys do not count.
    address = {"X-Forwarded-For": f"10.0.0.{GUARDED.index(operation)}"}
    known = site.keys["admin"]
    for key in (site.keys["revoked"], known[:-1] + ("A" if known[-1] != "A" else "B"), "nonsense", ADMIN_KEY + "x"):
        refused(site.call(operation, key, **address), operation, 401, "UNAUTHORIZED")
    refused(site.call(operation, None, Authorization=f"Basic {known}"), operation, 401, "UNAUTHORIZED")


@every_guarded
def test_with_too_narrow_a_key(site: Site, operation: Operation) -> None:
    narrower = {Scope.ADMIN: ("render", "read", "mine"), Scope.RENDER: ("read",), Scope.READ: ()}
    for name in narrower[operation.scope or Scope.READ]:
        refused(site.call(operation, site.keys[name]), operation, 403, "FORBIDDEN")


@every_guarded
def test_with_a_key_that_may(site: Site, operation: Operation) -> None:
    if operation.described["operationId"] == "endUpload":
        return_to = site.theirs["file_id"]
        assert return_to  # it is theirs to end: the test after this one would miss it
        with site.client(site.keys["theirs"]) as theirs:
            begun = theirs.post("/api/uploads", headers={"Tus-Resumable": "1.0.0", "Upload-Length": "10"})
            assert theirs.delete(begun.headers["Location"]).status_code == 204
        return
    if operation.scope is not Scope.ADMIN:
        assert site.call(operation, site.keys["render"]).status_code not in (401, 403)
        assert operation.names == ("path",) or site.call(operation, site.keys["theirs"]).status_code != 404
    assert site.call(operation, site.keys["admin"]).status_code not in (401, 403)
    assert site.call(operation, site.keys["setting"]).status_code not in (401, 403)


@every_owned
def test_another_projects_things_are_not_there(site: Site, operation: Operation) -> None:
    answer = site.call(operation, site.keys["mine"])
    code = "JOB_NOT_FOUND" if "job_id" in operation.names else "FILE_NOT_FOUND"
    refused(answer, operation, 404, code)


@every_admin
def test_a_login_without_its_token_changes_nothing(site: Site, operation: Operation) -> None:
    if operation.method in ("get", "head"):
        return
    with site.logged_in() as (client, csrf):
        for headers in ({}, {"X-CSRF-Token": "x" * 43}, {"X-CSRF-Token": csrf[:-1]}):
            error_of(client.request(operation.method, operation.path, headers=headers), 403, "CSRF_REFUSED")


@every_admin
def test_a_page_of_another_site_changes_nothing(site: Site, operation: Operation) -> None:
    if operation.method in ("get", "head"):
        return
    elsewhere = (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": site.gateway.url, "Sec-Fetch-Site": "cross-site"},
        {"Origin": site.gateway.url.replace("127.0.0.1", "127.0.0.2")},
    )
    with site.logged_in() as (client, csrf):
        for headers in elsewhere:
            answer = client.request(operation.method, operation.path, headers=headers | {"X-CSRF-Token": csrf})
            error_of(answer, 403, "CSRF_REFUSED")


@every_admin
def test_a_stolen_cookie_is_dead_after_the_logout(site: Site, operation: Operation) -> None:
    with site.logged_in() as (client, csrf):
        stolen = {"Cookie": f"flowscale_session={client.cookies['flowscale_session']}"}
        assert client.delete("/api/admin/session", headers={"X-CSRF-Token": csrf}).status_code == 200
        assert "flowscale_session" not in client.cookies
        headers = stolen | {"X-CSRF-Token": csrf}
        answer = site.call(operation, None, **headers)
        refused(answer, operation, 401, "UNAUTHORIZED")


def test_a_route_that_was_forgotten_is_refused(tmp_path: Path) -> None:
    """Below /admin and /api/admin, whatever kind of route it is and whoever asks."""
    ran = []

    def forgotten(*_: object) -> PlainTextResponse:
        ran.append(True)
        return PlainTextResponse("open")

    router = APIRouter()
    router.add_api_route("/api/admin/forgotten/{name}", lambda name: forgotten(name), methods=["GET", "POST"])
    router.add_api_route("/api/admin/kept", kept, dependencies=[Depends(needs(Scope.ADMIN))])
    guarded = APIRouter(prefix="/api/admin", dependencies=[Depends(needs(Scope.ADMIN))])
    guarded.add_api_route("/whole", kept)

    def add(app: FastAPI) -> None:
        app.include_router(router)
        app.include_router(guarded)
        app.router.routes.append(Route("/admin/bare", forgotten))
        app.router.routes.append(Mount("/admin/folder", routes=[Route("/file", forgotten)]))

    with site_at(tmp_path) as site:
        add(site.gateway.app)
        with site.client(site.keys["admin"]) as admin:
            for path in ("/api/admin/forgotten/x", "/admin/bare", "/admin/folder/file"):
                error_of(admin.get(path), 403, "FORBIDDEN")
            error_of(admin.post("/api/admin/forgotten/x"), 403, "FORBIDDEN")
            error_of(admin.get("/api/admin/nothing"), 404, "NOT_FOUND")
            for path in ("/api/admin/kept", "/api/admin/whole"):
                assert admin.get(path).json() == "admin"
                with site.client() as nobody:
                    error_of(nobody.get(path), 401, "UNAUTHORIZED")
    assert ran == []


def test_nobody_asks_for_keys_by_default(tmp_path: Path) -> None:
    """But for /admin, which always does."""
    with running(tmp_path) as gateway:
        job = gateway.execute(headers={"Authorization": "Bearer nonsense"})
        assert "signature" not in gateway.upload()["publicUrl"]
        assert gateway.job(job["jobId"])["status"] == "queued"
        for operation in ADMIN:
            answer = gateway.http.request(operation.method, operation.path)
            assert (answer.status_code, fields(answer)["error"]["code"]) == (401, "UNAUTHORIZED")


def refused(answer: httpx2.Response, operation: Operation, status: int, code: str) -> None:
    if operation.method == "head":
        assert answer.status_code == status
    else:
        error_of(answer, status, code)


def kept(request: Request) -> str:
    return caller_of(request).name

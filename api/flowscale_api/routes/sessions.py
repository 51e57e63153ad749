"""/api/admin/session: logging in with a key, and out."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response
from pydantic import ConfigDict, Field

from flowscale.clocks import iso_utc
from flowscale.errors import (
    CsrfRefused,
    Forbidden,
    InvalidOptions,
    QueueFull,
    QueueUnavailable,
    TooManyAttempts,
    Unauthorized,
)
from flowscale.keys.base import SESSION_MS, Scope, Session
from flowscale.validation import Strict
from flowscale_api.access import audit, cookies
from flowscale_api.access.browsers import comes_from_elsewhere
from flowscale_api.access.callers import Asker
from flowscale_api.access.rules import OPEN_TO_ALL, needs
from flowscale_api.deps import Parts
from flowscale_api.description.openapi import failures
from flowscale_api.schemas import Fine, LoggedIn, SessionFacts, json_answer
from flowscale_api.wire.bodies import read_json

router = APIRouter(tags=["admin"])

ADDRESS = "/api/admin/session"


class LoginRequest(Strict):
    """A key with the scope `admin`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"key": "the key, as it was shown when it was made"}]})

    key: str = Field(min_length=1, max_length=500)
    """It is sent once; from then on the cookie stands for it."""


@router.post(
    ADDRESS,
    operation_id="logIn",
    summary="Log in with a key",
    response_model=LoggedIn,
    responses=failures(
        Unauthorized, Forbidden, CsrfRefused, InvalidOptions, TooManyAttempts, QueueUnavailable, QueueFull
    ),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/LoginRequest"}}},
        }
    },
    dependencies=[Depends(OPEN_TO_ALL)],
)
async def log_in(request: Request, gateway: Parts) -> Response:
    """For browsers: the answer sets a cookie that lasts 12 hours, and not beyond the key. Programs send the key itself
    with each request."""
    gate = gateway.gate
    if comes_from_elsewhere(request, gateway.settings.public_url):
        audit.refused(request, "other_site")
        raise CsrfRefused("A page of another site cannot log in here: open /admin/login.")
    wanted = await read_json(request, LoginRequest, gateway.settings.max_body_bytes)
    caller = await gate.holder(request, wanted.key.strip())
    if Scope.ADMIN not in caller.allowed:
        audit.refused(request, "scope", name=caller.name, key_id=caller.key_id)
        raise Forbidden(f"The key {caller.name!r} is not good for this: it needs the scope `{Scope.ADMIN}`.")
    key_digest = await gate.digest_of(caller)
    if key_digest is None or caller.key_id is None:
        raise Unauthorized("The key was revoked in this moment.")
    seals = await gate.load_seals()
    if (before := cookies.session_in(request, seals)) is not None:
        await gate.store.close_session(before)  # no copy of it outlives this login
    value, session_id = cookies.new_cookie(seals)
    expires_ms = gateway.clock.now_ms() + SESSION_MS
    await gate.store.open_session(Session(session_id, caller.key_id, key_digest, expires_ms))
    audit.logged_in(request, caller.name)
    answer = json_answer(LoggedIn(name=caller.name, scopes=list(caller.scopes), expires_at=iso_utc(expires_ms)))
    cookies.give(answer, request, value, gateway.settings.public_url)
    return answer


@router.get(
    ADDRESS,
    operation_id="getSession",
    summary="Who is logged in",
    response_model=SessionFacts,
    responses=failures(QueueUnavailable),
    dependencies=[Depends(needs(Scope.ADMIN))],
)
async def show_session(gateway: Parts, caller: Asker) -> Response:
    """Its `csrfToken` goes into the header X-CSRF-Token of every change that is not made with a key."""
    return json_answer(
        SessionFacts(
            name=caller.name,
            scopes=list(caller.scopes),
            csrf_token=gateway.gate.csrf_token(caller),
            read_only=gateway.settings.admin_read_only,
        )
    )


@router.delete(
    ADDRESS,
    operation_id="logOut",
    summary="Log out",
    response_model=Fine,
    responses=failures(QueueUnavailable),
    dependencies=[Depends(needs(Scope.ADMIN))],
)
async def log_out(request: Request, gateway: Parts, caller: Asker) -> Response:
    """The cookie is dead from then on, and so is every copy of it."""
    # Also that of a request which comes with a key.
    session_id = caller.session_id or cookies.session_in(request, await gateway.gate.load_seals())
    if session_id is not None:
        await gateway.gate.store.close_session(session_id)
        audit.logged_out(request, caller.name)
    answer = json_answer(Fine())
    cookies.take_back(answer, request, gateway.settings.public_url)
    return answer

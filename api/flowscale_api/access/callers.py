"""Who sent a request."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from fastapi import Depends, Request

from flowscale.keys.base import Scope


class Proof(StrEnum):
    """By what a caller is known."""

    NOTHING = "nothing"  # nobody asks: FLOWSCALE_AUTH is none
    BEARER = "bearer"  # a key in the header Authorization
    SESSION = "session"  # a login's cookie
    LOOPBACK = "loopback"  # this machine's own user, of `flowscale dev`
    LINK = "link"  # the seal in a file's address


@dataclass(frozen=True, slots=True)
class Caller:
    """`name` is for people, `allowed` all that the caller may, `project` the only one it sees (None: all)."""

    name: str
    allowed: frozenset[Scope]
    project: str | None
    proof: Proof
    key_id: str | None = None  # "" is the key of FLOWSCALE_ADMIN_KEY
    session_id: str | None = None

    @property
    def scopes(self) -> tuple[str, ...]:
        return tuple(scope.value for scope in Scope if scope in self.allowed)


ANYBODY = Caller("anybody", Scope.RENDER.included, None, Proof.NOTHING)
"""Whoever calls the render API while FLOWSCALE_AUTH is none."""

ADMIN_KEY_NAME = "FLOWSCALE_ADMIN_KEY"
"""Name of the caller who has that key."""


def caller_of(request: Request) -> Caller:
    """Who sent the request. For handlers of routes with a rule (rules.py), which has found out by then."""
    caller: Caller = request.state.caller
    return caller


def is_admin(request: Request) -> bool:
    """Whether a rule has let the sender in as one who runs the service; False before it has."""
    caller = getattr(request.state, "caller", None)
    return isinstance(caller, Caller) and Scope.ADMIN in caller.allowed


Asker = Annotated[Caller, Depends(caller_of)]
"""The type of a handler's `caller` argument."""

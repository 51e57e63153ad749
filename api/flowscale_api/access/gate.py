"""Finding out who asks: a key, a login's cookie, or this machine's own user in `flowscale dev`.

A right key that was made here is let in whatever else came from its address: nobody finds 256 random bits by trying,
and a limit that shut it out would let anyone lock out everybody behind the same NAT. So failures are counted, and
what comes beyond the limit is answered 429 instead of 401. The key of FLOWSCALE_ADMIN_KEY may have been chosen by a
person: it is compared only while its address is within the limit, which is a minute away at the worst.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import NoReturn

from fastapi import Request

from flowscale.errors import CsrfRefused, Forbidden, TooManyAttempts, Unauthorized
from flowscale.keys.base import AccessStore, Key, Scope
from flowscale.keys.seals import Purpose, Seals
from flowscale.keys.tokens import digest, read_token, same
from flowscale.settings import GatewaySettings
from flowscale_api.access import audit
from flowscale_api.access.browsers import check_csrf, is_from_this_machine
from flowscale_api.access.callers import ADMIN_KEY_NAME, ANYBODY, Caller, Proof
from flowscale_api.access.cookies import session_in

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

LOCAL = Caller("local", Scope.ADMIN.included, None, Proof.LOOPBACK)
"""This machine's own user."""

_NO_KEY = (
    "This needs a key: send it as `Authorization: Bearer KEY`. `flowscale keys create` makes one, or "
    "FLOWSCALE_ADMIN_KEY of the gateway holds one."
)
_WRONG_KEY = (
    "The key is not known here: it has another form than ours, or it was revoked. Ask whoever runs this service."
)


@dataclass(slots=True)
class Gate:
    """One gateway's. `trust_loopback`: who comes from this machine to a loopback listener needs no key for /admin."""

    store: AccessStore
    settings: GatewaySettings
    trust_loopback: bool = False
    _seals: Seals | None = field(default=None, repr=False)

    @property
    def asks(self) -> bool:
        """Whether the render API asks for keys."""
        return self.settings.auth == "keys"

    @property
    def seals(self) -> Seals:
        """After `load_seals`."""
        if self._seals is None:
            raise RuntimeError("the seals' secret was not loaded: the route has no rule that does")
        return self._seals

    async def load_seals(self) -> Seals:
        """Read the secret once. Raises QueueUnavailable."""
        if self._seals is None:
            self._seals = Seals(await self.store.secret())
        return self._seals

    async def renderer(self, request: Request, scope: Scope) -> Caller:
        """Who asks for something of the render API. Raises Unauthorized, Forbidden, TooManyAttempts."""
        if not self.asks:
            return ANYBODY
        await self.load_seals()
        token = bearer_in(request)
        if token is not None:
            return _allowed(request, await self.holder(request, token), scope)
        # The page of the queue looks at jobs and outputs here; what changes something takes a key, or /api/admin.
        caller = await self._looker(request) if request.method in SAFE_METHODS else None
        if caller is None:
            audit.refused(request, "no_key")
            raise Unauthorized(_NO_KEY)
        return _allowed(request, caller, scope)

    async def admin(self, request: Request) -> Caller:
        """Who asks for something of /admin. Raises as `renderer`, and CsrfRefused."""
        await self.load_seals()
        token = bearer_in(request)
        if token is not None:
            return _allowed(request, await self.holder(request, token), Scope.ADMIN)
        caller = await self._looker(request)
        if caller is None:
            audit.refused(request, "no_key")
            raise Unauthorized(_NO_KEY + " In a browser, log in at /admin/login.")
        if request.method not in SAFE_METHODS:
            reason = check_csrf(request, self.settings.public_url, lambda given: self.is_csrf_token(caller, given))
            if reason is not None:
                audit.refused(request, reason, name=caller.name)
                raise CsrfRefused(
                    "A change must come from a page of this service: send the header X-CSRF-Token with the csrfToken "
                    "of GET /api/admin/session."
                )
        return _allowed(request, caller, Scope.ADMIN)

    async def is_looker(self, request: Request) -> bool:
        """Whether who asks needs no login, or no other. Nobody is refused by it. Raises QueueUnavailable."""
        caller = await self._looker(request)
        return caller is not None and Scope.ADMIN in caller.allowed

    async def had_login(self, request: Request) -> bool:
        """Whether the request comes with a login's cookie, be it good still or not."""
        return session_in(request, await self.load_seals()) is not None

    async def holder(self, request: Request, token: str) -> Caller:
        """Whose key it is. Raises Unauthorized, TooManyAttempts."""
        read = read_token(token)
        if read is not None:
            key = await self.store.find(read.key_id)
            # Without a key of this id something is compared all the same.
            if same(digest(read.secret), key.digest if key else digest("")) and key is not None:
                return caller_with(key)
        address = limited_address(audit.address_of(request))
        if self.settings.admin_key is not None:
            if wait_ms := await self.store.blocked_ms(address):
                _too_many(request, wait_ms)
            if same(digest(token), digest(self.settings.admin_key.get_secret_value())):
                return Caller(ADMIN_KEY_NAME, Scope.ADMIN.included, None, Proof.BEARER, key_id="")
        if wait_ms := await self.store.failed(address):
            _too_many(request, wait_ms)
        audit.refused(request, "wrong_key", key_id=read.key_id if read else None)
        raise Unauthorized(_WRONG_KEY)

    async def digest_of(self, caller: Caller) -> str | None:
        """The digest of the key that the caller has, as it is now; None when it is revoked."""
        if caller.key_id == "":
            return self._admin_digest()
        key = await self.store.find(caller.key_id) if caller.key_id else None
        return key.digest if key else None

    async def still_allowed(self, caller: Caller) -> bool:
        """Whether the caller of an answer that goes on is known still. Raises QueueUnavailable."""
        match caller.proof:
            case Proof.SESSION:
                return caller.session_id is not None and await self._session(caller.session_id) is not None
            case Proof.BEARER:
                return await self.digest_of(caller) is not None
        return True

    def csrf_token(self, caller: Caller) -> str:
        return self.seals.of(Purpose.CSRF, caller.session_id or caller.name)

    def is_csrf_token(self, caller: Caller, given: str) -> bool:
        return self.seals.fits(given, Purpose.CSRF, caller.session_id or caller.name)

    async def _looker(self, request: Request) -> Caller | None:
        """Who sits before the page of the queue."""
        caller = await self._logged_in(request, await self.load_seals())
        if caller is None and self.trust_loopback and is_from_this_machine(request, self.settings.host):
            return LOCAL
        return caller

    async def _logged_in(self, request: Request, seals: Seals) -> Caller | None:
        session_id = session_in(request, seals)
        return None if session_id is None else await self._session(session_id)

    async def _session(self, session_id: str) -> Caller | None:
        found = await self.store.session(session_id)
        if found is None:
            return None
        session, key = found
        if key is not None:
            return caller_with(key, session_id)
        now = self._admin_digest()
        if now is None or not same(now, session.key_digest):
            return None  # the setting holds another key by now
        return Caller(ADMIN_KEY_NAME, Scope.ADMIN.included, None, Proof.SESSION, "", session_id)

    def _admin_digest(self) -> str | None:
        key = self.settings.admin_key
        return None if key is None else digest(key.get_secret_value())


def caller_with(key: Key, session_id: str | None = None) -> Caller:
    """The holder of a key."""
    proof = Proof.BEARER if session_id is None else Proof.SESSION
    return Caller(key.name, key.allowed, key.project, proof, key.id, session_id)


def bearer_in(request: Request) -> str | None:
    """The key in the header Authorization, if there is one of that kind."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" and token.strip() else None


def limited_address(address: str) -> str:
    """What failures are counted by: an IPv4 address, or the network of an IPv6 one (/64), all of which one host has."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def _allowed(request: Request, caller: Caller, scope: Scope) -> Caller:
    if scope in caller.allowed:
        return caller
    audit.refused(request, "scope", name=caller.name, key_id=caller.key_id)
    raise Forbidden(f"The key {caller.name!r} is not good for this: it needs the scope `{scope}`.")


def _too_many(request: Request, wait_ms: int) -> NoReturn:
    audit.refused(request, "too_many")
    seconds = -(-wait_ms // 1000)
    raise TooManyAttempts(
        f"Too many wrong keys came from this address. Try again in {seconds} s; a right key that was made by "
        "`flowscale keys create` is let in at any time.",
        retry_after=seconds,
    )

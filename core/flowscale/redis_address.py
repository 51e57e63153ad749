"""Where the queue's server is, and what a REDIS_URL says of it. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

from pydantic import SecretStr

_REDIS_SCHEMES = {"redis": 6379, "rediss": 6379, "redis+sentinel": 26379, "rediss+sentinel": 26379}
"""The forms of REDIS_URL, with the port of each where none is given."""


class RedisAddress(NamedTuple):
    """Where the queue's server is, and how it is entered: REDIS_URL, or what the other names say."""

    hosts: tuple[tuple[str, int], ...]  # of the server, or of the sentinels that know it
    service: str | None = None  # what the sentinels call it; None: no sentinels
    username: str | None = None
    password: SecretStr | None = None
    database: int = 0
    tls: bool = False


def read_redis_url(url: str) -> RedisAddress:
    """What a REDIS_URL says. Raises ValueError with no part of the URL in it: any may be one of the password."""
    scheme, _, rest = url.partition("://")
    if scheme not in _REDIS_SCHEMES:
        raise ValueError(f"must begin with one of {', '.join(f'{known}://' for known in _REDIS_SCHEMES)}")
    if not rest.isprintable() or re.search(r"[\s?#]", rest):
        raise ValueError("takes no options after ? or #, and no spaces; percent-encode them in a password")
    authority, _, path = rest.partition("/")
    credentials, at, hosts = authority.rpartition("@")
    user, colon, password = credentials.partition(":")
    if at and not (colon and password):
        raise ValueError("must have user:password or :password before its @")
    places = tuple(_read_place(place, _REDIS_SCHEMES[scheme]) for place in hosts.split(","))
    service, database = "", path
    if scheme.endswith("+sentinel"):
        service, _, database = path.partition("/")
        if not re.fullmatch(r"[A-Za-z0-9._-]+", service):
            raise ValueError("must name the service that the sentinels watch, as in /mymaster or /mymaster/0")
    elif len(places) > 1:
        raise ValueError("must name one server; only redis+sentinel:// takes several")
    if not re.fullmatch(r"[0-9]{0,9}", database):
        raise ValueError("must end with the number of a database, or nothing")
    return RedisAddress(
        places,
        service or None,
        unquote(user) or None,
        SecretStr(unquote(password)) if password else None,
        int(database or "0"),
        scheme.startswith("rediss"),
    )


def passwords_in(url: str) -> tuple[str, ...]:
    """The password of a REDIS_URL as it stands there, and as the server is told it; neither where it has none."""
    credentials = url.partition("://")[2].partition("/")[0].rpartition("@")[0]
    password = credentials.partition(":")[2]
    return (password, unquote(password)) if password else ()


def _read_place(place: str, default_port: int) -> tuple[str, int]:
    """`host[:port]`, an IPv6 address in brackets."""
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?", place)
    if not found or not 1 <= int(found[3] or default_port) <= 65535:
        raise ValueError("has a host or port that cannot be read; percent-encode special characters of a password")
    return found[1] or found[2], int(found[3] or default_port)

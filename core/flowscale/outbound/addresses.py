"""Which URLs are followed and which addresses connected to, for downloads and webhooks; pure.

A client's URL makes us open connections from inside the operator's network, so what it may reach is
settled here, twice. `locate` reads the URL and refuses what no plain media link has. `refusal` judges the
addresses that its host name stands for: nothing in the name counts (`127.1`, `0x7f000001`, `localtest.me`), only
the addresses that the system's resolver makes of it, which are also the only ones then connected to. What needs no
resolver may be judged earlier besides: `literal` reads the address that a host is by itself.

The tables go beyond `ipaddress.is_global`, whose answer has changed between releases of Python and which takes
multicast, 6to4 and NAT64 for global: only unicast space that is handed out to the public internet passes, and no
form of IPv6 that carries an IPv4 address for somebody else to unpack. A NAT64 prefix that a network has made up
for itself within public space cannot be told from other addresses.

Sources: the IANA registries of special-purpose IPv4 and IPv6 addresses, RFC 6890, RFC 6052 and 8215 (NAT64),
RFC 3056 (6to4), RFC 4380 (Teredo), RFC 5214 (ISATAP), RFC 9637 (documentation), RFC 3879 (site-local).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from urllib.parse import quote, urljoin, urlsplit

from flowscale.errors import InvalidPath
from flowscale.outbound.faults import Refused
from flowscale.specs import checked_url

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_SPECIAL: dict[Network, str] = {
    ip_network(text): kind
    for text, kind in {
        "0.0.0.0/8": "unspecified",
        "10.0.0.0/8": "private",
        "100.64.0.0/10": "shared",
        "127.0.0.0/8": "loopback",
        "169.254.0.0/16": "link-local",  # the clouds' metadata services, too
        "172.16.0.0/12": "private",
        "192.0.0.0/24": "reserved for protocols",
        "192.0.2.0/24": "documentation",
        "192.88.99.0/24": "6to4 relay",
        "192.168.0.0/16": "private",
        "198.18.0.0/15": "benchmarking",
        "198.51.100.0/24": "documentation",
        "203.0.113.0/24": "documentation",
        "224.0.0.0/4": "multicast",
        "240.0.0.0/4": "reserved",
        "::/128": "unspecified",
        "::1/128": "loopback",
        "::ffff:0:0/96": "v4-mapped",
        "::/96": "v4-compatible",
        "64:ff9b::/96": "NAT64",
        "64:ff9b:1::/48": "NAT64",
        "2001::/32": "Teredo",
        "2001::/23": "reserved for protocols",
        "2001:db8::/32": "documentation",
        "2002::/16": "6to4",
        "3fff::/20": "documentation",
        "fc00::/7": "private",
        "fe80::/10": "link-local",
        "fec0::/10": "site-local",
        "ff00::/8": "multicast",
    }.items()
}

_GLOBAL_UNICAST = IPv6Network("2000::/3")  # the only part of IPv6 that is handed out
_ISATAP = {0x0000_5EFE, 0x0200_5EFE}  # the upper half of an interface id whose lower half is an IPv4 address

_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_][a-z0-9_-]{0,62}(?:\.[a-z0-9_][a-z0-9_-]{0,62})*")
_IN_BRACKETS = re.compile(r"\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\](?::[0-9]+)?")
_NUMBER = re.compile(r"0x[0-9a-f]+|0[0-7]*|[1-9][0-9]*")
_KEEP = "!#$%&'()*+,/:;=?@[]~"  # what may stand unescaped in a request line; escapes that are there already stay


@dataclass(frozen=True, slots=True)
class Place:
    """Where a URL leads. `host` is ASCII, lower case, without brackets and without the root's dot."""

    secure: bool
    host: str
    port: int
    target: str  # path and query, as the request line has them

    @property
    def authority(self) -> str:
        """The Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == default_port(self.secure) else f"{host}:{self.port}"


def default_port(secure: bool) -> int:
    return 443 if secure else 80


def locate(url: str) -> Place:
    """The URL taken apart. Raises Refused for one that is never followed, whatever its host stands for."""
    try:
        parts = urlsplit(checked_url(url))
    except InvalidPath as error:
        raise Refused(error.message) from error
    secure = parts.scheme == "https"
    port = parts.port or default_port(secure)
    if port not in (80, 443) and port < 1024:
        raise Refused(f"A URL may name port 80, 443 or one from 1024 on, not {port}.")
    host = parts.hostname or ""
    if not _IN_BRACKETS.fullmatch(parts.netloc):
        host = _ascii("" if "[" in parts.netloc else host)
    query = f"?{quote(parts.query, safe=_KEEP)}" if parts.query else ""
    return Place(secure, host, port, quote(parts.path or "/", safe=_KEEP) + query)


def _ascii(name: str) -> str:
    """A host name as DNS, TLS and HTTP have it. Raises Refused."""
    try:
        plain = name.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        plain = ""
    if not _NAME.fullmatch(plain):  # looked at after IDNA, which makes dots and digits of other characters
        raise Refused("The URL has no valid host name: check its spelling.")
    return plain


def redirected(url: str, location: str) -> str:
    """The URL that a redirect from `url` names; `location` is the header as http.client reads it (Latin-1).

    Raises Refused for a step from https down to http, and for what cannot be read.
    """
    try:
        following = urljoin(url, quote(location.encode("latin-1").strip(), safe=_KEEP))
    except ValueError as error:
        raise Refused("The server redirects to an address that cannot be read.") from error
    if locate(url).secure and not locate(following).secure:
        raise Refused("The server redirects from https to http, which is not followed.")
    return following


def refusal(addresses: Sequence[Address], allowed: Iterable[Network]) -> str | None:
    """Why a host with these addresses must not be connected to (one bad address is enough); None if it may be."""
    if not addresses:
        return "no address"
    networks = tuple(allowed)
    for address in addresses:
        kind = special(address)
        if kind is not None and (kind == "scoped" or not any(address in network for network in networks)):
            return f"{address} is {kind}"
    return None


def literal(host: str) -> Address | None:
    """The address that a Place's host is by itself, in any spelling that resolvers take for a number (inet_aton(3):
    `127.1`, `0x7f000001`, `0177.0.0.1`); None for a name."""
    if ":" in host:
        try:
            return IPv6Address(host)
        except ValueError:
            return None
    parts = host.split(".")
    if len(parts) > 4 or not all(map(_NUMBER.fullmatch, parts)):
        return None
    *leading, last = map(_read_number, parts)
    if any(number > 0xFF for number in leading) or last >= 1 << 8 * (5 - len(parts)):
        return None
    return IPv4Address(sum(number << 8 * (3 - place) for place, number in enumerate(leading)) + last)


def _read_number(text: str) -> int:
    """In C's notation."""
    if text.startswith("0x"):
        return int(text, 16)
    return int(text, 8 if text.startswith("0") else 10)


def special(address: Address) -> str | None:
    """What kind of address it is if not one of the public internet; None for those."""
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return "scoped"  # means another machine on each interface, so no list of networks can speak of it
    for network, kind in _SPECIAL.items():
        if address in network:
            return kind
    if isinstance(address, IPv6Address):
        if address not in _GLOBAL_UNICAST:
            return "reserved"
        if int(address) >> 32 & 0xFFFF_FFFF in _ISATAP:
            return "ISATAP"
    return None if address.is_global else "not global"

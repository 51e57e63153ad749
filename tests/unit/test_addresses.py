"""The pure half of the downloader's fence: which URLs are read, and which addresses are connected to."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowscale.outbound.addresses import Address, Place, literal, locate, redirected, refusal, special
from flowscale.outbound.faults import Refused

PUBLIC = [
    *("1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255"),
    *("128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0"),
    *("192.0.3.0", "192.88.98.255", "192.88.100.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0"),
    *("198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255"),
    *("2001:200::1", "2001:4860:4860::8888", "2001:db7:ffff::1", "2001:db9::1", "2003::1", "2606:4700::1111"),
    *("2a00:1450:4001:81b::200e", "2620:fe::fe", "3ffe::1"),
]
REFUSED = {
    "unspecified": ["0.0.0.0", "0.0.0.1", "0.255.255.255", "::"],
    "private": ["10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.1", "fc00::1", "fdff::1"],
    "shared": ["100.64.0.0", "100.127.255.255"],
    "loopback": ["127.0.0.0", "127.0.0.1", "127.255.255.255", "::1"],
    "link-local": ["169.254.0.0", "169.254.169.254", "169.254.255.255", "fe80::1", "febf::1"],
    "reserved for protocols": ["192.0.0.0", "192.0.0.9", "192.0.0.255", "2001:1::1", "2001:2::1", "2001:20::1"],
    "documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1", "3fff:fff::1"],
    "6to4 relay": ["192.88.99.1"],
    "benchmarking": ["198.18.0.0", "198.19.255.255"],
    "multicast": ["224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"],
    "reserved": ["240.0.0.1", "255.255.255.255", "100::1", "4000::1", "5f00::1", "64:ff9c::1", "::1:0:0:1"],
    "v4-mapped": ["::ffff:8.8.8.8", "::ffff:127.0.0.1", "::ffff:169.254.169.254"],
    "v4-compatible": ["::127.0.0.1", "::8.8.8.8"],
    "NAT64": ["64:ff9b::7f00:1", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "64:ff9b:1:ffff::10.0.0.1"],
    "6to4": ["2002:7f00:1::", "2002:a00:1::1", "2002:808:808::1"],
    "Teredo": ["2001::1", "2001:0:ffff::1"],
    "site-local": ["fec0::1", "feff::1"],
    "ISATAP": ["2a00::5efe:127.0.0.1", "2a00::200:5efe:8.8.8.8"],
    "scoped": ["fe80::1%eth0", "2a00::1%lo"],
}


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses(text: str) -> None:
    assert special(ip_address(text)) is None
    assert refusal([ip_address(text)], ()) is None


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in REFUSED.items() for text in texts])
def test_addresses_that_are_not_public(kind: str, text: str) -> None:
    assert special(ip_address(text)) == kind
    assert refusal([ip_address(text)], ()) == f"{ip_address(text)} is {kind}"


number = st.one_of(
    st.integers(0, 2**33).map(str),
    st.integers(0, 2**33).map(hex),
    st.integers(0, 2**33).map("0{:o}".format),
    st.sampled_from(["", "08", "0x", "00", "1e3", "255", "256", "_1"]),
)


@given(st.lists(number, min_size=1, max_size=5).map(".".join))
def test_a_host_is_an_address_by_itself_exactly_where_the_system_takes_it_for_one(host: str) -> None:
    try:
        meant = IPv4Address(socket.inet_aton(host))
    except OSError:
        meant = None
    assert literal(host) == meant


@pytest.mark.parametrize("host", ["::1", "2606:4700::1111", "::ffff:10.0.0.1"])
def test_so_is_one_of_ipv6(host: str) -> None:
    assert literal(locate(f"http://[{host}]/").host) == ip_address(host)


@pytest.mark.parametrize("host", ["localhost", "example.com", "1.example", ":::"])
def test_a_name_is_none(host: str) -> None:
    assert literal(host) is None


v4 = st.ip_addresses(v=4)
v6 = st.ip_addresses(v=6)
anywhere = st.one_of(
    v4,
    v6,
    v6.map(lambda address: IPv6Address(0x2 << 124 | int(address) >> 4)),  # most of IPv6 is refused: look at the rest
    v4.map(lambda address: IPv6Address(0xFFFF << 32 | int(address))),
    v4.map(lambda address: IPv6Address(0x64FF9B << 96 | int(address))),
    v4.map(lambda address: IPv6Address(0x2002 << 112 | int(address) << 80)),
)


@given(anywhere)
def test_what_is_accepted_is_global_and_holds_no_other_address(address: Address) -> None:
    if special(address) is not None:
        return
    assert address.is_global
    for kind in ("private", "loopback", "link_local", "multicast", "unspecified", "reserved"):
        assert not getattr(address, f"is_{kind}")
    if isinstance(address, IPv6Address):
        assert address.ipv4_mapped is None
        assert address.sixtofour is None
        assert address.teredo is None
        assert not address.is_site_local
        assert address not in IPv6Network("64:ff9b::/96")
        assert address not in IPv6Network("64:ff9b:1::/48")


@given(v4)
def test_no_way_of_carrying_an_ipv4_address_in_an_ipv6_one_is_accepted(address: IPv4Address) -> None:
    number = int(address)
    carriers = [
        number,
        0xFFFF << 32 | number,
        0x64_FF9B << 96 | number,
        0x0064_FF9B_0001 << 80 | number,
        0x2002 << 112 | number << 80,
        0x2001_0000 << 96 | number << 64,  # Teredo's server
        0x2001_0000 << 96 | number ^ 0xFFFF_FFFF,  # and its client
        0x2A00 << 112 | 0x5EFE << 32 | number,
    ]
    assert all(special(IPv6Address(carrier)) is not None for carrier in carriers)


@given(st.lists(anywhere, min_size=1), st.sampled_from([text for texts in REFUSED.values() for text in texts]))
def test_one_bad_address_among_any_is_enough(addresses: list[Address], bad: str) -> None:
    assert refusal([*addresses, ip_address(bad)], ()) is not None
    assert refusal([ip_address(bad), *addresses], ()) is not None


def test_no_address_is_refused() -> None:
    assert refusal([], [ip_network("0.0.0.0/0"), ip_network("::/0")]) == "no address"


@given(anywhere)
def test_an_allowed_network_lets_in_itself_and_nothing_else(address: Address) -> None:
    networks = [ip_network("10.1.2.0/24"), ip_network("fd00:1::/32")]
    listed = any(address in network for network in networks)
    assert (refusal([address], networks) is None) == (listed or special(address) is None)


def test_edges_of_an_allowed_network() -> None:
    networks = [ip_network("10.1.2.0/24"), ip_network("fe80::/10")]
    assert refusal([ip_address("10.1.2.0"), ip_address("10.1.2.255"), ip_address("8.8.8.8")], networks) is None
    assert refusal([ip_address("10.1.2.255"), ip_address("10.1.3.0")], networks) == "10.1.3.0 is private"
    mapped = ip_address("::ffff:10.1.2.1")  # which Python 3.13 writes otherwise than 3.11
    assert refusal([mapped], networks) == f"{mapped} is v4-mapped"
    assert refusal([ip_address("64:ff9b::10.1.2.1")], networks) == "64:ff9b::a01:201 is NAT64"
    assert refusal([ip_address("fe80::1")], networks) is None
    assert refusal([ip_address("fe80::1%eth0")], networks) == "fe80::1%eth0 is scoped"


@pytest.mark.parametrize(
    ("url", "place", "authority"),
    [
        ("https://media.example/a.mp4", Place(True, "media.example", 443, "/a.mp4"), "media.example"),
        ("http://media.example", Place(False, "media.example", 80, "/"), "media.example"),
        ("HTTPS://Media.Example.:8443/a", Place(True, "media.example", 8443, "/a"), "media.example:8443"),
        ("https://media.example:80/a", Place(True, "media.example", 80, "/a"), "media.example:80"),
        ("http://media.example?x=1#part", Place(False, "media.example", 80, "/?x=1"), "media.example"),
        ("http://[2A00::1]:8080/", Place(False, "2a00::1", 8080, "/"), "[2a00::1]:8080"),
        ("http://[::ffff:1.2.3.4]/", Place(False, "::ffff:1.2.3.4", 80, "/"), "[::ffff:1.2.3.4]"),
        ("https://bücher.example/ü?é=%20", Place(True, "xn--bcher-kva.example", 443, "/%C3%BC?%C3%A9=%20"), None),
        ("https://１２７.０.０.１/", Place(True, "127.0.0.1", 443, "/"), "127.0.0.1"),  # noqa: RUF001 - wide digits
        ("https://a_b.example//c?q=a+b&s=%2F", Place(True, "a_b.example", 443, "//c?q=a+b&s=%2F"), "a_b.example"),
    ],
)
def test_urls_taken_apart(url: str, place: Place, authority: str | None) -> None:
    assert locate(url) == place
    assert authority in (None, place.authority)


@pytest.mark.parametrize(
    "url",
    [
        *("", "media.example/a.mp4", "//media.example/a", "ftp://media.example/a", "file:///etc/passwd"),
        *("gopher://media.example/_x", "concat:http://a|http://b", "data:video/mp4;base64,AAAA", "javascript:1"),
        *("http://", "http:///a", "http://:80/", "http://?x", "http://./", "http://../"),
        *("http://user@media.example/", "http://user:word@media.example/", "http://@media.example/"),
        *("http://good.example\\@evil.example/", "http://good.example\\.evil.example/", "http://a%2eb/"),
        *("http://media.example:0/", "http://media.example:22/", "http://media.example:1023/"),
        *("http://media.example:65536/", "http://media.example:-1/", "http://media.example:a/"),
        *("http://media example/", "http://media.example/a b", "http://media.example/\r\nHost: evil", "http://a\tb/"),
        *("http://[::1/", "http://::1/", "http://[::1]x/", "http://[fe80::1%25eth0]/", "http://[v1.a]/"),
        *("http://[::1]:/", "http://[]/", "http://[a.b]/", "http://[127.0.0.1]/", "http://x[::1]/"),
        *("http://a..b/", f"http://{'a' * 64}.example/", f"http://{'a.' * 130}example/", "http://-a.example/"),
        *("http://a;b/", "http://a,b/", "http://a*b/", "http://a$(id)/", "http://a\u2025b/", "http://a\u2100b/"),
    ],
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(Refused):
        locate(url)


@settings(deadline=None)  # the first text with an accent loads the tables of IDNA
@given(st.text())
def test_any_text_is_a_plain_place_or_refused(text: str) -> None:
    for url in (text, f"http://{text}/", f"http://media.example/{text}"):
        try:
            place = locate(url)
        except Refused:
            continue
        written = place.authority + place.target
        assert written.isascii()
        assert not any(character <= " " or character == "\x7f" for character in written)
        assert place.target.startswith("/")
        assert not place.host.endswith(".")
        assert ".." not in place.host
        assert place.port in (80, 443) or 1024 <= place.port <= 65535


@pytest.mark.parametrize(
    ("location", "following"),
    [
        ("/b.mp4", "https://media.example/b.mp4"),
        ("b.mp4?x=1", "https://media.example/a/b.mp4?x=1"),
        ("//other.example/b", "https://other.example/b"),
        ("https://other.example:8443/b", "https://other.example:8443/b"),
        ("", "https://media.example/a/a.mp4"),
        (" /b c ", "https://media.example/b%20c"),
        ("/ü".encode().decode("latin-1"), "https://media.example/%C3%BC"),
        ("/b\r\n Host: evil", "https://media.example/b%0D%0A%20Host:%20evil"),
    ],
)
def test_redirects(location: str, following: str) -> None:
    assert redirected("https://media.example/a/a.mp4", location) == following


@pytest.mark.parametrize(
    "location",
    [
        *("http://media.example/a", "HTTP://other.example/", "ftp://media.example/a", "file:///etc/passwd"),
        *("https://user@media.example/", "https://media.example:22/", "http://[::1"),
    ],
)
def test_redirects_that_are_refused(location: str) -> None:
    with pytest.raises(Refused):
        locate(redirected("https://media.example/a/a.mp4", location))


def test_a_redirect_may_lead_up_to_https() -> None:
    assert redirected("http://media.example/", "https://media.example/") == "https://media.example/"

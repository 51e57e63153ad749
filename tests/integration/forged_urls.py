"""URLs that must lead nowhere: the table of forged addresses, and the names that lie.

Each stands for a place inside: this machine, its network, or another protocol. The gateway refuses what is no plain
http(s) address; the worker judges where the others lead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

GOOD = "media.example"
"""A host on the public internet, with a film: what the downloader is there for."""

GOOD_ADDRESS = "93.184.215.14"

PORT = 8080
"""Where a canary listens, as it does at each of PORTS."""

INVALID_PATH = "400 INVALID_PATH"
"""How the gateway refuses a request."""

INVALID_MEDIA = "job INVALID_MEDIA"
"""How the worker ends a job."""

PORTS = (22, 80, 443, 3128, 6379, PORT)

ZONE: dict[str, Sequence[Sequence[str]]] = {
    GOOD: [[GOOD_ADDRESS]],
    # Names that lead inside.
    "loopback.example": [["127.0.0.1"]],
    "loopback-6.example": [["::1"]],
    "loopback-far.example": [["127.255.255.254"]],
    "unspecified.example": [["0.0.0.0"]],
    "unspecified-6.example": [["::"]],
    "private-10.example": [["10.1.2.3"]],
    "private-172.example": [["172.16.0.1"]],
    "private-192.example": [["192.168.1.1"]],
    "private-6.example": [["fd00:ec2::254"]],
    "metadata.example": [["169.254.169.254"]],
    "link-local-6.example": [["fe80::1"]],
    "shared.example": [["100.100.100.200"]],
    "mapped.example": [["::ffff:127.0.0.1"]],
    "compatible.example": [["::127.0.0.1"]],
    "nat64.example": [["64:ff9b::7f00:1"]],
    "nat64-local.example": [["64:ff9b:1::7f00:1"]],
    "6to4.example": [["2002:7f00:1::"]],
    "teredo.example": [["2001:0:5db8:d70e:0:0:80ff:fffe"]],
    "isatap.example": [["2606:2800:220:1::5efe:7f00:1"]],
    "site-local.example": [["fec0::1"]],
    "127.0.0.1.nip.example": [["127.0.0.1"]],
    "xn--bcher-kva.example": [["127.0.0.1"]],
    "_gateway.example": [["192.168.0.1"]],
    # One good address among bad ones.
    "mixed-first.example": [[GOOD_ADDRESS, "127.0.0.1"]],
    "mixed-last.example": [["127.0.0.1", GOOD_ADDRESS]],
    "mixed-6.example": [[GOOD_ADDRESS, "::1"]],
    "mixed-many.example": [[*(f"93.184.215.{n}" for n in range(14, 34)), "169.254.169.254"]],
    # Aliases.
    "alias.example": [["=localhost", "127.0.0.1"]],
    "alias-of-alias.example": [["=alias.example", "=localhost", "127.0.0.1"]],
    "alias-6.example": [["=ip6-localhost", "::1"]],
    "alias-metadata.example": [["=metadata.example", "169.254.169.254"]],
    "alias-nowhere.example": [["=nowhere.example"]],
    "empty.example": [[]],
    # Names that change their answer: first a public address, from then on a private one.
    "turns-at-once.example": [[GOOD_ADDRESS], ["127.0.0.1"]],
    "turns-at-redirect.example": [[GOOD_ADDRESS], ["127.0.0.1"]],
    "turns-at-cut.example": [[GOOD_ADDRESS], ["127.0.0.1"]],
    "turns-to-metadata.example": [[GOOD_ADDRESS], ["169.254.169.254"]],
    "turns-to-6.example": [[GOOD_ADDRESS], ["::1"]],
    "turns-to-nowhere.example": [[GOOD_ADDRESS], []],
}

_NUMBERS = (
    *("127.0.0.1", "127.1", "127.0.1", "127.0.0.1.", "127.255.255.254", "2130706433", "0x7f000001", "0x7F000001"),
    *("017700000001", "0177.0.0.1", "0177.0.0.01", "0x7f.1", "0x7f.0.0.1", "0x7f.0x0.0x0.0x1", "00000177.1", "127.0x1"),
    *("0.0.0.0", "0", "0x0", "00", "0.0", "0.0.0.0.", "0.1.2.3"),
    *("10.0.0.1", "10.1", "167772161", "0xa000001", "172.16.0.1", "172.31.255.254", "192.168.0.1", "192.168.1"),
    *("169.254.169.254", "2852039166", "0xa9fea9fe", "0xA9.0xFE.0xA9.0xFE", "0251.0376.0251.0376", "169.254.43518"),
    *("169.16689662", "169.254.0.1", "100.64.0.1", "100.100.100.200", "100.127.255.254"),
    *("192.0.0.1", "192.0.0.8", "192.0.0.170", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.19.255.254"),
    *("198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "4294967295"),
)

_SIXES = (
    *("[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[0000:0000:0000:0000:0000:0000:0000:0001]", "[::0001]", "[0::0]"),
    *("[::ffff:127.0.0.1]", "[::FFFF:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:7f00:0001]", "[::ffff:0:0]"),
    *("[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[::ffff:10.0.0.1]", "[::ffff:0:127.0.0.1]"),
    *("[::127.0.0.1]", "[::7f00:1]", "[64:ff9b::7f00:1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]"),
    *(
        "[64:ff9b:1::7f00:1]",
        "[64:ff9b:1:ffff::127.0.0.1]",
        "[2002:7f00:1::]",
        "[2002:7f00:1::1]",
        "[2002:a9fe:a9fe::]",
    ),
    *("[2001:0:7f00:1::]", "[2001:0:5db8:d70e:0:0:80ff:fffe]", "[2001:1::1]", "[2001:db8::1]", "[3fff::1]"),
    *("[2606:2800:220:1::5efe:7f00:1]", "[2606:2800:220:1:200:5efe:127.0.0.1]"),
    *("[fe80::1]", "[febf::1]", "[fec0::1]", "[fc00::1]", "[fd00::1]", "[fd00:ec2::254]", "[fdff:ffff::1]"),
    *("[100::1]", "[ff02::1]", "[ff0e::1]", "[5f00::1]", "[4000::1]"),
    *("[fe80::1%25lo]", "[fe80::1%lo]", "[::1%25lo]", "[::1%251]", "[2606:2800:220:1::1%25lo]"),
    *("[127.0.0.1]", "[::ffff:2130706433]", "[v1.127.0.0.1]"),
)

_NAMES = (
    *("localhost", "localhost.", "LOCALHOST", "LocalHost.", "ip6-localhost", "ip6-loopback", "IP6-LOCALHOST"),
    *("localhost.localdomain", "a.localhost", "nowhere.example"),
    *(name for name in ZONE if not name.startswith(("turns-", "xn--")) and name != GOOD),
    *("LOOPBACK.EXAMPLE", "loopback.example.", "metadata.google.internal", "kubernetes.default.svc", "redis", "_redis"),
)

_OTHER_CHARACTERS = (
    *("１２７.０.０.１", "１２７。０。０。１", "127。0。0。1", "127．0．0．1", "127｡0｡0｡1"),  # noqa: RUF001
    *("①②⑦.⓪.⓪.①", "⓪", "⓪.⓪.⓪.⓪", "①⑥⑨.②⑤④.①⑥⑨.②⑤④", "２１３０７０６４３３", "０ｘ７ｆ０００００１"),  # noqa: RUF001
    *("𝟏𝟐𝟕.𝟎.𝟎.𝟏", "𝟙𝟚𝟟.𝟘.𝟘.𝟙", "¹²⁷.⁰.⁰.¹", "₁₂₇.₀.₀.₁", "١٢٧.٠.٠.١", "१२७.०.०.१"),  # noqa: RUF001
    *("ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "ｌｏｃａｌｈｏｓｔ", "𝓁𝑜𝒸𝒶𝓁𝒽𝑜𝓈𝓉", "ℒocalhost", "locaⅼhost", "loca\u00adlhost", "local\u200bhost"),  # noqa: RUF001
    *("local\u200dhost", "\u2060localhost", "localhost\ufeff", "\u202elocalhost", "loopback\uff0eexample"),
    *(
        "xn--localhost",
        "xn--localhost-",
        "xn--127",
        "bücher.example",
        "xn--bcher-kva.example",
        "loopback.exAmple\u3002",
    ),
    *("ﬁle.example", "loopback.e\u0301xample", "127.0.0.1\u2024", "127\u2024 0.0.1", "℀.example", "a℁b.example"),
)

_CONFUSIONS = (
    f"http://{GOOD}@127.0.0.1:{PORT}/",
    f"http://{GOOD}:80@127.0.0.1:{PORT}/",
    f"http://127.0.0.1:{PORT}#@{GOOD}/",
    f"http://127.0.0.1:{PORT}?@{GOOD}/",
    f"http://127.0.0.1:{PORT}/@{GOOD}/",
    f"http://{GOOD}#@127.0.0.1:{PORT}/",
    f"http://127.0.0.1:{PORT}\\@{GOOD}/",
    f"http://{GOOD}\\@127.0.0.1:{PORT}/",
    f"http://127.0.0.1:{PORT}%2f@{GOOD}/",
    f"http://{GOOD}%40127.0.0.1:{PORT}/",
    f"http://{GOOD}%2523@127.0.0.1:{PORT}/",
    f"http://@127.0.0.1:{PORT}/",
    f"http://:@127.0.0.1:{PORT}/",
    f"http://user:word@127.0.0.1:{PORT}/",
    f"http://{GOOD} @127.0.0.1:{PORT}/",
    f"http://{GOOD}\t@127.0.0.1:{PORT}/",
    f"http://{GOOD}:80:{PORT}@127.0.0.1/",
    f"http://127.0.0.1:{PORT}:80/",
    f"http://127.0.0.1:{PORT},{GOOD}/",
    f"http://127.0.0.1:{PORT};{GOOD}/",
    f"http://127.0.0.1 {GOOD}:{PORT}/",
    f"http://127.0.0.1%00.{GOOD}:{PORT}/",
    f"http://127.0.0.1%0d%0a.{GOOD}:{PORT}/",
    f"http://127.0.0.1\\.{GOOD}:{PORT}/",
    f"http://127.0.0.1&@{GOOD}#@127.0.0.1:{PORT}/",
    f"http:\\\\127.0.0.1:{PORT}\\",
    f"http:/\\127.0.0.1:{PORT}/",
    f"http:///127.0.0.1:{PORT}/",
    f"http:127.0.0.1:{PORT}/",
    f"http:/127.0.0.1:{PORT}/",
    f"http:////127.0.0.1:{PORT}/",
    f"//127.0.0.1:{PORT}/",
    f"127.0.0.1:{PORT}/",
    f" http://127.0.0.1:{PORT}/",
    f"\thttp://127.0.0.1:{PORT}/",
    f"http://127.0.0.1:{PORT}/\n",
    f"http://127.0.0.1\t:{PORT}/",
    f"ht\ntp://127.0.0.1:{PORT}/",
    f"http://127.\r\n0.0.1:{PORT}/",
    f"http://{GOOD}/\r\nHost: 127.0.0.1",
    f"http://{GOOD}\r\n@127.0.0.1:{PORT}/",
    f"http://127.0.0.1:{PORT}/\x00",
    f"http://127.0.0.1\x00:{PORT}/",
    f"http://127.0.0.1:{PORT}/\x7f",
    f"HTTP://127.0.0.1:{PORT}/",
    f"HtTpS://127.0.0.1:{PORT}/",
    f"http://[::1]{GOOD}:{PORT}/",
    f"http://{GOOD}[::1]:{PORT}/",
    f"http://[::1]]:{PORT}/",
    f"http://[[::1]]:{PORT}/",
    f"http://[::1]@{GOOD}:{PORT}/",
    f"http://%5b::1%5d:{PORT}/",
    f"http://%31%32%37.0.0.1:{PORT}/",
    f"http://127%2e0%2e0%2e1:{PORT}/",
    f"http://::1:{PORT}/",
    f"http://127.0.0.1:0{PORT}/",
    f"http://127.0.0.1:+{PORT}/",
    "http://127.0.0.1:８０８０/",  # noqa: RUF001
    "http://127.0.0.1:65616/",  # 65536 + 80
    "http://127.0.0.1:4294967376/",  # 2**32 + 80
    "http://127.0.0.1:-1/",
    "http://127.0.0.1:/",
    "http://127.0.0.1:0/",
    "http://127.0.0.1",
    "https://127.0.0.1/",
    "https://localhost/",
    "http://127.0.0.1:22/",
    "http://127.0.0.1:6379/",
    f"http://{GOOD}:22/",
    f"http://{GOOD}:25/",
    f"http://{GOOD_ADDRESS}:22/",
    "https://169.254.169.254/latest/meta-data/iam/security-credentials/",
    "http://169.254.169.254/computeMetadata/v1/",
)

_SCHEMES = (
    *("file:///etc/passwd", "FILE:///etc/passwd", "file:/etc/passwd", "file://localhost/etc/passwd", "/etc/passwd"),
    *(
        f"file://127.0.0.1:{PORT}/",
        f"ftp://127.0.0.1:{PORT}/a",
        f"ftps://127.0.0.1:{PORT}/a",
        f"sftp://127.0.0.1:{PORT}/",
    ),
    *(f"gopher://127.0.0.1:{PORT}/_GET", f"dict://127.0.0.1:{PORT}/info", f"ldap://127.0.0.1:{PORT}/"),
    *(f"tcp://127.0.0.1:{PORT}", f"tls://127.0.0.1:{PORT}", f"udp://127.0.0.1:{PORT}", f"rtmp://127.0.0.1:{PORT}/a"),
    *(
        f"rtsp://127.0.0.1:{PORT}/a",
        f"srt://127.0.0.1:{PORT}",
        f"ws://127.0.0.1:{PORT}/",
        f"icecast://127.0.0.1:{PORT}/",
    ),
    *(
        f"concat:http://127.0.0.1:{PORT}/a|file:///etc/passwd",
        f"concatf:http://127.0.0.1:{PORT}/a",
        "concat:/etc/passwd",
    ),
    *("subfile,,start,0,end,9,,:/etc/passwd", f"subfile,,start,0,end,9,,:http://127.0.0.1:{PORT}/", "pipe:0", "fd:0"),
    *(f"async:http://127.0.0.1:{PORT}/", f"cache:http://127.0.0.1:{PORT}/", f"crypto:http://127.0.0.1:{PORT}/"),
    *(f"hls+http://127.0.0.1:{PORT}/a", f"httpproxy://127.0.0.1:{PORT}/", "data:video/mp4;base64,AAAA", "data:,a"),
    *("http+unix://%2Fvar%2Frun%2Fdocker.sock/", "unix:///var/run/docker.sock", f"jar:http://127.0.0.1:{PORT}/!/"),
    *(
        f"url:http://127.0.0.1:{PORT}/",
        f"view-source:http://127.0.0.1:{PORT}/",
        f"javascript:fetch('//127.0.0.1:{PORT}')",
    ),
    *(f"httpx://127.0.0.1:{PORT}/", f"http2://127.0.0.1:{PORT}/", f"hxxp://127.0.0.1:{PORT}/", f"://127.0.0.1:{PORT}/"),
    *(
        f"phar://127.0.0.1:{PORT}/a",
        f"netdoc://127.0.0.1:{PORT}/",
        f"s3://127.0.0.1:{PORT}/a",
        "\\\\127.0.0.1\\share\\a.mp4",
    ),
)

PLAN: dict[str, Any] = {
    "plan_id": "p",
    "source_video_id": "v",
    "timeline": [
        {
            "segment_id": "s",
            "source_start_ms": 0,
            "source_end_ms": 1000,
            "output_start_ms": 0,
            "output_end_ms": 1000,
            "trim_start_ms": 0,
            "trim_end_ms": 1000,
            "source_duration_ms": 1000,
        }
    ],
    "output_format": {"width": 160, "height": 90, "fps": 10, "codec": "h264"},
}


@dataclass(frozen=True)
class Forged:
    """One request that must come to nothing."""

    name: str
    body: dict[str, Any] = field(hash=False)
    path: str = "/api/execute"
    refusals: tuple[str, ...] = (INVALID_PATH, INVALID_MEDIA)


def plain_urls() -> list[str]:
    """All, without those that only a redirect could bring about."""
    hosts = (*_NUMBERS, *_SIXES, *_NAMES, *_OTHER_CHARACTERS)
    return [*(f"http://{host}:{PORT}/clip.mp4" for host in hosts), *_CONFUSIONS, *_SCHEMES]


_STATUSES = ("301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent")


def redirects() -> dict[str, tuple[str, bytes]]:
    """Paths of GOOD that redirect: status line and Location of each."""
    found: dict[str, tuple[str, bytes]] = {}
    headers = [url.encode() for url in plain_urls() if not set("\r\n\0") & set(url) and GOOD_ADDRESS not in url]
    for number, location in enumerate(headers):
        found[f"/to/{number}"] = (_STATUSES[number % len(_STATUSES)], location)
    for status in _STATUSES:
        for name, target in (("loopback", f"http://127.0.0.1:{PORT}/"), ("metadata", "http://169.254.169.254/")):
            found[f"/{status[:3]}/{name}"] = (status, target.encode())
    found["/loop"] = ("302 Found", b"/loop")
    found["/ping"], found["/pong"] = ("301 Moved", b"/pong"), ("308 Permanent", b"/ping")
    for number in range(3):
        found[f"/chain/{number}"] = ("307 Temporary", f"/chain/{number + 1}".encode())
    found["/chain/2"] = ("302 Found", f"http://127.0.0.1:{PORT}/".encode())
    found["/network-path"] = ("302 Found", f"//127.0.0.1:{PORT}/".encode())
    found["/backslashes"] = ("302 Found", f"\\\\127.0.0.1:{PORT}\\".encode())
    found["/half-backslash"] = ("302 Found", f"/\\127.0.0.1:{PORT}/".encode())
    found["/empty-authority"] = ("302 Found", f"///127.0.0.1:{PORT}/".encode())
    found["/downgrade"] = ("302 Found", f"http://{GOOD}/clip.mp4".encode())
    found["/again"] = ("302 Found", b"/clip.mp4")
    found["/refresh"] = ("200 OK\r\nRefresh: 0;url=http://127.0.0.1:8080/", b"")
    return found


def table() -> Iterator[Forged]:
    """Every request, each with another name."""
    for url in plain_urls():
        refusals = (INVALID_PATH,) if url in _SCHEMES else (INVALID_PATH, INVALID_MEDIA)
        yield Forged(f"inputFileUrl {url}", {"inputFileUrl": url}, refusals=refusals)
    late = (INVALID_MEDIA,)
    for path in redirects():
        if path != "/again":
            scheme = "https" if path == "/downgrade" else "http"
            yield Forged(f"redirect {path}", {"inputFileUrl": f"{scheme}://{GOOD}{path}"}, refusals=late)
    for name in ("turns-at-redirect", "turns-to-metadata", "turns-to-6", "turns-to-nowhere"):
        yield Forged(name, {"inputFileUrl": f"http://{name}.example/again"}, refusals=late)
    yield Forged("turns-at-cut", {"inputFileUrl": "http://turns-at-cut.example/cut"}, refusals=late)
    for url in (f"http://127.1:{PORT}/", f"http://[::1]:{PORT}/", f"http://metadata.example:{PORT}/"):
        yield Forged(f"sources {url}", {"sources": [url]}, refusals=late)
        yield Forged(f"sources after a good one {url}", {"sources": [f"http://{GOOD}/clip.mp4", url]}, refusals=late)
        yield Forged(f"plan {url}", {"sourceVideoUrl": url, "plan": PLAN}, "/api/execute-plan", late)
        yield Forged(f"sourcePath {url}", {"sourcePath": url}, refusals=(INVALID_PATH,))
    for url in ("file:///etc/passwd", f"http://{GOOD}@127.0.0.1:{PORT}/"):
        yield Forged(f"sources {url}", {"sources": [url]}, refusals=(INVALID_PATH,))
        yield Forged(f"plan {url}", {"sourceVideoUrl": url, "plan": PLAN}, "/api/execute-plan", (INVALID_PATH,))
    key = f"uploads/{'0' * 32}/clip.mp4"
    for place in (key, f"?{quote(key)}", f"#{key}"):
        yield Forged(f"upload at {place}", {"inputFileUrl": f"http://127.0.0.1:{PORT}/{place}"}, refusals=late)

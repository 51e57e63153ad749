"""What must not be read in a log, a span or a job's record is taken out of texts. Pure, but for the one redactor of the
process, which `logs.configure` sets.

Two things are taken out: the values of all secret settings, wherever they stand, and what gives access in texts of any
origin: the query of every URL (a presigned one is its query), the user of a URL, parameters and headers by their names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

REDACTED = "[redacted]"

SHORTEST_SECRET = 6
"""Characters. A shorter value is no secret anywhere, and taking it out would leave holes in ordinary words."""

_VALUE = r"[^\s\"'<>&,;\\]+"
_QUERY_OF_URL = r"(?P<url>\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}://[^\s\"'<>?#\\]*)[?#][^\s\"'<>\\]+"
_USER_OF_URL = r"(?P<scheme>\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}://)[^\s\"'<>/?#@\\]+(?=@)"
_PARAMETER = (
    r"(?P<parameter>\b(?:X-(?:Amz|Goog)-(?:Signature|Credential|Security-Token)|AWSAccessKeyId|Signature|sig|token|"
    rf"access|access_token|api_?key|password|secret)=){_VALUE}"
)
_HEADER = (
    r"(?P<header>\b(?:(?:proxy-)?authorization|x-amz-security-token|x-api-key|api-?key|(?:set-)?cookie)"
    r"\\?[\"']?\s*[:=,]\s*)(?:b?\\?[\"'](?:[^\"'\\]|\\(?![\"']))*|[^\r\n\"'\\]+)"
)
_BEARER = r"(?P<bearer>\b(?:Bearer|Basic)\s+)[A-Za-z0-9._~+/=-]{8,}"

_OURS = (
    r"(?P<ours>\b(?:fsk_[0-9a-f]{16}_|whsec_|flowscale_session=|X-CSRF-Token\\?[\"']?\s*[:=,]\s*[\"']?))"
    r"[A-Za-z0-9._~+/=-]{8,}"
)
"""Keys keep their id, by which the log names them."""

_PATTERNS = re.compile("|".join((_HEADER, _BEARER, _PARAMETER, _OURS)), re.IGNORECASE)
_USERS = re.compile(_USER_OF_URL)
_QUERIES = re.compile(_QUERY_OF_URL)
_TELLING = ("=", "authorization", "cookie", "bearer", "basic", "api-key", "apikey", "token", "fsk_", "whsec_")
"""What each of the patterns needs: to look for words costs less than to look for patterns."""


class Redactor:
    """Takes `secrets` out of texts, as they are and as URLs and JSON write them; and what is secret by its form."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets if len(secret) >= SHORTEST_SECRET for form in _forms(secret)}
        longest_first = sorted(forms, key=lambda form: (-len(form), form))
        self._secrets = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    def __call__(self, text: str) -> str:
        if self._secrets is not None:
            text = self._secrets.sub(REDACTED, text)
        if "://" in text:
            text = _QUERIES.sub(rf"\g<url>?{REDACTED}", _USERS.sub(rf"\g<scheme>{REDACTED}", text))
        small = text.lower()
        if any(word in small for word in _TELLING):
            text = _PATTERNS.sub(_without_value, text)
        return text


def _without_value(found: re.Match[str]) -> str:
    return f"{found['header'] or found['bearer'] or found['parameter'] or found['ours']}{REDACTED}"


def _forms(secret: str) -> set[str]:
    """How a secret may be written. Its representation by Python, too: tracebacks and errors show that."""
    plain = {secret, quote(secret, safe=""), quote(secret), quote_plus(secret), repr(secret)[1:-1]}
    return plain | {json.dumps(form)[1:-1] for form in plain} | {json.dumps(secret, ensure_ascii=False)[1:-1]}


_redactor = Redactor()


def protect(secrets: Iterable[str]) -> None:
    """From now on these are taken out of every text of this process, and of those it forks."""
    global _redactor
    _redactor = Redactor(secrets)


def redact(text: str) -> str:
    return _redactor(text)

"""Ids and names we make ourselves. No client text becomes part of an id or of a folder name; pure.

A client's file name survives only as the last part of a storage key, reduced to a harmless alphabet
(`safe_name`), so that a key can be a local path, an S3 key and a URL path without any escaping.
"""

from __future__ import annotations

import re
import unicodedata

JOB_ID = re.compile(r"job_[0-9]{13}_[0-9a-f]{32}\Z")
FILE_ID = re.compile(r"[0-9a-f]{32}\Z")

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}\Z")
_UPLOAD_KEY = re.compile(r"uploads/([0-9a-f]{32})/([A-Za-z0-9_][A-Za-z0-9._-]{0,99})\Z")
_OUTPUT_KEY = re.compile(r"outputs/(job_[0-9]{13}_[0-9a-f]{32})/([0-9a-f]{32})/([A-Za-z0-9_][A-Za-z0-9._-]{0,99})\Z")
_KEY_PREFIX = re.compile(r"(?:uploads/(?:[0-9a-f]{32}/)?|outputs/(?:job_[0-9]{13}_[0-9a-f]{32}/(?:[0-9a-f]{32}/)?)?)\Z")

MAX_NAME = 100
"""Longest safe name in characters: well under every file system's 255 bytes, with room for suffixes of ours."""


def job_id(now_ms: int, random_hex: str) -> str:
    """`job_<epoch ms>_<32 hex>`, the contract's form."""
    return f"job_{now_ms:013d}_{random_hex}"


def safe_name(label: str, *, fallback: str) -> str:
    """A client's file name or label reduced to `[A-Za-z0-9._-]`, at most MAX_NAME characters.

    Path parts are dropped, accents folded, everything else becomes `_`; never empty, hidden, or `.`/`..`.
    The extension is kept when the name must be shortened.
    """
    last = re.split(r"[/\\]", label)[-1]
    folded = unicodedata.normalize("NFKD", last).encode("ascii", "ignore").decode("ascii")
    name = _UNSAFE.sub("_", folded).lstrip(".-").rstrip(".")
    if len(name) > MAX_NAME:
        stem, dot, extension = name.rpartition(".")
        keep = f"{dot}{extension}" if stem and len(extension) <= 10 else ""
        name = name[: MAX_NAME - len(keep)] + keep
    return name if _SAFE_NAME.match(name) else fallback


def upload_key(file_id: str, name: str) -> str:
    """Storage key (and the contract's `filePath`) of an uploaded file."""
    return f"uploads/{file_id}/{name}"


def output_key(job_id: str, execution_id: str, name: str) -> str:
    """Storage key of one execution's output. Every execution has its own, so a loser can be deleted blindly."""
    return f"outputs/{job_id}/{execution_id}/{name}"


def is_upload_key(text: str) -> bool:
    """Whether the text is exactly a key that `upload_key` could have made."""
    return _UPLOAD_KEY.match(text) is not None


def is_output_key(text: str) -> bool:
    """Whether the text is exactly a key that `output_key` could have made."""
    return _OUTPUT_KEY.match(text) is not None


def is_key(text: str) -> bool:
    """Whether the text is a storage key of either form; nothing else ever reaches a storage backend."""
    return is_upload_key(text) or is_output_key(text)


def is_key_prefix(text: str) -> bool:
    """Whether the text is a whole number of leading parts of a key, ending in `/`, and no full key."""
    return _KEY_PREFIX.match(text) is not None


def is_file_id(text: str) -> bool:
    """Whether the text is a bare file id."""
    return FILE_ID.match(text) is not None


def is_job_id(text: str) -> bool:
    """Whether the text has the contract's job id form."""
    return JOB_ID.match(text) is not None

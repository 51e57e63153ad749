"""The tree of errors is what its docstring says, and every code of the contract is in it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from flowscale import errors
from flowscale.errors import FlowScaleError

HTTP_CODES = {
    "MISSING_SOURCE": 400,
    "INVALID_PATH": 400,
    "NO_FILE": 400,
    "UPLOAD_ERROR": 400,
    "UNSUPPORTED_MEDIA": 415,
    "FILE_TOO_LARGE": 413,
    "INVALID_OPTIONS": 422,
    "UNSUPPORTED_OPTION": 422,
    "READ_ONLY": 403,
    "JOB_NOT_FOUND": 404,
    "FILE_NOT_FOUND": 404,
    "NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "CONFLICT": 409,
    "IDEMPOTENCY_MISMATCH": 422,
    "FFMPEG_UNAVAILABLE": 503,
    "QUEUE_UNAVAILABLE": 503,
    "QUEUE_FULL": 503,
    "STORAGE_UNAVAILABLE": 503,
    "INTERNAL": 500,
}
JOB_CODES = {
    *("TIMEOUT_ERROR", "NO_OUTPUT", "EMPTY_OUTPUT", "FFMPEG_EXIT_ERROR", "FFMPEG_SPAWN_ERROR", "INVALID_MEDIA"),
    *("LIMIT_EXCEEDED", "OUT_OF_MEMORY", "DISK_FULL", "STORAGE_ERROR", "WORKER_LOST", "CANCELLED"),
}


def leaves(kind: type[FlowScaleError]) -> Iterator[type[FlowScaleError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from leaves(child)


def test_the_contracts_codes_have_their_statuses() -> None:
    found = {kind.code: kind.status for kind in leaves(errors.RequestError)}
    found |= {kind.code: kind.status for kind in leaves(errors.ServiceError)}
    assert {code: found.get(code) for code in HTTP_CODES} == HTTP_CODES


def test_the_contracts_job_codes_are_render_errors() -> None:
    assert {kind.code for kind in leaves(errors.RenderError)} - {"INTERNAL"} == JOB_CODES


def test_the_docstring_names_every_class_with_its_code_status_and_retry() -> None:
    lines = (errors.__doc__ or "").splitlines()
    for kind in leaves(FlowScaleError):
        line = next(line for line in lines if re.search(rf"\b{kind.__name__}\b", line))
        if "code" in vars(kind) and kind is not FlowScaleError:
            assert kind.code in line
            assert not issubclass(kind, errors.RenderError) or ("retryable" in line) == kind.retryable
            assert issubclass(kind, errors.RenderError) or str(kind.status) in line

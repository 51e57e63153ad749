"""Every error a client or a person meets, as one tree.

    FlowScaleError                  code, HTTP status, public message, details
    ├── RequestError                the caller can mend it (4xx)
    │   ├── MissingSource           MISSING_SOURCE 400
    │   ├── InvalidPath             INVALID_PATH 400
    │   ├── NoFile                  NO_FILE 400
    │   ├── UploadError             UPLOAD_ERROR 400
    │   ├── Unauthorized            UNAUTHORIZED 401, with WWW-Authenticate
    │   ├── Forbidden               FORBIDDEN 403
    │   ├── CsrfRefused             CSRF_REFUSED 403
    │   ├── ReadOnly                READ_ONLY 403
    │   ├── JobNotFound             JOB_NOT_FOUND 404
    │   ├── FileNotFound            FILE_NOT_FOUND 404
    │   ├── NotFound                NOT_FOUND 404
    │   ├── MethodNotAllowed        METHOD_NOT_ALLOWED 405
    │   ├── Conflict                CONFLICT 409
    │   ├── FileTooLarge            FILE_TOO_LARGE 413
    │   ├── UnsupportedMedia        UNSUPPORTED_MEDIA 415
    │   ├── InvalidOptions          INVALID_OPTIONS 422, details.faults = [{path, message}]
    │   ├── UnsupportedOption       UNSUPPORTED_OPTION 422
    │   ├── IdempotencyMismatch     IDEMPOTENCY_MISMATCH 422
    │   └── TooManyAttempts         TOO_MANY_ATTEMPTS 429, with Retry-After
    ├── ServiceError                the service cannot take it now (5xx); later it can
    │   ├── FFmpegUnavailable       FFMPEG_UNAVAILABLE 503
    │   ├── QueueUnavailable        QUEUE_UNAVAILABLE 503, with Retry-After
    │   ├── QueueFull               QUEUE_FULL 503
    │   ├── StorageUnavailable      STORAGE_UNAVAILABLE 503
    │   │   └── StorageRefused      the same, and trying again does not help: credentials, a bucket, a permission
    │   └── Internal                INTERNAL 500
    ├── RenderError                 ends one attempt of a job; `retryable` says whether another may follow
    │   ├── InvalidMedia            INVALID_MEDIA
    │   ├── LimitExceeded           LIMIT_EXCEEDED
    │   ├── NoOutput                NO_OUTPUT, retryable
    │   ├── EmptyOutput             EMPTY_OUTPUT
    │   ├── FFmpegExit              FFMPEG_EXIT_ERROR, retryable
    │   ├── FFmpegSpawn             FFMPEG_SPAWN_ERROR, retryable
    │   ├── RenderTimeout           TIMEOUT_ERROR
    │   ├── OutOfMemory             OUT_OF_MEMORY, retryable
    │   ├── DiskFull                DISK_FULL, retryable
    │   ├── StorageFailed           STORAGE_ERROR, retryable
    │   ├── WorkerLost              WORKER_LOST
    │   └── Cancelled               CANCELLED
    ├── LeaseLost                   this execution is no longer the job's current one; its holder must stop
    ├── IllegalTransition           a bug: a job was asked for a step its state does not allow
    └── SettingsError               SETTINGS 500: one line naming the variable, its fault and the nearest known name

The codes and statuses are the HTTP contract's; they are part of the public interface and never change meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class FlowScaleError(Exception):
    """Base of the tree. `message` is a sentence for people. `public` is safe to show to any client: the same, unless
    the message tells what is for whoever runs the service alone, such as where the queue's server is."""

    code: ClassVar[str] = "INTERNAL"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, details: Mapping[str, Any] | None = None, public: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.public = public or message
        self.details: Mapping[str, Any] = details or {}


class RequestError(FlowScaleError):
    """The caller can mend it."""

    status = 400


class MissingSource(RequestError):
    code = "MISSING_SOURCE"


class InvalidPath(RequestError):
    code = "INVALID_PATH"


class NoFile(RequestError):
    code = "NO_FILE"


class UploadError(RequestError):
    code = "UPLOAD_ERROR"


class Unauthorized(RequestError):
    """The request has no key, or none that is known."""

    code = "UNAUTHORIZED"
    status = 401


class Forbidden(RequestError):
    """The key is known, and not good for this."""

    code = "FORBIDDEN"
    status = 403


class CsrfRefused(RequestError):
    """A browser sent it with its login, and it does not prove to come from a page of ours."""

    code = "CSRF_REFUSED"
    status = 403


class ReadOnly(RequestError):
    """The service is being looked at, and not to be steered (FLOWSCALE_ADMIN_READ_ONLY)."""

    code = "READ_ONLY"
    status = 403


class JobNotFound(RequestError):
    code = "JOB_NOT_FOUND"
    status = 404


class FileNotFound(RequestError):
    code = "FILE_NOT_FOUND"
    status = 404


class NotFound(RequestError):
    code = "NOT_FOUND"
    status = 404


class MethodNotAllowed(RequestError):
    code = "METHOD_NOT_ALLOWED"
    status = 405


class Conflict(RequestError):
    code = "CONFLICT"
    status = 409


class FileTooLarge(RequestError):
    code = "FILE_TOO_LARGE"
    status = 413


class UnsupportedMedia(RequestError):
    code = "UNSUPPORTED_MEDIA"
    status = 415


class InvalidOptions(RequestError):
    """`details["faults"]` lists every fault as {"path": JSON path, "message": sentence}."""

    code = "INVALID_OPTIONS"
    status = 422


class UnsupportedOption(RequestError):
    code = "UNSUPPORTED_OPTION"
    status = 422


class IdempotencyMismatch(RequestError):
    code = "IDEMPOTENCY_MISMATCH"
    status = 422


class TooManyAttempts(RequestError):
    """Too many wrong keys came from one address. `retry_after` (seconds) becomes the Retry-After header."""

    code = "TOO_MANY_ATTEMPTS"
    status = 429

    def __init__(self, message: str, *, retry_after: int = 60) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ServiceError(FlowScaleError):
    """The service cannot take the request now. `retry_after` (seconds) becomes the Retry-After header."""

    status = 503
    retry_after: ClassVar[int | None] = None


class FFmpegUnavailable(ServiceError):
    code = "FFMPEG_UNAVAILABLE"


class QueueUnavailable(ServiceError):
    code = "QUEUE_UNAVAILABLE"
    retry_after = 2


class QueueFull(ServiceError):
    code = "QUEUE_FULL"
    retry_after = 30


class StorageUnavailable(ServiceError):
    code = "STORAGE_UNAVAILABLE"
    retry_after = 5


class StorageRefused(StorageUnavailable):
    """The storage answers, and says no: a wrong key, no such bucket, no permission. Until a person mends that."""


class Internal(ServiceError):
    code = "INTERNAL"
    status = 500


class RenderError(FlowScaleError):
    """Ends one attempt of a job. Never an HTTP answer: it becomes the `error` of the job."""


class InvalidMedia(RenderError):
    code = "INVALID_MEDIA"


class LimitExceeded(RenderError):
    code = "LIMIT_EXCEEDED"


class NoOutput(RenderError):
    code = "NO_OUTPUT"
    retryable = True


class EmptyOutput(RenderError):
    code = "EMPTY_OUTPUT"


class FFmpegExit(RenderError):
    code = "FFMPEG_EXIT_ERROR"
    retryable = True


class FFmpegSpawn(RenderError):
    code = "FFMPEG_SPAWN_ERROR"
    retryable = True


class RenderTimeout(RenderError):
    code = "TIMEOUT_ERROR"


class OutOfMemory(RenderError):
    code = "OUT_OF_MEMORY"
    retryable = True


class DiskFull(RenderError):
    code = "DISK_FULL"
    retryable = True


class StorageFailed(RenderError):
    code = "STORAGE_ERROR"
    retryable = True


class WorkerLost(RenderError):
    code = "WORKER_LOST"


class Cancelled(RenderError):
    code = "CANCELLED"


class LeaseLost(FlowScaleError):
    """The job has moved on without this execution: stop, clean up, publish nothing."""


class IllegalTransition(FlowScaleError):
    """A step that the job's state does not allow. Reaching it is a bug in the caller."""


class SettingsError(FlowScaleError):
    """One line that names the variable, what is wrong with its value, and the nearest known name."""

    code = "SETTINGS"

"""boto3's client as we use it, and its faults as the protocol's errors.

Path style, SigV4 for presigning too (elsewhere than at AWS boto3 would take SigV2), checksums only where the service
demands them: R2 and others refuse the chunked bodies with trailers that boto3 sends otherwise.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    TokenRetrievalError,
)
from urllib3.exceptions import HTTPError

from flowscale.errors import DiskFull, FileNotFound, FlowScaleError, StorageRefused, StorageUnavailable
from flowscale.storage.s3.place import S3Place

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECTIONS = 64
"""Connections kept for the next call; more are made when needed."""

TRIES = 5
"""Of one call by boto3 (`standard`: exponential back-off with jitter, at most 20 s)."""

ROUNDS = 8
"""Of TRIES each, for what would lose bytes: a part, a completion.

botocore's tries have a budget for each client (500 tokens, of which a retry takes 5 or 10): once it is used up, a round
is a single try. With 5 rounds, a minute of 30 % faults cost one upload.
"""

PAUSE_SECONDS = 0.5
"""Before the second round; twice as long before each further one, up to LONGEST_PAUSE_SECONDS."""

LONGEST_PAUSE_SECONDS = 4.0

_GONE = {"NoSuchKey", "NoSuchUpload", "NotFound", "404"}
_FULL = {"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "507", "NoSpaceLeft", "EntityTooLarge"}
_REFUSED = {
    *("AccessDenied", "403", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch", "Unauthorized", "401"),
    *("NoSuchBucket", "InvalidBucketName", "PermanentRedirect", "AuthorizationHeaderMalformed", "InvalidToken"),
    *("ExpiredToken", "AccountProblem", "AllAccessDisabled", "RequestTimeTooSkewed", "NotImplemented"),
    *("InvalidPart", "InvalidRequest", "InvalidArgument", "MethodNotAllowed", "InvalidClientTokenId"),
}

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class _Patience:
    """Seconds for a connection, and without a byte of an answer; how often boto3 tries."""

    connect_seconds: float
    read_seconds: float
    tries: int


_USUAL = _Patience(5, 60, TRIES)
_QUICK = _Patience(3, 4, 1)
_SLOW = _Patience(5, 300, 1)


class Clients:
    """A client for each process: what a fork inherits is not used by the child."""

    def __init__(self, place: S3Place) -> None:
        self._place = place
        self._making = threading.Lock()
        self._made: dict[tuple[int, _Patience], S3Client] = {}

    @property
    def usual(self) -> S3Client:
        return self._client(_USUAL)

    @property
    def quick(self) -> S3Client:
        """Asks once, and not for long: for readiness."""
        return self._client(_QUICK)

    @property
    def slow(self) -> S3Client:
        """Asks once, and waits for minutes: for what a service may work on for long before it says a word, and would
        begin a second time beside the first if it were asked again."""
        return self._client(_SLOW)

    def close(self) -> None:
        with self._making:
            for (pid, _), client in self._made.items():
                if pid == os.getpid():
                    client.close()
            self._made = {}

    def _client(self, patience: _Patience) -> S3Client:
        with self._making:
            which = (os.getpid(), patience)
            if which not in self._made:
                self._made[which] = _make(self._place, patience)
            return self._made[which]


def _make(place: S3Place, patience: _Patience) -> S3Client:
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"mode": "standard", "max_attempts": patience.tries},
        max_pool_connections=CONNECTIONS,
        connect_timeout=patience.connect_seconds,
        read_timeout=patience.read_seconds,
    )
    with translated("the storage's settings", place):
        # A session of its own: the default one is shared by all of the process, and no thread may change it.
        client: S3Client = boto3.session.Session().client(
            "s3",
            region_name=place.region,
            endpoint_url=place.endpoint,
            aws_access_key_id=place.key_id,
            aws_secret_access_key=place.secret,
            aws_session_token=place.session,
            config=config,
        )
        return client


@contextmanager
def translated(what: str, place: S3Place) -> Iterator[None]:
    try:
        yield
    except FlowScaleError:
        raise
    except ClientError as fault:
        raise _of_answer(fault, what, place) from fault
    except (NoCredentialsError, PartialCredentialsError, TokenRetrievalError) as fault:
        raise StorageRefused(
            f"There is no key for the bucket {place.bucket} ({fault}). Set S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY, "
            "or give this machine or pod a role that may use the bucket."
        ) from fault
    except (BotoCoreError, HTTPClientError, HTTPError, OSError, ValueError) as fault:
        raise StorageUnavailable(
            f"The storage {_where(place)} cannot be reached ({what}: {type(fault).__name__}). See that it runs and "
            "that this machine reaches it."
        ) from fault


def patiently(call: Callable[[], _Answer], stop: threading.Event | None = None) -> _Answer:
    """`call`, again while the storage is away, in up to ROUNDS rounds of boto3's own tries; not when it refuses."""
    for round_ in range(1, ROUNDS + 1):
        try:
            return call()
        except StorageRefused:
            raise
        except StorageUnavailable:
            if round_ == ROUNDS or (stop is not None and stop.is_set()):
                raise
        longest = min(PAUSE_SECONDS * 2 ** (round_ - 1), LONGEST_PAUSE_SECONDS)
        pause = longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        if stop is None:
            time.sleep(pause)
        else:
            stop.wait(pause)
    raise AssertionError("unreachable")


def code_of(fault: ClientError) -> str:
    return str(fault.response.get("Error", {}).get("Code", ""))


def _of_answer(fault: ClientError, what: str, place: S3Place) -> FlowScaleError:
    code = code_of(fault)
    status = fault.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _GONE:
        return FileNotFound(f"There is no file {what}.")
    said = f"{code or status} for {what}"
    if code in _FULL or status == 507:
        return DiskFull(f"The storage {_where(place)} has no room ({said}). Free space there or raise its quota.")
    # Some services have names of their own for a wrong key, one with status 404.
    if code in _REFUSED or (status in (401, 403, 404) and code not in _GONE):
        return StorageRefused(
            f"The storage {_where(place)} refuses ({said}). See that the bucket exists, that the region is its own, "
            "that the key is right and may read, write, list and delete there."
        )
    return StorageUnavailable(f"The storage {_where(place)} failed ({said}). It may work again in a moment.")


def _where(place: S3Place) -> str:
    return f"s3://{place.bucket}/{place.prefix}" + (f" at {place.endpoint}" if place.endpoint else "")

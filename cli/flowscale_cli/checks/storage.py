"""The storage that the settings name: a round trip of everything gateways and workers ask of it.

What is stored lies under one upload's id of our own, in the same places and by the same calls as a client's file.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TypeVar
from xml.etree import ElementTree

import httpx2

from flowscale import names
from flowscale.clocks import SystemClock
from flowscale.errors import FileNotFound, FlowScaleError, StorageRefused
from flowscale.settings import Settings, StorageSettings
from flowscale.storage.base import Part, Storage
from flowscale.storage.opening import open_storage
from flowscale_cli.checks import (
    CALL_SECONDS,
    LAST_SECONDS,
    Finding,
    OutOfTime,
    Verdict,
    fault,
    folders_as_found,
    skipped,
    within,
)
from flowscale_cli.screen import errors, size_text

SMALL_BYTES = 100_000
LAST_PART_BYTES = 1_000
"""Of the last part: it alone may be smaller than the others."""

HTTP_SECONDS = 10.0
"""To connect, and for each answer."""

LINK_SECONDS = 120
"""How long the addresses that are signed here are good for."""

REACH = "storage.reach"
STEPS = (
    "storage.put",
    "storage.range",
    "storage.link",
    "storage.multipart",
    "storage.abort",
    "storage.presign",
    "storage.delete",
)
LEFT = "storage.left"

_LOOK_INTO = "See the storage's own log, and that the key or this user may read, write, list and delete there."

_Answer = TypeVar("_Answer")


def check(settings: Settings) -> Generator[Finding, None, None]:
    try:
        with ExitStack() as stack:
            if settings.storage.type in ("local", "nfs"):
                stack.enter_context(folders_as_found(*folders_of(settings.storage.dir)))
            yield from _check(settings)
    except OutOfTime:
        yield _too_late(REACH)
        yield from skipped(STEPS, "the storage does not answer")


def _check(settings: Settings) -> Iterator[Finding]:
    try:
        storage = within(CALL_SECONDS, lambda: open_storage(settings.storage))
        reached = within(CALL_SECONDS, lambda: _reach(settings))
    except FlowScaleError as error:
        yield fault(REACH, error, "Set STORAGE_DIR to a folder that this user may write in.")
        yield from skipped(STEPS, "the storage cannot be used")
        return
    yield reached
    if reached.verdict is Verdict.FAIL:
        yield from skipped(STEPS, "the storage cannot be reached")
        return
    trial = _Trial(storage)
    try:
        yield from trial.run()
    except BaseException:
        if left := trial.clean():
            errors.print(f"Perhaps left in the storage: {left}", markup=False)
        raise
    if left := trial.clean():
        yield Finding(LEFT, Verdict.FAIL, f"perhaps left behind: {left}", "Remove it there.")


class _Wrong(Exception):
    """The storage did something else than it was asked."""

    def __init__(self, seen: str, remedy: str = _LOOK_INTO) -> None:
        super().__init__(seen)
        self.seen = seen
        self.remedy = remedy


class _Trial:
    """One round trip. `run` it, and `clean` afterwards, whatever happened."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._clock = SystemClock()
        self._folder = secrets.token_hex(16)  # the upload's id
        self._small = secrets.token_bytes(SMALL_BYTES)
        self._stored: set[str] = set()  # keys under which something is, or may be
        self._begun: dict[str, str | None] = {}  # uploads that are open, or may be, by key; None: not told which
        self._failed: set[str] = set()

    def run(self) -> Iterator[Finding]:
        tries: tuple[tuple[Callable[[], str], tuple[str, ...]], ...] = (
            (self._put, ()),
            (self._range, ("storage.put",)),
            (self._link, ("storage.put",)),
            (self._multipart, ("storage.put",)),
            (self._abort, ("storage.multipart",)),
            (self._presign, ("storage.multipart",)),
            (self._delete, ("storage.put",)),
        )
        hangs = False
        for name, (attempt, needed) in zip(STEPS, tries, strict=True):
            if hangs:
                yield Finding(name, Verdict.SKIPPED, "the storage does not answer")
                continue
            if missed := [each for each in needed if each in self._failed]:
                self._failed.add(name)
                yield Finding(name, Verdict.SKIPPED, f"{missed[0]} failed")
                continue
            begun = self._clock.monotonic()
            try:
                seen = attempt()
            except _NotApplicable as reason:
                yield Finding(name, Verdict.SKIPPED, str(reason))
            except OutOfTime:
                hangs = True
                yield _too_late(name)
            except _Wrong as wrong:
                self._failed.add(name)
                yield Finding(name, Verdict.FAIL, wrong.seen, wrong.remedy)
            except FlowScaleError as error:
                self._failed.add(name)
                yield fault(name, error, _LOOK_INTO)
            else:
                yield Finding(name, Verdict.OK, f"{seen}, {(self._clock.monotonic() - begun) * 1000:.0f} ms")

    def clean(self) -> str:
        """Remove what may be there, and close the storage; what could not be removed."""

        def abort() -> None:
            for key, upload in list(self._begun.items()):
                if upload is not None:
                    self._storage.abort(key, upload)
                    del self._begun[key]
            if self._begun:  # begun, perhaps, by a call that did not say so
                for found in list(self._storage.open_uploads()):
                    if found.key in self._begun:
                        self._storage.abort(found.key, found.upload)
                self._begun.clear()

        def delete() -> None:
            for key in sorted(self._stored):
                self._storage.delete(key)
                self._stored.discard(key)

        for remove in (abort, delete, self._storage.close):
            # What is left is told.
            with suppress(FlowScaleError, OutOfTime):
                within(LAST_SECONDS, remove)
        return ", ".join([*sorted(self._stored), *(f"{key} (an open upload)" for key in sorted(self._begun))])

    def _put(self) -> str:
        key = self._key("small")

        def put() -> int:
            with self._storage.writer(key, SMALL_BYTES) as writer:
                writer.write(self._small)
                return writer.commit().size

        self._stored.add(key)
        try:
            size = within(CALL_SECONDS, put)
        except StorageRefused:
            self._stored.discard(key)  # so that a wrong key is told with one call
            raise
        if size != SMALL_BYTES or within(CALL_SECONDS, lambda: self._storage.stat(key)).size != SMALL_BYTES:
            raise _Wrong(f"of {SMALL_BYTES} bytes {size} were found again")
        return f"{size_text(SMALL_BYTES)} stored and found"

    def _range(self) -> str:
        start, length = SMALL_BYTES // 3, SMALL_BYTES // 2
        if self._read("small", start, length) != self._small[start : start + length]:
            raise _Wrong(
                f"bytes {start} to {start + length} are not those that were stored",
                "See that nothing between here and the storage changes or ignores Range headers.",
            )
        return f"{size_text(length)} from the middle, compared"

    def _link(self) -> str:
        url = self._storage.url(self._key("small"))
        if url is None:
            return "links lead through the gateway"
        answer = self._http("GET", url)
        if answer.status_code != 200 or answer.content != self._small:
            raise _Wrong(
                f"GET {url} gave {_told(answer)} instead of what was stored",
                "Set S3_PUBLIC_BASE_URL to where anyone can GET the bucket's objects, or unset it.",
            )
        return "S3_PUBLIC_BASE_URL gives what was stored"

    def _multipart(self) -> str:
        key, size = self._key("parts"), self._storage.part_size(1)
        pieces = [secrets.token_bytes(size), secrets.token_bytes(size), secrets.token_bytes(LAST_PART_BYTES)]
        whole = b"".join(pieces)
        upload = self._begin(key)
        parts = [self._part(key, upload, number, pieces) for number in range(1, len(pieces) + 1)]
        if within(CALL_SECONDS, lambda: self._storage.parts(key, upload)) != parts:
            raise _Wrong("the parts that are listed are not those that were stored")
        self._stored.add(key)
        stored = within(CALL_SECONDS, lambda: self._storage.complete(key, upload, parts))
        del self._begun[key]
        if stored.size != len(whole) or self._read("parts", 0, len(whole)) != whole:
            raise _Wrong("the object is not what its parts were")
        return f"2 parts of {size_text(size)} and a last one, compared"

    def _abort(self) -> str:
        key = self._key("aborted")
        upload = self._begin(key)
        self._part(key, upload, 1, [secrets.token_bytes(LAST_PART_BYTES)])
        if not self._is_open(key):
            raise _Wrong("an upload that was begun is not listed", "The key must be allowed to list multipart uploads.")
        within(CALL_SECONDS, lambda: self._storage.abort(key, upload))
        if self._is_open(key):
            raise _Wrong(
                "an aborted upload is listed still",
                "The key must be allowed to abort multipart uploads; a rule of the bucket can abort old ones.",
            )
        del self._begun[key]
        return "an upload begun, listed, and gone when aborted"

    def _presign(self) -> str:
        key, content = self._key("presigned"), secrets.token_bytes(LAST_PART_BYTES)
        if self._storage.signed_url(key, LINK_SECONDS) is None:
            raise _NotApplicable("not applicable: the gateway serves the files")
        upload = self._begin(key)
        put_to = self._storage.presigned_part(key, upload, 1, len(content), LINK_SECONDS)
        if put_to is None:
            raise _NotApplicable("not applicable: parts go through the gateway")
        _require(self._http("PUT", put_to, content), "PUT of a part")
        parts = within(CALL_SECONDS, lambda: self._storage.parts(key, upload))
        self._stored.add(key)
        within(CALL_SECONDS, lambda: self._storage.complete(key, upload, parts))
        del self._begun[key]
        get_from = self._storage.signed_url(key, LINK_SECONDS)
        answer = self._http("GET", get_from or "")
        _require(answer, "GET")
        if answer.content != content:
            raise _Wrong("what a presigned GET gave is not what a presigned PUT stored")
        return "a part PUT and the object read by presigned addresses"

    def _delete(self) -> str:
        keys = sorted(self._stored)
        for key in keys:
            within(CALL_SECONDS, lambda key=key: self._storage.delete(key))  # type: ignore[misc]  # a default binds it
            try:
                within(CALL_SECONDS, lambda key=key: self._storage.stat(key))  # type: ignore[misc]  # likewise
            except FileNotFound:
                self._stored.discard(key)
            else:
                raise _Wrong(
                    "what was deleted is there still",
                    "The key must be allowed to delete; a bucket that keeps what is deleted (a lock, retention) "
                    "does not do.",
                )
        return f"{len(keys)} deleted and gone"

    def _key(self, name: str) -> str:
        return names.upload_key(self._folder, f"doctor-{name}.mp4")

    def _begin(self, key: str) -> str:
        self._begun[key] = None
        try:
            upload = within(CALL_SECONDS, lambda: self._storage.begin(key))
        except StorageRefused:
            del self._begun[key]
            raise
        self._begun[key] = upload
        return upload

    def _part(self, key: str, upload: str, number: int, pieces: Sequence[bytes]) -> Part:
        start = sum(len(piece) for piece in pieces[: number - 1])
        return within(CALL_SECONDS, lambda: self._storage.part(key, upload, number, start, pieces[number - 1]))

    def _read(self, name: str, start: int, length: int) -> bytes:
        return within(CALL_SECONDS, lambda: b"".join(self._storage.open_range(self._key(name), start, length)))

    def _is_open(self, key: str) -> bool:
        return within(CALL_SECONDS, lambda: any(found.key == key for found in self._storage.open_uploads()))

    def _http(self, method: str, url: str, content: bytes | None = None) -> httpx2.Response:
        try:
            return within(CALL_SECONDS, lambda: httpx2.request(method, url, content=content, timeout=HTTP_SECONDS))
        except httpx2.TransportError as error:
            host = httpx2.URL(url).host
            raise _Wrong(
                f"{method} at {host} did not work ({type(error).__name__})",
                f"See that {host} can be reached from here, and from the browsers that will use it.",
            ) from error


class _NotApplicable(Exception):
    """This storage does not do that, and need not."""


def endpoint_of(settings: StorageSettings) -> str:
    """Where the bucket's service answers."""
    from flowscale.storage.s3 import S3Place

    place = S3Place.of(settings)
    return place.endpoint or f"https://s3.{place.region}.amazonaws.com"


def _reach(settings: Settings) -> Finding:
    if settings.storage.type in ("local", "nfs"):
        return _room(settings.storage.dir.absolute(), settings.gateway.max_upload_bytes)
    endpoint = endpoint_of(settings.storage)
    clock = SystemClock()
    begun = clock.monotonic()
    try:
        # Without a key: whatever it answers, something answers.
        answer = httpx2.get(endpoint, timeout=HTTP_SECONDS)
    except httpx2.TransportError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return Finding(
                REACH,
                Verdict.WARN,
                f"{endpoint} shows a certificate that is not trusted here",
                "Browsers may not trust it either. If its authority is your own, name its file in AWS_CA_BUNDLE for "
                "the service; what follows says whether that works.",
            )
        said = "did not answer in time" if isinstance(error, httpx2.TimeoutException) else "cannot be reached"
        return Finding(
            REACH,
            Verdict.FAIL,
            f"{endpoint} {said} ({type(error).__name__})",
            "See that it runs, that this machine reaches it, and that S3_ENDPOINT_URL (or what it is made of: "
            "R2_ACCOUNT_ID, SUPABASE_URL, S3_REGION) is right.",
        )
    ms = (clock.monotonic() - begun) * 1000
    return Finding(REACH, Verdict.OK, f"{endpoint} answers ({answer.status_code} without a key), {ms:.0f} ms")


def _room(root: Path, most: int) -> Finding:
    free = shutil.disk_usage(root).free
    seen = f"{root}, {size_text(free)} free, used as user {os.geteuid()}"
    if free < most:
        return Finding(
            REACH,
            Verdict.WARN,
            seen,
            f"There is no room for one upload of the largest size ({size_text(most)}): free space, or lower "
            "FLOWSCALE_MAX_UPLOAD_BYTES; FLOWSCALE_UPLOAD_RETENTION and FLOWSCALE_OUTPUT_RETENTION delete what is old.",
        )
    return Finding(REACH, Verdict.OK, seen)


def folders_of(root: Path) -> list[Path]:
    """What LocalStorage makes when it is used."""
    below = ("uploads", "outputs", "incoming", f"incoming/{names.safe_name(os.uname().nodename, fallback='host')}")
    return [root, *(root / name for name in (*below, "partial"))]


def _too_late(name: str) -> Finding:
    return Finding(
        name,
        Verdict.FAIL,
        f"no answer within {CALL_SECONDS:.0f} s",
        "The storage hangs, or fails again and again: look at it (an NFS mount: at its server) and at the network.",
    )


def _require(answer: httpx2.Response, what: str) -> None:
    if answer.status_code != 200:
        raise _Wrong(
            f"a presigned {what} was answered {_told(answer)}",
            "The service must accept SigV4 in the query. See that S3_ENDPOINT_URL is the address clients use, and "
            "that nothing between changes Host or path.",
        )


def _told(answer: httpx2.Response) -> str:
    """The status, and the service's own code if it gave one."""
    try:
        code = ElementTree.fromstring(answer.text).findtext("{*}Code")  # noqa: S314 - of a bounded error answer
    except ElementTree.ParseError:
        code = None
    return f"{answer.status_code} {code}" if code else str(answer.status_code)

"""What every ledger of uploads promises. A test class of a backend inherits it and gives the fixture `opened`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple
from uuid import uuid4

import pytest

from flowscale.errors import Conflict, FileNotFound, LeaseLost
from flowscale.storage.base import Part
from flowscale.uploads.base import (
    LEASE_MS,
    Begun,
    Hold,
    Upload,
    UploadKind,
    UploadLedger,
    UploadLocked,
    UploadState,
)

EXPIRY_MS = 100_000
MIB = 1024**2
BEGUN = Begun("uploads/" + "a" * 32 + "/clip.mp4", "mp4", "the storage's name")


class Opened(NamedTuple):
    """A ledger that keeps uploads for EXPIRY_MS, and its time."""

    ledger: UploadLedger
    advance: Callable[[int], None]  # by ms


def an_upload(total: int = 20 * MIB, project: str | None = "ä project") -> Upload:
    return Upload(uuid4().hex, UploadKind.RESUMABLE, total, "clip.mp4", project, 8 * MIB, created_ms=1_700_000_000_000)


def a_part(number: int, size: int = 8 * MIB) -> Part:
    return Part(number, size, f'"{uuid4().hex}" with blanks')


class UploadLedgerSuite:
    async def test_an_upload_is_kept_as_it_was_created(self, opened: Opened) -> None:
        for project in ("ä project", "", None):
            upload = an_upload(2**40 + 1, project)
            created = await opened.ledger.create(upload)
            assert created == replace(upload, expires_ms=created.expires_ms)
            assert await opened.ledger.get(upload.file_id) == created
            assert await opened.ledger.parts(upload.file_id) == ()
            with pytest.raises(Conflict):
                await opened.ledger.create(upload)

    async def test_a_presigned_upload_has_its_object_from_the_start(self, opened: Opened) -> None:
        upload = replace(an_upload(), kind=UploadKind.PRESIGNED, key=BEGUN.key, media="mp4", upload=BEGUN.upload)
        await opened.ledger.create(upload)
        found = await opened.ledger.get(upload.file_id)
        assert (found.kind, found.key, found.media, found.upload) == (upload.kind, BEGUN.key, "mp4", BEGUN.upload)

    async def test_what_was_never_created_is_not_found(self, opened: Opened) -> None:
        for ask in (opened.ledger.get("0" * 32), opened.ledger.lock("0" * 32, "token")):
            with pytest.raises(FileNotFound):
                await ask
        assert await opened.ledger.renew("0" * 32, "token") is Hold.LOST
        await opened.ledger.unlock("0" * 32, "token")

    async def test_one_holds_the_lock_and_others_are_refused_and_noticed(self, opened: Opened) -> None:
        ledger, file_id = opened.ledger, (await opened.ledger.create(an_upload())).file_id
        await ledger.lock(file_id, "one")
        await ledger.lock(file_id, "one")  # its answer was lost
        assert await ledger.renew(file_id, "one") is Hold.HELD
        with pytest.raises(UploadLocked):
            await ledger.lock(file_id, "two")
        assert await ledger.renew(file_id, "one") is Hold.WANTED
        await ledger.unlock(file_id, "two")  # which holds nothing
        with pytest.raises(UploadLocked):
            await ledger.lock(file_id, "two")
        await ledger.unlock(file_id, "one")
        await ledger.lock(file_id, "two")
        assert await ledger.renew(file_id, "two") is Hold.HELD
        assert await ledger.renew(file_id, "one") is Hold.LOST

    async def test_many_ask_for_the_lock_and_one_gets_it(self, opened: Opened) -> None:
        file_id = (await opened.ledger.create(an_upload())).file_id
        asked = [opened.ledger.lock(file_id, f"token-{number}") for number in range(20)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(answer) for answer in answers].count(Upload) == 1
        assert [type(answer) for answer in answers].count(UploadLocked) == 19

    async def test_a_lease_that_ran_out_can_be_taken_and_is_its_holders_until_it_is(self, opened: Opened) -> None:
        ledger, file_id = opened.ledger, (await opened.ledger.create(an_upload())).file_id
        await ledger.lock(file_id, "one")
        opened.advance(LEASE_MS - 1)
        with pytest.raises(UploadLocked):
            await ledger.lock(file_id, "two")
        opened.advance(1)
        assert (await ledger.record(file_id, "one", 0, [a_part(1)], 0, BEGUN)).count == 1
        with pytest.raises(UploadLocked):  # to record is a sign of life
            await ledger.lock(file_id, "two")
        opened.advance(LEASE_MS)
        await ledger.lock(file_id, "two")
        assert await ledger.renew(file_id, "one") is Hold.LOST

    async def test_who_lost_the_lock_changes_nothing(self, opened: Opened) -> None:
        ledger, file_id = opened.ledger, (await opened.ledger.create(an_upload())).file_id
        await ledger.lock(file_id, "one")
        before = await ledger.lock(file_id, "two", seize=True)
        for change in (
            ledger.record(file_id, "one", 0, [a_part(1)], 5, BEGUN),
            ledger.complete(file_id, "one"),
            ledger.end(file_id, "one", "why"),
            ledger.record(file_id, "never held", 0, (), 5),
        ):
            with pytest.raises(LeaseLost):
                await change
        await ledger.unlock(file_id, "one")
        assert await ledger.get(file_id) == before
        assert await ledger.renew(file_id, "two") is Hold.HELD

    async def test_parts_and_rests_add_up(self, opened: Opened) -> None:
        ledger, file_id = opened.ledger, (await opened.ledger.create(an_upload(20 * MIB))).file_id
        await ledger.lock(file_id, "one")
        upload = await ledger.record(file_id, "one", 0, (), 100)
        assert (upload.offset, upload.key, upload.whole) == (100, "", False)
        upload = await ledger.record(file_id, "one", 0, (), 100, BEGUN)
        assert (upload.offset, upload.key, upload.media, upload.upload) == (100, BEGUN.key, "mp4", BEGUN.upload)
        parts = [a_part(1), a_part(2), a_part(3, 4 * MIB)]
        upload = await ledger.record(file_id, "one", 0, parts[:1], 0)
        assert (upload.count, upload.stored, upload.offset, upload.key) == (1, 8 * MIB, 8 * MIB, BEGUN.key)
        upload = await ledger.record(file_id, "one", 1, parts[1:], 0)
        assert (upload.count, upload.offset, upload.whole) == (3, 20 * MIB, True)
        assert list(await ledger.parts(file_id)) == parts
        with pytest.raises(LeaseLost):  # a holder that knows less than is recorded is none
            await ledger.record(file_id, "one", 1, [a_part(2)], 0)
        assert list(await ledger.parts(file_id)) == parts

    async def test_a_complete_upload_is_settled(self, opened: Opened) -> None:
        ledger, file_id = opened.ledger, (await opened.ledger.create(an_upload(8 * MIB))).file_id
        await ledger.lock(file_id, "one")
        await ledger.record(file_id, "one", 0, [a_part(1)], 0, BEGUN)
        done = await ledger.complete(file_id, "one")
        assert (done.state, done.offset, done.key) == (UploadState.COMPLETE, 8 * MIB, BEGUN.key)
        assert await ledger.complete(file_id, "one") == done  # its answer was lost
        assert await ledger.lock(file_id, "two") == done
        assert await ledger.renew(file_id, "two") is Hold.LOST  # reading it locked nothing
        with pytest.raises(LeaseLost):
            await ledger.record(file_id, "two", 1, (), 5)
        with pytest.raises(LeaseLost):
            await ledger.end(file_id, "two", "why")

    async def test_an_ended_upload_says_why(self, opened: Opened) -> None:
        ledger, file_id = opened.ledger, (await opened.ledger.create(an_upload())).file_id
        await ledger.lock(file_id, "one")
        ended = await ledger.end(file_id, "one", "Its client ended it: sö.")
        assert (ended.state, ended.reason) == (UploadState.ENDED, "Its client ended it: sö.")
        assert await ledger.end(file_id, "one", "Its client ended it: sö.") == ended
        assert await ledger.get(file_id) == ended

    async def test_it_expires_after_its_last_byte(self, opened: Opened) -> None:
        ledger, upload = opened.ledger, await opened.ledger.create(an_upload())
        file_id = upload.file_id
        opened.advance(EXPIRY_MS - 1)
        await ledger.lock(file_id, "one")
        recorded = await ledger.record(file_id, "one", 0, [a_part(1)], 0, BEGUN)
        assert recorded.expires_ms == upload.expires_ms + EXPIRY_MS - 1
        opened.advance(EXPIRY_MS - 1)
        assert (await ledger.get(file_id)).count == 1
        opened.advance(1)
        with pytest.raises(FileNotFound):
            await ledger.get(file_id)
        with pytest.raises(FileNotFound):
            await ledger.lock(file_id, "one")
        again = await ledger.create(replace(upload, expires_ms=0))
        assert (again.count, again.offset) == (0, 0)
        assert await ledger.parts(file_id) == ()

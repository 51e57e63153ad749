"""The ledger on the queue's server: any gateway may take the next request of an upload.

Each change of a record is one script (lua/), and time is the server's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Sequence
from functools import cache
from importlib import resources
from typing import Any
from uuid import uuid4

from flowscale.errors import LeaseLost
from flowscale.queues.redis.connections import describe, gateway_client
from flowscale.queues.redis.driving import Driver
from flowscale.queues.redis.keys import Keys
from flowscale.queues.redis.scripts import Argument, Command, Operation, Script, command
from flowscale.settings import RedisSettings
from flowscale.storage.base import Part
from flowscale.uploads.base import (
    EXPIRY_MS,
    LEASE_MS,
    LOST,
    Begun,
    Hold,
    Upload,
    UploadKind,
    UploadState,
    locked,
    taken,
    unknown,
)

_Reply = Sequence[Any]


def open_upload_ledger(settings: RedisSettings, expiry_ms: int = EXPIRY_MS) -> RedisLedger:
    """For one gateway and its event loop. Connects when first used; `close` it there."""
    return RedisLedger(Driver(gateway_client(settings), describe(settings)), Keys(settings.prefix), expiry_ms)


class RedisLedger:
    """UploadLedger. `now` gives the time in ms for tests; None: the server's own clock."""

    def __init__(
        self, driver: Driver, keys: Keys, expiry_ms: int = EXPIRY_MS, *, now: Callable[[], int] | None = None
    ) -> None:
        self._driver = driver
        self._keys = keys
        self._expiry_ms = expiry_ms
        self._now = now

    async def create(self, upload: Upload) -> Upload:
        fields = {
            "kind": upload.kind.value,
            "total": str(upload.total),
            "name": upload.name,
            "part_size": str(upload.part_size),
            "created_ms": str(upload.created_ms),
            "state": upload.state.value,
            "key": upload.key,
            "media": upload.media,
            "upload": upload.upload,
            "count": "0",
            "stored": "0",
            "rest": "0",
        }
        if upload.project_id is not None:
            fields["project"] = upload.project_id
        words = [word for pair in fields.items() for word in pair]
        reply = await self._run("create", upload.file_id, uuid4().hex, self._expiry_ms, *words)
        if reply[0] == b"taken":
            raise taken(upload.file_id)
        return _upload_in(upload.file_id, reply[1])

    async def get(self, file_id: str) -> Upload:
        return self._found(file_id, await self._run("look", file_id, ""))

    async def parts(self, file_id: str) -> Sequence[Part]:
        return await self._driver.do(self._parts(file_id))

    async def lock(self, file_id: str, token: str, *, seize: bool = False) -> Upload:
        reply = await self._run("lock", file_id, token, LEASE_MS, int(seize))
        if reply[0] == b"locked":
            raise locked(file_id)
        return self._found(file_id, reply)

    async def renew(self, file_id: str, token: str) -> Hold:
        reply = await self._run("renew", file_id, token, LEASE_MS)
        if reply[0] == b"lost":
            return Hold.LOST
        return Hold.WANTED if reply[1] else Hold.HELD

    async def unlock(self, file_id: str, token: str) -> None:
        await self._run("unlock", file_id, token)

    async def record(
        self, file_id: str, token: str, after: int, parts: Sequence[Part], rest: int, begun: Begun | None = None
    ) -> Upload:
        texts = [f"{part.number} {part.size} {part.tag}" for part in parts]
        size = sum(part.size for part in parts)
        named = (begun.key, begun.media, begun.upload) if begun else ("", "", "")
        reply = await self._run("record", file_id, token, LEASE_MS, self._expiry_ms, after, size, rest, *named, *texts)
        return self._still_held(file_id, reply)

    async def complete(self, file_id: str, token: str) -> Upload:
        return await self._settle(file_id, token, UploadState.COMPLETE, "")

    async def end(self, file_id: str, token: str, reason: str) -> Upload:
        return await self._settle(file_id, token, UploadState.ENDED, reason)

    async def close(self) -> None:
        await self._driver.close()

    async def _settle(self, file_id: str, token: str, state: UploadState, reason: str) -> Upload:
        return self._still_held(
            file_id, await self._run("settle", file_id, token, self._expiry_ms, state.value, reason)
        )

    async def _run(self, name: str, file_id: str, token: str, *arguments: Argument) -> Any:
        now: Argument = "" if self._now is None else self._now()
        return await self._driver.do(_one(_call(name, self._record_keys(file_id), now, token, *arguments)))

    def _parts(self, file_id: str) -> Operation[Sequence[Part]]:
        (texts,) = yield (command("LRANGE", self._record_keys(file_id)[1], 0, -1),)
        return tuple(_part_in(text) for text in texts)

    def _record_keys(self, file_id: str) -> tuple[str, str]:
        return self._keys.of("upload", file_id), self._keys.of("upload", file_id, "parts")

    @staticmethod
    def _found(file_id: str, reply: _Reply) -> Upload:
        if reply[0] == b"none":
            raise unknown(file_id)
        return _upload_in(file_id, reply[1])

    @staticmethod
    def _still_held(file_id: str, reply: _Reply) -> Upload:
        if reply[0] == b"lost":
            raise LeaseLost(LOST)
        return _upload_in(file_id, reply[1])


def _one(call: Command) -> Generator[Sequence[Command], Sequence[Any], Any]:
    (answer,) = yield (call,)
    return answer


def _call(name: str, keys: Sequence[str], *arguments: Argument) -> Command:
    called = _script(name)
    sent = (argument.encode() if isinstance(argument, str) else argument for argument in arguments)
    return Command(("EVALSHA", called.sha, len(keys), *keys, *sent), called.text)


@cache
def _script(name: str) -> Script:
    folder = resources.files(__package__) / "lua"
    flags, _, body = (folder / f"{name}.lua").read_text().partition("\n")
    text = f"{flags}\n{(folder / 'shared.lua').read_text()}\n{body}"
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def _part_in(text: bytes) -> Part:
    number, size, tag = text.decode().split(" ", 2)
    return Part(int(number), int(size), tag)


def _upload_in(file_id: str, flat: Sequence[bytes]) -> Upload:
    raw = {name.decode(): value.decode() for name, value in zip(flat[::2], flat[1::2], strict=True)}
    return Upload(
        file_id=file_id,
        kind=UploadKind(raw["kind"]),
        total=int(raw["total"]),
        name=raw["name"],
        project_id=raw.get("project"),
        part_size=int(raw["part_size"]),
        created_ms=int(raw["created_ms"]),
        expires_ms=int(raw["expires_ms"]),
        state=UploadState(raw["state"]),
        key=raw["key"],
        media=raw["media"],
        upload=raw["upload"],
        count=int(raw["count"]),
        stored=int(raw["stored"]),
        rest=int(raw["rest"]),
        reason=raw.get("reason", ""),
    )

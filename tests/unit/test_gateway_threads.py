"""Blocking calls of coroutines that are cancelled: clean-up begins when the call has ended, whoever cancels."""

from __future__ import annotations

import asyncio
import threading

import anyio
import pytest

from flowscale_api.threads import in_thread


class Call:
    """Blocks until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.ended = False

    def __call__(self) -> None:
        self.begun.set()
        assert self.go_on.wait(30)
        self.ended = True


async def cleaned_up_after(call: Call, seen: list[bool]) -> None:
    try:
        await in_thread(call)
    finally:
        seen.append(call.ended)


async def begun(call: Call) -> None:
    assert await asyncio.to_thread(call.begun.wait, 30)


async def let_go_later(call: Call) -> None:
    for _ in range(100):  # so many chances to be cancelled once more
        await asyncio.sleep(0)
    call.go_on.set()


async def test_a_cancelled_task_cleans_up_when_its_call_has_ended() -> None:
    call, seen = Call(), list[bool]()
    task = asyncio.create_task(cleaned_up_after(call, seen))
    await begun(call)
    task.cancel()
    await let_go_later(call)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == [True]


async def test_a_scope_that_cancels_again_and_again_cleans_up_when_the_call_has_ended() -> None:
    """As the server's own scope around an answer does, when the client is gone."""
    call, seen = Call(), list[bool]()
    async with anyio.create_task_group() as group:
        group.start_soon(cleaned_up_after, call, seen)
        await begun(call)
        group.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await let_go_later(call)
    assert seen == [True]

"""Calling blocking code from a coroutine that may be cancelled."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import anyio

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


async def in_thread(call: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
    """`call` in a thread. When cancelled, it waits for the thread first: no clean-up may run beside it.

    The server cancels what makes an answer nobody reads any more by a scope, which cancels again and again.
    """
    running = asyncio.ensure_future(asyncio.to_thread(call, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        with anyio.CancelScope(shield=True):
            await asyncio.wait((running,))
        if not running.cancelled():
            running.exception()  # seen: the cancellation says why nobody wants it any more
        raise


def in_thread_of_its_own(call: Callable[[], None], name: str) -> asyncio.Future[None]:
    """Begin `call` in a new thread, which waits for no place in a pool and keeps no process from ending."""
    result: concurrent.futures.Future[None] = concurrent.futures.Future()

    def run() -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - handed to whoever awaits the result
            result.set_exception(error)
        else:
            result.set_result(None)

    threading.Thread(target=run, name=name, daemon=True).start()
    return asyncio.wrap_future(result)

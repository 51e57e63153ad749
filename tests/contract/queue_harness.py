"""How the conformance suite reaches a backend: a harness opens a fresh queue, owns its time, and closes it."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import NamedTuple, TypeVar

from flowscale.jobs import Job, Priority, RetryPolicy
from flowscale.queues.admin_view import GatewayQueue
from flowscale.queues.base import Execution, QueuePolicy, WorkQueue
from flowscale.queues.scaling_view import ScalingQueue
from flowscale.testing import a_job

T = TypeVar("T")

POLICY = QueuePolicy(retry=RetryPolicy(jitter=0.0))
"""The defaults, with retries due exactly after their base delay."""

SOON_S = 30.0
"""What a test waits at most for something that must happen; reaching it is a failure."""

LONG_S = 600.0
"""What a call is let wait for news: longer than any test, so that a wake-up that is lost is seen."""


class OpenQueue(NamedTuple):
    """The halves of one queue."""

    jobs: GatewayQueue
    work: WorkQueue
    scaling: ScalingQueue


class QueueHarness(ABC):
    """One backend under test. `open` may be called again: the queue it opened before is closed, the new one empty."""

    @abstractmethod
    async def open(self, policy: QueuePolicy = POLICY, *, real_time: bool = False) -> OpenQueue:
        """A fresh queue whose time stands still between calls of `advance`, or runs by itself (`real_time`)."""

    @abstractmethod
    def advance(self, ms: int) -> None:
        """Let time pass for a queue that was not opened in real time. Nothing is tended by it."""

    @abstractmethod
    async def close(self) -> None:
        """Close the queue; no error when none is open."""


def retries(policy: QueuePolicy = POLICY, *, max_attempts: int = 3, base_delay_ms: int = 5_000) -> QueuePolicy:
    """The policy with other retries."""
    retry = replace(policy.retry, max_attempts=max_attempts, base_delay_ms=base_delay_ms)
    return replace(policy, retry=retry)


async def enqueue(queue: OpenQueue, count: int = 1, priority: Priority = Priority.NORMAL) -> list[Job]:
    """Accept new jobs, one after the other."""
    return [(await queue.jobs.enqueue(a_job(priority=priority))).job for _ in range(count)]


def fetch(queue: OpenQueue, worker: str = "worker-1", group: str | None = None) -> Execution:
    """Take a job that must be there."""
    execution = queue.work.fetch(worker, 0, group)
    assert execution is not None, "a job waits, yet fetch gave none"
    return execution


def fetch_all(queue: OpenQueue, worker: str = "worker-1") -> list[str]:
    """Ids of all jobs that can be fetched now, in the order they were handed out."""
    taken = []
    while (execution := queue.work.fetch(worker, wait_s=0)) is not None:
        taken.append(execution.job.id)
    return taken


async def start_one(queue: OpenQueue) -> Execution:
    """A running job."""
    await enqueue(queue)
    return fetch(queue)


async def soon(awaited: Awaitable[T]) -> T:
    """What is awaited must come within SOON_S; give whatever it waits for LONG_S, so that only news can end it."""
    return await asyncio.wait_for(awaited, SOON_S)


def in_thread(call: Callable[[], T]) -> asyncio.Future[T]:
    """Start a call in a thread of its own, which does not outlive the tests even if the call never ends."""
    outcome: Future[T] = Future()
    outcome.set_running_or_notify_cancel()  # a thread cannot be cancelled: whoever gives up on it leaves it its result

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:  # noqa: BLE001  the awaiting test raises it
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return asyncio.wrap_future(outcome)


async def in_threads(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Run every call in a thread of its own, all at once."""
    return await soon(asyncio.gather(*map(in_thread, calls)))

"""The worker's half over Redis: plain calls, from any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from random import random
from typing import Any, TypeVar
from uuid import uuid4

from redis import Redis
from redis.client import PubSub
from redis.exceptions import RedisError, ResponseError

from flowscale.clocks import Clock
from flowscale.errors import QueueUnavailable
from flowscale.jobs import Failure, Job, Output
from flowscale.queues.base import Depth, Execution, QueuePolicy, Tended, WorkerReport
from flowscale.queues.redis.connections import as_fault
from flowscale.queues.redis.contact import Contact
from flowscale.queues.redis.keys import Keys
from flowscale.queues.redis.operations import Operations
from flowscale.queues.redis.operations.tending import Untidy
from flowscale.queues.redis.scripts import Batch, Operation, with_scripts
from flowscale.queues.redis.server import read_facts_now, warnings
from flowscale.queues.told import Facts

POLL_SECONDS = 1.0
"""A worker that waits looks this often by itself: a wake-up may be lost."""

_Answer = TypeVar("_Answer")


class RedisWorkQueue:
    """WorkQueue over one client, which `close` closes. Not to be used across a fork.

    `chance` draws the jitter of retries; `now` and `contact` are for tests that own time.
    """

    def __init__(
        self,
        client: Redis,
        keys: Keys,
        policy: QueuePolicy,
        clock: Clock,
        where: str,
        *,
        chance: Callable[[], float] = random,
        now: Callable[[], int] | None = None,
        contact: Contact | None = None,
    ) -> None:
        self._client = client
        self._keys = keys
        self._clock = clock
        self._where = where
        self._operations = Operations(keys, policy, chance, now)
        self._contact = contact or Contact(policy.lease_ms)
        self._lock = threading.Lock()
        self._ears = threading.local()
        self._unanswered: dict[str, list[str]] = {}  # by worker: executions whose start may have happened

    def fetch(self, worker: str, wait_s: float, group: str | None = None) -> Execution | None:
        group = worker if group is None else group
        if wait_s <= 0 or not self._hears():
            execution, _ = self._try(worker, group, wait_s)
            if execution is not None or wait_s <= 0:
                return execution
        try:
            execution = self._wait(worker, group, wait_s)
        except (RedisError, OSError) as error:
            self._deafen()
            raise as_fault(error, self._where) from error
        except BaseException:
            self._deafen()
            raise
        if execution is not None:
            self._deafen()  # nobody would take the messages while it works
        return execution

    def _wait(self, worker: str, group: str, wait_s: float) -> Execution | None:
        # Listening first: what joined before it began is found now, what joins later is heard.
        pubsub = self._listen()
        left = wait_s
        while True:
            execution, pause = self._try(worker, group, left)
            if execution is not None or left <= 0:
                return execution
            before = self._clock.monotonic()
            told = pubsub.get_message(timeout=pause)
            # A pause that ran out has passed, whatever an injected clock says of it.
            left -= max(self._clock.monotonic() - before, 0 if told else pause)

    def _hears(self) -> bool:
        return getattr(self._ears, "pubsub", None) is not None

    def _listen(self) -> PubSub:
        """This thread's ear on the wake-ups, kept from one wait to the next; what it heard in between is dropped."""
        pubsub: PubSub | None = getattr(self._ears, "pubsub", None)
        if pubsub is None:
            pubsub = self._client.pubsub()  # type: ignore[no-untyped-call]  # the library is typed in part
            self._ears.pubsub = pubsub
            pubsub.subscribe(self._keys.wake)
            pubsub.get_message(timeout=POLL_SECONDS)
        while pubsub.get_message(timeout=0) is not None:
            continue
        return pubsub

    def _deafen(self) -> None:
        pubsub: PubSub | None = getattr(self._ears, "pubsub", None)
        if pubsub is not None:
            self._ears.pubsub = None
            pubsub.close()

    def _try(self, worker: str, group: str, left: float) -> tuple[Execution | None, float]:
        """One try, and for how long to wait (s) before the next."""
        if (lost := self.recover(worker)) is not None:
            return lost, 0
        execution_id = uuid4().hex
        try:
            fetched = self._do(self._operations.fetch(worker, execution_id, group))
        except QueueUnavailable:
            # The start may have happened and its answer be lost: then this execution is to be taken up again.
            with self._lock:
                self._unanswered.setdefault(worker, []).append(execution_id)
            raise
        pause = min(left, POLL_SECONDS)
        return fetched.execution, pause if fetched.due_in_ms is None else min(pause, fetched.due_in_ms / 1000)

    def recover(self, worker: str) -> Execution | None:
        """An execution that this worker's fetch started, and whose answer was lost. Fetch begins with it."""
        with self._lock:
            unanswered = self._unanswered.pop(worker, [])
        while unanswered:
            try:
                execution = self._do(self._operations.recover(worker, unanswered[0]))
            except QueueUnavailable:
                with self._lock:
                    self._unanswered[worker] = unanswered
                raise
            del unanswered[0]
            if execution is not None:
                with self._lock:
                    self._unanswered[worker] = unanswered
                return execution
        return None

    def renew(self, execution: Execution) -> bool:
        return self._do(self._operations.renew(execution))

    def progress(self, execution: Execution, percent: int | None, lines: Sequence[str] = ()) -> None:
        self._do(self._operations.progress(execution, percent, lines))

    def describe(self, execution: Execution, facts: Facts) -> None:
        self._do(self._operations.describe(execution, facts))

    def commit(self, execution: Execution, output: Output) -> Job:
        return self._do(self._operations.commit(execution, output))

    def fail(self, execution: Execution, failure: Failure) -> Job:
        return self._do(self._operations.fail(execution, failure))

    def release(self, execution: Execution) -> Job:
        return self._do(self._operations.release(execution))

    def lose(self, execution: Execution) -> Job:
        return self._do(self._operations.lose(execution))

    def tend(self) -> Tended:
        try:
            return self._do(self._operations.tend(self._contact, self._clock.monotonic))
        except BaseException:
            self._contact.lost()
            raise

    def find(self, job_id: str) -> Job | None:
        """The job's record; None when it is kept no longer."""
        return self._do(self._operations.find(job_id))

    def untidy(self) -> Sequence[Untidy]:
        """Ended jobs that may have stored outputs which they do not name."""
        return self._do(self._operations.untidy())

    def tidied(self, untidy: Untidy) -> None:
        """They are deleted; a job that lost an execution since stays noted."""
        self._do(self._operations.tidied(untidy))

    def report(self, report: WorkerReport) -> None:
        self._do(self._operations.report(report))

    def leave(self, worker: str) -> None:
        self._do(self._operations.leave(worker))

    def is_held(self, execution: Execution) -> bool:
        """Whether the execution is the job's current one still."""
        return self._do(self._operations.is_held(execution))

    @property
    def prefix(self) -> str:
        """What every key begins with."""
        return self._keys.prefix

    def warnings(self) -> Sequence[str]:
        """As JobQueue.warnings."""
        try:
            return warnings(read_facts_now(self._client))
        except ResponseError:
            return ()  # it may not be asked
        except (RedisError, OSError) as error:
            raise as_fault(error, self._where) from error

    def depth(self) -> Depth:
        """As JobQueue.depth."""
        return self._do(self._operations.depth())

    def close(self) -> None:
        self._deafen()
        self._client.close()

    def _do(self, operation: Operation[_Answer]) -> _Answer:
        """Run an operation. Raises what it raises; QueueUnavailable or QueueFull for the server's faults."""
        driven = with_scripts(operation)
        try:
            batch = next(driven)
            while True:
                batch = driven.send(self._execute(batch))
        except StopIteration as ended:
            answer: _Answer = ended.value
            return answer
        except (RedisError, OSError) as error:
            raise as_fault(error, self._where) from error
        finally:
            driven.close()

    def _execute(self, batch: Batch) -> list[Any]:
        with self._client.pipeline(transaction=False) as pipeline:
            for each in batch:
                pipeline.execute_command(*each.words)  # type: ignore[no-untyped-call]  # as above
            return pipeline.execute(raise_on_error=False)

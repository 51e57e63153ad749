"""One worker process of a fleet: RQ's worker to those who look, our own in what it does.

To `rq info` and RQ's exporters it is an rq.Worker: born, busy or idle, alive by its heartbeat, dead. Of RQ's own work
loop nothing is left, because it loses jobs (ADR 0006): here a job is fetched with a lease, carried out in a forked
work horse that renews it, and ended by the queue's scripts.

The process is single-threaded, so that it may fork, and it handles no signal: SIGTERM, SIGINT and SIGCHLD are held,
and taken between two steps. So nothing interrupts a fetch half-way.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress

import rq
from redis import Redis
from redis.exceptions import RedisError
from rq.defaults import RQ_KEY_PREFIX
from rq.serializers import JSONSerializer
from rq.worker import WorkerStatus
from rq.worker_registration import clean_worker_registry

from flowscale import logs
from flowscale.clocks import Clock
from flowscale.errors import LeaseLost, QueueUnavailable
from flowscale.queues.base import Execution
from flowscale.queues.redis import RedisWorkQueue
from flowscale.queues.redis.keys import QUEUES
from flowscale_worker.fleet import hold_signals
from flowscale_worker.processes import Ended, end_with_parent, fork, reap_one
from flowscale_worker.seats import Seat

FETCH_WAIT_SECONDS = 1.0
"""How long it waits for a job before it looks whether it is to stop."""

HEARTBEAT_SECONDS = 10
"""How often it tells RQ's registry that it lives."""

WORKER_TTL_SECONDS = 30
"""RQ takes it for gone after this and a minute of RQ's own."""

AGAIN_SECONDS = 1.0
"""How long it rests when the queue is away."""

GIVE_BACK_SECONDS = 10.0
"""So long before its grace ends, a render is given back: time to end FFmpeg and to tell the queue."""

LOOK_SECONDS = 5.0
"""How often it looks whether the horse's execution still holds the job: a frozen horse cannot look itself."""

FENCED_SECONDS = 10.0
"""How long a horse whose lease is lost may take to end by itself; then it is killed."""

GIVE_BACK = signal.SIGUSR1
"""Asks a horse to give its job back. Not SIGTERM, which a service manager sends to every process of the service."""

HORSE_DONE, HORSE_FAILED, HORSE_OTHER = 0, 20, 21
"""Exit codes of a horse that ended its execution: its job is done, is in error, or has gone on (tried again, given
back, or another's). Any other end is a lost worker's."""

_STOP = (signal.SIGTERM, signal.SIGINT)

_log = logs.get("worker")


class LeasedWorker(rq.Worker):
    """`horse` is a work horse's whole life: it ends the execution and returns one of the codes above.

    `group` is the fleet's, whose drains hold up its fetches (queues/scaling_view.py). `client` is for RQ's registry
    alone. Both it and `queue` are this process's own.
    """

    def __init__(
        self,
        seat: Seat,
        group: str,
        queue: RedisWorkQueue,
        client: Redis,
        horse: Callable[[Execution], int],
        clock: Clock,
        grace_seconds: float,
    ) -> None:
        if queue.prefix != RQ_KEY_PREFIX:
            raise RuntimeError(f"RQ was loaded for the prefix {RQ_KEY_PREFIX!r}, the queue's is {queue.prefix!r}")
        super().__init__(
            list(QUEUES),
            name=seat.name,
            connection=client,
            worker_ttl=WORKER_TTL_SECONDS,
            serializer=JSONSerializer,
            prepare_for_work=False,
        )
        self.hostname, self.pid, self.ip_address = os.uname().nodename, os.getpid(), "unknown"
        self._seat = seat
        self._group = group
        self._leases = queue
        self._horse = horse
        self._clock = clock
        self._grace_seconds = grace_seconds
        self._stop_asked: float | None = None  # monotonic seconds
        self._told: float | None = None  # when RQ's registry last heard; None: never, or it could not
        self._away = False

    def _set_connection(self, connection: Redis) -> Redis:
        """RQ would lengthen the client's time-outs for its blocking fetch, which is not used."""
        return connection

    def live(self) -> int:
        """Fetch and carry out jobs until SIGTERM; the exit code."""
        hold_signals()
        self._tell_registry(WorkerStatus.IDLE)
        while not self._stopping(0):
            execution = self._fetch()
            if execution is not None and self._stopping(0):
                self._give_back(execution)  # it came as we were told to stop
            elif execution is not None:
                self._carry_out(execution)
            self._tell_registry(WorkerStatus.IDLE)
        self._give_up_unanswered()
        self._leave_registry()
        return 0

    def _fetch(self) -> Execution | None:
        try:
            execution = self._leases.fetch(self.name, FETCH_WAIT_SECONDS, self._group)
        except QueueUnavailable as error:
            if not self._away:
                _log.warning("queue.unreachable", error.message)
            self._away = True
            self._stopping(AGAIN_SECONDS)
            return None
        if self._away:
            _log.info("queue.reachable", "The queue is back")
        self._away = False
        return execution

    def _carry_out(self, execution: Execution) -> None:
        self._seat.busy = True
        try:
            worker = os.getpid()

            def horse() -> int:
                os.setpgrp()
                end_with_parent(signal.SIGKILL, worker)
                return self._horse(execution)

            with logs.bind(**execution.log_fields):
                try:
                    pid = fork(horse, hold=(GIVE_BACK, *_STOP))
                except OSError as error:
                    _log.error(
                        "horse.not_born", f"No process can be had for the job ({error.strerror}); others may have"
                    )
                    self._give_back(execution)
                    self._stopping(AGAIN_SECONDS)
                    return
                self._tell_registry(WorkerStatus.BUSY)
                self._bury(execution, self._watch(pid, execution))
        finally:
            self._seat.busy = False

    def _give_back(self, execution: Execution) -> None:
        """An execution that was not begun."""
        try:
            self._leases.release(execution)
        except (LeaseLost, QueueUnavailable) as fault:
            _log.warning("horse.unreported", f"It will be given back once its lease ends: {fault.message}")

    def _give_up_unanswered(self) -> None:
        """Give back what a fetch may have got whose answer was lost."""
        try:
            while (execution := self._leases.recover(self.name)) is not None:
                self._give_back(execution)
        except QueueUnavailable as error:
            _log.warning("horse.unreported", f"Jobs may wait until their lease ends: {error.message}")

    def _watch(self, pid: int, execution: Execution) -> Ended:
        """Wait for the horse; ask it to give its job back when the grace is nearly over; end it when it is fenced."""
        asked = False
        look, fenced = self._clock.monotonic() + LOOK_SECONDS, None
        while (ended := reap_one(pid)) is None:
            self._stopping(FETCH_WAIT_SECONDS)
            now = self._clock.monotonic()
            if self._grace_left(now) <= GIVE_BACK_SECONDS and not asked:
                os.kill(pid, GIVE_BACK)
                asked = True
            if now >= look:
                look = now + LOOK_SECONDS
                self._tell_registry(WorkerStatus.BUSY)
                held = self._is_held(execution)
                fenced = None if held else fenced or now
            if fenced is not None and now - fenced >= FENCED_SECONDS:
                _log.warning("horse.killed", "The horse lost its lease and does not end; it is killed")
                with suppress(ProcessLookupError):  # it ended just now
                    os.killpg(pid, signal.SIGKILL)
        return ended

    def _grace_left(self, now: float) -> float:
        """Seconds until whoever stops this worker kills it."""
        return float("inf") if self._stop_asked is None else self._stop_asked + self._grace_seconds - now

    def _is_held(self, execution: Execution) -> bool:
        """Unknown counts as held: an outage must end nobody's render."""
        try:
            return self._leases.is_held(execution)
        except QueueUnavailable:
            return True

    def _bury(self, execution: Execution, ended: Ended) -> None:
        if ended.code in (HORSE_DONE, HORSE_FAILED):
            self._count(ended.code == HORSE_DONE)
        if ended.code in (HORSE_DONE, HORSE_FAILED, HORSE_OTHER):
            return
        _log.error("horse.lost", f"The process that rendered the job was lost ({ended})")
        try:
            self._leases.lose(execution)
        except LeaseLost:
            _log.info("horse.late", "The job had gone on already")
        except QueueUnavailable as error:
            _log.warning("horse.unreported", f"It will be given back once its lease ends: {error.message}")

    def _stopping(self, seconds: float) -> bool:
        """Wait up to so long for a signal; whether the worker is to stop."""
        heard = signal.sigtimedwait((*_STOP, signal.SIGCHLD), seconds)
        while heard is not None:
            if heard.si_signo in _STOP and self._stop_asked is None:
                self._stop_asked = self._clock.monotonic()
            heard = signal.sigtimedwait((*_STOP, signal.SIGCHLD), 0)
        return self._stop_asked is not None

    # RQ's registry, for those who look. It is never in the way of a job.

    def _tell_registry(self, state: WorkerStatus) -> None:
        now = self._clock.monotonic()
        if self._told is not None and state == self.get_state() and now - self._told < HEARTBEAT_SECONDS:
            return
        try:
            if self._told is None or not self.connection.exists(self.key):
                self.connection.delete(self.key)  # of the process that had the seat before
                self.register_birth()  # type: ignore[no-untyped-call]  # RQ is typed in part
                for queue in self.queues:
                    clean_worker_registry(queue)
            self.set_state(state)
            self.heartbeat()
            self._told = now
        except (RedisError, OSError) as error:
            self._told = None
            _log.debug("registry.unreachable", "RQ's registry of workers cannot be told", reason=str(error))

    def _leave_registry(self) -> None:
        try:
            self.register_death()  # type: ignore[no-untyped-call]  # as above
        except (RedisError, OSError) as error:
            _log.debug("registry.unreachable", "RQ's registry of workers cannot be told", reason=str(error))

    def _count(self, done: bool) -> None:
        try:
            if done:
                self.increment_successful_job_count()
            else:
                self.increment_failed_job_count()
        except (RedisError, OSError) as error:
            _log.debug("registry.unreachable", "RQ's registry of workers cannot be told", reason=str(error))

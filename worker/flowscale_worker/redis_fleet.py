"""`flowscale worker`: a fleet of leased workers over the Redis queue, composed.

    fleet ── forks ──> worker (leased_worker.py) ── forks for each job ──> horse ── starts ──> FFmpeg

The fleet's own process looks after the queue and says how this machine is; it renders nothing.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from secrets import token_hex

from flowscale import logs
from flowscale.clocks import Clock
from flowscale.errors import QueueUnavailable, SettingsError, StorageRefused, StorageUnavailable
from flowscale.jobs import JobState
from flowscale.queues.base import Execution, QueuePolicy
from flowscale.queues.redis import RedisWorkQueue, open_work_queue
from flowscale.queues.redis.connections import worker_client
from flowscale.settings import Settings, tell_rq
from flowscale.storage.base import Storage
from flowscale.storage.opening import open_storage
from flowscale_worker.autoscale import Autoscale
from flowscale_worker.chores import Chore
from flowscale_worker.examiner import Examiner
from flowscale_worker.execution import Executor
from flowscale_worker.failures import Stopped
from flowscale_worker.ffmpeg import Tools
from flowscale_worker.fleet import Fleet, hold_signals
from flowscale_worker.kit import Kit
from flowscale_worker.scratch import Scratch
from flowscale_worker.seats import Census, Seat

TEND_SECONDS = 1.0
"""Due retries start, and expired leases are reaped, at most this late."""

REPORT_SECONDS = 10.0
"""How often the fleet looks for FFmpeg and reports."""

TIDY_SECONDS = 5.0
"""How often outputs are looked for that lost executions stored."""

Render = Callable[[Execution], int]
"""A work horse's life: ends the execution, and returns HORSE_DONE, HORSE_FAILED or HORSE_OTHER (leased_worker.py)."""

_log = logs.get("worker")


def run_fleet(settings: Settings, policy: QueuePolicy, clock: Clock, *, autoscale: bool) -> int:
    """Until SIGTERM; the exit code. Raises SettingsError for a scratch folder or a storage that cannot be used."""
    hold_signals()
    tell_rq(settings.redis.prefix)
    import_module("flowscale_worker.leased_worker")  # RQ, which reads its prefix now, once for all workers
    _check_storage_and_scratch(settings)
    examiner = Examiner(settings.worker)
    examiner.look()
    queue = open_work_queue(settings.redis, policy, clock)
    least = settings.worker.concurrency
    most = max(least, settings.worker.max_workers) if autoscale else least
    sizing = Autoscale(queue.depth, least, most) if autoscale else None
    _warn_of_risks(queue)

    started_ms = clock.now_ms()

    def wanted(census: Census) -> int:
        if examiner.tools is None:
            return census.busy  # whoever renders may finish
        return sizing.wanted(census) if sizing else most

    def report() -> None:
        examiner.look()
        queue.report(examiner.report(name, clock.now_ms(), most, group, started_ms))

    fleet_pid = os.getpid()
    name = (
        f"{os.uname().nodename}-{fleet_pid}-{token_hex(2)}"  # in containers, host and process id may be another's too
    )
    group = settings.worker.group or name

    def work(seat: Seat) -> int:
        tools = examiner.tools
        if tools is None:
            return 0  # it was there when the seat was wanted
        return work_in(
            seat,
            group,
            fleet_pid,
            settings,
            policy,
            clock,
            lambda execution: render(execution, settings, policy, clock, tools),
        )

    storage = open_storage(settings.storage)
    chores = (
        Chore("tend", TEND_SECONDS, queue.tend),
        Chore("report", REPORT_SECONDS, report),
        Chore("tidy", TIDY_SECONDS, lambda: tidy(queue, storage)),
    )
    code = Fleet(work, wanted, chores, clock, settings.worker.shutdown_grace_seconds, name).run()
    with suppress(QueueUnavailable):  # then the report ages
        queue.leave(name)
    return code


def work_in(
    seat: Seat, group: str, fleet_pid: int, settings: Settings, policy: QueuePolicy, clock: Clock, horse: Render
) -> int:
    """A worker's whole life, in its own process."""
    from flowscale_worker.leased_worker import LeasedWorker  # RQ reads its prefix when it is imported

    queue = open_work_queue(settings.redis, policy, clock)
    client = worker_client(settings.redis)
    return LeasedWorker(seat, group, queue, client, horse, clock, settings.worker.shutdown_grace_seconds).live()


def render(execution: Execution, settings: Settings, policy: QueuePolicy, clock: Clock, tools: Tools) -> int:
    """A work horse's whole life, in its own process, which GIVE_BACK asks to give its job back. It is born with that
    signal held, and with those that end processes."""
    from flowscale_worker.leased_worker import GIVE_BACK, HORSE_DONE, HORSE_FAILED, HORSE_OTHER

    stopping = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(GIVE_BACK, stop)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # the worker hears them too, and decides
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    queue = open_work_queue(settings.redis, policy, clock)
    storage, scratch = open_storage(settings.storage), Scratch(settings.scratch_dir)
    try:
        kit = Kit(
            tools,
            settings.worker,
            clock,
            lambda: Stopped.SHUTDOWN if stopping else None,
            lambda _percent, _lines=(): None,
        )
        ended = Executor(queue, storage, scratch, kit).run(execution)
    finally:
        scratch.close()
        storage.close()
    return (
        {JobState.DONE: HORSE_DONE, JobState.ERROR: HORSE_FAILED}.get(ended.state, HORSE_OTHER)
        if ended
        else HORSE_OTHER
    )


def _warn_of_risks(queue: RedisWorkQueue) -> None:
    try:
        for warning in queue.warnings():
            _log.warning("queue.at_risk", warning)
    except QueueUnavailable:
        return  # the fleet's chores say so; gateways warn, too


def tidy(queue: RedisWorkQueue, storage: Storage) -> None:
    """Delete what executions that were lost had stored. Nobody else would: who ends a job may be lost straight after.

    Raises QueueUnavailable; FlowScaleError of the storage, and then looks again next time.
    """
    for untidy in queue.untidy():
        # What is listed first belongs to executions whose end the record, read after it, knows.
        stored = [each.key for each in storage.find(f"outputs/{untidy.job.id}/")]
        job = queue.find(untidy.job.id)
        if job is None or not job.state.is_final:
            continue  # somebody retried it
        for key in stored:
            if job.output is None or key != job.output.key:
                storage.delete(key)
        queue.tidied(untidy)


def _check_storage_and_scratch(settings: Settings) -> None:
    try:
        storage = open_storage(settings.storage)
        try:
            storage.check()
        finally:
            storage.close()
    except StorageRefused as error:
        raise SettingsError(f"STORAGE_TYPE {settings.storage.type}: {error.message}") from error
    except StorageUnavailable as error:
        if settings.storage.type == "local":
            raise SettingsError(f"STORAGE_DIR: {error.message}") from error
        # It may come back; renders wait for it.
        _log.warning("storage.unreachable", error.message)
    try:
        Scratch(settings.scratch_dir).close()
    except OSError as error:
        raise SettingsError(
            f"FLOWSCALE_SCRATCH_DIR: the files of renders cannot be kept in {settings.scratch_dir} ({error.strerror}); "
            "make it writable or name another folder"
        ) from error

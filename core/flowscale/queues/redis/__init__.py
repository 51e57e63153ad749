"""The queue over Redis or Valkey: many gateways, many workers, one set of facts.

`open_job_queue` is the gateway's door, `open_work_queue` the worker's, `open_scaling_queue` the operator's. Beneath
them every operation is written once (operations/) and changes a job's state by one Lua script (lua/).
"""

from __future__ import annotations

from flowscale.clocks import Clock
from flowscale.queues.base import QueuePolicy
from flowscale.queues.redis.connections import describe, gateway_client, worker_client
from flowscale.queues.redis.gateway import RedisJobQueue
from flowscale.queues.redis.keys import Keys
from flowscale.queues.redis.scaling import RedisScalingQueue
from flowscale.queues.redis.worker import RedisWorkQueue
from flowscale.settings import RedisSettings

__all__ = [
    "Keys",
    "RedisJobQueue",
    "RedisScalingQueue",
    "RedisWorkQueue",
    "open_job_queue",
    "open_scaling_queue",
    "open_work_queue",
]


def open_job_queue(settings: RedisSettings, policy: QueuePolicy, clock: Clock) -> RedisJobQueue:
    """For one gateway and its event loop. Connects when first used; `close` it there."""
    return RedisJobQueue(gateway_client(settings), Keys(settings.prefix), policy, clock, describe(settings))


def open_scaling_queue(settings: RedisSettings, policy: QueuePolicy, clock: Clock) -> RedisScalingQueue:
    """For one operator and its event loop. Connects when first used; `close` it there. A call ends within 2 s."""
    return RedisScalingQueue(gateway_client(settings), Keys(settings.prefix), policy, clock, describe(settings))


def open_work_queue(settings: RedisSettings, policy: QueuePolicy, clock: Clock) -> RedisWorkQueue:
    """For one process (a forked child opens its own). Connects when first used."""
    return RedisWorkQueue(worker_client(settings), Keys(settings.prefix), policy, clock, describe(settings))

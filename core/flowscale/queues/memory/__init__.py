"""The queue in one process. `MemoryQueue` is the door; the rest is its bookkeeping."""

from flowscale.queues.memory.backend import MemoryQueue

__all__ = ["MemoryQueue"]

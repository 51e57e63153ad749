"""What the queue does, each operation written once: generators over batches of commands (scripts.py). No I/O.

Every change of a job's state is one script. Where a script needs keys that only the server can name (the next job, the
expired leases), a look that writes nothing comes first, and the script refuses to act on anything but what it was
given: then the operation looks again.
"""

from __future__ import annotations

from flowscale.queues.redis.operations.accepting import Accepting
from flowscale.queues.redis.operations.asking import Asking
from flowscale.queues.redis.operations.executions import Executions, Fetched
from flowscale.queues.redis.operations.scaling import Scaling
from flowscale.queues.redis.operations.tending import Tending

__all__ = ["Fetched", "Operations"]


class Operations(Executions, Tending, Accepting, Asking, Scaling):
    """All of them, over one set of keys."""

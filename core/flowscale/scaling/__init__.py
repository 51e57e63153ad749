"""How many workers there should be: the one decision that the fleet of one machine and the operator of a cluster share.

`decide` reads nothing and does nothing. It is given what was read, when, and what it remembered itself, and says how
many workers are wanted, why, and what held it back. Times are Unix milliseconds. docs/scaling.md shows it at work.

**Demand.** A busy worker is one that renders. With `jobs_per_worker` as the target,

    demand = max(busy, ceil((renders + waiting + due) / jobs_per_worker))

that is, each worker has `jobs_per_worker` jobs to see to, the ones it renders included. Running jobs count in the sum
because a job that moves from the line to a worker must not change it: were only the line divided, every start of a
job would call for another worker. `busy` bounds it from below: no worker that renders can be spared. `due` are jobs
that wait, though nobody has put them in the line yet. With `max_wait_ms` as the target, demand is the fewest workers
that let no waiting job start later than that (schedule.py).

**Delayed retries** wait in no line and nobody would start for them. From `warm_up_ms` before the next is due, demand
is at least one.

**Up** at once, in one step, as far as `maximum` and `max_step_up` allow; the minimum is reached whatever the step.

**Down** to the highest demand of the last `idle_ms`, once all of it was seen to be lower than the present size. So
demand that swings does not make the size swing with it, and the workers of a queue that has emptied are gone exactly
`idle_ms` after its last job. A round that is missing, unknown or more than `stale_ms` later than the one before it
starts the wait anew. In no case is the size less than `busy`.

**Steps down are gathered.** When more workers will have been idle for long enough within `gather_ms`, the step waits
for them: for that long from when it first was possible, and beyond that only if the last of them are no further off.
Two steps within `SPACING_MS` need a change of demand between them, and a step that `max_step_down_percent` cuts short
is followed by the next after `idle_ms`. A step that was decided and not carried out (a worker that was asked first
refused) stays due. A maximum that was lowered is an order and waits for nothing.

**More demand never means fewer workers**: of two rounds with the same past, the one that sees more asks for no fewer.
That is why a round is held up by what earlier rounds saw, never by what it sees itself.

**Unknown** is not zero. Without every count, not older than `stale_ms`, the size stays as it is; only what lies below
the minimum is raised to it.
"""

from __future__ import annotations

from flowscale.scaling.deciding import Decision, decide
from flowscale.scaling.history import SPACING_MS, History, Peak, Step
from flowscale.scaling.terms import Limit, Policy, Reason, Snapshot

__all__ = ["SPACING_MS", "Decision", "History", "Limit", "Peak", "Policy", "Reason", "Snapshot", "Step", "decide"]

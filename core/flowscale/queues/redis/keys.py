"""Every key of the queue, in one place. Pure.

All begin with the prefix, which is one hash tag: a clustered or serverless Redis keeps them in one slot. Those under
"RQ's" have the names, types and contents that RQ 3.0 gives them, so that `rq info` and RQ's exporters read them
(`RQ_KEY_PREFIX` set to the prefix). The rest is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from flowscale.jobs import Priority
from flowscale.queues.base import PRIORITY_ORDER

QUEUE = "flowscale-render"
"""Fixed by the service FlowScale replaces; the line of normal priority. The others append their priority."""


def queue_name(priority: Priority) -> str:
    """RQ's name of the line of this priority."""
    return QUEUE if priority is Priority.NORMAL else f"{QUEUE}-{priority}"


QUEUES = tuple(queue_name(priority) for priority in PRIORITY_ORDER)
"""RQ's names of the lines, most urgent first."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The key names under one prefix."""

    prefix: str

    def of(self, *parts: str) -> str:
        return ":".join((self.prefix, *parts))

    # RQ's.

    @property
    def queues(self) -> str:
        return self.of("queues")

    @property
    def suspended(self) -> str:
        """RQ's flag (`rq suspend`): while it exists no job is handed out."""
        return self.of("suspended")

    def record(self, job_id: str) -> str:
        return self.of("job", job_id)

    def line(self, priority: Priority) -> str:
        return self.of("queue", queue_name(priority))

    def started(self, priority: Priority) -> str:
        return self.of("wip", queue_name(priority))

    def owned_by_rq(self, job_id: str) -> tuple[str, ...]:
        """What RQ's own tools may have made for a job."""
        return (
            self.of("results", job_id),
            self.of("executions", job_id),
            self.of("job", job_id, "dependents"),
            self.of("job", job_id, "dependencies"),
        )

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(self.line(priority) for priority in PRIORITY_ORDER)

    # Ours.

    def events(self, job_id: str) -> str:
        return self.of("events", job_id)

    def log(self, job_id: str) -> str:
        return self.of("log", job_id)

    def facts(self, job_id: str) -> str:
        """What the job's executions told (told.py): `told`, and `tail:NUMBER` of each attempt."""
        return self.of("facts", job_id)

    @property
    def cards(self) -> str:
        """Cards by job id (finding.py)."""
        return self.of("cards")

    @property
    def find(self) -> str:
        """The words of the cards: `word NUL job id`, all scores 0."""
        return self.of("find")

    def beside(self, job_id: str) -> tuple[str, str, str]:
        """The last keys of every script that works on one job (lua/shared.lua), in its order."""
        return self.facts(job_id), self.cards, self.find

    @property
    def removed(self) -> str:
        """Ids of removed jobs whose outputs are to be deleted still, by ms."""
        return self.of("removed")

    @property
    def history(self) -> str:
        """Samples of the last minutes (history.py), oldest first."""
        return self.of("history")

    @property
    def audit(self) -> str:
        return self.of("audit")

    @property
    def every_job(self) -> str:
        return self.of("jobs")

    def in_state(self, state: str) -> str:
        """Ids of the jobs in a public state: all scores 0, so that they are sorted by id."""
        return self.of("jobs", state)

    @property
    def leases(self) -> str:
        return self.of("leases")

    @property
    def delayed(self) -> str:
        return self.of("delayed")

    @property
    def holders(self) -> str:
        return self.of("holders")

    @property
    def turns(self) -> str:
        return self.of("turns")

    @property
    def ended(self) -> tuple[str, str]:
        return self.of("ended", "done"), self.of("ended", "error")

    @property
    def counters(self) -> str:
        return self.of("counters")

    @property
    def durations(self) -> str:
        return self.of("durations")

    @property
    def live(self) -> str:
        """Notes of the jobs that wait or run (lua/shared.lua)."""
        return self.of("live")

    @property
    def profiles(self) -> str:
        """How long renders of each profile take (lua/shared.lua)."""
        return self.of("profiles")

    @property
    def draining(self) -> str:
        """Until when groups of workers fetch nothing: ms by group."""
        return self.of("draining")

    @property
    def aside(self) -> str:
        return self.of("aside")

    @property
    def untidy(self) -> str:
        """Ids of jobs that lost an execution, which may have stored an output that no job names."""
        return self.of("untidy")

    @property
    def idempotency(self) -> tuple[str, str]:
        """Idempotency-Keys, and when each is forgotten."""
        return self.of("idempotency"), self.of("idempotency", "until")

    @property
    def reports(self) -> tuple[str, str]:
        """What workers said of themselves, and when."""
        return self.of("reports"), self.of("reports", "at")

    # Channels, which are no keys.

    @property
    def news(self) -> str:
        """Told the id of a job at each of its events; gateways listen."""
        return self.of("news")

    @property
    def wake(self) -> str:
        """Told the id of a job that may be fetched; workers and the operator listen."""
        return self.of("wake")

    @property
    def freed(self) -> str:
        """Told the id of a job whose execution ended; the operator listens."""
        return self.of("freed")

    def job_keys(self, job_id: str, priority: Priority) -> tuple[str, ...]:
        """The job's keys of every script (lua/shared.lua), in its order."""
        return (self.record(job_id), self.events(job_id), self.log(job_id), *_shared_keys(self, priority))


@cache
def _shared_keys(keys: Keys, priority: Priority) -> tuple[str, ...]:
    """Those of a job's keys that it shares with others of its line. Made once: they are most of what is sent."""
    queue = queue_name(priority)
    registries = (keys.of(kind, queue) for kind in ("wip", "scheduled", "finished", "failed"))
    states = (keys.in_state(state) for state in ("queued", "running", "done", "error"))
    return (
        keys.line(priority),
        *registries,
        keys.leases,
        keys.delayed,
        keys.holders,
        keys.of("joined"),
        *states,
        *keys.ended,
        keys.counters,
        keys.durations,
        keys.live,
        keys.profiles,
    )

"""A delivery: one message about one end of one job, to one endpoint. Pure.

An endpoint is named, not written out: `own` and a hash for one of the installation, whose URL stands in the settings
alone; `url` and a hash for a URL that came with a job. The hash of the latter is that of its host and port, so that
what one host holds up is only what goes to that host.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from flowscale.jobs import Failure, Output, Target

_ID = re.compile(r"msg_(job_[0-9]{13}_[0-9a-f]{32})_([1-9][0-9]{0,8})_((?:own|url)[0-9a-f]{12})\Z")


class DeliveryState(StrEnum):
    PENDING = "pending"  # to be tried, or tried again
    DELIVERED = "delivered"  # final: the endpoint answered 2xx
    FAILED = "failed"  # final: given up; a person may replay it


@dataclass(frozen=True, slots=True)
class Ended:
    """What is told: the end of a job as it was when it ended. `at_ms` is Unix ms."""

    job_id: str
    at_ms: int
    project_id: str | None = None
    output: Output | None = None
    duration_ms: int | None = None
    failure: Failure | None = None

    @property
    def status(self) -> str:
        """The contract's word: done or error."""
        return "done" if self.failure is None else "error"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message on its way. Times are Unix ms. `id` is the webhook-id, the same over all tries and replays."""

    id: str
    target: Target
    ended: Ended
    since_ms: int  # when the time began after which it is given up: the end of the job, or the last replay
    state: DeliveryState = DeliveryState.PENDING
    tries: int = 0  # since then; one that is going on counts
    tried_ms: int | None = None  # the last try
    next_ms: int | None = None  # the next try; None once final
    status: int | None = None  # HTTP status of the last answer; None without one
    fault: str | None = None  # why the last try failed, in a sentence
    answer: str = ""  # how the last answer's body began


@dataclass(frozen=True, slots=True)
class Claim:
    """A try that is this caller's to make. `token` is the fence: another claim of the delivery takes it away."""

    delivery: Delivery
    token: str
    now_ms: int  # by the queue's clock


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a try. PENDING: to be tried again in `delay_ms`; `counts` False: it was not made to its end."""

    state: DeliveryState
    delay_ms: int = 0
    status: int | None = None
    fault: str | None = None
    answer: str = ""
    counts: bool = True


def own_target(url: str) -> Target:
    """Of an endpoint of the installation: its URL is a secret of the settings, and is not kept."""
    return Target("own" + _short(url))


def url_target(url: str) -> Target:
    """Of a URL that came with a job."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return Target("url" + _short(f"{(parts.hostname or '').lower()}:{port}"), url)


def delivery_id(job_id: str, number: int, target: str) -> str:
    """`number`: the how-manieth end of the job it tells of, from 1."""
    return f"msg_{job_id}_{number}_{target}"


def target_in(delivery: str) -> str | None:
    """The name of the endpoint in a delivery's id; None for a text that is no id."""
    found = _ID.match(delivery)
    return found[3] if found else None


def is_own(target: str) -> bool:
    return target.startswith("own")


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]

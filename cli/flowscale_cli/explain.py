"""`flowscale queue explain`: what the queue says to an operator, and what `decide` makes of it."""

from __future__ import annotations

from typing import Any

from flowscale.clocks import SystemClock
from flowscale.queues.base import WORKER_SEEN_MS, QueuePolicy
from flowscale.queues.scaling_view import Demand, snapshot_of
from flowscale.scaling import Decision, History, Policy, Snapshot, decide
from flowscale.settings import RedisSettings
from flowscale_cli.policy_options import policy_json, policy_text
from flowscale_cli.screen import facts, say, say_json, table


async def read_demand(settings: RedisSettings) -> Demand:
    """Raises QueueUnavailable."""
    from flowscale.queues.redis import open_scaling_queue

    queue = open_scaling_queue(settings, QueuePolicy(), SystemClock())
    try:
        return await queue.demand()
    finally:
        await queue.close()


def explain(demand: Demand, policy: Policy, workers: int | None, *, as_json: bool) -> None:
    """`workers`: how many there are; None: as many as reported lately, or are at work."""
    groups = {
        name
        for name, group in demand.groups.items()
        if group.busy or (group.slots and group.seen_ms is not None and group.seen_ms < WORKER_SEEN_MS)
    }
    present = len(groups) if workers is None else workers
    snapshot = snapshot_of(demand, groups, at_ms=demand.at_ms, workers=present)
    decision = decide(snapshot, policy, History(), demand.at_ms)
    if as_json:
        say_json(_as_json(demand, snapshot, policy, decision))
        return
    facts(_rows(demand, snapshot, policy))
    if demand.groups:
        say("")
        _groups(demand)
    say("")
    limit = f", limited by {decision.limited_by}" if decision.limited_by else ""
    facts({"policy": policy_text(policy), "decision": f"{decision.reason}{limit}", "": decision.message})
    if decision.wanted == present and present > policy.minimum:
        say("An operator remembers earlier rounds too, so it may know of workers that have been idle for long enough.")


def _rows(demand: Demand, snapshot: Snapshot, policy: Policy) -> dict[str, str]:
    oldest = "" if demand.oldest_wait_ms is None else f", the oldest for {demand.oldest_wait_ms / 1000:.0f} s"
    due = "" if demand.next_due_ms is None else f", the first due in {(demand.next_due_ms - demand.at_ms) / 1000:.0f} s"
    known = [job.predicted_ms for job in demand.line if job.predicted_ms is not None]
    rows = {
        "waiting": f"{demand.waiting}{oldest}",
        "retries": f"{demand.due} due, {demand.delayed} delayed{due}",
        "workers": f"{snapshot.workers}, of which {snapshot.busy} busy with {snapshot.renders} renders",
        "paused": "yes: no job is handed out (flowscale queue resume)" if demand.paused else "no",
    }
    if policy.max_wait_ms is not None:
        mean = f", {sum(known) / len(known) / 1000:.1f} s each on average" if known else ""
        rows["predicted"] = f"{len(known)} of the first {len(demand.line)} that wait{mean}"
    return rows


def _groups(demand: Demand) -> None:
    rows = [("GROUP", "BUSY", "AT ONCE", "DRAINING", "REPORTED")]
    for name, group in demand.groups.items():
        seen = "never" if group.seen_ms is None else f"{group.seen_ms / 1000:.0f} s ago"
        rows.append((name, str(group.busy), str(group.slots), "yes" if group.draining else "no", seen))
    table(rows)


def _as_json(demand: Demand, snapshot: Snapshot, policy: Policy, decision: Decision) -> dict[str, Any]:
    return {
        "reading": {
            "atMs": demand.at_ms,
            "waiting": demand.waiting,
            "due": demand.due,
            "delayed": demand.delayed,
            "nextDueMs": demand.next_due_ms,
            "oldestWaitMs": demand.oldest_wait_ms,
            "paused": demand.paused,
            "workers": snapshot.workers,
            "busy": snapshot.busy,
            "renders": snapshot.renders,
            "groups": {
                name: {
                    "busy": group.busy,
                    "slots": group.slots,
                    "draining": group.draining,
                    "seenMs": group.seen_ms,
                }
                for name, group in demand.groups.items()
            },
        },
        "policy": policy_json(policy),
        "decision": {
            "wanted": decision.wanted,
            "reason": decision.reason,
            "limitedBy": decision.limited_by,
            "message": decision.message,
        },
    }

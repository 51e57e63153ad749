"""`flowscale simulate`: what a policy would have done with the jobs of a trace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flowscale.scaling import Policy
from flowscale.scaling.simulation import Change, Simulation, simulate
from flowscale_cli.charts import chart, columns
from flowscale_cli.policy_options import policy_json, policy_text
from flowscale_cli.screen import facts, say, say_json, table
from flowscale_cli.traces import read_trace

WIDTH = 72
"""Columns of a chart: with its scale it fits a terminal of 80."""

HEIGHT = 5
CHANGES_SHOWN = 30


def run_simulation(trace: Path, policy: Policy, *, as_json: bool) -> None:
    """Raises InvalidOptions for a trace that cannot be read; OSError."""
    simulation = simulate(read_trace(trace), policy, start_ms=policy.warm_up_ms)
    if as_json:
        say_json(_as_json(simulation, policy))
        return
    facts(_rows(simulation, policy))
    say("")
    _changes(simulation.changes)
    say("")
    end = simulation.moments[-1].at_ms
    waiting = columns([(moment.at_ms, moment.waiting) for moment in simulation.moments], end, WIDTH)
    workers = columns([(moment.at_ms, moment.workers) for moment in simulation.moments], end, WIDTH)
    for title, values in (("jobs that wait", waiting), ("workers", workers)):
        for line in chart(title, values, HEIGHT):
            say(line)
    say(f"  0 s{f'{end / 1000:g} s':>{WIDTH - 1}}")


def _rows(simulation: Simulation, policy: Policy) -> dict[str, str]:
    waits = _waits(simulation)
    directions = Counter("up" if change.after > change.before else "down" for change in simulation.changes)
    share = 100 * simulation.render_ms / (simulation.worker_ms * policy.renders_per_worker or 1)
    return {
        "policy": policy_text(policy),
        "jobs": str(len(simulation.waits_ms)),
        "waited": ", ".join(f"{name} {ms / 1000:.1f} s" for name, ms in waits.items()),
        "workers": f"{max(moment.workers for moment in simulation.moments)} at most, "
        f"{directions['up']} steps up, {directions['down']} down",
        "time": f"{simulation.worker_ms / 3_600_000:.2f} hours of workers, {share:.0f} % of it rendering",
    }


def _waits(simulation: Simulation) -> dict[str, float]:
    ordered = sorted(simulation.waits_ms)
    return {
        "mean": sum(ordered) / len(ordered),
        "half at most": ordered[(len(ordered) - 1) // 2],
        "95 % at most": ordered[-(-95 * len(ordered) // 100) - 1],
        "longest": ordered[-1],
    }


def _changes(changes: Sequence[Change]) -> None:
    rows = [("AT", "FROM", "TO", "REASON", "LIMITED BY")]
    rows += [
        (f"{change.at_ms / 1000:g} s", str(change.before), str(change.after), change.reason, change.limited_by or "-")
        for change in changes[:CHANGES_SHOWN]
    ]
    table(rows)
    if len(changes) > CHANGES_SHOWN:
        say(f"and {len(changes) - CHANGES_SHOWN} more; --json tells all of them")


def _as_json(simulation: Simulation, policy: Policy) -> dict[str, Any]:
    mean, half, most, longest = _waits(simulation).values()
    return {
        "policy": policy_json(policy),
        "jobs": len(simulation.waits_ms),
        "waitMs": {"mean": round(mean), "p50": half, "p95": most, "max": longest},
        "workerMs": simulation.worker_ms,
        "renderMs": simulation.render_ms,
        "changes": [
            {
                "atMs": change.at_ms,
                "from": change.before,
                "to": change.after,
                "reason": change.reason,
                "limitedBy": change.limited_by,
                "message": change.message,
            }
            for change in simulation.changes
        ],
        "moments": [
            {"atMs": moment.at_ms, "waiting": moment.waiting, "busy": moment.busy, "workers": moment.workers}
            for moment in simulation.moments
        ],
    }

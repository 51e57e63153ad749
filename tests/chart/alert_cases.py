"""For each alert the figures that its fault produces, minute by minute: when it must be raised, and when it must end.

Every 30 s there is a sample and an evaluation. `history` writes a series as a list of spans: (minutes, value) for a
figure that stands still, (minutes, value, step) for one that grows by `step` with each sample, (minutes, None) for one
that is gone (a target that cannot be read leaves none).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from chart.rules import CLAIMS, GATEWAY, OPERATOR

PER_MINUTE = 2

Span = tuple[float, float | None] | tuple[float, float | None, float]


@dataclass(frozen=True, slots=True)
class Case:
    """`raised` and `ended`: the first minute in which the alert fires, and the first in which it no longer does."""

    alert: str
    series: Mapping[str, str]
    raised: float
    ended: float
    labels: Mapping[str, str] = field(default_factory=dict)  # that the alert has beside its name and severity


def series(name: str, of: Mapping[str, str], **labels: str) -> str:
    inside = ",".join(f'{label}="{value}"' for label, value in {**of, **labels}.items())
    return f"{name}{{{inside}}}"


def history(*spans: Span) -> str:
    """In promtool's notation."""
    words = []
    for minutes, value, *step in spans:
        samples = round(minutes * PER_MINUTE)
        if value is None:
            words += ["stale", *([f"_x{samples - 1}"] if samples > 1 else [])]
        else:
            words.append(f"{value:g}+{step[0] if step else 0:g}x{samples - 1}")
    return " ".join(words)


def gauge(name: str, healthy: float, broken: float | None, minutes: float, **labels: str) -> dict[str, str]:
    """A gateway's figure that is broken from minute 10 on, for so many minutes."""
    return {series(name, GATEWAY, **labels): history((10, healthy), (minutes, broken), (10, healthy))}


def cases(oldest_s: int, max_waiting: int, failure_percent: int) -> Sequence[Case]:
    """For a chart with these values."""
    assert failure_percent == 20, "the counts below are chosen for it"
    return (
        Case(
            "FlowScaleDown",
            gauge("flowscale_queue_up", 1, None, 10),
            13,
            20,
            {label: GATEWAY[label] for label in ("namespace", "service")},
        ),
        Case("FlowScaleQueueUnreachable", gauge("flowscale_queue_up", 1, 0, 10), 11, 20),
        Case("FlowScaleQueueAtRisk", gauge("flowscale_queue_risks", 0, 1, 20), 25, 30),
        Case(
            # Seen with the first key that goes, until the sample before it has left the 15 minutes.
            "FlowScaleQueueEvicting",
            {series("flowscale_queue_evicted_keys_total", GATEWAY): history((10, 0), (30, 5))},
            11,
            25,
        ),
        Case(
            "FlowScaleQueueOld",
            {
                **gauge("flowscale_queue_oldest_wait_seconds", oldest_s, oldest_s + 1, 10),
                **gauge("flowscale_queue_paused", 0, 0, 10),
            },
            15,
            20,
        ),
        Case(
            "FlowScaleQueueFull",
            gauge("flowscale_queue_jobs", 0.9 * max_waiting, 0.9 * max_waiting + 1, 10, state="waiting"),
            15,
            20,
        ),
        Case("FlowScaleQueuePaused", gauge("flowscale_queue_paused", 0, 1, 70), 70, 80),
        Case(
            "FlowScaleNoWorkers",
            {
                series("flowscale_queue_jobs", GATEWAY, state="waiting"): history((30, 3)),
                **gauge("flowscale_worker_able", 1, None, 10, worker="w-1"),
            },
            15,
            20,
        ),
        Case(
            "FlowScaleWorkersSilent",
            gauge("flowscale_worker_report_age_seconds", 90, 91, 5, worker="w-1"),
            11,
            15,
            {"worker": "w-1"},
        ),
        Case(
            "FlowScaleWorkerUnable",
            gauge("flowscale_worker_able", 1, 0, 10, worker="w-1"),
            15,
            20,
            {"worker": "w-1"},
        ),
        Case(
            # One job a minute is done. From minute 10 on as many fail: more than 3 of them by minute 14, for 5 minutes.
            # They stop at minute 30: at minute 52, 7.5 of the last half hour's 37.5 jobs have failed, which is 20 %.
            "FlowScaleJobsFailing",
            {
                series("flowscale_jobs_processed_total", GATEWAY, status="done"): history((80, 0, 0.5)),
                series("flowscale_jobs_processed_total", GATEWAY, status="error"): history(
                    (10, 0), (20, 0.5, 0.5), (50, 20)
                ),
            },
            18,
            52,
        ),
        Case(
            "FlowScaleWorkersLost",
            {series("flowscale_job_stalls_total", GATEWAY): history((10, 0), (2, 1, 1), (30, 4))},
            12.5,
            25,
        ),
        Case(
            "FlowScaleStorageFailing",
            {
                # Of a storage that refuses, no attempt is tried again: the other figure of the same code stays 0.
                series("flowscale_jobs_failed_total", GATEWAY, code="STORAGE_ERROR"): history((10, 0), (30, 1)),
                series("flowscale_job_retries_total", GATEWAY, code="STORAGE_ERROR"): history((40, 0)),
                series("flowscale_job_retries_total", GATEWAY, code="NO_OUTPUT"): history((40, 0, 1)),
            },
            11,
            25,
        ),
        Case(
            "FlowScaleStorageUnreachable",
            {
                series("flowscale_gateway_storage_failures_total", GATEWAY, operation="check", code="C"): history(
                    (10, 0), (5, 1, 1), (15, 10)
                )
            },
            13.5,
            18,
        ),
        Case(
            "FlowScaleGatewayFull",
            {
                **gauge("flowscale_gateway_connections", 900, 901, 10),
                **gauge("flowscale_gateway_connections_max", 1000, 1000, 10),
            },
            15,
            20,
            {"pod": GATEWAY["pod"]},
        ),
        Case(
            "FlowScaleWebhooksFailing",
            {series("flowscale_webhooks_failed_total", GATEWAY): history((10, 0), (30, 1))},
            11,
            25,
        ),
        *operator_cases(),
        *(
            Case(
                "FlowScaleVolumeFull",
                {
                    _volume("available", claim): history((10, 10), (10, 9), (10, 10)),
                    _volume("capacity", claim): history((30, 100)),
                },
                15,
                20,
                {"namespace": GATEWAY["namespace"], "persistentvolumeclaim": claim},
            )
            for claim in CLAIMS
        ),
    )


def operator_cases() -> Sequence[Case]:
    leads = {series("flowscale_operator_leader", OPERATOR): history((40, 1))}
    return (
        Case(
            # The second replica waits; it takes over ten minutes after the first has lost its Lease.
            "FlowScaleOperatorDown",
            {
                series("flowscale_operator_leader", OPERATOR): history((10, 1), (20, None)),
                series("flowscale_operator_leader", {**OPERATOR, "pod": "flowscale-operator-1"}): history(
                    (20, 0), (10, 1)
                ),
            },
            13,
            20,
        ),
        Case(
            # One that does not lead reads no queue, and must not raise it.
            "FlowScaleOperatorBlind",
            {
                **leads,
                series("flowscale_operator_queue_up", OPERATOR): history((10, 1), (10, 0), (10, 1)),
                series("flowscale_operator_leader", {**OPERATOR, "pod": "flowscale-operator-1"}): history((40, 0)),
                series("flowscale_operator_queue_up", {**OPERATOR, "pod": "flowscale-operator-1"}): history((40, 0)),
            },
            12,
            20,
        ),
        Case(
            # A loop that may wait for ever never hangs.
            "FlowScaleOperatorStale",
            {
                series("flowscale_operator_round_age_seconds", OPERATOR, loop="look"): history(
                    (10, 60), (10, 61), (10, 1)
                ),
                series("flowscale_operator_round_limit_seconds", OPERATOR, loop="look"): history((30, 60)),
                series("flowscale_operator_round_age_seconds", OPERATOR, loop="wakes"): history((30, 60, 30)),
                series("flowscale_operator_round_limit_seconds", OPERATOR, loop="wakes"): " ".join(["Inf"] * 60),
            },
            11,
            20,
            {"pod": OPERATOR["pod"], "loop": "look"},
        ),
        Case(
            "FlowScaleScalerNotReady",
            {series("flowscale_scaler_ready", OPERATOR, scaler="s"): history((10, 1), (15, 0), (10, 1))},
            20,
            25,
            {"scaler": "s"},
        ),
    )


def _volume(what: str, claim: str) -> str:
    labels = {"namespace": GATEWAY["namespace"], "persistentvolumeclaim": claim}
    return series(f"kubelet_volume_stats_{what}_bytes", labels)

"""docs/metrics.md, from the descriptions of what gateway and operator show."""

from __future__ import annotations

from collections.abc import Sequence

from flowscale.exposition import Described, Kind
from flowscale.metrics import QUEUE_FIGURES
from flowscale_api.wire.figures import GATEWAY_FIGURES
from flowscale_operator.meters import OPERATOR_FIGURES

HEAD = """# Metrics

Generated from the code by `make generate`; edit the descriptions there.

Gateways and operators answer `GET /metrics` in Prometheus' text format. Workers do not: they may be scaled to zero, and
a figure that is gone with its pod is none. What a worker knows it hands to the queue with the end of each render, which
counts it in the same step, once, whatever is killed; every gateway shows it.

What alerts over these figures mean stands in the [runbook](runbook.md#alerts). The rules come with the chart, where
they lie in `charts/flowscale/files/alerts` (`metrics.prometheusRule.enabled`), and as a plain rule file for one machine
in `deploy/prometheus/alerts.yaml` ([how to load it](one-machine.md#alerts)). The dashboard comes with the chart, too
(`metrics.dashboard.enabled`); it is `charts/flowscale/files/dashboard.json`.
"""

OF_THE_QUEUE = """Shown by every gateway, and the same on all of them: take `max` over gateways, not `sum`. They are the
queue's, and outlive every process but a server that saves nothing. While the queue cannot be read only the first two
are shown: unknown is not zero."""

OF_A_GATEWAY = """Shown by each gateway, its own: take `sum` over gateways. They begin at 0 with the process. Those of
connections are shown behind our own server alone, not behind another one that runs the application."""

OF_AN_OPERATOR = "Shown by each replica of the operator; one that does not lead shows what it did last."

SECTIONS: tuple[tuple[str, str, Sequence[Described]], ...] = (
    ("The queue", OF_THE_QUEUE, QUEUE_FIGURES),
    ("A gateway", OF_A_GATEWAY, GATEWAY_FIGURES),
    ("An operator", OF_AN_OPERATOR, OPERATOR_FIGURES),
)

TAIL = """
Names that clients of the service before depend on, buckets too: `flowscale_jobs_processed_total` and
`flowscale_job_duration_seconds`. Beside a counter or a histogram of the operator the library shows a series ending in
`_created`: the time at which the series began.
"""


def metrics_page() -> str:
    """The page: a table for each program."""
    return HEAD + "".join(_section(*section) for section in SECTIONS) + TAIL


def _section(title: str, story: str, figures: Sequence[Described]) -> str:
    head = "| name | type | labels | unit | meaning |\n| --- | --- | --- | --- | --- |"
    return f"\n## {title}\n\n{story}\n\n{head}\n" + "".join(f"{_row(figure)}\n" for figure in figures)


def _row(figure: Described) -> str:
    labels = ", ".join(f"`{label}`" for label in figure.labels) or "-"
    meaning = figure.meaning
    if figure.kind is Kind.HISTOGRAM:
        meaning += f". Buckets: {', '.join(f'{bucket:g}' for bucket in figure.buckets)}"
    return f"| `{figure.shown_as}` | {figure.kind} | {labels} | {figure.unit or '-'} | {meaning} |"

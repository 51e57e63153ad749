"""deploy/prometheus/alerts.yaml: the chart's alerts over gateways, as a rule file for a Prometheus of one machine.

There gateways are known by the name of Prometheus' own job, and one from another by its `instance`: nobody adds the
labels of Kubernetes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

RULES = "charts/flowscale/files/alerts/gateways.yaml"
VALUES = "charts/flowscale/values.yaml"

HEAD = """# Alerts over what gateways show, for a Prometheus whose job `flowscale` reads them, as in prometheus.yml.
# Generated from {rules} by `make generate`. Each has its section in docs/runbook.md.
"""


def one_machine_alerts(root: Path) -> str:
    """The file, with the chart's default thresholds."""
    values: dict[str, Any] = yaml.safe_load((root / VALUES).read_text())
    chosen = values["metrics"]["prometheusRule"]
    text = (root / RULES).read_text()
    for word, value in {
        "$gateways": 'job="flowscale"',
        "by (pod)": "by (instance)",
        "$labels.pod": "$labels.instance",
        "$oldestWaitSeconds": str(chosen["oldestWaitSeconds"]),
        "$maxWaiting": str(values["queue"]["maxWaiting"]),
        "$failurePercent": str(chosen["failurePercent"]),
        "api.maxConnections": "FLOWSCALE_MAX_CONNECTIONS",
        "Pods may be pending or failing.": "Workers may not run, or fail.",
    }.items():
        text = text.replace(word, value)
    rules = [_rule(rule, chosen["runbookUrl"]) for rule in yaml.safe_load(text)]
    file = {"groups": [{"name": "flowscale", "rules": rules}]}
    return HEAD.format(rules=RULES) + yaml.safe_dump(file, sort_keys=False, width=1000)


def _rule(rule: dict[str, str], runbook: str) -> dict[str, Any]:
    return {
        "alert": rule["alert"],
        "expr": rule["expr"],
        "for": rule["for"],
        "labels": {"severity": rule["severity"]},
        "annotations": {
            "summary": rule["summary"],
            "description": rule["description"],
            "runbook_url": f"{runbook}{rule['alert'].lower()}",
        },
    }

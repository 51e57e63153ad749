"""The chart's alerts as they are installed, as Prometheus reads them: what Helm renders, less what Kubernetes adds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from chart.helm import NAMESPACE, RELEASE, render
from chart.merging import merged

GATEWAY = {"namespace": NAMESPACE, "service": f"{RELEASE}-api", "pod": f"{RELEASE}-api-0"}
"""The labels that the ServiceMonitor's way gives a gateway's series."""

OPERATOR = {"namespace": NAMESPACE, "pod": f"{RELEASE}-operator-0"}
"""The labels that the PodMonitor's way gives an operator's series."""

CLAIMS = (f"{RELEASE}-files", f"data-{RELEASE}-redis-0")

EVERYTHING: Mapping[str, Any] = {
    "metrics": {
        "serviceMonitor": {"enabled": True},
        "podMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True},
    }
}
"""Values with which every alert is rendered."""

_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = r"([0-9]+)(ms|s|m|h|d)"


def rule_file(values: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The groups of the one PrometheusRule, which is what a rule file of Prometheus holds."""
    (rules,) = [each for each in render(merged(EVERYTHING, values or {})) if each["kind"] == "PrometheusRule"]
    spec: dict[str, Any] = rules["spec"]
    return spec


def alerts(file: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The rules by the names of their alerts."""
    return {rule["alert"]: rule for group in file["groups"] for rule in group["rules"]}


def hastened(file: Mapping[str, Any], times: int) -> dict[str, Any]:
    """The same rules with every duration (`for`, and the range of every vector) divided by `times`.

    Nothing else is changed: thresholds stay what they are, those in seconds too, because the programs that are watched
    are not hastened. Raises ValueError for a duration that this would make shorter than a second.
    """

    def shorter(found: re.Match[str]) -> str:
        ms, rest = divmod(int(found[1]) * _UNITS[found[2]], times)
        if rest or ms < 1000:
            raise ValueError(f"{found[0]} cannot be divided by {times}")
        return f"{ms}ms"

    def rule(each: Mapping[str, Any]) -> dict[str, Any]:
        expression = re.sub(r"\[([^\]]+)\]", lambda found: f"[{re.sub(_DURATION, shorter, found[1])}]", each["expr"])
        return {**each, "expr": expression, "for": re.sub(_DURATION, shorter, each["for"])}

    return {"groups": [{**group, "rules": [rule(each) for each in group["rules"]]} for group in file["groups"]]}

"""Every alert, as the chart installs it, under Prometheus' own rule tester: raised under the figures of its fault, not
a moment before, and ended when they are gone.

tests/integration/test_alerts.py has the faults themselves.
"""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.alert_cases import PER_MINUTE, Case, cases
from chart.helm import ROOT, VALUES
from chart.rules import GATEWAY, alerts, hastened, rule_file

PROMTOOL = ROOT / ".tools" / "prometheus" / "bin" / "promtool"
STEP = 1 / PER_MINUTE
CHOSEN: dict[str, Any] = yaml.safe_load(VALUES.read_text())
CASES = cases(
    CHOSEN["metrics"]["prometheusRule"]["oldestWaitSeconds"],
    CHOSEN["queue"]["maxWaiting"],
    CHOSEN["metrics"]["prometheusRule"]["failurePercent"],
)

OF_GATEWAYS = [
    case for case in CASES if not case.alert.startswith(("FlowScaleOperator", "FlowScaleScaler", "FlowScaleVol"))
]


def promtool(*arguments: str | Path) -> None:
    assert PROMTOOL.exists(), "promtool is missing: `scripts/bootstrap prometheus` brings it"
    ended = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """The rule file of the chart's default values, with all that can be watched."""
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(rule_file()))
    return path


def at(minute: float) -> str:
    return f"{round(minute * 60)}s"


def firing(case: Case, minute: float, severity: str | None) -> dict[str, Any]:
    """Whether it fires then. None: it must not."""
    labels = {"alertname": case.alert, "alertstate": "firing", **case.labels}
    if severity is not None:
        labels["severity"] = severity
    told = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
    return {
        "expr": f'ALERTS{{alertname="{case.alert}",alertstate="firing"}}',
        "eval_time": at(minute),
        "exp_samples": [] if severity is None else [{"labels": f"ALERTS{{{told}}}", "value": 1}],
    }


def test_prometheus_takes_the_rules(rules: Path) -> None:
    promtool("check", "rules", "--lint-fatal", rules)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_an_alert_is_raised_by_its_fault_and_ends_with_it(case: Case, rules: Path, tmp_path: Path) -> None:
    played(case, rules, tmp_path)


def played(case: Case, rules: Path, folder: Path) -> None:
    """The case under these rules."""
    rule = alerts(yaml.safe_load(rules.read_text()))[case.alert]
    severity = rule["labels"]["severity"]
    wanted = [
        firing(case, case.raised - STEP, None),
        firing(case, case.raised, severity),
        firing(case, case.ended - STEP, severity),
        firing(case, case.ended, None),
        {"expr": f'count(ALERTS{{alertname="{case.alert}"}})', "eval_time": at(9.5), "exp_samples": []},
    ]
    test = {
        "rule_files": [str(rules)],
        "evaluation_interval": at(STEP),
        "tests": [
            {
                "interval": at(STEP),
                "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
                "promql_expr_test": wanted,
            }
        ],
    }
    path = folder / "test.yaml"
    path.write_text(yaml.safe_dump(test))
    promtool("test", "rules", path)


ONE_MACHINE = ROOT / "deploy" / "prometheus"


def on_one_machine(case: Case) -> Case:
    """The same figures, with the labels that a Prometheus without Kubernetes gives them."""
    here = {
        f'namespace="{GATEWAY["namespace"]}",service="{GATEWAY["service"]}"': 'job="flowscale"',
        "pod=": "instance=",
    }
    series = {}
    for name, values in case.series.items():
        for theirs, ours in here.items():
            name = name.replace(theirs, ours)
        series[name] = values
    labels = {"pod": "instance", "namespace": "job"}
    renamed = {labels.get(name, name): value for name, value in case.labels.items() if name != "service"}
    return replace(case, series=series, labels=renamed | ({"job": "flowscale"} if "job" in renamed else {}))


def test_prometheus_takes_the_configuration_for_one_machine() -> None:
    promtool("check", "rules", "--lint-fatal", ONE_MACHINE / "alerts.yaml")
    promtool("check", "config", "--syntax-only", ONE_MACHINE / "prometheus.yml")
    config = yaml.safe_load((ONE_MACHINE / "prometheus.yml").read_text())
    assert config["rule_files"] == ["alerts.yaml"]
    assert [job["job_name"] for job in config["scrape_configs"]] == ["flowscale"]


@pytest.mark.parametrize("case", OF_GATEWAYS, ids=lambda case: case.alert)
def test_so_it_is_on_one_machine(case: Case, tmp_path: Path) -> None:
    played(on_one_machine(case), ONE_MACHINE / "alerts.yaml", tmp_path)


def test_one_machine_has_all_alerts_over_gateways() -> None:
    here = alerts(yaml.safe_load((ONE_MACHINE / "alerts.yaml").read_text()))
    assert {case.alert for case in OF_GATEWAYS} == set(here)
    chart = alerts(rule_file())
    assert {name: each["annotations"]["runbook_url"] for name, each in here.items()} == {
        name: chart[name]["annotations"]["runbook_url"] for name in here
    }


def test_every_alert_has_a_case_and_every_case_its_alert() -> None:
    assert {case.alert for case in CASES} == set(alerts(rule_file()))


def test_hastened_rules_differ_in_their_durations_alone() -> None:
    before, after = alerts(rule_file()), alerts(hastened(rule_file(), 60))
    assert before.keys() == after.keys()
    assert (before["FlowScaleQueuePaused"]["for"], after["FlowScaleQueuePaused"]["for"]) == ("1h", "60000ms")
    assert "[30m]" in before["FlowScaleJobsFailing"]["expr"]
    assert "[30000ms]" in after["FlowScaleJobsFailing"]["expr"]
    assert before["FlowScaleWorkersSilent"]["expr"] == after["FlowScaleWorkersSilent"]["expr"]
    with pytest.raises(ValueError, match="cannot be divided"):
        hastened(rule_file(), 61)

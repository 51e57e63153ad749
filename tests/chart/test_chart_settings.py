"""The environment the chart gives is one that the programs take: names that exist, values that are valid."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.container_environment import environment
from chart.helm import Document, ci_files, render
from chart.pods import Pod, pods
from flowscale.settings import Settings, groups

CI = ci_files()
EVERY_EXAMPLE = pytest.mark.parametrize("example", CI.values(), ids=list(CI))
SETTINGS = {str(field.alias) for group in groups().values() for field in group.model_fields.values()}

OTHERS = {
    "POD_NAME": "names the pod in what the fleet reports of itself, and the operator in what it says",
    "POD_NAMESPACE": "is the operator's own namespace, the only one it looks at",
}
"""Names that the chart gives and that are no settings, with who reads them."""

NOT_OFFERED = {
    "AWS_REGION": "is read where S3_REGION is unset, which the chart sets",
    "FLOWSCALE_API_KEY": "is the command line's, which runs outside",
    "FLOWSCALE_FFMPEG": "is where the image has it",
    "FLOWSCALE_FFPROBE": "likewise",
    "FLOWSCALE_OPERATOR_HOST": "is every address of the pod by default, which the kubelet and Prometheus need",
    "FLOWSCALE_OPERATOR_NAMESPACE": "is POD_NAMESPACE by default: the Role ends at the namespace",
    "FLOWSCALE_URL": "is the command line's, which runs outside",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "has one value",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "is OTEL_EXPORTER_OTLP_ENDPOINT with the path of traces, the only signal",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "are OTEL_EXPORTER_OTLP_HEADERS, likewise",
    "OTEL_SERVICE_NAME": "is the component's own; service.namespace tells releases apart",
    "MAX_WORKERS": "bounds one machine that sizes itself; in a cluster others say how many pods there are",
}
"""Settings that no value of the chart sets, with the reason."""


@EVERY_EXAMPLE
def test_the_programs_take_the_environment_they_are_given(example: Path, tmp_path: Path) -> None:
    documents = render(base=example)
    seen = 0
    for pod, container in flowscale_containers(documents):
        given = environment(container, documents)
        unknown = given.keys() - SETTINGS - OTHERS.keys() - more_names(example, pod)
        assert not unknown, f"{pod.title}: {container['name']}"
        settings = Settings.load(with_files(given, pod, container, tmp_path))
        agrees(settings, pod)
        seen += 1
    assert seen >= 2, "gateway and worker at least"


def test_every_setting_is_within_reach_or_said_not_to_be() -> None:
    given = {name for example in CI.values() for name in names_given(example)}
    unreached = SETTINGS - given - NOT_OFFERED.keys()
    assert not unreached, "no example sets them: offer them, or say why not"
    offered = NOT_OFFERED.keys() & given
    assert not offered


@EVERY_EXAMPLE
def test_gateway_and_worker_agree_on_queue_and_storage(example: Path) -> None:
    documents = render(base=example)
    by_component = defaultdict(list)
    for pod, container in flowscale_containers(documents):
        if pod.owner["kind"] in ("Deployment", "StatefulSet"):
            by_component[pod.component].append(environment(container, documents))
    shared = [
        {
            name: value
            for name, value in given.items()
            if re.match(r"(REDIS|S3|R2|SUPABASE|STORAGE|QUEUE|FLOWSCALE_REDIS)_", name)
        }
        for component in ("api", "worker")
        for given in by_component[component]
    ]
    assert len(shared) >= 2
    assert all(each == shared[0] for each in shared)


def flowscale_containers(documents: list[Document]) -> Iterator[tuple[Pod, dict[str, Any]]]:
    """The containers that run one of our own programs."""
    for pod in pods(documents):
        for container in pod.containers():
            if container["name"] in ("api", "worker", "operator"):
                yield pod, container


def more_names(example: Path, pod: Pod) -> set[str]:
    """Those that the example gives the component beside what the chart does."""
    values = yaml.safe_load(example.read_text()) or {}
    return {entry["name"] for entry in values.get(pod.component, {}).get("extraEnv", [])}


def names_given(example: Path) -> set[str]:
    documents = render(base=example)
    return {name for _, container in flowscale_containers(documents) for name in environment(container, documents)}


def with_files(given: Mapping[str, str], pod: Pod, container: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """The same, with files that the container would find replaced by ones that are there."""
    mounted = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
    replaced = dict(given)
    for name in ("FLOWSCALE_REDIS_CA_FILE", "STORAGE_DIR", "FLOWSCALE_SCRATCH_DIR"):
        unused = name == "STORAGE_DIR" and given.get("STORAGE_TYPE") not in ("local", "nfs")
        if unused or name not in given:
            continue
        assert any(given[name] == path or given[name].startswith(f"{path}/") for path in mounted), (
            f"{pod.title}: {name} is {given[name]}, where nothing is mounted"
        )
        if name == "FLOWSCALE_REDIS_CA_FILE":
            file = folder / "ca.pem"
            file.write_text("")
            replaced[name] = str(file)
    return replaced


def agrees(settings: Settings, pod: Pod) -> None:
    """What the settings say of the pod is true of it."""
    assert settings.queue.mode == "redis", pod.title
    if pod.component == "worker" and pod.owner["kind"] == "Deployment":
        grace = pod.spec["terminationGracePeriodSeconds"]
        assert grace >= settings.worker.render_timeout_seconds + 60, pod.title
        assert settings.worker.shutdown_grace_seconds <= grace, pod.title

"""Every example under ci/ renders on both Helms into documents that Kubernetes takes, to the letter."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart import api_schemas
from chart.helm import (
    CHART,
    HELMS,
    NAMESPACE,
    Document,
    Refused,
    ci_files,
    read_documents,
    render,
    rendered_text,
    run,
    title,
)

CI = ci_files()
EVERY_EXAMPLE = pytest.mark.parametrize("example", CI.values(), ids=list(CI))
SELECTING = {"Deployment", "StatefulSet", "Service", "PodDisruptionBudget"}


@pytest.mark.parametrize("helm", HELMS)
@EVERY_EXAMPLE
def test_an_example_passes_the_linter(example: Path, helm: str) -> None:
    assert "0 chart(s) failed" in run(helm, "lint", "--strict", CHART, "--values", example)


@EVERY_EXAMPLE
def test_both_helms_make_the_same_of_an_example(example: Path) -> None:
    first, second = (rendered_text("{}", example, helm) for helm in HELMS)
    assert without_chance(read_documents(first)) == without_chance(read_documents(second))


@pytest.mark.parametrize("version", [api_schemas.OLDEST, api_schemas.NEWEST])
@EVERY_EXAMPLE
def test_kubernetes_knows_every_field(example: Path, version: str) -> None:
    faults = [fault for document in render(base=example) for fault in api_schemas.faults(document, version)]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("helm", HELMS)
def test_an_older_kubernetes_is_refused(helm: str) -> None:
    major, minor = api_schemas.OLDEST.split(".")
    run(helm, "template", CHART, "--kube-version", f"{major}.{minor}.0")
    with pytest.raises(Refused, match=r"requires kubeVersion"):
        run(helm, "template", CHART, "--kube-version", f"{major}.{int(minor) - 1}.9")


@EVERY_EXAMPLE
def test_no_object_is_there_twice_and_none_is_put_elsewhere(example: Path) -> None:
    documents = render(base=example)
    twice = {name: count for name, count in Counter(map(title, documents)).items() if count > 1}
    assert not twice
    elsewhere = [title(each) for each in documents if each["metadata"].get("namespace", NAMESPACE) != NAMESPACE]
    assert not elsewhere


@EVERY_EXAMPLE
def test_every_object_carries_the_usual_labels(example: Path) -> None:
    name = (yaml.safe_load(example.read_text()) or {}).get("nameOverride", "flowscale")
    for document in render({"extraObjects": []}, base=example):
        if document["kind"] == "CustomResourceDefinition":
            continue  # its labels are those of manifests/crds
        labels = document["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == name, title(document)
        assert labels["app.kubernetes.io/instance"] == "flowscale", title(document)
        assert labels["app.kubernetes.io/managed-by"] == "Helm", title(document)
        assert labels["app.kubernetes.io/part-of"] == "flowscale", title(document)
        assert re.fullmatch(r"flowscale-[0-9].*", labels["helm.sh/chart"]), title(document)
        assert labels["app.kubernetes.io/version"], title(document)


@EVERY_EXAMPLE
def test_selectors_find_the_pods_they_are_meant_for(example: Path) -> None:
    documents = render(base=example)
    templates = {title(each): each["spec"]["template"]["metadata"]["labels"] for each in documents if owns_pods(each)}
    for document in documents:
        if document["kind"] not in SELECTING:
            continue
        wanted = selector(document)
        found = {name for name, labels in templates.items() if wanted.items() <= labels.items()}
        component = document["metadata"]["labels"]["app.kubernetes.io/component"]
        meant = {name for name, labels in templates.items() if labels["app.kubernetes.io/component"] == component}
        assert found == meant, title(document)
        assert found, title(document)


@EVERY_EXAMPLE
def test_an_upgrade_changes_nothing_that_kubernetes_will_not_change(example: Path, newer_chart: Path) -> None:
    before = {title(document): unchangeable(document) for document in render(base=example)}
    after = {title(document): unchangeable(document) for document in render(base=example, chart=newer_chart)}
    assert before == after


def test_a_new_version_does_not_restart_the_queues_server(newer_chart: Path) -> None:
    (before,) = [each for each in render() if each["kind"] == "StatefulSet"]
    (after,) = [each for each in render(chart=newer_chart) if each["kind"] == "StatefulSet"]
    assert before["metadata"]["labels"] != after["metadata"]["labels"]
    assert before["spec"] == after["spec"]


@EVERY_EXAMPLE
def test_references_lead_to_objects_that_are_there(example: Path) -> None:
    documents = render(base=example)
    accounts = {each["metadata"]["name"] for each in documents if each["kind"] == "ServiceAccount"}
    scaled = {(each["kind"], each["metadata"]["name"]) for each in documents if owns_pods(each)}
    services = {each["metadata"]["name"] for each in documents if each["kind"] == "Service"}
    for document in documents:
        if document["kind"] in ("RoleBinding", "ClusterRoleBinding"):
            role = document["roleRef"]
            assert any((each["kind"], each["metadata"]["name"]) == (role["kind"], role["name"]) for each in documents)
            for subject in document["subjects"]:
                assert subject["name"] in accounts, title(document)
                assert subject["namespace"] == NAMESPACE, title(document)
        if document["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"):
            target = document["spec"]["scaleTargetRef"]
            assert (target.get("kind", "Deployment"), target["name"]) in scaled, title(document)
        if document["kind"] == "StatefulSet":
            assert document["spec"]["serviceName"] in services, title(document)
        if document["kind"] == "Ingress":
            for rule in document["spec"]["rules"]:
                for path in rule["http"]["paths"]:
                    assert path["backend"]["service"]["name"] in services, title(document)


@EVERY_EXAMPLE
def test_the_worker_has_no_replicas_where_something_scales_it(example: Path) -> None:
    documents = render(base=example)
    scalers = {"HorizontalPodAutoscaler", "ScaledObject"}
    scaled = {each["spec"]["scaleTargetRef"]["name"] for each in documents if each["kind"] in scalers}
    if any(each["kind"] == "WorkerScaler" for each in documents):
        scaled |= {each["metadata"]["name"] for each in documents if is_component(each, "Deployment", "worker")}
    for document in documents:
        if document["kind"] == "Deployment":
            name = document["metadata"]["name"]
            assert ("replicas" not in document["spec"]) == (name in scaled), name


def test_labels_of_one_s_own_stand_once_and_never_in_the_way() -> None:
    """The reader of the tests refuses a key that stands twice."""
    clash = {"app.kubernetes.io/component": "mine", "app.kubernetes.io/part-of": "mine", "helm.sh/chart": "mine"}
    parts = {part: {"podLabels": {**clash, "team": "pods"}} for part in ("api", "worker", "operator")}
    values = {"commonLabels": {**clash, "team": "all"}, **parts, "redis": {"bundled": {"podLabels": {"team": "pods"}}}}
    plain = {title(document): document for document in render()}
    for document in render(values):
        assert unchangeable(document) == unchangeable(plain[title(document)])
        if document["kind"] != "CustomResourceDefinition":
            assert document["metadata"]["labels"]["team"] == "all", title(document)
        if owns_pods(document):
            labels = document["spec"]["template"]["metadata"]["labels"]
            assert selector(document).items() <= labels.items(), title(document)
            assert labels["team"] == "pods", title(document)


@pytest.fixture(scope="module")
def newer_chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart as a later release would carry it: the same templates, other versions."""
    copy = tmp_path_factory.mktemp("newer") / "flowscale"
    shutil.copytree(CHART, copy)
    described = (copy / "Chart.yaml").read_text()
    newer = re.sub(r"(?m)^(version|appVersion): .*$", r'\1: "9.8.7"', described)
    assert newer != described
    (copy / "Chart.yaml").write_text(newer)
    return copy


def without_chance(documents: list[Document]) -> list[Document]:
    """With the names alone of what lies in Secrets, whose passwords are made by chance."""
    return [
        {**document, "data": sorted(document.get("data", {}))} if document["kind"] == "Secret" else document
        for document in documents
    ]


def owns_pods(document: Document) -> bool:
    return document["kind"] in ("Deployment", "StatefulSet")


def is_component(document: Document, kind: str, component: str) -> bool:
    labels = document["metadata"].get("labels", {})
    return bool(document["kind"] == kind and labels.get("app.kubernetes.io/component") == component)


def selector(document: Document) -> dict[str, str]:
    found = document["spec"]["selector"]
    return dict(found if document["kind"] == "Service" else found["matchLabels"])


def unchangeable(document: Document) -> Any:
    """The fields that Kubernetes refuses to change in an object that is there."""
    spec = document.get("spec", {})
    if document["kind"] == "Deployment":
        return spec["selector"]
    if document["kind"] == "StatefulSet":
        kept = ("selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates")
        return {name: spec.get(name) for name in kept}
    if document["kind"] == "PersistentVolumeClaim":
        return {name: value for name, value in spec.items() if name != "resources"}
    if document["kind"] in ("RoleBinding", "ClusterRoleBinding"):
        return document["roleRef"]
    if document["kind"] == "Service":
        return spec.get("clusterIP")
    return None

"""The pods of every example: restricted, bounded, and given no more than they need."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.helm import ci_files, find, render
from chart.pod_security import violations
from chart.pods import pods

CI = ci_files()
EVERY_EXAMPLE = pytest.mark.parametrize("example", CI.values(), ids=list(CI))

FULL_NAME = re.compile(
    r"[a-z0-9.-]+\.[a-z]+(:[0-9]+)?/[a-z0-9._/-]+(:[A-Za-z0-9_][A-Za-z0-9._-]*|@sha256:[0-9a-f]{64})"
)
"""An image with its registry and its version or sum, so that no runtime guesses either."""


@EVERY_EXAMPLE
def test_every_pod_is_admitted_under_the_level_restricted(example: Path) -> None:
    found = [f"{pod.title}: {fault}" for pod in pods(render(base=example)) for fault in violations(pod.spec)]
    assert not found, "\n".join(found)


@EVERY_EXAMPLE
def test_every_container_has_a_root_folder_it_cannot_write(example: Path) -> None:
    for pod in pods(render(base=example)):
        for container in pod.containers():
            context = container["securityContext"]
            assert context.get("readOnlyRootFilesystem") is True, f"{pod.title}: {container['name']}"


@EVERY_EXAMPLE
def test_no_name_stands_in_a_list_twice(example: Path) -> None:
    """Helm 4 applies on the server's side, where two entries of one name are an error."""
    for pod in pods(render(base=example)):
        lists = [("volumes", pod.spec.get("volumes", [])), ("containers", pod.containers())]
        lists += [(f"{each['name']} env", each.get("env", [])) for each in pod.containers()]
        lists += [(f"{each['name']} ports", each.get("ports", [])) for each in pod.containers()]
        for where, entries in lists:
            assert not twice(entry["name"] for entry in entries), f"{pod.title}: {where}"
        for container in pod.containers():
            assert not twice(mount["mountPath"] for mount in container.get("volumeMounts", [])), pod.title
            ports = [(port["containerPort"], port.get("protocol", "TCP")) for port in container.get("ports", [])]
            assert not twice(ports), pod.title


@EVERY_EXAMPLE
def test_every_container_says_what_it_needs(example: Path) -> None:
    for pod in pods(render(base=example)):
        for container in pod.containers():
            resources = container.get("resources", {})
            where = f"{pod.title}: {container['name']}"
            assert {"cpu", "memory"} <= resources.get("requests", {}).keys(), where
            assert "memory" in resources.get("limits", {}), where


@EVERY_EXAMPLE
def test_every_image_has_its_full_name(example: Path) -> None:
    for pod in pods(render(base=example)):
        for container in pod.containers():
            if "/" in container["image"] or values_of(example).get("image", {}).get("registry") != "":
                assert FULL_NAME.fullmatch(container["image"]), f"{pod.title}: {container['image']}"


@EVERY_EXAMPLE
def test_only_the_operator_is_given_a_token(example: Path) -> None:
    documents = render(base=example)
    for pod in pods(documents):
        account = pod.spec.get("serviceAccountName", "default")
        assert pod.spec.get("automountServiceAccountToken") is (pod.component == "operator"), pod.title
        if account != "default" and any(each["metadata"]["name"] == account for each in documents):
            found = find(documents, "ServiceAccount", account)
            assert found.get("automountServiceAccountToken") is not True or pod.component == "operator", pod.title


@EVERY_EXAMPLE
def test_every_mount_has_its_volume_and_every_volume_its_mount(example: Path) -> None:
    for pod in pods(render(base=example)):
        claimed = [claim["metadata"]["name"] for claim in pod.owner["spec"].get("volumeClaimTemplates", [])]
        volumes = {volume["name"] for volume in pod.spec.get("volumes", [])} | set(claimed)
        mounts = {mount["name"] for each in pod.containers() for mount in each.get("volumeMounts", [])}
        assert mounts == volumes, pod.title


@EVERY_EXAMPLE
def test_what_stays_is_probed_and_a_probe_names_a_port_that_is_there(example: Path) -> None:
    for pod in pods(render(base=example)):
        if pod.owner["kind"] not in ("Deployment", "StatefulSet"):
            continue
        for container in pod.spec["containers"]:
            where = f"{pod.title}: {container['name']}"
            # A worker has none, and the template says why.
            assert "livenessProbe" in container or pod.component == "worker", where
            assert "readinessProbe" in container or pod.component in ("worker", "operator"), where
            ports = {port["name"] for port in container.get("ports", [])}
            for probe in (container[name] for name in container if name.endswith("Probe")):
                asked = [probe[kind]["port"] for kind in ("httpGet", "tcpSocket") if kind in probe]
                assert ports.issuperset(asked), where


@EVERY_EXAMPLE
def test_a_bounded_folder_is_asked_for_where_it_takes_the_node_s_disk(example: Path) -> None:
    for pod in pods(render(base=example)):
        for volume in pod.spec.get("volumes", []):
            if "emptyDir" in volume:
                assert (volume["emptyDir"] or {}).get("sizeLimit"), f"{pod.title}: {volume['name']}"


@EVERY_EXAMPLE
def test_no_secret_stands_in_a_config_map_or_in_the_open(example: Path) -> None:
    secret = re.compile(r"PASSWORD|SECRET|ACCESS_KEY|SERVICE_KEY|ANON_KEY|TOKEN")
    # A password of its own in an address; that of another variable is put there by the kubelet.
    login = re.compile(r"://[^/@]*:(?!\$\(REDIS_PASSWORD\)@)[^/@]*@")
    documents = render(base=example)
    for document in documents:
        if document["kind"] == "ConfigMap":
            assert not [name for name in document.get("data", {}) if secret.search(name)]
    for pod in pods(documents):
        for container in pod.containers():
            given = [each for each in container.get("env", []) if each.get("value")]
            open_ones = [each["name"] for each in given if secret.search(each["name"]) or login.search(each["value"])]
            assert not open_ones, f"{pod.title}: {container['name']}"


@EVERY_EXAMPLE
def test_a_worker_is_given_the_time_to_end_a_render(example: Path) -> None:
    documents = render(base=example)
    for pod in pods(documents):
        if pod.component != "worker" or pod.owner["kind"] != "Deployment":
            continue
        strategy = pod.owner["spec"]["strategy"]
        assert strategy["type"] == "RollingUpdate"
        assert strategy["rollingUpdate"]["maxUnavailable"] == 0
        assert pod.spec["terminationGracePeriodSeconds"] > 60


def test_a_pod_that_breaks_every_rule_is_found_out() -> None:
    bad: dict[str, Any] = {
        "hostNetwork": True,
        "hostPID": True,
        "hostIPC": True,
        "volumes": [{"name": "root", "hostPath": {"path": "/"}}],
        "securityContext": {"runAsUser": 0, "seccompProfile": {"type": "Unconfined"}},
        "containers": [
            {
                "name": "main",
                "securityContext": {"privileged": True, "capabilities": {"add": ["SYS_ADMIN"]}},
                "ports": [{"containerPort": 80, "hostPort": 80}],
            }
        ],
        "initContainers": [{"name": "first"}],
    }
    found = "\n".join(violations(bad))
    for part in (
        "hostNetwork",
        "hostPID",
        "hostIPC",
        "hostPath",
        "user 0",
        "profile Unconfined",
        "main is privileged",
        "main does not set allowPrivilegeEscalation",
        "main does not drop ALL",
        "SYS_ADMIN",
        "host's port 80",
        "main does not set runAsNonRoot",
        "first does not drop ALL",
        "first does not set runAsNonRoot",
    ):
        assert part in found


def values_of(example: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(example.read_text()) or {})


def twice(names: Any) -> list[Any]:
    return [name for name, count in Counter(names).items() if count > 1]

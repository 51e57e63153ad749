"""What is kept when a test fails: logs and descriptions of every pod in its namespaces, and what happened there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from kubernetes.client.rest import ApiException
from urllib3.exceptions import HTTPError

from e2e.cluster import RESTRICTED, Cluster
from e2e.programs import ProgramFailed
from e2e.releases import ROOT

FOLDER = ROOT / ".cache" / "e2e" / "evidence"


def keep(cluster: Cluster, test: str) -> str:
    """Says where it lies, or why there is none."""
    try:
        return f"logs and descriptions of every pod: {_keep(cluster, test)}"
    except (ApiException, HTTPError, OSError) as error:
        return f"the cluster could not be asked for the logs of its pods: {error}"


def _keep(cluster: Cluster, test: str) -> Path:
    folder = FOLDER / re.sub(r"[^A-Za-z0-9_.-]+", "-", test)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "nodes.txt").write_text(_said(cluster, "describe", "nodes"))
    label = ",".join(f"{name}={value}" for name, value in RESTRICTED.items())
    for namespace in cluster.core.list_namespace(label_selector=label).items:
        _keep_namespace(cluster, namespace.metadata.name, folder)
    return folder


def _keep_namespace(cluster: Cluster, namespace: str, folder: Path) -> None:
    words = ("--namespace", namespace)
    (folder / f"{namespace}.txt").write_text(
        _said(cluster, *words, "get", "all,pvc,ingress,endpointslices", "--output", "wide")
        + _said(cluster, *words, "describe", "pods,deployments,statefulsets")
        + _said(cluster, *words, "get", "events", "--sort-by", ".lastTimestamp")
    )
    for pod in cluster.core.list_namespaced_pod(namespace).items:
        for status in pod.status.container_statuses or ():
            file = folder / f"{namespace}.{pod.metadata.name}.{status.name}.log"
            file.write_text(_log(cluster, pod, status.name, before=False))
            if status.restart_count:
                file.with_suffix(".before.log").write_text(_log(cluster, pod, status.name, before=True))


def _log(cluster: Cluster, pod: Any, container: str, *, before: bool) -> str:
    """What the container wrote, or the one before its restart; or why that cannot be had."""
    where = (pod.metadata.name, pod.metadata.namespace)
    try:
        # As bytes: the client would give their representation for a text.
        wrote = cluster.core.read_namespaced_pod_log(
            *where, container=container, previous=before, tail_lines=5000, _preload_content=False
        )
    except ApiException as error:
        return f"{error}\n"
    text: bytes = wrote.data
    return text.decode(errors="replace")


def _said(cluster: Cluster, *words: str) -> str:
    """What kubectl printed, or why it could not: a pod may be gone, and the rest is wanted all the same."""
    try:
        return cluster.kubectl(*words)
    except ProgramFailed as error:
        return f"{error}\n"

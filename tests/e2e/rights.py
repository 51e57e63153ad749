"""What pods and ServiceAccounts of a release may do: as the cluster has it, not as the chart says it."""

from __future__ import annotations

from typing import Any

from e2e.cluster import COMPONENT, Cluster


def excesses(pod: Any) -> list[str]:
    """What in a pod goes beyond what the parts of FlowScale need, beside what the level "restricted" refuses."""
    found = []
    if pod.spec.automount_service_account_token is not False and pod.metadata.labels[COMPONENT] != "operator":
        found.append("has the token of its ServiceAccount mounted")
    for container in (pod.spec.init_containers or []) + pod.spec.containers:
        if container.security_context.read_only_root_filesystem is not True:
            found.append(f"{container.name} may write to its root file system")
        if container.resources.limits is None or "memory" not in container.resources.limits:
            found.append(f"{container.name} has no memory limit")
    return [f"{pod.metadata.name}: {words}" for words in found]


def may(cluster: Cluster, namespace: str, account: str) -> list[str]:
    """`kubectl auth can-i --list` for a ServiceAccount in its namespace, a line for each rule, blanks narrowed."""
    whom = f"system:serviceaccount:{namespace}:{account}"
    listed = cluster.kubectl("--namespace", namespace, "auth", "can-i", "--list", "--no-headers", "--as", whom)
    return sorted(" ".join(line.split()) for line in listed.splitlines())


def rights(cluster: Cluster, namespace: str) -> str:
    """For each ServiceAccount but `default`, what it may beyond that one, which has no rights but everybody's."""
    everybody = set(may(cluster, namespace, "default"))
    accounts = sorted(each.metadata.name for each in cluster.core.list_namespaced_service_account(namespace).items)
    lines = []
    for account in accounts:
        if account != "default":
            own = [rule for rule in may(cluster, namespace, account) if rule not in everybody]
            lines += [f"{account}:", *(f"  {rule}" for rule in own or ["nothing"])]
    return "\n".join(lines) + "\n"

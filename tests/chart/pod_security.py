"""The level `restricted` of Kubernetes' Pod Security Standards, as a check of a pod's specification.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/ (baseline and restricted, for Linux).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
}
SELINUX_TYPES = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}


def violations(spec: dict[str, Any]) -> list[str]:
    """What `restricted` would refuse in this pod; empty if it would be admitted."""
    return [
        *_of_the_pod(spec),
        *(fault for container in _containers(spec) for fault in _of_a_container(container, spec)),
    ]


def _containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    kinds = ("initContainers", "containers", "ephemeralContainers")
    return [container for kind in kinds for container in spec.get(kind, [])]


def _of_the_pod(spec: dict[str, Any]) -> Iterator[str]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield f"{name} is set"
    if spec.get("hostUsers") is True:
        yield "hostUsers is set"
    for volume in spec.get("volumes", []):
        if forbidden := volume.keys() - VOLUMES - {"name"}:
            yield f"volume {volume['name']} is of the kind {', '.join(sorted(forbidden))}"
    context = spec.get("securityContext", {})
    yield from _of_any_context(context, "the pod")
    for sysctl in context.get("sysctls", []):
        if sysctl["name"] not in SYSCTLS:
            yield f"sysctl {sysctl['name']} is not a safe one"


def _of_a_container(container: dict[str, Any], spec: dict[str, Any]) -> Iterator[str]:
    name, context, shared = container["name"], container.get("securityContext", {}), spec.get("securityContext", {})
    yield from _of_any_context(context, name)
    if context.get("privileged"):
        yield f"{name} is privileged"
    if context.get("allowPrivilegeEscalation") is not False:
        yield f"{name} does not set allowPrivilegeEscalation to false"
    if "ALL" not in context.get("capabilities", {}).get("drop", []):
        yield f"{name} does not drop ALL capabilities"
    if added := set(context.get("capabilities", {}).get("add", [])) - {"NET_BIND_SERVICE"}:
        yield f"{name} adds the capabilities {', '.join(sorted(added))}"
    if context.get("procMount", "Default") != "Default":
        yield f"{name} sets procMount"
    if context.get("runAsNonRoot", shared.get("runAsNonRoot")) is not True:
        yield f"{name} does not set runAsNonRoot, and neither does the pod"
    profile = context.get("seccompProfile", shared.get("seccompProfile", {})).get("type")
    if profile not in ("RuntimeDefault", "Localhost"):
        yield f"{name} has the seccomp profile {profile}"
    for port in container.get("ports", []):
        if port.get("hostPort"):
            yield f"{name} takes the host's port {port['hostPort']}"
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(probe, {}).get("httpGet", {}).get("host") or container.get(probe, {}).get("tcpSocket", {}).get(
            "host"
        ):
            yield f"{name}'s {probe} names a host"


def _of_any_context(context: dict[str, Any], who: str) -> Iterator[str]:
    if context.get("runAsNonRoot") is False:
        yield f"{who} sets runAsNonRoot to false"
    if context.get("runAsUser") == 0:
        yield f"{who} runs as user 0"
    if context.get("seccompProfile", {}).get("type") == "Unconfined":
        yield f"{who} has the seccomp profile Unconfined"
    if context.get("appArmorProfile", {}).get("type") == "Unconfined":
        yield f"{who} has the AppArmor profile Unconfined"
    if context.get("windowsOptions", {}).get("hostProcess"):
        yield f"{who} is a host process"
    selinux = context.get("seLinuxOptions", {})
    if selinux.get("type", "") not in SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
        yield f"{who} sets SELinux options"

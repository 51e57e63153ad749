"""The cluster that KUBECONFIG names: its nodes, namespaces and pods.

Every namespace that a test gets refuses pods below the "restricted" level of Pod Security, the chart's own and the
test's. It is deleted at the end, and must be gone: what holds it up is a stuck object.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from kubernetes import client, config
from kubernetes.client.rest import ApiException
from urllib3.util import Retry

from e2e.programs import ProgramFailed, run
from e2e.waiting import until

COMPONENT = "app.kubernetes.io/component"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted", "app.kubernetes.io/part-of": "flowscale-e2e"}

TRIES = 4
NO_CONTACT = ("TLS handshake timeout", "client connection lost", "i/o timeout", "unexpected EOF", "was refused")
"""What kubectl says when it could not ask the API server, or got no answer."""


class Cluster:
    """One cluster. Objects are the client's own (`kubernetes`), whose fields have no types."""

    def __init__(self) -> None:
        self.kubeconfig = os.environ["KUBECONFIG"]
        settings: Any = client.Configuration()
        settings.retries = Retry(total=TRIES, backoff_factor=1, allowed_methods=None)
        config.load_kube_config(self.kubeconfig, client_configuration=settings)
        self.api: Any = client.ApiClient(settings)
        self.core: Any = client.CoreV1Api(self.api)
        self.apps: Any = client.AppsV1Api(self.api)
        self.rules: Any = client.AuthorizationV1Api(self.api)
        self.networking: Any = client.NetworkingV1Api(self.api)

    def kubectl(self, *words: str, given: str | None = None) -> str:
        """What it printed. Asked again while it cannot reach the API server, which a busy machine keeps from answering:
        every use here may be carried out twice."""
        command = ["kubectl", "--kubeconfig", self.kubeconfig, *words]
        for _ in range(TRIES - 1):
            try:
                return run(command, given=given)
            except ProgramFailed as error:
                if not any(sign in str(error) for sign in NO_CONTACT):
                    raise
        return run(command, given=given)

    # --- namespaces

    @contextmanager
    def namespace(self, purpose: str) -> Iterator[str]:
        """A new namespace; at the end it is deleted, and waited for."""
        name = f"e2e-{purpose}-{secrets.token_hex(2)}"
        self.core.create_namespace({"metadata": {"name": name, "labels": RESTRICTED}})
        until(lambda: self._has_default_account(name), f"the default ServiceAccount of {name}")
        yield name
        self._end_pods(name)
        self.core.delete_namespace(name)
        until(lambda: self._is_gone(name), f"namespace {name} to be gone; an object in it is stuck")

    def _end_pods(self, namespace: str) -> None:
        """At once: after a failure workers may still render, and would be waited for, up to an hour."""
        self.kubectl("--namespace", namespace, "delete", "deployments,statefulsets", "--all", "--wait=false")

        def none_is_left() -> bool:
            self.core.delete_collection_namespaced_pod(namespace, grace_period_seconds=1)
            return not self.core.list_namespaced_pod(namespace).items

        until(none_is_left, f"all pods of {namespace} to be gone")

    def _has_default_account(self, namespace: str) -> bool:
        return any(
            account.metadata.name == "default" for account in self.core.list_namespaced_service_account(namespace).items
        )

    def _is_gone(self, namespace: str) -> bool:
        try:
            self.core.read_namespace(namespace)
        except ApiException as error:
            if error.status == 404:
                return True
            raise
        return False

    # --- objects

    def apply(self, namespace: str, *objects: Mapping[str, Any]) -> None:
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("--namespace", namespace, "apply", "--server-side", "--filename", "-", given=json.dumps(listed))

    def secret(self, namespace: str, name: str) -> dict[str, str]:
        """Its entries, as they are stored (base64)."""
        entries: dict[str, str] = self.core.read_namespaced_secret(name, namespace).data
        return entries

    def rolled_out(self, namespace: str, kind_and_name: str) -> None:
        self.kubectl("--namespace", namespace, "rollout", "status", kind_and_name, "--timeout", "300s")

    # --- pods

    def pods(self, namespace: str, component: str | None = None) -> list[Any]:
        """Those that have not ended, the ones that are being deleted among them."""
        selector = f"{COMPONENT}={component}" if component else ""
        found = self.core.list_namespaced_pod(namespace, label_selector=selector).items
        return [pod for pod in found if pod.status.phase in ("Pending", "Running")]

    def ready_pods(self, namespace: str, component: str | None = None) -> list[Any]:
        return [pod for pod in self.pods(namespace, component) if is_ready(pod)]

    def wait_for_ready(self, namespace: str, component: str, count: int) -> list[Any]:
        """The ready pods when there are `count` of them, and none else."""

        def look() -> list[Any] | None:
            pods = self.pods(namespace, component)
            return pods if len(pods) == count and all(map(is_ready, pods)) else None

        return until(look, f"{count} ready pods of {component} in {namespace}")

    def execute(self, namespace: str, pod: str, *command: str) -> str:
        return self.kubectl("--namespace", namespace, "exec", pod, "--", *command)

    def delete_pod_by_force(self, namespace: str, pod: str) -> None:
        """Without a grace: the kubelet kills it, and the API server forgets it at once."""
        self.core.delete_namespaced_pod(pod, namespace, grace_period_seconds=0)

    def log(self, namespace: str, pod: str) -> str:
        return self.kubectl("--namespace", namespace, "logs", pod)

    # --- nodes and ways in

    def nodes(self) -> list[Any]:
        found: list[Any] = self.core.list_node().items
        return found

    def workers(self) -> list[str]:
        """Names of the nodes that take pods."""
        return [node.metadata.name for node in self.nodes() if not node.spec.taints]

    def entrance(self) -> str:
        """The address of a node that no test takes away: that of the control plane, where there is one to see."""
        nodes = sorted(
            self.nodes(), key=lambda node: "node-role.kubernetes.io/control-plane" not in node.metadata.labels
        )
        return address(nodes[0])

    def edge(self) -> str:
        """The address at which Contour's proxy answers: it stands on every node that takes pods."""
        return address(self.core.read_node(self.workers()[0]))

    def node_port(self, namespace: str, service: str, port: int) -> str:
        """The URL that leads to `port` of a Service with NodePorts, from outside of the cluster."""
        found = self.core.read_namespaced_service(service, namespace)
        (number,) = [each.node_port for each in found.spec.ports if each.port == port]
        return f"http://{self.entrance()}:{number}"

    @contextmanager
    def forwarded(self, namespace: str, target: str, port: int) -> Iterator[str]:
        """A URL on this machine that `kubectl port-forward` leads to `target` (svc/NAME, pod/NAME)."""
        words = ["--namespace", namespace, "port-forward", target, f":{port}", "--address", "127.0.0.1"]
        command = ["kubectl", "--kubeconfig", self.kubeconfig, *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("Forwarding from"), f"{' '.join(command)}: {line}{process.stdout.read()}"
            yield f"http://127.0.0.1:{line.split()[2].rsplit(':', 1)[1]}"
        finally:
            process.kill()
            process.communicate()


def is_ready(pod: Any) -> bool:
    """Whether a pod takes traffic; one that is being deleted does not count."""
    conditions = {condition.type: condition.status for condition in pod.status.conditions or ()}
    return pod.metadata.deletion_timestamp is None and conditions.get("Ready") == "True"


def address(node: Any) -> str:
    (found,) = [each.address for each in node.status.addresses if each.type == "InternalIP"][:1]
    return str(found)


def answers(url: str) -> bool:
    """Whether something answers 200 at the URL."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def names(pods: Sequence[Any]) -> list[str]:
    return [pod.metadata.name for pod in pods]

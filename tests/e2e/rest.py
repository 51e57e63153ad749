"""The API server by plain JSON: for kinds that the client library does not know, and for ways into pods."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import httpx2

from e2e.cluster import Cluster
from e2e.waiting import until

MERGE = "application/merge-patch+json"


def rest(cluster: Cluster) -> httpx2.Client:
    """With the rights of KUBECONFIG. The caller closes it; it is not for several threads."""
    configuration = cluster.api.configuration
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    token = configuration.api_key.get("authorization")
    headers = {"Authorization": token} if token else {}
    return httpx2.Client(base_url=configuration.host, verify=context, headers=headers, timeout=30)


def get(client: httpx2.Client, path: str, **query: str) -> dict[str, Any]:
    """Asked again while a busy server, or one that was away, gives no answer. Raises httpx2.HTTPStatusError."""
    answer = _ask_again(lambda: client.get(path, params=query), path)
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def merge(client: httpx2.Client, path: str, changes: dict[str, Any]) -> dict[str, Any]:
    """The object after a merge patch, which may be carried out twice."""
    answer = _ask_again(lambda: client.patch(path, json=changes, headers={"Content-Type": MERGE}), path)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def text(client: httpx2.Client, path: str) -> str:
    """Likewise, of what is no JSON."""
    answer = _ask_again(lambda: client.get(path), path)
    answer.raise_for_status()
    return answer.text


def _ask_again(call: Callable[[], httpx2.Response], path: str) -> httpx2.Response:
    def ask() -> httpx2.Response | None:
        try:
            answer = call()
        except httpx2.TransportError:
            return None
        return None if answer.status_code >= 500 or answer.status_code == 429 else answer

    return until(ask, f"the API server to answer {path}")


def in_pod(namespace: str, pod: str, port: int, path: str) -> str:
    """The path that leads through the API server to a port of a pod, ready or not."""
    return f"/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy{path}"

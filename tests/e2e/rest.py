"""The API server by plain JSON: for kinds that the client library does not know, and for ways into pods."""

from __future__ import annotations

import ssl
from typing import Any

import httpx2

from e2e.cluster import Cluster

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
    """Raises httpx2.HTTPError."""
    answer = client.get(path, params=query)
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def merge(client: httpx2.Client, path: str, changes: dict[str, Any]) -> dict[str, Any]:
    """The object after a merge patch. Raises httpx2.HTTPError."""
    answer = client.patch(path, json=changes, headers={"Content-Type": MERGE})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def in_pod(namespace: str, pod: str, port: int, path: str) -> str:
    """The path that leads through the API server to a port of a pod, ready or not."""
    return f"/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy{path}"
